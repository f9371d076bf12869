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
import weakref
import zipfile
import zlib
from pathlib import Path

from ..errors import PhotosError, Unusable
from .names import CAPTIONS, by_a_system, forms, inside, is_picture, of_member

FILE_LIMIT = 1 << 28  # bytes of one file; the largest captions of COCO have 66 million
_MEMBERS_LIMIT = 2_000_000
_TARS = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tbz2": bz2.open,
    ".tar.xz": lzma.open,
}
_SUFFIXES = (".zip", *_TARS)
_ZIPS = {f"{part}{year}.zip": f"{part}{year}" for part in ("train", "val") for year in (2014, 2017)}
_ZIPS |= {f"annotations_trainval{year}.zip": "annotations" for year in (2014, 2017)}
# What a broken archive makes zipfile and tarfile raise.
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
    archive = Zipped if suffix == ".zip" else Tarred
    return archive(path, path.name[: -len(suffix)])


def _bounded(size):
    """Refuse the file that is not there (None) or too large to read."""
    if size is None:
        raise Unusable("there is no such file")
    if size > FILE_LIMIT:
        raise Unusable(f"has {size:,} bytes; expected at most {FILE_LIMIT:,}")


def _said(error):
    return " ".join(str(error).split())


class _Source:
    """What all kinds of sources share."""

    def contents(self, names):
        """Yields (name, bytes, None) or (name, None, reason) for files, in the order that is fastest to
        read."""
        for name in names:
            try:
                yield name, self.read(name), None
            except Unusable as error:
                yield name, None, str(error)


class Folder(_Source):
    """A folder; of COCO's three zip files those that lie in it unextracted are part of it."""

    def __init__(self, path):
        self.path = Path(path)
        self.name = self.path.resolve().name
        self.zips = []
        for name, folder in _ZIPS.items():
            if (self.path / name).is_file() and not (self.path / folder).is_dir():
                self.zips.append(Zipped(self.path / name, folder))

    def where(self, name):
        """How messages call the file `name`."""
        return str(self.path / name)

    def _zip_of(self, name):
        return next((part for part in self.zips if part.size(name) is not None), None)

    def size(self, name):
        """Bytes of a file, or None where it is not there."""
        try:
            found = self.locate(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            part = self._zip_of(name)
            return part.size(name) if part else None
        except OSError:
            return 0  # it is there; why it cannot be read is said of this one when it is
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def locate(self, name):
        """The path of a file."""
        paths = [self.path / form for form in forms(name)]
        return next((path for path in paths if os.path.lexists(path)), paths[0])

    def names(self):
        """Names of all files, but those that systems put there, sorted."""
        found = {name for part in self.zips for name in part.names()}
        for folder, _, names in os.walk(self.path):
            within = Path(folder).relative_to(self.path)
            found |= {(within / name).as_posix() for name in names}
        return sorted(name for name in found if not by_a_system(name))

    def files(self, folder):
        """Names of the files that lie directly in a folder, sorted; "" is the source itself."""
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
        _bounded(self.size(name))
        try:
            return self.locate(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            part = self._zip_of(name)
            if part is None:
                raise Unusable("there is no such file any more") from None
            return part.read(name)
        except OSError as error:
            raise Unusable(f"cannot be read ({error.strerror})") from None


class _Archive(_Source):
    """A file that holds files: what it says of them is looked through before any of them is read."""

    def __init__(self, path, name):
        self.path, self.name = path, name
        self._members, self._sizes = {}, {}
        self._total = 0
        kind = "zip" if isinstance(self, Zipped) else "tar"
        try:
            self._open()
        except PhotosError:
            raise
        except (*_BROKEN, RecursionError) as error:
            raise PhotosError(
                f"{path}: not a readable {kind} file ({_said(error)}); fetch it again"
            ) from None
        self._prefix = self._leading()

    def _add(self, raw, size, member, kind=None):
        """Take note of a member; `kind` is what it is where it is no plain file."""
        try:
            name = inside(raw)
        except Unusable as error:
            raise PhotosError(f"{self.path}: refused, {error}") from None
        if kind:
            raise PhotosError(f"{self.path}: refused, {name} is {kind}; expected plain files")
        if name in self._sizes:
            raise PhotosError(f"{self.path}: {name} is in it twice; expected every file once")
        self._members[name], self._sizes[name] = member, size
        self._total += size
        limit = (1 << 30) + 200 * self.path.stat().st_size
        if self._total > limit or len(self._sizes) > _MEMBERS_LIMIT:
            raise PhotosError(
                f"{self.path}: refused, it would unpack to {len(self._sizes):,} files and {self._total:,} "
                f"bytes; at most {_MEMBERS_LIMIT:,} and {limit:,} are taken for harmless"
            )

    def _leading(self):
        """The one folder that holds all pictures and captions, with a slash, or ""; files are named from
        there, unless it belongs to a layout."""
        names = [name for name in self._sizes if not by_a_system(name)]
        folders = {name.split("/")[0] for name in names if "/" in name}
        above = any(CAPTIONS.fullmatch(name) or is_picture(name) for name in names if "/" not in name)
        if len(folders) != 1 or above or folders & set(_ZIPS.values()):
            return ""
        return f"{folders.pop()}/"

    def where(self, name):
        """How messages call the file `name`."""
        return f"{self.path}: {name}"

    def _member(self, name):
        """What the archive calls a file; None where it is not there."""
        written = (self._prefix + form for form in forms(name))
        return next((form for form in written if form in self._sizes), None)

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

    def read(self, name):
        """The bytes of a member.

        Raises:
            Unusable: it is not there, damaged, or too large.
        """
        _bounded(self.size(name))
        try:
            return self._content(self._members[self._member(name)])
        except _BROKEN as error:
            raise Unusable(f"cannot be read from the archive ({_said(error)})") from None


class Zipped(_Archive):
    """A zip file."""

    def _open(self):
        self._zip = zipfile.ZipFile(self.path)
        for member in self._zip.infolist():
            name = of_member(member)
            if name.endswith("/"):  # is_dir() fails where nothing stands before a zero byte
                continue
            link = stat.S_ISLNK(member.external_attr >> 16)
            kind = "encrypted" if member.flag_bits & 1 else "a link" if link else None
            self._add(name, member.file_size, member, kind)

    def _content(self, member):
        return self._zip.read(member)


class _Bounded:
    """A stream of which no more is read at once than a file may have: a header of a few bytes can ask for
    gigabytes."""

    def __init__(self, stream):
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, count):
        if count > FILE_LIMIT:
            raise tarfile.ReadError(f"a header of {count:,} bytes")
        return self._stream.read(count)


class Tarred(_Archive):
    """A tar file, compressed or not, read from beginning to end: once for the names, then for the captions
    and for the pictures."""

    def _open(self):
        opener = _TARS[self.path.name[len(self.name) :].lower()]
        opened = opener(self.path, "rb")
        weakref.finalize(self, opened.close)
        self._tar = tarfile.TarFile(fileobj=_Bounded(opened))
        for member in self._tar:
            if member.isdir():
                continue
            kind = None
            if member.issym() or member.islnk():
                kind = "a link"
            elif not member.isreg() or member.sparse:
                kind = f"of type {member.type!r}"
            elif member.size < 0:  # older versions of Python would go round in a circle
                kind = f"of {member.size:,} bytes"
            self._add(member.name, member.size, member, kind)
        while opened.read(1 << 20):  # to the end, where gzip has its checksum
            pass

    def _content(self, member):
        return self._tar.extractfile(member).read()

    def contents(self, names):
        """As of every source, in the order of the archive: a compressed one is not sought backwards."""
        places = {name: self._members[self._member(name)].offset for name in names if self._member(name)}
        return super().contents(sorted(names, key=lambda name: places.get(name, 0)))
