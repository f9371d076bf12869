"""Names of files: which are harmless, which hold captions or pictures, and how other programs write them."""

import re
import unicodedata
from contextlib import suppress
from pathlib import PurePosixPath

from PIL import Image

from ..captions import CONTROL
from ..errors import Unusable

CLASS_PROJECT = "dict_key_imgID_value_caps_train_and_valid.pkl"
_TABLES = (
    r"captions\.(csv|tsv|txt|jsonl?)|metadata\.(csv|jsonl)|results\.csv|dataset(_\w+)?\.json"
    r"|(Flickr8k|results_\d+)\.token(\.txt)?"
)
TABLE = re.compile(_TABLES)  # names of files that can hold the captions of an own folder
CAPTIONS = re.compile(rf"{_TABLES}|captions_(train|val)\d{{4}}\.json|{re.escape(CLASS_PROJECT)}")
_BY_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX")  # and ._* of macOS


def inside(name):
    """`name` without needless parts, `a/./b` as `a/b`.

    Raises:
        Unusable: a name that no file within a folder has.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name) or ".." in re.split(r"[/\\]", name):
        raise Unusable(f"the file name {name[:200]!a} points outside the folder")
    if (
        not parts
        or CONTROL.search(name)
        or len(name) > 1000
        or any(len(part.encode()) > 255 for part in parts)
    ):
        raise Unusable(f"{name[:200]!a} is no name of a file")
    return "/".join(parts)


def forms(name):
    """A name as it is written, and as Windows and macOS may write it: slashes the other way, accents apart or
    in one."""
    written = [
        form
        for text in (name, name.replace("\\", "/"))
        for form in (text, *(unicodedata.normalize(kind, text) for kind in ("NFC", "NFD")))
    ]
    return list(dict.fromkeys(written))


def by_a_system(name):
    """Whether a system put a file among those of its user."""
    return any(part in _BY_SYSTEMS or part.startswith("._") for part in name.split("/"))


def is_picture(name):
    """Whether a file is called as pictures are."""
    return PurePosixPath(name).suffix.lower() in Image.registered_extensions()


def of_member(member):
    """The name of a member: UTF-8 where its bytes are, flagged (as the format asks) or not (macOS), and with
    slashes (not so .NET's)."""
    name = member.orig_filename
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return name.replace("\\", "/")
