"""Prepared folders: pictures of one size as two arrays that are mapped into memory, with their captions.

    manifest.json    what it is, of what and how it was made, and one digest of all that is in the folder
    train.npy        uint8 (N, 3, size, size), and likewise valid.npy
    pictures.json    for each split a list of (file, captions), one for each row

What a folder holds is not trusted: it is compared with the digest before anything of it is used.
"""

import hashlib
import json
import reprlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import PhotosError
from ..folders.tables import SPLITS

FORMAT = 2
MANIFEST, PICTURES = "manifest.json", "pictures.json"
FILES = (*(f"{split}.npy" for split in SPLITS), PICTURES)
_AGAIN = "prepare it again into another folder with `nbutils data prepare`"


class Row(NamedTuple):
    """A picture of a prepared folder."""

    file: str
    captions: tuple[str, ...]


class Prepared(NamedTuple):
    """A prepared folder: its manifest, rows by split, and pixels by split, uint8 (N, 3, size, size), mapped
    copy-on-write."""

    manifest: dict
    rows: dict[str, list[Row]]
    images: dict[str, np.ndarray]


def is_prepared(folder):
    """Whether a folder is, or was meant to be, a prepared one."""
    return (Path(folder) / MANIFEST).is_file() and any((Path(folder) / name).is_file() for name in FILES)


def describe(manifest):
    """One clause about what a prepared folder holds."""
    counts, size, left_out = manifest["pictures"], manifest["image_size"], len(manifest["left_out"])
    text = (
        f"{counts['train']:,} pictures to train on and {counts['valid']:,} held out, {size} x {size} "
        f"pixels, from {manifest['source']} ({manifest['layout']})"
    )
    return text + (f"; {left_out:,} broken picture(s) or caption(s) left out" if left_out else "")


def digest(folder, manifest):
    """The digest of a manifest without its own, and of the other files of the folder."""
    described = {name: value for name, value in manifest.items() if name != "digest"}
    hashed = hashlib.blake2b(json.dumps(described, sort_keys=True).encode(), digest_size=16)
    for name in FILES:
        with open(Path(folder) / name, "rb") as file:
            while block := file.read(1 << 20):
                hashed.update(block)
    return hashed.hexdigest()


def read_manifest(folder):
    """The manifest of a prepared folder.

    Raises:
        PhotosError: it cannot be read, or is of another format.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        if found != FORMAT:
            raise ValueError(f"its format is {reprlib.repr(found)}; this version reads format {FORMAT}")
        describe(manifest)
        manifest["identity"]
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise PhotosError(f"{path}: not a readable manifest ({said}); {_AGAIN}") from None
    return manifest


def open_prepared(folder):
    """A prepared folder, all of it read once and compared with its digest.

    Raises:
        PhotosError: a file is missing, or the folder is not as it was prepared.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise PhotosError(f"{folder / name}: is missing from a prepared folder; {_AGAIN}")
    if digest(folder, manifest) != manifest.get("digest"):
        raise PhotosError(
            f"{folder}: has changed since it was prepared (its digest is not that of {MANIFEST}); {_AGAIN}"
        )
    try:
        rows = json.loads((folder / PICTURES).read_text(encoding="utf-8"))
        rows = {split: [Row(file, tuple(texts)) for file, texts in rows[split]] for split in SPLITS}
        images = {split: np.lib.format.open_memmap(folder / f"{split}.npy", mode="c") for split in SPLITS}
        for split in SPLITS:
            expected = (len(rows[split]), 3, manifest["image_size"], manifest["image_size"])
            if images[split].shape != expected or images[split].dtype != np.uint8:
                raise ValueError(
                    f"{split}.npy is {images[split].dtype} {images[split].shape}; expected uint8 {expected}"
                )
    except Exception as error:  # numpy reads the header of an array as Python, which can fail in any way
        said = " ".join(str(error).split())[:200]
        raise PhotosError(f"{folder}: not a prepared folder ({said}); {_AGAIN}") from None
    return Prepared(manifest, rows, images)
