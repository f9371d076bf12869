"""Puts a publication into a folder that others share: all of its files or none, and nothing of anybody else's.

The folder's manifest names what was put there. What a killed process had begun is told from others' files by a list of names that is written first.
"""

import json
import os
import shutil
from pathlib import Path, PurePosixPath

from filelock import FileLock

from ..files import write_json
from .records import content_digest

MANIFEST = "published.json"
_BEGUN = ".publishing"  # folder, in that of the publication, of what is being prepared


class PlaceError(ValueError):
    """A folder that a publication cannot be put into; the message names what is in the way."""


def owned(to):
    """The names of the files that were put into a folder before, also by a process that was killed.

    Raises:
        PlaceError: the manifest, or what a killed process left, cannot be read.
    """
    names = set()
    for record in (to / MANIFEST, to / _BEGUN / "names.json"):
        if record.is_file():
            try:
                names.update(json.loads(record.read_bytes())["files"])
                whole = all(map(is_plain, names))
            except (ValueError, TypeError, KeyError):
                whole = False
            if not whole:
                raise PlaceError(f"{record}: is not the record of a publication; restore it, or move {to} away")
            names.add(MANIFEST)
    return names


def is_plain(name):
    """Whether a name is that of a file within the folder, said in the shortest way."""
    place = PurePosixPath(name)
    return bool(place.parts) and not place.is_absolute() and ".." not in place.parts and str(place) == name and place.parts[0] != _BEGUN


def others(to):
    """The files in a folder that no publication put there."""
    mine = owned(to)
    every = (path for path in to.rglob("*") if path.is_file() and path.name != ".lock")
    return [path for path in every if (name := path.relative_to(to)).as_posix() not in mine and name.parts[0] != _BEGUN]


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
            if os.path.lexists(folder) and (not folder.is_dir() or folder.is_symlink()):
                raise PlaceError(f"{folder}: is not a folder of its own, and {name} belongs into it; move it away or publish with --to another folder")
        regular = path.is_file() and not path.is_symlink()
        if os.path.lexists(path) and not (regular and (name in mine or path.read_bytes() == files[name])):
            raise PlaceError(f"{path}: was not published by `nbutils publish` and would be lost; move it away or publish with --to another folder")


def place(to, files, manifest):
    """Put files into a folder: each is prepared beside, then they are renamed in their order, then those of earlier times are removed.

    Args:
        to: folder.
        files: dict from name to bytes.
        manifest: dict that JSON can hold; the names of the files and their digests are added, and it takes its place last.
    Returns:
        how many files changed; 0 where all of it was there already.
    Raises:
        PlaceError: see `refuse_foreign`.
        OSError: the folder cannot be written, or the disk is full; what was published before is as it was, or the same call goes on.
    """
    listed = manifest | {"files": {name: {"digest": content_digest(content), "bytes": len(content)} for name, content in files.items()}}
    last = {MANIFEST: (json.dumps(listed, indent=1, ensure_ascii=False) + "\n").encode()}
    refuse_foreign(to, files | last)
    try:
        to.mkdir(parents=True, exist_ok=True)
        with FileLock(to / ".lock"):
            refuse_foreign(to, files | last)
            return _place(to, files | last)
    except OSError as error:
        raise OSError(error.errno, f"{to} cannot be written ({os.strerror(error.errno)}); what was published is whole, or the next `nbutils publish` makes it so") from error


def _place(to, files):
    begun, before = to / _BEGUN, owned(to)
    changed = [name for name, content in files.items() if not (to / name).is_file() or (to / name).read_bytes() != content]
    gone = sorted(name for name in before - set(files) if (to / name).is_file())
    if changed or gone:
        interrupted = (begun / "names.json").is_file()
        try:
            write_json(begun / "names.json", {"files": sorted(before | set(files))})
            for name in changed:
                _write(begun / "files" / name, files[name])
                (to / name).parent.mkdir(parents=True, exist_ok=True)
        except BaseException:
            shutil.rmtree(begun / "files" if interrupted else begun, ignore_errors=True)
            raise
        for name in [name for name in changed if name != MANIFEST]:
            os.replace(begun / "files" / name, to / name)
        for name in gone:
            _remove(to, name)
        if MANIFEST in changed:
            os.replace(begun / "files" / MANIFEST, to / MANIFEST)
    shutil.rmtree(begun, ignore_errors=True)
    return len(changed) + len(gone)


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove(to, name):
    """Remove a file, and the folders that are empty without it."""
    (to / name).unlink()
    for folder in (to / name).parents[: len(Path(name).parts) - 1]:
        if any(folder.iterdir()):
            break
        folder.rmdir()
