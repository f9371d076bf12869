"""Captioned pictures by name, split for training: the drawn scenes, or the photographs of a folder."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import photos, scenes
from .captions import Vocabulary
from .fingerprints import fingerprint
from .folders.tables import FEW, LEAST_HELD_OUT
from .preparation import prepared

_FOLDERS = ("photos64", "coco", "photos8k")  # of photographs, in that which NBUTILS_DATA names
SOURCES = ("scenes", "photos", *_FOLDERS)
_VALID_FIRST = 10_000_000  # scenes from here on are held out, however many are trained on


@dataclass(frozen=True)
class CaptionedPictures:
    """Pictures as uint8 (N, C, H, W) and, for each, its captions; `indices` number the scenes, or are None
    for photographs."""

    images: torch.Tensor
    captions: tuple[tuple[str, ...], ...]
    indices: tuple[int, ...] | None = None

    def __len__(self):
        return len(self.captions)

    def __getitem__(self, chosen):
        """The pictures `chosen`, a slice."""
        return CaptionedPictures(
            self.images[chosen], self.captions[chosen], self.indices[chosen] if self.indices else None
        )


@dataclass(frozen=True)
class Splits:
    """What to train on, what to hold out, the vocabulary of the training captions, a sentence that says what
    the data is, and a short hash of its pixels and captions."""

    train: CaptionedPictures
    valid: CaptionedPictures
    vocabulary: Vocabulary
    description: str
    fingerprint: str


def load(data, *, image_size, num_train, num_valid, seed=0):
    """Load captioned pictures.

    Args:
        data: "scenes"; or "photos64", "coco" or "photos8k" for the folder of that name in the one that the
            environment variable NBUTILS_DATA names, "photos" for the first of them that is there; or the path
            of a folder of photographs (see `photos.read_folder`). Any of these folders may be a prepared one
            (see `prepared`), whose pixels stay on disk until they are used.
        image_size: side of the square pictures, pixels.
        num_train, num_valid: how many pictures; of photographs at most as many as there are.
        seed: of the scenes; photographs are taken in the order of their names.
    Returns:
        Splits.
    Raises:
        ValueError: an impossible number or an unknown name.
        photos.PhotosError: a folder that cannot be used or holds out too few pictures, or a prepared one of
            another size.
    """
    for name, value, least in (
        ("image_size", image_size, 8),
        ("num_train", num_train, 1),
        ("num_valid", num_valid, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise ValueError(f"{name}: {value}; expected at least {least}")
    if data == "scenes":
        train = _draw(range(num_train), seed, image_size)
        valid = _draw(range(_VALID_FIRST, _VALID_FIRST + num_valid), seed, image_size)
        where = f"Procedurally drawn scenes of series {seed}"
    else:
        folder = photos_folder(data)
        read = _map if prepared.is_prepared(folder) else _read
        train, valid = read(folder, image_size, {"train": num_train, "valid": num_valid})
        where = f"Captioned photographs from the folder {folder.name}"
        if len(valid) < min(num_valid, LEAST_HELD_OUT):
            raise photos.PhotosError(f"{folder}: {len(valid)} pictures are held out; {FEW}")
    counts = f"{len(train):,} to train on, {len(valid):,} held out"
    description = f"{where}: {counts}, {image_size} x {image_size} pixels."
    content = fingerprint(train.images, train.captions, valid.images, valid.captions)
    return Splits(train, valid, Vocabulary.build(train.captions), description, content)


def photos_folder(data):
    """The folder of photographs that `data` names; see `load`."""
    names = {"photos": _FOLDERS}.get(data, (data,))
    if not set(names) <= set(_FOLDERS):
        if not Path(data).is_dir():
            raise ValueError(
                f"data: {data!r}; expected {' or '.join(SOURCES)}, or an existing folder of captioned "
                "photographs"
            )
        return Path(data)
    root = os.environ.get("NBUTILS_DATA")
    if not root:
        raise ValueError(
            f"data: {data!r} needs the environment variable NBUTILS_DATA, the folder that holds "
            f"{' or '.join(names)}; or give a folder's path"
        )
    for name in names:
        if (Path(root) / name).is_dir():
            return Path(root) / name
    raise ValueError(f"NBUTILS_DATA: {root} holds no folder {' or '.join(names)}")


def _draw(indices, seed, size):
    images = np.stack([scenes.draw(index, seed, size) for index in indices])
    captions = tuple(scenes.describe(index, seed).captions for index in indices)
    return CaptionedPictures(torch.from_numpy(images), captions, tuple(indices))


def _read(folder, size, counts):
    """The first pictures of each split of a folder of photographs, decoded."""
    files = photos.read_folder(folder)
    for split, count in counts.items():
        pairs = files[split][:count]
        images = np.stack([photos.read_picture(path, size) for path, _ in pairs])
        yield CaptionedPictures(torch.from_numpy(images), tuple(captions for _, captions in pairs))


def _map(folder, size, counts):
    """The first pictures of each split of a prepared folder, mapped into memory."""
    found = prepared.open_prepared(folder)
    made, source = found.manifest["image_size"], found.manifest["source"]
    if made != size:
        raise photos.PhotosError(
            f"{folder}: holds pictures of {made} x {made} pixels; image_size is {size}; choose {made}, or "
            f"prepare them with `nbutils data prepare SOURCE --size {size} --out OTHER`, where SOURCE is "
            f"{source} as it was before"
        )
    for split, count in counts.items():
        captions = tuple(row.captions for row in found.rows[split][:count])
        yield CaptionedPictures(torch.from_numpy(found.images[split][:count]), captions)
