"""Looks through a folder of data and says what is wrong with it."""

from contextlib import closing
from pathlib import Path

from .archives import open_source
from .decoding import decoded
from .layouts import SPLITS
from .photos import Fault, read_layout
from .prepare import describe
from .prepared import is_prepared, open_prepared, sha256
from .tables import FEW, LEAST_HELD_OUT

_SIZE = 8  # every picture is decoded in full; how small it is made afterwards does not matter


def check(path, jobs):
    """Try everything in a folder: a prepared one, photographs in any layout (or an archive of them), or
    MNIST.

    Args:
        path: the folder or archive.
        jobs: number of processes that decode pictures.
    Returns:
        summary: one line.
        faults: list of str, a line for each fault that does not keep others from being found.
    Raises:
        PhotosError, DigitsError: a fault that does.
    """
    path = Path(path)
    if is_prepared(path):
        return _check_prepared(path)
    if (
        any(found for pattern in ("", "raw/", "MNIST/raw/") for found in path.glob(f"{pattern}*idx?-ubyte*"))
        or path.suffix == ".npz"
        or any(path.glob("*.npz"))
    ):
        from . import digits

        if digits.holds_digits(path):
            train, test = digits.read_mnist(path)
            shape = (
                f"{len(train[0]):,} to train on and {len(test[0]):,} to test, {train[0].shape[1]} x "
                f"{train[0].shape[2]} pixels"
            )
            return f"{path}: {digits.called(path, train, test)}: {shape}", []
    source = open_source(path)
    listing = read_layout(source)
    places = {
        picture.file: (split, row)
        for split in SPLITS
        for row, picture in enumerate(listing.splits[split])
        if picture.size is not None
    }
    faults = list(listing.faults)
    with closing(decoded(source, places, _SIZE, jobs, {}, f"checking {source.name}")) as results:
        for result in results:
            faults += [
                Fault(listing.splits[split][row].file, reason)
                for split, row, crc, reason in result
                if crc is None
            ]
    counts = " and ".join(f"{len(listing.splits[split]):,} of {split}" for split in SPLITS)
    few = f"; {FEW}" if len(listing.splits["valid"]) < LEAST_HELD_OUT else ""
    return f"{path}: {listing.layout}, captioned pictures: {counts} ({listing.understood}){few}", [
        f"{source.where(file)}: {reason}" for file, reason in sorted(faults)
    ]


def _check_prepared(path):
    prepared = open_prepared(path)
    faults = [prepared.complaint(split, [row]) for split in SPLITS for row in prepared.changed(split)]
    for split in SPLITS:
        if not faults and sha256(path / f"{split}.npy") != prepared.manifest["sha256"][f"{split}.npy"]:
            faults.append(
                f"{path / f'{split}.npy'}: its pixels are those that were prepared, but its checksum "
                "is another; prepare it again"
            )
    return f"{path}: {describe(prepared.manifest)}", faults
