"""Captioned pictures as other programs leave them are read, with one line on how, or refused where they could
mean two things."""

import json
import os
import zipfile

import pytest
from photo_sources import coco_folder, own_folder, picture_bytes, write

from nbutils.data import photos
from nbutils.data.folders.archives import open_source
from nbutils.data.preparation import checking
from nbutils.reports.run import records

FILES = [f"p{number}.jpg" for number in range(4)]
TABLES = {
    "Flickr8k": (
        "captions.txt",
        "image,caption\n" + "".join(f'{file},"a dog , number {n}"\n' for n, file in enumerate(FILES)),
    ),
    "Flickr30k": (
        "results.csv",
        "image_name| comment_number| comment\n"
        + "".join(f"{file}| 0| a dog , number {n}\n" for n, file in enumerate(FILES)),
    ),
    "Hugging Face": (
        "metadata.csv",
        "file_name,text\n" + "".join(f'{file},"a dog , number {n}"\n' for n, file in enumerate(FILES)),
    ),
    "Hugging Face's lines": (
        "metadata.jsonl",
        "".join(
            json.dumps({"file_name": file, "text": f"a dog , number {n}"}) + "\n"
            for n, file in enumerate(FILES)
        ),
    ),
    "Flickr8k's own": (
        "Flickr8k.token.txt",
        "".join(f"{file}#0\ta dog , number {n}\n" for n, file in enumerate(FILES)),
    ),
    "semicolons": (
        "captions.csv",
        "\ufeffFile;Caption\n" + "".join(f"{file};a dog , number {n}\n" for n, file in enumerate(FILES)),
    ),
    "tabs": (
        "captions.tsv",
        "caption\tfile\n" + "".join(f"a dog , number {n}\t{file}\n" for n, file in enumerate(FILES)),
    ),
    "object": ("captions.json", json.dumps({file: f"a dog , number {n}" for n, file in enumerate(FILES)})),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("folder", ["", "Images/"])
def test_a_table_is_read_by_its_header_and_pictures_lie_there_or_in_one_folder(tmp_path, kind, folder):
    write(tmp_path, *TABLES[kind])
    for number, file in enumerate(FILES):
        write(tmp_path, folder + file, picture_bytes(number))
    found = photos.read_folder(tmp_path)
    pairs = [
        (path.relative_to(tmp_path).as_posix(), captions)
        for split in photos.SPLITS
        for path, captions in found[split]
    ]
    assert pairs == [(folder + file, (f"a dog , number {n}",)) for n, file in enumerate(FILES)]
    summary, faults = checking.check(tmp_path, 1)
    assert not faults
    assert f"({TABLES[kind][0]}: " in summary


def test_the_row_of_flickr30k_that_lacks_a_bar_is_read(tmp_path):
    rows = (
        "2199200615.jpg| 3|  A dog .\n2199200615.jpg| 4   A dog runs across the grass .\nq.jpg| 0| A cat .\n"
    )
    write(tmp_path, "results.csv", f"image_name| comment_number| comment\n{rows}")
    for number, file in enumerate(("2199200615.jpg", "q.jpg")):
        write(tmp_path, file, picture_bytes(number))
    ((_, captions),) = photos.read_folder(tmp_path)["train"]
    assert captions == ("A dog .", "A dog runs across the grass .")


def test_what_was_understood_is_said(tmp_path):
    own_folder(tmp_path, 31)
    write(
        tmp_path,
        "captions.csv",
        (tmp_path / "captions.csv").read_text().replace("file,caption", "Image,Text"),
    )
    assert checking.check(tmp_path, 1)[0].endswith(
        "(captions.csv: columns Image and Text, separated by commas)"
    )
    own_folder(tmp_path, 30)
    assert checking.check(tmp_path, 1)[0].endswith(
        "; reports need 3 pictures held out, and of an own folder every tenth is: 31 pictures"
    )


def test_two_tables_or_two_places_of_the_pictures_are_ambiguous(tmp_path):
    write(tmp_path, *TABLES["Flickr8k"])
    for folder in ("a", "b"):
        write(tmp_path, f"{folder}/p0.jpg", picture_bytes(0))
    with pytest.raises(
        photos.PhotosError, match=r"captions\.txt: names pictures that are in a as well as in b"
    ):
        photos.read_folder(tmp_path)
    write(tmp_path, *TABLES["semicolons"])
    with pytest.raises(
        photos.PhotosError, match=r"both captions\.csv and captions\.txt could hold the captions"
    ):
        photos.read_folder(tmp_path)


def karpathy(root, **places):
    splits = {"train": "train", "restval": "val", "val": "val", "test": "val"}
    images = [
        {"filename": f"{split}.jpg", "split": split, "sentences": [{"raw": f"of {split}"}, {"raw": "a dog"}]}
        | {key: value[folder] for key, value in places.items()}
        for split, folder in splits.items()
    ]
    write(root, "dataset_coco.json", json.dumps({"images": images, "dataset": "coco"}))
    for split, folder in splits.items():
        write(
            root,
            f"{places['filepath'][folder] if places else 'Images'}/{split}.jpg",
            picture_bytes(len(split)),
        )
    return photos.read_folder(root)


@pytest.mark.parametrize("places", [{}, {"filepath": {"train": "train2014", "val": "val2014"}}])
def test_karpathys_splits_are_kept(tmp_path, places):
    found = karpathy(tmp_path, **places)
    assert {split: [path.stem for path, _ in pairs] for split, pairs in found.items()} == {
        "train": ["train", "restval"] if places else ["restval", "train"],
        "valid": ["val"],
    }
    assert found["valid"][0][1] == ("of val", "a dog")


@pytest.mark.parametrize("pack", [False, True])
def test_a_text_beside_each_picture_gives_a_caption_a_line(tmp_path, pack):
    folder = tmp_path / "mine"
    for number, file in enumerate(FILES):
        write(folder, f"sub/{file}", picture_bytes(number))
        write(folder, f"sub/{file[:-4]}.txt", f"a dog, number {number}\r\n\r\nand a ball\r\n")
    write(folder, "README.txt", "not a caption")
    if pack:
        with zipfile.ZipFile(tmp_path / "mine.zip", "w") as made:
            for path in folder.rglob("*.*"):
                made.write(path, path.relative_to(folder))
    listing = photos.read_layout(open_source(tmp_path / "mine.zip" if pack else folder))
    assert [picture.captions for split in photos.SPLITS for picture in listing.splits[split]] == [
        (f"a dog, number {n}", "and a ball") for n in range(4)
    ]


def test_coco_is_told_by_its_captions_and_not_by_a_folder(tmp_path):
    write(own_folder(tmp_path / "own"), "annotations/p00.xml", "<a/>")
    assert photos.read_layout(open_source(tmp_path / "own")).layout == "own folder"
    coco = coco_folder(tmp_path / "coco")
    for path in sorted(coco.rglob("*2014*"), reverse=True):
        path.rename(str(path).replace("2014", "2017"))
    listing = photos.read_layout(open_source(coco))
    assert (listing.layout, listing.understood) == ("COCO", "captions of 2017")
    (coco / "annotations" / "captions_val2017.json").unlink()
    with pytest.raises(
        photos.PhotosError, match=r"annotations has captions_train2017\.json and not captions_val2017\.json"
    ):
        photos.read_layout(open_source(coco))


def test_zip_files_of_macos_windows_and_with_what_lies_beside_their_folder_are_read(tmp_path):
    names = {
        "composed": "mine/caf\u00e9/{}.png",
        "apart": "mine/cafe\u0301/{}.png",
        "backslashes": "mine\\caf\u00e9\\{}.png",
    }
    for kind, name in names.items():
        members = {name.format(number): picture_bytes(number, kind="PNG") for number in range(3)}
        members[name.format("x").replace("caf\u00e9", "cafe\u0301")[:5] + "captions.csv"] = (
            "file,caption\n" + "".join(f"caf\u00e9/{n}.png,dog {n}\n" for n in range(3))
        ).encode()
        members |= {".DS_Store": b"x", "README.txt": b"x", "__MACOSX/mine/._0.png": b"x", "Thumbs.db": b"x"}
        path, content = tmp_path / f"{kind}.zip", b""
        stand_ins = {
            f"{number:02}".ljust(len(member.encode()), "x"): member for number, member in enumerate(members)
        }
        with zipfile.ZipFile(path, "w") as made:
            for stand_in, member in stand_ins.items():
                made.writestr(stand_in, members[member])
        content = path.read_bytes()
        for stand_in, member in stand_ins.items():
            content = content.replace(stand_in.encode(), member.encode())
        path.write_bytes(content)
        summary, faults = checking.check(path, 1)
        assert not faults, kind
        assert "2 of train and 1 of valid" in summary


def test_a_picture_behind_a_link_to_itself_is_a_fault_of_that_picture(tmp_path):
    own_folder(tmp_path, 12)
    (tmp_path / "004.jpg").unlink()
    (tmp_path / "004.jpg").symlink_to("004.jpg")
    os.symlink("loop", tmp_path / "loop")
    assert records.cache_key(
        tmp_path / "01_none.ipynb", {"data": str(tmp_path)}, []
    )  # nor does it stop what only looks for changes
    _, faults = checking.check(tmp_path, 1)
    assert [fault.split(": ")[0] for fault in faults] == [str(tmp_path / "004.jpg")]
    assert "cannot be read" in faults[0]
