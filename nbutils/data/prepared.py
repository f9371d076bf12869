"""Prepared folders: pictures of one size as two arrays that are mapped into memory, with captions and
checksums.

    manifest.json    what it is, of what and how it was made, the number of pictures and a SHA-256 of each of
        the other files
    train.npy        uint8 (N, 3, size, size), and likewise valid.npy
    pictures.jsonl   a line for each row, those of train.npy first: split, row, file, captions, CRC-32 of the
        pixels

What a folder holds is not trusted: everything is checked against the manifest, and rows against their CRC
when they are used.
"""

import hashlib
import json
import reprlib
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import PhotosError
from .layouts import SPLITS

FORMAT = 1
MANIFEST, PICTURES = "manifest.json", "pictures.jsonl"
FILES = (*(f"{split}.npy" for split in SPLITS), PICTURES)
_AGAIN = "prepare it again into another folder with `nbutils data prepare`"
_FIELDS = {
    "source": str,
    "layout": str,
    "identity": str,
    "decoder": str,
    "image_size": int,
    "pictures": dict,
    "sha256": dict,
    "left_out": list,
    "uncaptioned": int,
}


class Row(NamedTuple):
    """A picture of a prepared folder."""

    file: str
    captions: tuple[str, ...]
    crc32: int


class Prepared(NamedTuple):
    """A prepared folder: its manifest, rows by split, and pixels by split, uint8 (N, 3, size, size), mapped
    copy-on-write."""

    folder: Path
    manifest: dict
    rows: dict[str, list[Row]]
    images: dict[str, np.ndarray]

    def changed(self, split, count=None):
        """Numbers of the rows, of the first `count`, whose pixels are not those that were prepared."""
        return [
            number
            for number, row in enumerate(self.rows[split][:count])
            if zlib.crc32(self.images[split][number]) != row.crc32
        ]

    def complaint(self, split, numbers):
        """One line about rows that changed."""
        first = (
            f"row {numbers[0]:,} of {split}.npy, {self.rows[split][numbers[0]].file}, is not what was "
            "prepared"
        )
        return (
            f"{self.folder}: {first}"
            + (f", nor are {len(numbers) - 1:,} others" if len(numbers) > 1 else "")
            + f"; {_AGAIN}"
        )


def is_prepared(folder):
    """Whether a folder is, or was meant to be, a prepared one."""
    return (Path(folder) / MANIFEST).is_file() and any((Path(folder) / name).is_file() for name in FILES)


def read_manifest(folder):
    """The manifest of a prepared folder, its fields of the right types.

    Raises:
        PhotosError: it cannot be read, or is of another format.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PhotosError(
            f"{path}: not a readable manifest ({' '.join(str(error).split())[:200]}); {_AGAIN}"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = reprlib.repr(manifest.get("format") if isinstance(manifest, dict) else manifest)
        raise PhotosError(f"{path}: its format is {found}; this version reads format {FORMAT}; {_AGAIN}")
    for name, kind in _FIELDS.items():
        if not isinstance(manifest.get(name), kind) or isinstance(manifest[name], bool):
            raise PhotosError(
                f"{path}: {name} is {reprlib.repr(manifest.get(name))}; expected {kind.__name__}; {_AGAIN}"
            )
    counts, sums = manifest["pictures"], manifest["sha256"]
    if (
        set(counts) != set(SPLITS)
        or not all(type(count) is int and 0 < count < 1 << 40 for count in counts.values())
        or not 0 < manifest["image_size"] < 1 << 16
    ):
        raise PhotosError(
            f"{path}: {reprlib.repr(counts)} pictures of side {manifest['image_size']}; expected a "
            f"number of each split and a side; {_AGAIN}"
        )
    if set(sums) != set(FILES) or not all(isinstance(value, str) for value in sums.values()):
        raise PhotosError(
            f"{path}: checksums of {reprlib.repr(sorted(sums))}; expected those of {', '.join(FILES)}; "
            f"{_AGAIN}"
        )
    return manifest


def open_prepared(folder):
    """A prepared folder, its pixels not yet looked at; `Prepared.changed` does that.

    Raises:
        PhotosError: a file is missing, cut short, or not the one that the manifest describes.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise PhotosError(f"{folder / name}: is missing from a prepared folder; {_AGAIN}")
    if sha256(folder / PICTURES) != manifest["sha256"][PICTURES]:
        raise PhotosError(
            f"{folder / PICTURES}: has changed since it was prepared (its checksum is another); {_AGAIN}"
        )
    rows = _read_rows(folder / PICTURES, manifest["pictures"])
    return Prepared(
        folder,
        manifest,
        rows,
        {
            split: _map(folder / f"{split}.npy", manifest["pictures"][split], manifest["image_size"])
            for split in SPLITS
        },
    )


def sha256(path):
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_rows(path, counts):
    rows = {split: [] for split in SPLITS}
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = json.loads(line.decode())
                split, row = entry["split"], Row(entry["file"], tuple(entry["captions"]), entry["crc32"])
                plain = (
                    isinstance(row.file, str)
                    and isinstance(entry["captions"], list)
                    and row.captions
                    and all(isinstance(text, str) for text in row.captions)
                    and type(row.crc32) is int
                )
                if not plain or entry["row"] != len(rows[split]):
                    raise ValueError(f"row {entry['row']!r}, where {len(rows[split])} was to be")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise PhotosError(
                    f"{path}, line {number}: not a picture of a prepared folder "
                    f"({reprlib.repr(str(error))}); {_AGAIN}"
                ) from None
            rows[split].append(row)
    for split in SPLITS:
        if len(rows[split]) != counts[split]:
            raise PhotosError(
                f"{path}: has {len(rows[split]):,} pictures of {split}; the manifest says "
                f"{counts[split]:,}; {_AGAIN}"
            )
    return rows


def _map(path, count, size):
    expected = (count, 3, size, size)
    try:
        images = np.lib.format.open_memmap(path, mode="c")
    except (
        Exception
    ) as error:  # what stands where the header should be is parsed as Python, which can fail in any way
        raise PhotosError(
            f"{path}: not a whole array ({' '.join(str(error).split())[:200]}); {_AGAIN}"
        ) from None
    if images.dtype != np.uint8 or images.shape != expected or not images.flags.c_contiguous:
        raise PhotosError(
            f"{path}: an array of {images.dtype} {images.shape}; the manifest says uint8 {expected}; {_AGAIN}"
        )
    return images
