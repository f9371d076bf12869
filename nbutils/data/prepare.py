"""Makes prepared folders, see `prepared`: from any source, over several processes, going on where it was
stopped.

Work is done in `.NAME.part` beside the folder NAME, which appears there whole or not at all. A journal says
which rows are done; a row counts only while its CRC is right and its file still has the same size, so a
journal that outlived its pixels does no harm.
"""

import errno
import hashlib
import json
import os
import shutil
import zlib
from contextlib import closing
from pathlib import Path

import filelock
import numpy as np
import PIL

from ..files import write_json, write_text, written_whole
from . import downloads
from .archives import open_source
from .decoding import decoded
from .errors import PhotosError
from .layouts import SPLITS
from .photos import Fault, read_layout
from .prepared import FILES, FORMAT, MANIFEST, PICTURES, is_prepared, read_manifest, sha256


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
        PhotosError: a source or folder that cannot be used; broken pictures, after all others are done;
            another preparation under way.
        OSError: no space, or no permission; what is done is kept.
    """
    for argument, value, least, most in (("size", size, 8, 1024), ("jobs", jobs, 1, 1024)):
        if not least <= value <= most:
            raise PhotosError(f"{argument}: {value}; expected a number between {least} and {most}")
    source, out = open_source(source), Path(out).resolve()
    listing = read_layout(source)
    part = out.with_name(f".{out.name}.part")
    if is_already(out, identity := _identity(listing, size)) and not part.exists():
        return f"{out}: holds this preparation already, {describe(read_manifest(out))}"
    lock = filelock.FileLock(part / "lock", timeout=0)
    try:
        part.mkdir(parents=True, exist_ok=True)
        with lock:
            if not is_already(out, identity):
                _Preparation(source, listing, out, part, size).run(
                    jobs, skip_broken, identity, name or source.name
                )
            shutil.rmtree(part)
    except filelock.Timeout:
        raise PhotosError(
            f"{out}: another preparation into this folder is under way; wait for it or stop it"
        ) from None
    except OSError as error:
        raise OSError(
            error.errno,
            (
                f"{out} cannot be prepared ({error.strerror or error}); what is done is kept, and the same "
                "command goes on from there"
            ),
        ) from error
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


def describe(manifest):
    """One clause about what a prepared folder holds."""
    counts, size, left_out = manifest["pictures"], manifest["image_size"], len(manifest["left_out"])
    text = (
        f"{counts['train']:,} pictures to train on and {counts['valid']:,} held out, {size} x {size} "
        f"pixels, from {manifest['source']} ({manifest['layout']})"
    )
    return text + (f"; {left_out:,} broken picture(s) or caption(s) left out" if left_out else "")


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


class _Preparation:
    """One preparation under way, in its folder `part`."""

    def __init__(self, source, listing, out, part, size):
        self.source, self.listing, self.out, self.part, self.size = source, listing, out, part, size
        self.data, self.journal, self.row_bytes = part / "data", part / "journal", 3 * size * size
        self.rows = {split: len(pictures) for split, pictures in listing.splits.items()}
        self.crcs = {split: [None] * count for split, count in self.rows.items()}

    def run(self, jobs, skip_broken, identity, name):
        self._take_space()
        arrays = {
            split: (
                str(self._array(split)),
                self._array(split).stat().st_size - self.rows[split] * self.row_bytes,
            )
            for split in SPLITS
        }
        faults = self._decode(jobs, arrays, self._resume())
        beside = self.out.with_name(f"{self.out.name}.broken.txt")
        if faults and not skip_broken:
            write_text(beside, "".join(f"{file}: {reason}\n" for file, reason in faults))
            first = f"{self.source.where(faults[0].file)}: {faults[0].reason}"
            raise PhotosError(
                f"{first}; {len(faults):,} broken in all, listed in {beside}; mend them, or leave them "
                "out with --skip-broken (all others are done)"
            )
        self._finish(arrays, faults, identity, name)
        os.replace(self.data, self.out)
        beside.unlink(missing_ok=True)

    def _array(self, split):
        return self.data / f"{split}.npy"

    def _take_space(self):
        """Make the arrays at their full size, so that a disk that is too small says so now."""
        self.data.mkdir(exist_ok=True)
        texts = sum(
            len(json.dumps(picture)) + 100
            for pictures in self.listing.splits.values()
            for picture in pictures
        )
        there = sum(path.stat().st_blocks * 512 for path in self.data.glob("*.npy"))
        needed, free = (
            sum(self.rows.values()) * self.row_bytes + 2 * texts + (1 << 16) - there,
            shutil.disk_usage(self.part).free,
        )
        if needed > free:
            self._give_up(needed, free)
        for split, count in self.rows.items():
            path, shape = self._array(split), (count, 3, self.size, self.size)
            if not path.is_file() or not _is_array(path, shape):
                np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
            if hasattr(os, "posix_fallocate"):
                with open(path, "r+b") as file:
                    try:
                        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        self._give_up(needed, free)

    def _give_up(self, needed, free):
        if not self.journal.exists():
            shutil.rmtree(self.part)
        raise PhotosError(
            f"{self.out}: needs {needed / 1e6:,.1f} MB, and its disk has {free / 1e6:,.1f} MB free; "
            "make room or give another folder"
        )

    def _resume(self):
        """Take from the journal what is done; returns the journal, open to go on with."""
        plan = json.dumps(
            [
                FORMAT,
                self.size,
                PIL.__version__,
                {
                    split: [picture.file for picture in pictures]
                    for split, pictures in self.listing.splits.items()
                },
            ]
        )
        header = hashlib.blake2b(plan.encode(), digest_size=16).hexdigest() + "\n"
        known = self.journal.read_bytes() if self.journal.is_file() else b""
        known = known[: known.rfind(b"\n") + 1]  # of a line that was being written nothing is kept
        if not known.startswith(header.encode()):
            known = header.encode()  # another plan, or the first start
        images = {split: np.lib.format.open_memmap(self._array(split), mode="r") for split in SPLITS}
        for split, row, length, crc in _entries(known[len(header) :]):
            if self.listing.splits[split][row].size == length and zlib.crc32(images[split][row]) == crc:
                self.crcs[split][row] = crc
        with open(self.journal, "wb") as file:
            file.write(known)
        return open(self.journal, "ab", buffering=0)

    def _decode(self, jobs, arrays, journal):
        """Decode what is not done; returns all faults, by file."""
        places = {
            picture.file: (split, row)
            for split, pictures in self.listing.splits.items()
            for row, picture in enumerate(pictures)
            if self.crcs[split][row] is None and picture.size is not None
        }
        faults = list(self.listing.faults)
        if places:
            with (
                journal,
                closing(
                    decoded(self.source, places, self.size, jobs, arrays, f"preparing {self.source.name}")
                ) as results,
            ):
                for result in results:
                    done = []
                    for split, row, crc, reason in result:
                        picture = self.listing.splits[split][row]
                        if crc is None:
                            faults.append(Fault(picture.file, reason))
                        else:
                            self.crcs[split][row] = crc
                            done.append((split, row, picture.size, crc))
                    journal.write(json.dumps(done).encode() + b"\n")
        return sorted(faults)

    def _finish(self, arrays, faults, identity, name):
        """Close the gaps that broken pictures leave in the arrays, and write captions and manifest."""
        kept = {
            split: [
                row
                for row, crc in enumerate(self.crcs[split])
                if crc is not None and self.listing.splits[split][row].captions
            ]
            for split in SPLITS
        }
        for split, rows in kept.items():
            if not rows:
                raise PhotosError(
                    f"{self.source.path}: of {self.rows[split]:,} pictures of {split} none can be "
                    f"used; {faults[0].file}: {faults[0].reason}"
                )
            self._close_gaps(split, rows, arrays[split][1])
        with written_whole(self.data / PICTURES) as beside, open(beside, "w", encoding="utf-8") as file:
            for split, rows in kept.items():
                for number, row in enumerate(rows):
                    picture = self.listing.splits[split][row]
                    line = {
                        "split": split,
                        "row": number,
                        "file": picture.file,
                        "captions": picture.captions,
                        "crc32": self.crcs[split][row],
                    }
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        manifest = {
            "format": FORMAT,
            "source": name,
            "layout": self.listing.layout,
            "identity": identity,
            "decoder": f"Pillow {PIL.__version__}",
            "image_size": self.size,
            "pictures": {split: len(rows) for split, rows in kept.items()},
            "sha256": {file: sha256(self.data / file) for file in FILES},
            "left_out": [fault._asdict() for fault in faults],
            "uncaptioned": self.listing.uncaptioned,
        }
        write_json(self.data / MANIFEST, manifest)

    def _close_gaps(self, split, rows, offset):
        if len(rows) < self.rows[split]:
            images = np.lib.format.open_memmap(self._array(split), mode="r+")
            for number, row in enumerate(rows):
                if number != row:
                    images[number] = images[row]
            images.flush()
            os.truncate(self._array(split), offset + len(rows) * self.row_bytes)
        with open(self._array(split), "r+b") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": (len(rows), 3, self.size, self.size)}
            )
            if file.tell() != offset:
                raise PhotosError(
                    f"{self._array(split)}: its header has {offset} bytes, not {file.tell()}; remove "
                    f"{self.part} and prepare again"
                )
            os.fsync(file.fileno())


def _entries(lines):
    """The entries of a journal, up to a line that a failing machine has spoilt; what comes after it is done
    again."""
    for line in lines.splitlines():
        try:
            entries = json.loads(line)
        except ValueError:
            return
        yield from entries


def _is_array(path, shape):
    """Whether a file is a whole array of bytes of this shape."""
    try:
        return np.lib.format.open_memmap(path, mode="r").shape == shape
    except (ValueError, OSError, EOFError):
        return False
