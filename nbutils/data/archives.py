"""Files by name, whether they lie in a folder, in COCO's zip files within it, or in one zip or tar file.
Nothing is ever extracted.

A source has `name` (of the folder or archive, without suffix), `size(file)`, `files(folder)`, `names()`,
`read(file)` and `contents(files)`. Files are named with forward slashes, from the source's top; a name finds
its file however either of them writes accents and slashes.
"""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from .errors import PhotosError, Unusable
from .names import CAPTIONS, by_a_system, forms, inside, is_picture, of_member

FILE_LIMIT = 1 << 28  # bytes of one file; the largest captions of COCO have 66 million
_HEADER_LIMIT = 1 << 20  # bytes that the header of a member may take
_MEMBERS_LIMIT = 2_000_000
_SUFFIXES = {
    ".zip": None,
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tbz2": bz2.open,
    ".tar.xz": lzma.open,
}
_ZIPS = {f"{part}{year}.zip": f"{part}{year}" for part in ("train", "val") for year in (2014, 2017)}
_ZIPS |= {f"annotations_trainval{year}.zip": "annotations" for year in (2014, 2017)}
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    OverflowError,
    NotImplementedError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def open_source(path):
    """The folder or archive at `path`.

    Raises:
        PhotosError: nothing there, no known kind of archive, or an archive that is broken or not to be
            trusted.
    """
    path = Path(path)
    if path.is_dir():
        return Folder(path)
    if not path.is_file():
        raise PhotosError(
            f"{path}: no such folder or archive; give one with captions (COCO, class project, or "
            "captions.csv and pictures)"
        )
    suffix = next((suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise PhotosError(
            f"{path}: neither a folder nor an archive; expected a name that ends with {', '.join(_SUFFIXES)}"
        )
    return Zipped(path) if suffix == ".zip" else Tarred(path, _SUFFIXES[suffix])


class _Source:
    """What all kinds of sources share."""

    def where(self, name):
        """How messages call the file `name`."""
        return f"{self.path}: {name}"

    def contents(self, names):
        """Yields (name, bytes, None) or (name, None, reason) for files, in the order that is fastest to
        read."""
        for name in names:
            try:
                yield name, self.read(name), None
            except Unusable as error:
                yield name, None, str(error)

    def _check(self, names, total):
        """Refuse an archive of absurd size, and learn whether everything in it lies in one folder."""
        limit = (1 << 30) + 200 * self.path.stat().st_size
        if total > limit or len(names) > _MEMBERS_LIMIT:
            raise PhotosError(
                f"{self.path}: refused, it would unpack to {len(names):,} files and {total:,} bytes; "
                f"at most {_MEMBERS_LIMIT:,} and {limit:,} are taken for harmless"
            )

    def _add(self, raw, size, kind=None):
        """Take note of a member and return its name; `kind` is what it is where it is no plain file."""
        try:
            name = inside(raw)
        except Unusable as error:
            raise PhotosError(f"{self.path}: refused, {error}") from None
        if kind:
            raise PhotosError(f"{self.path}: refused, {name} is {kind}; expected plain files")
        if name in self._sizes:
            raise PhotosError(f"{self.path}: {name} is in it twice; expected every file once")
        self._sizes[name] = size
        self._total += size
        self._check(self._sizes, self._total)
        return name

    def _strip(self):
        """Files below the one folder that holds all pictures and captions are named from there, unless it
        belongs to a layout."""
        names = [name for name in self._sizes if not by_a_system(name)]
        folders = {name.split("/")[0] for name in names if "/" in name}
        above = any(CAPTIONS.fullmatch(name) or is_picture(name) for name in names if "/" not in name)
        self._prefix = (
            f"{folders.pop()}/"
            if len(folders) == 1 and not above and not folders & set(_ZIPS.values())
            else ""
        )

    def _member(self, name):
        """The member that is meant by the name of a file; None where there is none."""
        return next((self._prefix + form for form in forms(name) if self._prefix + form in self._sizes), None)

    def size(self, name):
        """Bytes of a file, or None where it is not there."""
        return self._sizes.get(self._member(name))

    def names(self):
        """Names of all files, but those that systems put there, sorted."""
        inner = (name[len(self._prefix) :] for name in self._sizes if name.startswith(self._prefix))
        return sorted(name for name in inner if not by_a_system(name))

    def files(self, folder):
        """Names of the files that lie directly in a folder, sorted; "" is the source itself."""
        return [name for name in self.names() if name.rpartition("/")[0] == folder]


def _too_large(size):
    return Unusable(f"has {size:,} bytes; expected at most {FILE_LIMIT:,}")


class Folder(_Source):
    """A folder; of COCO's three zip files those that lie in it unextracted are part of it."""

    def __init__(self, path):
        self.path, self.name = Path(path), Path(path).resolve().name
        self.zips = [
            Zipped(self.path / name)
            for name, folder in _ZIPS.items()
            if (self.path / name).is_file() and not (self.path / folder).is_dir()
        ]

    def where(self, name):
        return str(self.path / name)

    def size(self, name):
        try:
            found = self.locate(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return next((size for part in self.zips if (size := part.size(name)) is not None), None)
        except OSError:
            return 0  # it is there; why it cannot be read is said of this one when it is
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def locate(self, name):
        """The path of a file."""
        paths = [self.path / form for form in forms(name)]
        return next((path for path in paths if os.path.lexists(path)), paths[0])

    def names(self):
        walked = os.walk(self.path)
        found = (
            (Path(folder) / name).relative_to(self.path).as_posix()
            for folder, _, names in walked
            for name in names
        )
        inside = (name for part in self.zips for name in part.names())
        return sorted(name for name in {*found, *inside} if not by_a_system(name))

    def files(self, folder):
        try:
            found = [f"{folder}/{name}".lstrip("/") for name in os.listdir(self.path / folder)]
        except (FileNotFoundError, NotADirectoryError):
            return [name for part in self.zips for name in part.files(folder)]
        except OSError as error:
            raise PhotosError(f"{self.path / folder}: cannot be read ({error.strerror})") from None
        return sorted(name for name in found if not by_a_system(name))

    def read(self, name):
        """The bytes of a file.

        Raises:
            Unusable: it is gone, cannot be read, or is too large.
        """
        if (size := self.size(name)) is None:
            raise Unusable("there is no such file")
        if size > FILE_LIMIT:
            raise _too_large(size)
        try:
            return self.locate(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            part = next((part for part in self.zips if part.size(name) is not None), None)
            if part is None:
                raise Unusable("there is no such file any more") from None
            return part.read(name)
        except OSError as error:
            raise Unusable(f"cannot be read ({error.strerror})") from None


class Zipped(_Source):
    """A zip file."""

    def __init__(self, path):
        self.path, self.name = path, path.name[: -len(".zip")]
        self._sizes, self._total, self._members = {}, 0, {}
        try:
            self._zip = zipfile.ZipFile(path)
        except _BROKEN as error:
            raise PhotosError(f"{path}: not a readable zip file ({error}); fetch it again") from None
        for member in self._zip.infolist():
            mode, name = member.external_attr >> 16, of_member(member)
            if not name.endswith("/"):  # is_dir() fails where nothing stands before a zero byte
                kind = "encrypted" if member.flag_bits & 1 else "a link" if stat.S_ISLNK(mode) else None
                self._members[self._add(name, member.file_size, kind)] = member
        self._strip()

    def read(self, name):
        """The bytes of a member.

        Raises:
            Unusable: it is not there, damaged, or too large.
        """
        if (size := self.size(name)) is None:
            raise Unusable("there is no such file")
        if size > FILE_LIMIT:
            raise _too_large(size)
        try:
            return self._zip.read(self._members[self._member(name)])
        except _BROKEN as error:
            raise Unusable(f"cannot be read from the archive ({' '.join(str(error).split())})") from None


class _Forward:
    """A decompressing stream on which a tar file can be walked, only forwards and never by more than a header
    or a file may take.

    Otherwise a few bytes could ask for gigabytes, or lead `tarfile` in a circle.
    """

    def __init__(self, stream):
        self._stream, self.limit = stream, _HEADER_LIMIT
        self.tell, self.close = stream.tell, stream.close

    def read(self, count=-1):
        if not 0 <= count <= self.limit:
            raise tarfile.ReadError(f"a header of {count:,} bytes")
        return self._stream.read(count)

    def seek(self, place):
        if place < self._stream.tell():
            raise tarfile.ReadError("a member that begins before its header")
        return self._stream.seek(place)


class Tarred(_Source):
    """A tar file, compressed or not, read from beginning to end once for its names and captions and once for
    its pictures."""

    def __init__(self, path, opener):
        suffix = next(suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix))
        self.path, self.name, self._open = path, path.name[: -len(suffix)], opener
        self._sizes, self._total, self._captions = {}, 0, {}
        for member, read in self._members():
            kind = (
                None
                if member.isreg() and not member.sparse
                else "a link"
                if member.issym() or member.islnk()
                else f"of type {member.type!r}"
            )
            name = self._add(member.name, member.size, kind)
            if CAPTIONS.fullmatch(PurePosixPath(name).name) and member.size <= FILE_LIMIT:
                self._captions[name] = read()
        self._strip()

    def _members(self):
        """Yields every member that is no folder, as TarInfo, with a function that reads it while it is the
        current one."""
        with (
            self._named(),
            self._open(self.path, "rb") as raw,
            tarfile.open(fileobj=(stream := _Forward(raw)), mode="r:") as tar,
        ):
            while (member := tar.next()) is not None:
                tar.members.clear()  # it would remember them all

                def read(member=member):
                    with self._named():
                        stream.limit = FILE_LIMIT
                        content = tar.extractfile(member).read()
                        stream.limit = _HEADER_LIMIT
                        return content

                if not member.isdir():
                    yield member, read
            for _ in iter(lambda: raw.read(1 << 20), b""):  # to the end, where gzip has its checksum
                self._check(self._sizes, raw.tell())

    @contextmanager
    def _named(self):
        """Whatever goes wrong with the archive names it."""
        try:
            yield
        except PhotosError:
            raise
        except (*_BROKEN, RecursionError) as error:
            raise PhotosError(
                f"{self.path}: not a readable tar file ({' '.join(str(error).split())}); fetch it again"
            ) from None

    def read(self, name):
        """The bytes of a file of captions, which are kept from the first pass until they are asked for.

        Raises:
            Unusable: it is not there or too large.
        """
        if (size := self.size(name)) is None:
            raise Unusable("there is no such file")
        if size > FILE_LIMIT:
            raise _too_large(size)
        return self._captions.pop(self._member(name))

    def contents(self, names):
        """As of every source, in the order of the archive."""
        wanted = {self._member(name) or self._prefix + name: name for name in names}
        for member, read in self._members():
            if name := wanted.pop(inside(member.name), None):
                yield (
                    (name, None, str(_too_large(member.size)))
                    if member.size > FILE_LIMIT
                    else (name, read(), None)
                )
        for name in wanted.values():
            yield name, None, "there is no such file any more"
