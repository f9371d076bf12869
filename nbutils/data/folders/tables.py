"""The captions of an own folder in one file, a table or JSON of any program: which columns and delimiter it
has is told by its header.

What is ambiguous, of a wrong type or leads out of the folder is refused by name.
"""

import csv
import io
import json
import re
import reprlib
from collections import Counter
from pathlib import PurePosixPath

from ..errors import PhotosError, Unusable
from .names import inside

SPLITS = ("train", "valid")
LEAST_HELD_OUT = 3  # pictures that a report takes its intervals over
FEW = (
    f"reports need {LEAST_HELD_OUT} pictures held out, and of an own folder every tenth is: "
    f"{10 * LEAST_HELD_OUT + 1} pictures"
)
_FILE = ("file", "file_name", "filename", "image", "image_name", "image_file", "image_path", "img", "path")
_CAPTION = ("caption", "captions", "text", "comment", "description", "sentence")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# The one row of Flickr30k's results.csv that lacks a bar, and what it was to be.
_LACKS_A_BAR = ["2199200615.jpg", "4   A dog runs across the grass ."]
_MENDED = ["2199200615.jpg", "4", "A dog runs across the grass ."]
_KARPATHY = "Karpathy's splits"
# Those of "test" are for a last look, which nothing here takes.
_KARPATHY_SPLITS = {"train": ("train", "restval"), "valid": ("val",)}


def every_tenth(where, captions):
    names = sorted(captions)
    if len(names) < 2:
        raise PhotosError(
            f"{where}: {len(names)} captioned picture(s); at least 2 are needed, one to train on and "
            "one to hold out"
        )
    held_out = set(names[10::10] or names[-1:])
    return {
        "train": {name: captions[name] for name in names if name not in held_out},
        "valid": {name: captions[name] for name in names if name in held_out},
    }


def named(where, name):
    try:
        return inside(name)
    except Unusable as error:
        raise PhotosError(
            f"{where}: refused, {error}; expected files of pictures in or below the folder"
        ) from None


def text_of(source, name):
    try:
        return decoded(source.where(name), source.read(name))
    except Unusable as error:
        raise PhotosError(f"{source.where(name)}: {error}") from None


def decoded(where, content):
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"not UTF-8 (byte {error.start:,} is 0x{content[error.start]:02x})"
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            found = "UTF-16"
        raise PhotosError(f"{where}: the text is {found}; save it as UTF-8") from None


def parsed(where, text):
    """The value of a JSON text."""

    def once(pairs):
        value = dict(pairs)
        if len(value) < len(pairs):
            ((name, _),) = Counter(key for key, _ in pairs).most_common(1)
            raise ValueError(f"{reprlib.repr(name)} is twice in one object")
        return value

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise PhotosError(f"{where}: not readable as JSON: {error}") from None


def fields(where, value, kind_of_file, **expected):
    """The values of an object's fields, each of the type expected."""
    if not isinstance(value, dict):
        raise PhotosError(
            f"{where}: not {kind_of_file}; expected an object with {' and '.join(expected)}, found "
            f"{reprlib.repr(value)}"
        )
    for name, kind in expected.items():
        if not isinstance(value.get(name), kind) or isinstance(value[name], bool):
            kind = getattr(kind, "__name__", kind)
            raise PhotosError(
                f"{where}: not {kind_of_file}; expected {name} of type {kind}, found "
                f"{reprlib.repr(value.get(name))}"
            )
    return [value[name] for name in expected]


def own_table(source, name):
    """What `read_captions` gives, but for the layout, of an own folder with a table."""
    where = source.where(name)
    read = _tokens if ".token" in name else _KINDS[PurePosixPath(name).suffix]
    understood, *rows = read(source, name)
    if understood == _KARPATHY:
        splits = {split: _gathered(rows, kept) for split, kept in _KARPATHY_SPLITS.items()}
        folder = _folder_of(source, where, {file for captions in splits.values() for file in captions})
        splits = {split: _within(folder, captions) for split, captions in splits.items()}
    else:
        captions = _gathered(rows)
        splits = every_tenth(where, _within(_folder_of(source, where, set(captions)), captions))
    return splits, f"{name}: {understood}"


def _gathered(rows, splits=(None,)):
    """A dict from file to captions of (split, place, file, captions) whose split is one of `splits`."""
    captions = {}
    for split, place, file, texts in rows:
        if split in splits:
            captions.setdefault(named(place, file), []).extend(texts)
    return captions


def _folder_of(source, where, files):
    """The one folder of the source that holds the pictures, or "" where they lie as the captions say."""
    if any(source.size(file) is not None for file in files):
        return ""
    folders = set()
    for name in source.names():
        parts = name.split("/")
        for cut in range(1, len(parts)):
            if "/".join(parts[cut:]) in files:
                folders.add("/".join(parts[:cut]))
    if len(folders) > 1:
        first, second, *_ = sorted(folders)
        raise PhotosError(
            f"{where}: names pictures that are in {first} as well as in {second}; expected them in one folder"
        )
    return folders.pop() if folders else ""


def _within(folder, captions):
    """Captions by files of a folder."""
    return {f"{folder}/{file}" if folder else file: texts for file, texts in captions.items()}


def _columns(where, names):
    """Which of the columns or fields `names` is the file and which the captions.

    Raises:
        PhotosError: none is, or more than one.
    """
    plain = [name.strip().lower() for name in names]
    found = [[number for number, name in enumerate(plain) if name in known] for known in (_FILE, _CAPTION)]
    if [len(numbers) for numbers in found] != [1, 1]:
        known = f"file may be called {', '.join(_FILE[1:])}, and caption {', '.join(_CAPTION[1:])}"
        raise PhotosError(
            f"{where}: columns are {reprlib.repr(names)}; expected file and caption once each ({known})"
        )
    return found[0][0], found[1][0]


def _csv(source, name):
    """Rows of a text with a header, whichever of four delimiters its columns are named with; yields how it
    was read first."""
    where, text = source.where(name), text_of(source, name)
    rows = None
    try:
        delimiter, header = _header(text)
        file, caption = _columns(where, header)
        names = f"{header[file].strip()} and {header[caption].strip()}"
        yield f"columns {names}, separated by {_DELIMITERS[delimiter]}"
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        next(rows)
        for row in filter(None, rows):
            if [cell.strip() for cell in row] == _LACKS_A_BAR and len(header) == len(_MENDED):
                row = _MENDED
            place = f"{where}, line {rows.line_num}"
            if len(row) != len(header) or not row[file].strip():
                advice = f"separated by {_DELIMITERS[delimiter]}"
                if delimiter == ",":
                    advice = "a caption that holds commas in quotes"
                raise PhotosError(
                    f"{place}: found {reprlib.repr(row)}; expected {len(header)} columns, {advice}"
                )
            text = row[caption].strip() if delimiter == "|" else row[caption]
            yield None, place, row[file].strip(), [text]
    except csv.Error as error:
        line = rows.line_num if rows else 1
        raise PhotosError(f"{where}, line {line}: not readable as CSV: {error}") from None


def _header(text):
    """The delimiter that makes the most columns of the first row, and the columns."""
    headers = {}
    for delimiter in _DELIMITERS:
        headers[delimiter] = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    delimiter = max(headers, key=lambda delimiter: len(headers[delimiter]))
    return delimiter, headers[delimiter]


def _tokens(source, name):
    """Rows of Flickr8k's texts without a header, `file#number<TAB>caption`; yields how it was read first."""
    yield "file, # and a number, a tab, and a caption"
    for number, line in enumerate(text_of(source, name).split("\n"), 1):
        place = f"{source.where(name)}, line {number}"
        found = re.fullmatch(r"([^\t]+)#\d+\t(.*)", line.rstrip("\r"))
        if found:
            yield None, place, found[1], [found[2].strip()]
        elif line.strip():
            raise PhotosError(
                f"{place}: found {reprlib.repr(line)}; expected the name of a file, # and a number, a tab, "
                "and a caption"
            )


def _json_lines(source, name):
    """Rows of a text with a JSON object on each line; yields how it was read first."""
    lines = [
        (number, line) for number, line in enumerate(text_of(source, name).split("\n"), 1) if line.strip()
    ]
    for number, line in lines:
        place = f"{source.where(name)}, line {number}"
        entry = parsed(place, line)
        if not isinstance(entry, dict):
            raise PhotosError(
                f"{place}: found {reprlib.repr(entry)}; expected an object with a file and a caption"
            )
        names = list(entry)
        file, caption = (names[number] for number in _columns(place, names))
        if number == lines[0][0]:
            yield f"fields {file} and {caption}"
        if not isinstance(entry[file], str):
            raise PhotosError(f"{place}: {file} is {reprlib.repr(entry[file])}; expected the name of a file")
        yield None, place, entry[file], _texts(place, file, entry[caption])
    if not lines:
        raise PhotosError(
            f"{source.where(name)}: is empty; expected an object with a file and a caption on each line"
        )


def _json(source, name):
    """Rows of an object from file to captions, or of Karpathy's splits; yields how it was read first."""
    where = source.where(name)
    content = parsed(where, text_of(source, name))
    if not isinstance(content, dict):
        raise PhotosError(
            f"{where}: expected an object from file name to caption or captions, found "
            f"{type(content).__name__}"
        )
    images = content.get("images")
    if isinstance(images, list) and not all(isinstance(image, str) for image in images):
        yield _KARPATHY
        yield from _karpathy(where, images)
        return
    yield "an object from file to captions"
    seen = set()
    for file, value in content.items():
        plain = named(where, file)
        if plain in seen:
            raise PhotosError(
                f"{where}: the file {plain} is in it twice; expected every file once, with a list of captions"
            )
        seen.add(plain)
        yield None, where, file, _texts(where, file, value)


def _karpathy(where, images):
    known = {"test", *_KARPATHY_SPLITS["train"], *_KARPATHY_SPLITS["valid"]}
    for number, image in enumerate(images):
        place = f"{where}: images[{number}]"
        file, split, sentences = fields(place, image, _KARPATHY, filename=str, split=str, sentences=list)
        if split not in known:
            raise PhotosError(f"{place}: split is {split!r}; expected train, restval, val or test")
        texts = [fields(place, sentence, _KARPATHY, raw=str)[0] for sentence in sentences]
        if image.get("filepath"):
            file = f"{image['filepath']}/{file}"
        yield split, place, file, texts


def _texts(where, file, value):
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise PhotosError(
            f"{where}: {reprlib.repr(file)} has {reprlib.repr(value)}; expected a caption or a list of "
            "captions"
        )
    return texts


_KINDS = {".csv": _csv, ".tsv": _csv, ".txt": _csv, ".json": _json, ".jsonl": _json_lines}
