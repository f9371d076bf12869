"""Makes prepared folders, see `prepared`, from any source and over several processes.

Work is done in `.NAME.part` beside the folder NAME, which appears there whole or not at all. What is
interrupted starts again.
"""

import hashlib
import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import filelock
import numpy as np
import PIL

from ...files import write_json, write_text
from .. import downloads
from ..errors import PhotosError
from ..folders.archives import open_source
from ..folders.tables import SPLITS
from ..photos import Fault, read_layout
from .decoding import decoded
from .prepared import FILES, FORMAT, MANIFEST, PICTURES, describe, digest, is_prepared, read_manifest


def prepare(source, out, *, size=64, jobs=1, skip_broken=False, name=None):
    """Make a prepared folder of a source, or find that it is made already.

    It starts processes that import the calling program anew, so a script calls it under `if __name__ ==
    "__main__"`.

    Args:
        source: a folder or archive, see `photos.read_layout`.
        out: the folder to make; new, empty, or one that holds this very preparation.
        size: side of the square pictures, pixels.
        jobs: number of processes.
        skip_broken: leave out pictures and captions that cannot be used, and say so in the manifest.
        name: what the manifest calls the source; its own name without path and suffix if None.
    Returns:
        a sentence that says what the folder holds.
    Raises:
        PhotosError: a source or folder that cannot be used; broken pictures, after all others were tried;
            another preparation under way.
        OSError: no space, or no permission.
    """
    for argument, value, least, most in (("size", size, 8, 1024), ("jobs", jobs, 1, 1024)):
        if not least <= value <= most:
            raise PhotosError(f"{argument}: {value}; expected a number between {least} and {most}")
    source, out = open_source(source), Path(out).resolve()
    listing = read_layout(source)
    identity = _identity(listing, size)
    if is_already(out, identity):
        return f"{out}: holds this preparation already, {describe(read_manifest(out))}"
    part = out.with_name(f".{out.name}.part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(part / "lock", timeout=0):
            try:
                _prepare(source, listing, out, part / "data", size, jobs, skip_broken, identity, name)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except filelock.Timeout:
        raise PhotosError(
            f"{out}: another preparation into this folder is under way; wait for it or stop it"
        ) from None
    except OSError as error:
        said = f"{out} cannot be prepared ({error.strerror or error}); nothing was made"
        raise OSError(error.errno, f"{said}, the same command starts again") from error
    return f"{out}: {describe(read_manifest(out))}"


def prepare_coco(out, *, size, jobs, skip_broken):
    """Make a prepared folder of COCO's pictures of 2014, downloaded where they are not there yet; see
    `prepare` and `downloads.coco`."""
    out, name = Path(out).resolve(), "the COCO of 2014"
    if is_prepared(out) and all((out / file).is_file() for file in FILES):
        manifest = read_manifest(out)
        if (manifest["source"], manifest["image_size"]) == (name, size):
            return f"{out}: holds this preparation already, {describe(manifest)}"
    is_already(out, None)  # refuses whatever else is there, before 20 GB are fetched
    return prepare(downloads.coco(), out, size=size, jobs=jobs, skip_broken=skip_broken, name=name)


def is_already(out, identity):
    """Whether a folder holds the preparation `identity`.

    Raises:
        PhotosError: it holds something else.
    """
    if out.exists() and not out.is_dir():
        raise PhotosError(f"{out}: is a file; expected a folder that is new or empty")
    found = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if not found:
        return False
    if not is_prepared(out):
        raise PhotosError(f"{out}: holds other files, {found[0]} first; give a folder that is new or empty")
    manifest = read_manifest(out)
    if manifest["identity"] != identity or any(not (out / name).is_file() for name in FILES):
        raise PhotosError(
            f"{out}: holds another preparation, {describe(manifest)}; remove it or give another folder"
        )
    return True


def _identity(listing, size):
    """A hash of what the preparation depends on, but for the pixels: names, sizes in bytes, captions and what
    is wrong with them."""
    text = json.dumps([FORMAT, size, listing.layout, listing.splits, listing.faults])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _prepare(source, listing, out, folder, size, jobs, skip_broken, identity, name):
    """Prepare in `folder`, which becomes `out`."""
    if is_already(out, identity):
        return  # another process has just made it
    if folder.exists():
        print(f"{out}: an earlier preparation was interrupted; it starts again")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    rows = {
        split: [p for p in listing.splits[split] if p.captions and p.size is not None] for split in SPLITS
    }
    _check_space(out, folder, sum(len(pictures) for pictures in rows.values()) * 3 * size * size)
    broken = _decode(source, rows, folder, size, jobs)
    faults = sorted(listing.faults + broken)
    _refuse(source, out, faults, skip_broken)
    for split in SPLITS:
        missing = {fault.file for fault in broken}
        kept = [row for row, picture in enumerate(rows[split]) if picture.file not in missing]
        if not kept:
            count, (file, reason) = len(listing.splits[split]), faults[0]
            raise PhotosError(
                f"{source.path}: of {count:,} pictures of {split} none can be used; {file}: {reason}"
            )
        if len(kept) < len(rows[split]):
            _keep(folder / f"{split}.npy", kept)
            rows[split] = [rows[split][row] for row in kept]
    pictures = {split: [(picture.file, picture.captions) for picture in rows[split]] for split in SPLITS}
    write_json(folder / PICTURES, pictures)
    manifest = {
        "format": FORMAT,
        "source": name or source.name,
        "layout": listing.layout,
        "identity": identity,
        "decoder": f"Pillow {PIL.__version__}",
        "image_size": size,
        "pictures": {split: len(rows[split]) for split in SPLITS},
        "left_out": [fault._asdict() for fault in faults],
    }
    write_json(folder / MANIFEST, manifest | {"digest": digest(folder, manifest)})
    if out.is_dir():
        out.rmdir()
    folder.rename(out)


def _check_space(out, folder, needed):
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PhotosError(
            f"{out}: needs {needed / 1e6:,.1f} MB, and its disk has {free / 1e6:,.1f} MB free; make room or "
            "give another folder"
        )


def _new_array(path, shape):
    """A new array in a file, mapped into memory, with room for all of it: a map of a disk that fills ends the
    process."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate") and array.size:
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _decode(source, rows, folder, size, jobs):
    """Decode all pictures, each to its row of `train.npy` or `valid.npy`; returns a `Fault` for each that
    cannot be."""
    arrays, places, broken = {}, {}, []
    for split in SPLITS:
        arrays[split] = _new_array(folder / f"{split}.npy", (len(rows[split]), 3, size, size))
        places |= {picture.file: (split, row) for row, picture in enumerate(rows[split])}
    with closing(decoded(source, places, size, jobs, f"preparing {source.name}")) as results:
        for file, pixels, reason in results:
            split, row = places[file]
            if pixels is None:
                broken.append(Fault(file, reason))
            else:
                arrays[split][row] = pixels
    for array in arrays.values():
        array.flush()
    return broken


def _refuse(source, out, faults, skip_broken):
    """List what is broken beside `out`, and refuse it unless it is to be left out."""
    beside = out.with_name(f"{out.name}.broken.txt")
    if not faults or skip_broken:
        beside.unlink(missing_ok=True)
        return
    write_text(beside, "".join(f"{file}: {reason}\n" for file, reason in faults))
    first = f"{source.where(faults[0].file)}: {faults[0].reason}"
    raise PhotosError(
        f"{first}; {len(faults):,} broken in all, listed in {beside}; mend them, or leave them out with "
        "--skip-broken"
    )


def _keep(path, rows):
    """Of an array in a file, keep these rows alone."""
    whole = np.lib.format.open_memmap(path, mode="r")
    kept = _new_array(path.with_suffix(".kept"), (len(rows), *whole.shape[1:]))
    for number, row in enumerate(rows):
        kept[number] = whole[row]
    kept.flush()
    path.with_suffix(".kept").replace(path)
