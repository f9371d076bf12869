"""Handwritten digits: MNIST from its four IDX files or statically binarised, or scikit-learn's small digits,
which need no download.

Pictures are uint8 (N, H, W), ink bright. Models read them as sequences of pixels, row by row.
"""

import gzip
import hashlib
import math
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from . import binarized
from .downloads import DownloadError, cache_folder, fetch
from .errors import DigitsError

SOURCES = ("embedded", "mnist", "binarized")
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# MD5 of the files as the mirrors serve them, compressed.
FILES = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
# MD5 of their contents; a folder that holds others is not called MNIST.
_CONTENTS = (
    "6bbc9ace898e44ae57da46a324031adb",
    "a25bea736e30d166cdddb491f175f624",
    "2646ac647ad5339dbf082846283269ea",
    "27ae3e4e09519cfbb04c329615203637",
)
_PLACES = ("", "raw", "MNIST/raw")  # of the files in a folder, torchvision's the latter two
_KERAS = "mnist.npz"
_KERAS_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_FILE_LIMIT = 1 << 28  # bytes, unpacked
_HOW = (
    "set NBUTILS_DATA to a folder that holds mnist/ with the four IDX files (plain or .gz), or "
    "connect to the network once"
)


@dataclass(frozen=True)
class Digits:
    """Pictures, uint8 (N, H, W), and their labels, int64 (N,), -1 where the data has none."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, chosen):
        """The digits `chosen`, a slice or a tensor of indices."""
        return Digits(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Splits:
    """What to train on, what to select models by, what to report, and a sentence that says what the data
    is."""

    train: Digits
    valid: Digits
    test: Digits
    description: str


def load(source, *, image_size=28, num_train=None, num_valid=None, num_test=None):
    """Load digits, split for training.

    Args:
        source: "embedded", scikit-learn's 1,797 digits of 8 x 8 pixels and 17 levels, enlarged: 1,200 / 300 /
            297, mixed; "mnist", its 55,000 / 5,000 / 10,000 in the order of the files (see `find_mnist`; one
            in twelve of the first 60,000 is held out); "binarized", MNIST binarised once, without labels:
            50,000 / 10,000 / 10,000 (see `binarized.find`); or the path of a folder with the four IDX files,
            see `read_mnist`.
        image_size: side of the pictures, pixels; they are resized with a box or a cubic filter, but the
            binarised ones, which have 28.
        num_train, num_valid, num_test: at most so many of each, the first; None for all.
    Returns:
        Splits.
    Raises:
        DigitsError: no such source, an impossible number, or files that cannot be used.
    """
    for name, value in (
        ("image_size", image_size),
        ("num_train", num_train),
        ("num_valid", num_valid),
        ("num_test", num_test),
    ):
        if value is not None and value < 1:
            raise DigitsError(f"{name}: {value}; expected at least 1")
    splits, where = _parts(source, image_size)
    parts = []
    for (images, labels), count in zip(splits, (num_train, num_valid, num_test)):
        resized = torch.from_numpy(_resized(images[:count], image_size))
        parts.append(Digits(resized, torch.from_numpy(labels[:count].astype(np.int64))))
    train, valid, test = parts
    text = (
        f"{where}: {len(train):,} to train on, {len(valid):,} to select models by, {len(test):,} to "
        f"report, at {image_size} x {image_size}."
    )
    return Splits(train, valid, test, text[0].upper() + text[1:])


def _parts(source, image_size):
    """(images, labels) of each split, and what they are."""
    if source == "embedded":
        images, labels = _embedded()
        change = ", enlarged" if image_size > 8 else ", reduced" if image_size < 8 else ""
        cuts = (slice(0, 1200), slice(1200, 1500), slice(1500, None))
        where = f"scikit-learn's handwritten digits of 8 x 8 pixels{change}"
        return [(images[cut], labels[cut]) for cut in cuts], where
    if source == "binarized":
        side = binarized.SIDE
        if image_size != side:
            raise DigitsError(
                f"image_size: {image_size}; statically binarised MNIST has {side} x {side} pixels and grows "
                "or shrinks to no bits"
            )
        pictures = binarized.read(locate(source)).values()
        splits = [(bits * np.uint8(255), np.full(len(bits), -1)) for bits in pictures]
        return splits, "MNIST, statically binarised by Salakhutdinov and Murray"
    place = locate(source)
    (images, labels), test = read_mnist(place)
    first = len(labels) - len(labels) // 12
    if first == len(labels):
        raise DigitsError(
            f"{place}: has {first} digits to train on; expected 12 or more, a twelfth validates"
        )
    splits = [(images[:first], labels[:first]), (images[first:], labels[first:]), test]
    return splits, called(place, (images, labels), test)


def grey(digits):
    """The pictures as sequences, row by row: float32 (N, H W), 0 paper, 1 ink."""
    return digits.images.flatten(1).float() / 255


def binarise(digits, threshold=0.5):
    """The pictures as sequences of 0 and 1, float32 (N, H W): 1 where the grey level is above `threshold`."""
    return (grey(digits) > threshold).float()


def drawn(pixels):
    """Sequences of pixels between 0 and 1, float (..., T), as pictures, uint8 (N, H, W)."""
    side = math.isqrt(pixels.shape[-1])
    return (255 * pixels.reshape(-1, side, side)).to(torch.uint8)


def read_idx(path):
    """An IDX file of unsigned bytes, plain or gzip.

    Returns:
        uint8 array of the shape that the file states.
    Raises:
        DigitsError: not such a file, of another type, cut short or too long; the message names it.
    """
    path = Path(path)
    try:
        with open(path, "rb") as plain:
            with gzip.open(plain) if plain.peek(2)[:2] == b"\x1f\x8b" else plain as file:
                content = file.read(_FILE_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DigitsError(f"{path}: cannot be read ({error}); fetch the file again") from None
    if len(content) > _FILE_LIMIT:
        raise DigitsError(
            f"{path}: refused, it holds or unpacks to more than {_FILE_LIMIT:,} bytes; MNIST has 47 million"
        )
    if len(content) < 4 or content[:2] != b"\0\0" or not content[3]:
        raise DigitsError(
            f"{path}: begins with {content[:4]!r}; expected an IDX file, which begins with two zero "
            "bytes, a type and a number of dimensions"
        )
    if content[2] != 8:
        raise DigitsError(f"{path}: its type is 0x{content[2]:02x}; expected 0x08, unsigned bytes")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DigitsError(f"{path}: cut short within its header of {start} bytes; fetch the file again")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    size = int(np.prod(shape, dtype=object))
    if len(content) - start != size:
        raise DigitsError(
            f"{path}: holds {len(content) - start:,} bytes of data; its header {shape} asks for "
            f"{size:,}; fetch the file again"
        )
    try:
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    except ValueError as error:  # of no bytes, but of more dimensions or longer ones than an array can have
        raise DigitsError(
            f"{path}: its header {shape} is of no array ({error}); fetch the file again"
        ) from None


def holds_digits(path):
    """Whether a folder holds a file of digits under one of the names that `read_mnist` knows, or the path is
    of one."""
    return _keras_path(Path(path)) is not None or any(_idx_paths(path, name) for name in FILES)


def _keras_path(path):
    """Where `mnist.npz` lies, which may be the path itself; None where it does not."""
    path = path if path.name == _KERAS else path / _KERAS
    return path if path.is_file() else None


def _idx_paths(folder, name):
    """Where an IDX file lies in a folder: with a hyphen or, as 7-Zip leaves it, a dot before `idx`, plain or
    gzip."""
    names = [f"{form}{suffix}" for form in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")]
    return [path for place in _PLACES for form in names if (path := Path(folder) / place / form).is_file()]


def describe(path):
    """One clause about the digits of a folder or file.

    Raises:
        DigitsError: see `read_mnist`.
    """
    train, test = read_mnist(path)
    _, height, width = train[0].shape
    return (
        f"{called(path, train, test)}: {len(train[0]):,} to train on and {len(test[0]):,} to test, "
        f"{height} x {width} pixels"
    )


def called(place, train, test):
    """What the digits of a folder or file are called: MNIST where they are, else by its name; `train` and
    `test` as `read_mnist` gives."""
    arrays = [np.ascontiguousarray(array) for part in (train, test) for array in part]
    heads = [struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) for array in arrays]
    found = tuple(hashlib.md5(head + array.tobytes()).hexdigest() for head, array in zip(heads, arrays))
    return (
        "MNIST"
        if found == _CONTENTS
        else f"digits of {Path(place).resolve().name}, which are not MNIST by their checksums"
    )


def _read_keras(path):
    """The arrays of an npz file, each uint8."""
    try:
        with zipfile.ZipFile(path) as file:
            size = sum(member.file_size for member in file.infolist())
        if size > _FILE_LIMIT:
            raise ValueError(f"it unpacks to {size:,} bytes, and MNIST has 55 million")
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[name] for name in _KERAS_ARRAYS]
        for name, array in zip(_KERAS_ARRAYS, arrays):
            if array.dtype != np.uint8:
                raise ValueError(f"{name} is {array.dtype}, not uint8")
    except Exception as error:  # a broken file can make numpy raise anything at all
        said = " ".join(str(error).split())
        raise DigitsError(
            f"{path}: not MNIST as Keras has it ({said}); expected arrays {', '.join(_KERAS_ARRAYS)} of uint8"
        ) from None
    return arrays


def read_mnist(folder):
    """The four IDX files of a folder, of torchvision's `MNIST/raw` in it, or Keras' `mnist.npz`.

    Returns:
        (images, labels) to train on and (images, labels) to test: uint8 (60000, 28, 28), (60000,), (10000,
            28, 28), (10000,).
    Raises:
        DigitsError: a file is missing, cannot be read, or does not fit to the others.
    """
    folder = Path(folder)
    paths = {name: _idx_paths(folder, name) for name in FILES}
    keras = _keras_path(folder)
    if keras and not any(paths.values()):
        found = [(f"{keras}: {name}", array) for name, array in zip(_KERAS_ARRAYS, _read_keras(keras))]
    else:
        found = []
        for name, places in paths.items():
            if not places:
                raise DigitsError(f"{folder / name}: neither it nor {name}.gz is there; {_HOW}")
            found.append((places[0], read_idx(places[0])))
    parts = []
    for (place, images), (labels_place, labels) in (found[:2], found[2:]):
        for where, array, dimensions in ((place, images, 3), (labels_place, labels, 1)):
            if array.ndim != dimensions:
                raise DigitsError(f"{where}: has {array.ndim} dimension(s); expected {dimensions}")
        highest = labels.max(initial=0)
        if len(labels) != len(images) or highest > 9:
            raise DigitsError(
                f"{labels_place}: {len(labels):,} labels up to {highest}; expected {len(images):,} between 0 "
                "and 9"
            )
        parts.append((images, labels))
    return tuple(parts)


def locate(source):
    """Where digits lie that are not embedded: the folder or file that `source` names; see `load` and
    `read_mnist`."""
    if source == "binarized":
        return binarized.find()
    if source == "mnist":
        return find_mnist()
    if not Path(source).is_dir() and not (Path(source).name == _KERAS and Path(source).is_file()):
        raise DigitsError(
            f"digit_data: {source!r}; expected one of {', '.join(SOURCES)}, or an existing folder of "
            "IDX files"
        )
    return Path(source)


def find_mnist(mirrors=MIRRORS):
    """The folder of MNIST: `mnist` in the folder that NBUTILS_DATA names, or else a cache that is filled from
    the network, once.

    Raises:
        DigitsError: no mirror gives a file with the right checksum; the message says what each said and what
            to do.
    """
    root = os.environ.get("NBUTILS_DATA")
    if root and (Path(root) / "mnist").is_dir():
        return Path(root) / "mnist"
    try:
        return _fetch(cache_folder("mnist"), mirrors)
    except DownloadError as error:
        raise DigitsError(f"{error}. Instead, {_HOW}") from None


def download(folder, mirrors=MIRRORS):
    """Put the four files of MNIST into a folder, or find them there.

    Returns:
        a sentence that says what the folder holds.
    Raises:
        DigitsError: the folder holds other files under these names, Fashion-MNIST for one.
        DownloadError: no mirror gives a file with the right checksum.
    """
    folder = Path(folder)
    for name, md5 in FILES.items():
        path = folder / f"{name}.gz"
        unpacked, other = folder / name, path.is_file() and hashlib.md5(path.read_bytes()).hexdigest() != md5
        if unpacked.exists() or other:
            raise DigitsError(
                f"{unpacked if unpacked.exists() else path}: is there already and is not the file that would "
                "be downloaded; remove it or give another folder"
            )
    (train, _), (test, _) = read_mnist(_fetch(folder, mirrors))
    return f"{folder}: MNIST, {len(train):,} digits to train on and {len(test):,} to test"


def _fetch(folder, mirrors):
    for name, md5 in FILES.items():
        fetch([f"{mirror}{name}.gz" for mirror in mirrors], md5, folder / f"{name}.gz")
    return folder


def _embedded():
    from sklearn.datasets import load_digits  # takes a second to import

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))  # the file goes by writer
    return np.rint(bunch.images[order] * (255 / 16)).astype(np.uint8), bunch.target[order]


def _resized(images, size):
    """uint8 (N, H, W) at another side: means over boxes when smaller, cubic when larger."""
    if images.shape[1:] == (size, size):
        return np.array(images)
    kind = Image.Resampling.BOX if size < images.shape[1] else Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), kind)) for image in images])
