"""Puts a publication into a folder that others share, and touches nothing of anybody else's.

The folder's manifest names what was put there. A call that was stopped half-way is taken up by the next; git
keeps what stood there before.
"""

import json
from pathlib import PurePosixPath

from ...files import written_whole
from ..publications import MANIFEST
from ..run.records import content_digest


class PlaceError(ValueError):
    """A folder that a publication cannot be put into; the message names what is in the way."""


def owned(to):
    """The names of the files that were put into a folder before.

    Raises:
        PlaceError: the manifest cannot be read.
    """
    record = to / MANIFEST
    if not record.is_file():
        return set()
    try:
        names = set(json.loads(record.read_bytes())["files"])
        whole = all(map(is_plain, names))
    except (ValueError, TypeError, KeyError):
        whole = False
    if not whole:
        raise PlaceError(f"{record}: is not the record of a publication; restore it, or move {to} away")
    return names | {MANIFEST}


def is_plain(name):
    """Whether a name is that of a file within the folder, said in the shortest way."""
    place = PurePosixPath(name)
    return bool(place.parts) and not place.is_absolute() and ".." not in place.parts and str(place) == name


def others(to):
    """The files in a folder that no publication put there."""
    mine = owned(to)
    return [path for path in to.rglob("*") if path.is_file() and path.relative_to(to).as_posix() not in mine]


def refuse_foreign(to, files):
    """Refuse to take the place of what no publication put there.

    Args:
        to: folder; it need not be there.
        files: dict from name to bytes; what is in their place is welcome if it is the same.
    Raises:
        PlaceError: naming the file.
    """
    mine = owned(to)
    for name in sorted(mine | set(files)):
        path = to / name
        for folder in path.parents[: len(PurePosixPath(name).parts)]:
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise PlaceError(
                    f"{folder}: is not a folder of its own, and {name} belongs into it; move it away "
                    "or publish with --to another folder"
                )
        regular = path.is_file() and not path.is_symlink()
        there = regular or path.is_symlink() or path.exists()
        if there and not (regular and (name in mine or path.read_bytes() == files[name])):
            raise PlaceError(
                f"{path}: was not published by `nbutils publish` and would be lost; move it away or "
                "publish with --to another folder"
            )


def place(to, files, manifest):
    """Put files into a folder, remove those of earlier times, and write the manifest last.

    Args:
        to: folder.
        files: dict from name to bytes.
        manifest: dict that JSON can hold; the names of the files and their digests are added.
    Returns:
        how many files changed; 0 where all of it was there already.
    Raises:
        PlaceError: see `refuse_foreign`.
        OSError: a file cannot be written; the same call goes on from there.
    """
    listed = manifest | {
        "files": {
            name: {"digest": content_digest(content), "bytes": len(content)}
            for name, content in files.items()
        }
    }
    every = files | {MANIFEST: (json.dumps(listed, indent=1, ensure_ascii=False) + "\n").encode()}
    refuse_foreign(to, every)
    gone = sorted(name for name in owned(to) - set(every) if (to / name).is_file())
    changed = [
        name
        for name, content in every.items()
        if not (to / name).is_file() or (to / name).read_bytes() != content
    ]
    for name in changed:
        if name != MANIFEST:
            _write(to / name, every[name])
    for name in gone:
        _remove(to, name)
    if MANIFEST in changed:
        _write(to / MANIFEST, every[MANIFEST])
    return len(changed) + len(gone)


def _write(path, content):
    with written_whole(path) as beside:
        beside.write_bytes(content)


def _remove(to, name):
    """Remove a file, and the folders that are empty without it."""
    (to / name).unlink()
    for folder in (to / name).parents[: len(PurePosixPath(name).parts) - 1]:
        if any(folder.iterdir()):
            break
        folder.rmdir()
