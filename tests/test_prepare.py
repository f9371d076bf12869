"""A prepared folder holds what its source holds, the same bytes whatever the source is packed in."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from photo_sources import (
    LAYOUTS,
    archive,
    class_project,
    coco_folder,
    coco_zips,
    complaint,
    contents,
    nbutils,
    own_folder,
    picture_bytes,
    write,
)

from nbutils.data import photos, sources
from nbutils.data.preparation import checking, decoding, prepare, prepared


def make(source, out, size=16, jobs=1, **choices):
    """Prepare pictures; where one process is asked for, in this one, which saves starting it."""
    with pytest.MonkeyPatch.context() as patch:
        if jobs == 1:
            patch.setattr(decoding, "ProcessPoolExecutor", lambda number, **_: ThreadPoolExecutor(number))
        return prepare.prepare(source, out, size=size, jobs=jobs, **choices)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_prepared_folder_holds_what_direct_reading_gives(tmp_path, layout):
    source = LAYOUTS[layout](tmp_path / "source")
    assert "16 x 16" in make(source, tmp_path / "out", jobs=2)
    direct, mapped = (
        sources.load(str(folder), image_size=16, num_train=1000, num_valid=2)
        for folder in (source, tmp_path / "out")
    )
    for split in photos.SPLITS:
        assert torch.equal(getattr(direct, split).images, getattr(mapped, split).images)
        assert getattr(direct, split).captions == getattr(mapped, split).captions
    assert direct.fingerprint == mapped.fingerprint
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["layout"] == layout
    assert sorted(contents(tmp_path / "out")) == ["manifest.json", "pictures.json", "train.npy", "valid.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.bz2"])
@pytest.mark.parametrize("top", ["", "leading/"])
def test_the_bytes_do_not_depend_on_how_the_source_is_packed(tmp_path, layout, suffix, top):
    folder = LAYOUTS[layout](tmp_path / "pictures")
    make(folder, tmp_path / "plain")
    packed = archive(folder, tmp_path / f"pictures{suffix}", top)
    make(packed, tmp_path / "packed")
    assert contents(tmp_path / "plain") == contents(tmp_path / "packed")


def test_the_official_zips_are_read_in_place_and_may_be_mixed_with_folders(tmp_path):
    folder = coco_folder(tmp_path / "extracted" / "coco")
    zips = coco_zips(folder, tmp_path / "coco")
    make(folder, tmp_path / "plain")
    make(zips, tmp_path / "zipped", jobs=2)
    assert contents(tmp_path / "plain") == contents(tmp_path / "zipped")
    (zips / "train2014.zip").unlink()
    shutil.copytree(folder / "train2014", zips / "train2014")
    make(zips, tmp_path / "mixed")
    assert contents(tmp_path / "plain") == contents(tmp_path / "mixed")
    with pytest.raises(photos.PhotosError, match="nbutils data prepare"):
        photos.read_folder(zips)


def test_the_same_preparation_is_recognised_and_another_is_refused(tmp_path):
    source = own_folder(tmp_path / "source")
    make(source, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert "holds this preparation already" in make(source, tmp_path / "out", jobs=2)
    with pytest.raises(photos.PhotosError, match="another preparation, 23 pictures to train on"):
        make(source, tmp_path / "out", size=32)
    write(source, "000.jpg", picture_bytes(77, size=(25, 25)))
    with pytest.raises(photos.PhotosError, match="another preparation"):
        make(source, tmp_path / "out")
    write(tmp_path, "notes/diary.txt", "dear diary")
    with pytest.raises(photos.PhotosError, match=r"holds other files, diary.txt first"):
        make(source, tmp_path / "notes")
    with pytest.raises(photos.PhotosError, match="is a file"):
        make(source, tmp_path / "notes" / "diary.txt")
    assert contents(tmp_path / "out") == before
    (tmp_path / "empty").mkdir()
    assert "empty: 23 pictures" in make(source, tmp_path / "empty")


@pytest.mark.parametrize("pack", [None, ".tar.bz2", ".zip"])
def test_broken_pictures_are_named_after_all_others_are_done_and_left_out_when_asked(tmp_path, pack):
    folder = own_folder(tmp_path / "pictures")
    write(folder, "004.jpg", picture_bytes(4)[:200])
    write(folder, "sub/011.jpg", "no picture")
    (folder / "020.jpg").unlink()
    text = (
        (folder / "captions.csv")
        .read_text()
        .replace("picture 7, no one", "a \0 bell")
        .replace("picture 8, no one", "...")
        .replace("picture 8, no two", "!")
    )
    write(folder, "captions.csv", text)
    source = archive(folder, tmp_path / f"pictures{pack}") if pack else folder
    line = complaint(nbutils("data", "prepare", source, "--size", 16, "--out", tmp_path / "out"))
    assert "004.jpg: not a readable picture" in line
    assert "6 broken in all" in line
    listed = (tmp_path / "out.broken.txt").read_text().splitlines()
    assert [entry.split(": ")[0] for entry in listed] == [
        "004.jpg",
        "008.jpg",
        "008.jpg",
        "020.jpg",
        "sub/007.jpg",
        "sub/011.jpg",
    ]
    assert not (tmp_path / "out").exists()
    again = nbutils("data", "prepare", source, "--size", 16, "--out", tmp_path / "out", "--skip-broken")
    assert again.returncode == 0
    assert "6 broken picture(s) or caption(s) left out" in again.stdout
    assert not (tmp_path / "out.broken.txt").exists()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [fault["file"] for fault in manifest["left_out"]] == [entry.split(": ")[0] for entry in listed]
    found = prepared.open_prepared(tmp_path / "out")
    files = [row.file for split in photos.SPLITS for row in found.rows[split]]
    assert len(files) == 21
    assert not {"004.jpg", "008.jpg", "020.jpg", "sub/011.jpg"} & set(files)
    assert {row.file: row.captions for row in found.rows["train"]}["sub/007.jpg"] == ("picture 7, no two",)
    for split in photos.SPLITS:
        for row, image in zip(found.rows[split], found.images[split]):
            assert np.array_equal(image, photos.read_picture(folder / row.file, 16))
    assert checking.check(tmp_path / "out", 1)[1] == []


def test_what_an_interrupted_preparation_left_is_begun_anew_and_said(tmp_path):
    source = own_folder(tmp_path / "source")
    make(source, tmp_path / "direct")
    write(tmp_path, ".out.part/data/train.npy", "half of it")
    begun = nbutils("data", "prepare", source, "--size", 16, "--out", tmp_path / "out", "--jobs", 1)
    assert f"{tmp_path / 'out'}: an earlier preparation was interrupted; it starts again" in begun.stdout
    assert contents(tmp_path / "out") == contents(tmp_path / "direct")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["direct", "out", "source"]


def test_nothing_is_prepared_where_no_picture_can_be_used(tmp_path):
    source = coco_folder(tmp_path / "source")
    for number in (100, 101, 102):
        write(source, f"val2014/{number}.jpg", "no picture")
    with pytest.raises(
        photos.PhotosError,
        match=r"of 3 pictures of valid none can be used; val2014/100.jpg: not a readable picture",
    ):
        make(source, tmp_path / "out", skip_broken=True)


@pytest.mark.parametrize(
    ("choices", "name"), [({"size": 4}, "size: 4"), ({"size": 5000}, "size: 5000"), ({"jobs": 0}, "jobs: 0")]
)
def test_impossible_numbers_are_named(tmp_path, choices, name):
    with pytest.raises(photos.PhotosError, match=name):
        make(own_folder(tmp_path / "source"), tmp_path / "out", **choices)


def test_a_prepared_folder_of_another_size_says_how_to_make_the_right_one(tmp_path, monkeypatch):
    make(class_project(tmp_path / "source"), tmp_path / "photos64")
    with pytest.raises(
        photos.PhotosError,
        match=r"pictures of 16 x 16 pixels; image_size is 32; .*nbutils data prepare SOURCE --size 32",
    ):
        sources.load(str(tmp_path / "photos64"), image_size=32, num_train=1, num_valid=1)
    monkeypatch.setenv("NBUTILS_DATA", str(tmp_path))
    splits = sources.load("photos", image_size=16, num_train=5, num_valid=2)
    assert (len(splits.train), len(splits.valid)) == (5, 2)
    assert isinstance(prepared.open_prepared(tmp_path / "photos64").images["train"], np.memmap)
    splits.train.images[0] = 7  # copied on write: the file keeps what it had
    assert checking.check(tmp_path / "photos64", 1)[1] == []


def test_a_fingerprint_is_of_pixels_and_captions(tmp_path):
    load = {"image_size": 16, "num_train": 5, "num_valid": 2}
    first = sources.load("scenes", **load)
    assert sources.load("scenes", **load).fingerprint == first.fingerprint
    assert sources.load("scenes", **load, seed=1).fingerprint != first.fingerprint
    source = own_folder(tmp_path / "source")
    plain = sources.load(str(source), **load).fingerprint
    write(source, "captions.csv", (source / "captions.csv").read_text().replace("picture 0", "picture O"))
    other_caption = sources.load(str(source), **load).fingerprint
    write(source, "000.jpg", picture_bytes(99))
    assert len({plain, other_caption, sources.load(str(source), **load).fingerprint}) == 3


def test_check_says_that_all_is_well_or_lists_every_fault(tmp_path):
    source = own_folder(tmp_path / "source")
    fine = nbutils("data", "check", source)
    assert (fine.returncode, fine.stderr) == (0, "")
    assert "own folder, captioned pictures: 23 of train and 2 of valid" in fine.stdout
    for name in ("004.jpg", "006.jpg"):
        write(source, name, "no picture")
    faulty = nbutils("data", "check", archive(source, tmp_path / "source.tar.gz"))
    assert "2 fault(s), listed above" in complaint(faulty)
    assert [line.split(": ")[1] for line in faulty.stdout.splitlines() if "not a readable" in line] == [
        "004.jpg",
        "006.jpg",
    ]


@pytest.mark.real_data
def test_real_photographs_are_prepared_in_both_layouts_alike(tmp_path):
    root = Path(os.environ["NBUTILS_TEST_DATA"]) / "photos64"
    for name in ("train2014", "val2014", "dict_key_imgID_value_caps_train_and_valid.pkl"):
        write(tmp_path, "inpainting/x", "")
        (tmp_path / "inpainting" / name).symlink_to(root / name)
    make(root, tmp_path / "coco", size=64)
    make(tmp_path / "inpainting", tmp_path / "class", size=64)
    both = [contents(tmp_path / name) for name in ("coco", "class")]
    assert all(both[0][name] == both[1][name] for name in prepared.FILES)
    splits = sources.load(str(tmp_path / "coco"), image_size=64, num_train=10_000, num_valid=10_000)
    assert (len(splits.train), len(splits.valid)) == (750, 100)
