"""Captioned photographs: which pictures a source holds, what is wrong with them, and direct reading of
folders."""

from pathlib import Path
from typing import NamedTuple

from .captions import MAX_CAPTIONS, clean
from .errors import PhotosError, Unusable
from .folders.archives import Folder
from .folders.layouts import read_captions
from .folders.pictures import decode
from .folders.tables import SPLITS


class Fault(NamedTuple):
    """A file and why it, or a caption of it, cannot be used."""

    file: str
    reason: str


class Picture(NamedTuple):
    """A picture of a source: its file, the captions that can be used, and its size in bytes, None where it is
    not there."""

    file: str
    captions: tuple[str, ...]
    size: int | None


class Listing(NamedTuple):
    """The pictures of a source by split, sorted by file; `faults` are those of captions and of pictures that
    are not there."""

    layout: str
    splits: dict[str, list[Picture]]
    faults: list[Fault]
    understood: str  # how the captions were read, a clause


def read_layout(source):
    """The pictures and captions of a source in any of these layouts, which are looked for in this order.

    COCO (`annotations/captions_train2014.json` beside `train2014/`, likewise `val2014`, or both of 2017), the
    class project (`dict_key_imgID_value_caps_train_and_valid.pkl` beside the same folders of 2014), or an own
    folder, which gives every tenth picture to "valid". Its captions are in one file: a table with a header
    (`captions.csv`, `.tsv` or `.txt`, Hugging Face's `metadata.csv`, Flickr30k's `results.csv`), one without
    (`Flickr8k.token.txt`), JSON (`captions.json`, an object from file to captions; `captions.jsonl` or
    `metadata.jsonl`, an object a line; Karpathy's `dataset*.json`, which brings its own splits), or in a
    `.txt` beside each picture. Its pictures lie where the captions say, or all in one folder.

    Args:
        source: from `archives.open_source`.
    Returns:
        Listing.
    Raises:
        PhotosError: no known layout, captions that cannot be read, or none of their pictures there.
    """
    layout, captions, understood = read_captions(source)
    splits, faults = {}, []
    for split in SPLITS:
        splits[split] = [
            _picture(source, file, texts, faults) for file, texts in sorted(captions[split].items())
        ]
        if all(picture.size is None for picture in splits[split]):
            first = "no picture"
            if splits[split]:
                first = f"{splits[split][0].file}, which is not in {source.path}, nor is any other picture"
            raise PhotosError(
                f"{source.path}: the captions ({layout}) name {first} for the split {split!r}; put the "
                "pictures where the captions say"
            )
    return Listing(layout, splits, faults, understood)


def _picture(source, file, texts, faults):
    kept, size = [], source.size(file)
    if not texts or len(texts) > MAX_CAPTIONS:
        faults.append(Fault(file, "no caption" if not texts else f"more than {MAX_CAPTIONS} captions"))
        texts = []
    for text in texts:
        try:
            kept.append(clean(text))
        except Unusable as error:
            faults.append(Fault(file, str(error)))
    if size is None:
        faults.append(Fault(file, "captions name it, but there is no such file"))
    return Picture(file, tuple(kept), size)


def read_folder(folder):
    """The pictures and captions of a folder, to be read from where they are; see `read_layout`.

    Returns:
        dict from "train" and "valid" to a list of (path, captions), sorted by file name.
    Raises:
        PhotosError: no such folder, no known layout, pictures in archives, or any caption or picture that is
            not as it should be.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PhotosError(
            f"{folder}: no such folder; give one with captions (COCO, class project, or captions.csv "
            "and pictures)"
        )
    source = Folder(folder)
    listing = read_layout(source)
    if listing.faults:
        (file, reason), count = listing.faults[0], len(listing.faults)
        others = f" ({count:,} faults in all, which `nbutils data check {folder}` lists)" if count > 1 else ""
        raise PhotosError(f"{folder / file}: {reason}{others}")
    if source.zips:
        raise PhotosError(
            f"{folder}: its pictures are in zip files; make a folder to work from with `nbutils data "
            f"prepare {folder} --out FOLDER`"
        )
    return {
        split: [(source.locate(picture.file), picture.captions) for picture in pictures]
        for split, pictures in listing.splits.items()
    }


def read_picture(path, size):
    """A picture file as uint8 (3, size, size); see `pictures.decode`.

    Raises:
        PhotosError: the file is not a whole picture, or refused.
    """
    path = Path(path)
    try:
        return decode(Folder(path.parent).read(path.name), size)
    except Unusable as error:
        raise PhotosError(f"{path}: {error}") from None
