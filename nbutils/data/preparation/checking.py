"""Looks through a folder of data and says what is wrong with it."""

from contextlib import closing
from pathlib import Path

from ..folders.archives import open_source
from ..folders.tables import FEW, LEAST_HELD_OUT, SPLITS
from ..photos import Fault, read_layout
from .decoding import decoded
from .prepared import describe, is_prepared, open_prepared

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
        return f"{path}: {describe(open_prepared(path).manifest)}", []
    from .. import digits  # torch, which the processes that decode should not have to import

    if digits.holds_digits(path):
        return f"{path}: {digits.describe(path)}", []
    source = open_source(path)
    listing = read_layout(source)
    there = [
        picture.file for split in SPLITS for picture in listing.splits[split] if picture.size is not None
    ]
    faults = list(listing.faults)
    with closing(decoded(source, there, _SIZE, jobs, f"checking {source.name}")) as results:
        faults += [Fault(file, reason) for file, pixels, reason in results if pixels is None]
    counts = " and ".join(f"{len(listing.splits[split]):,} of {split}" for split in SPLITS)
    few = f"; {FEW}" if len(listing.splits["valid"]) < LEAST_HELD_OUT else ""
    summary = f"{path}: {listing.layout}, captioned pictures: {counts} ({listing.understood}){few}"
    return summary, [f"{source.where(file)}: {reason}" for file, reason in sorted(faults)]
