"""Statically binarised MNIST (Salakhutdinov and Murray 2008): the bits, drawn once, that density estimators
are compared on.

It is taken from a packed file, or from the three texts on Larochelle's page, which are turned into such a
file. Either way its bits are checked.
"""

import hashlib
import os
import zipfile
import zlib
from pathlib import Path

import filelock
import numpy as np

from ..files import written_whole
from .downloads import DownloadError, cache_folder, fetch
from .errors import DigitsError

NAME = "binarized_mnist.npz"
ADDRESS = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
SIDE = 28
# BLAKE2b of the bits of each split, row after row, eight to a byte.
DIGESTS = {
    "train": "7e61642b2ca2e18552aa76b16491b9b5",
    "valid": "2959be069b4beb8686b314d6c72ea03d",
    "test": "63f4dd2dffda29fb93b1afce55244d39",
}
_TEXT_LIMIT = 1 << 28  # bytes; the longest of the texts has 78 million
_HOW = (
    f"set NBUTILS_DATA to a folder that holds {NAME} (arrays train, valid and test, 784 bits to a "
    "row, packed), or connect to the network once"
)


def find(address=ADDRESS):
    """The file of the bits: `binarized_mnist.npz` in the folder that NBUTILS_DATA names, or else in a cache
    that is filled from the network, once.

    Args:
        address: of a folder with `binarized_mnist_train.amat`, `..._valid.amat` and `..._test.amat`, texts of
            0 and 1.
    Raises:
        DigitsError: a text cannot be had or holds other bits; the message says what to do.
    """
    root = os.environ.get("NBUTILS_DATA")
    if root and (Path(root) / NAME).is_file():
        return Path(root) / NAME
    kept = cache_folder("binarized_mnist") / NAME
    kept.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(kept.with_name(".lock")):
        if not kept.is_file():
            _download(address, kept)
    return kept


def read(path):
    """The three splits.

    Args:
        path: .npz file with the arrays `train`, `valid` and `test`, whose rows are 784 bits packed with
            `numpy.packbits`.
    Returns:
        dict from split to uint8 (N, 28, 28) of 0 and 1: 50,000, 10,000 and 10,000.
    Raises:
        DigitsError: not such a file, or other bits.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            packed = {split: file[split] for split in DIGESTS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DigitsError(
            f"{path}: not statically binarised MNIST ({' '.join(str(error).split())}); expected arrays "
            "train, valid and test of packed bits"
        ) from None
    for split, rows in packed.items():
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != SIDE**2 // 8:
            raise DigitsError(
                f"{path}: {split} is {rows.dtype} {rows.shape}; expected uint8 (N, 98), 784 bits to a row"
            )
        _check(path, split, rows)
    return {split: np.unpackbits(rows, axis=1).reshape(-1, SIDE, SIDE) for split, rows in packed.items()}


def _check(path, split, rows):
    """Refuse bits, uint8 (N, 98), that are not those of the split."""
    found = hashlib.blake2b(rows.tobytes(), digest_size=16).hexdigest()
    if found != DIGESTS[split]:
        raise DigitsError(
            f"{path}: {split} holds {len(rows):,} pictures of digest {found}; expected those of "
            f"Salakhutdinov and Murray, of digest {DIGESTS[split]}; {_HOW}"
        )


def _download(address, kept):
    """Turn the three texts into the file `kept`; what is no longer needed, or of no use, is removed."""
    packed = {}
    for split in DIGESTS:
        text = kept.with_name(f"binarized_mnist_{split}.amat")
        try:
            fetch([address + text.name], None, text)
        except DownloadError as error:
            raise DigitsError(f"{error}. Instead, {_HOW}") from None
        try:
            packed[split] = _bits(text)
            _check(address + text.name, split, packed[split])
        except DigitsError:
            text.unlink()
            raise
    with written_whole(kept) as beside, open(beside, "wb") as file:
        np.savez(file, **packed)
    for split in DIGESTS:
        kept.with_name(f"binarized_mnist_{split}.amat").unlink()


def _bits(text):
    """The bits of a text of 0 and 1 and white space, packed: uint8 (N, 98)."""
    if text.stat().st_size > _TEXT_LIMIT:
        raise DigitsError(
            f"{text}: refused, it has {text.stat().st_size:,} bytes; expected at most {_TEXT_LIMIT:,}"
        )
    content = np.fromfile(text, np.uint8)
    bits = content[~np.isin(content, np.frombuffer(b" \t\r\n", np.uint8))] - ord("0")
    if not len(bits) or len(bits) % SIDE**2 or bits.max() > 1:
        raise DigitsError(
            f"{text}: begins with {content[:20].tobytes()!r} and has {len(bits):,} letters; expected 0 "
            "and 1, 784 to a picture"
        )
    return np.packbits(bits.reshape(-1, SIDE**2), axis=1)
