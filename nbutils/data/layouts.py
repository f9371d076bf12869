"""Files of captions in the layouts that people have: COCO, the class project's pickle, an own CSV or JSON file.

Each reader gives, for "train" and "valid", a dict from the file of a picture to its captions as they stand in the file.
What they hold is not trusted: a wrong type, a name that leads out of the folder or an ambiguity is refused by name.
"""

import csv
import io
import json
import reprlib
from collections import Counter
from pathlib import PurePosixPath

from PIL import Image

from . import captions_pickle
from .archives import CLASS_PROJECT, inside
from .captions import MAX_CAPTIONS
from .errors import PhotosError, Unusable

SPLITS = ("train", "valid")
_FOLDERS = {"train": "train2014", "valid": "val2014"}


def read_captions(source):
    """The captions of a source in any of three layouts; see `photos.read_layout`.

    Args:
        source: from `archives.open_source`.
    Returns:
        layout: "COCO", "class project" or "own folder".
        captions: dict from split to a dict from file to a list of str.
        uncaptioned: how many pictures the layout counts as its own and has no captions for.
    Raises:
        PhotosError: no known layout, or captions that cannot be read.
    """
    if source.files("annotations"):
        found = {split: _coco(source, split) for split in SPLITS}
        return "COCO", {split: captions for split, (captions, _) in found.items()}, sum(count for _, count in found.values())
    if source.size(CLASS_PROJECT) is not None:
        return "class project", *_class_project(source)
    for name, read in (("captions.csv", _csv), ("captions.json", _json)):
        if source.size(name) is not None:
            return "own folder", _every_tenth(source.where(name), read(source, name)), 0
    raise PhotosError(f"{source.path}: no captions found; expected annotations/captions_train2014.json, {CLASS_PROJECT}, captions.csv or captions.json")


def _every_tenth(where, captions):
    names = sorted(captions)
    if len(names) < 2:
        raise PhotosError(f"{where}: {len(names)} captioned picture(s); at least 2 are needed, one to train on and one to hold out")
    held_out = set(names[10::10] or names[-1:])
    return {"train": {name: captions[name] for name in names if name not in held_out}, "valid": {name: captions[name] for name in names if name in held_out}}


def _inside(where, name):
    try:
        return inside(name)
    except Unusable as error:
        raise PhotosError(f"{where}: refused, {error}; expected files of pictures in or below the folder") from None


def _text(source, name):
    where = source.where(name)
    try:
        content = source.read(name)
        return content.decode("utf-8-sig")
    except Unusable as error:
        raise PhotosError(f"{where}: {error}") from None
    except UnicodeDecodeError as error:
        found = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else f"not UTF-8 (byte {error.start:,} is 0x{content[error.start]:02x})"
        raise PhotosError(f"{where}: the text is {found}; save it as UTF-8") from None


def _load_json(source, name):
    def once(pairs):
        value = dict(pairs)
        if len(value) < len(pairs):
            ((name, _),) = Counter(key for key, _ in pairs).most_common(1)
            raise ValueError(f"{reprlib.repr(name)} is twice in one object")
        return value

    try:
        return json.loads(_text(source, name), object_pairs_hook=once)
    except PhotosError:
        raise
    except (ValueError, RecursionError) as error:
        raise PhotosError(f"{source.where(name)}: not readable as JSON: {error}") from None


def _coco(source, split):
    name = f"annotations/captions_{_FOLDERS[split]}.json"
    content, where = _load_json(source, name), source.where(name)
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in ("images", "annotations")):
        raise PhotosError(f"{where}: not a COCO captions file; expected an object with the lists images and annotations")
    files, captions = {}, {}
    for number, image in enumerate(content["images"]):
        identity, file = _fields(f"{where}: images[{number}]", image, id=int | str, file_name=str)
        file = f"{_FOLDERS[split]}/{_inside(where, file)}"
        if identity in files or file in captions:
            raise PhotosError(f"{where}: images[{number}] has the id {identity!r} and the file {file}, one of which is in it before; expected both once")
        files[identity], captions[file] = file, []
    for number, annotation in enumerate(content["annotations"]):
        identity, caption = _fields(f"{where}: annotations[{number}]", annotation, image_id=int | str, caption=str)
        if identity not in files:
            raise PhotosError(f"{where}: annotations[{number}] is about the image {reprlib.repr(identity)}, which images does not have")
        captions[files[identity]].append(caption)
    captioned = {file: texts for file, texts in captions.items() if texts}
    return captioned, len(captions) - len(captioned)


def _fields(where, value, **expected):
    """The values of an object's fields, each of the type expected."""
    if not isinstance(value, dict):
        raise PhotosError(f"{where}: not a COCO captions file; expected an object with {' and '.join(expected)}, found {reprlib.repr(value)}")
    for name, kind in expected.items():
        if not isinstance(value.get(name), kind) or isinstance(value[name], bool):
            kind = getattr(kind, "__name__", kind)
            raise PhotosError(f"{where}: not a COCO captions file; expected {name} of type {kind}, found {reprlib.repr(value.get(name))}")
    return [value[name] for name in expected]


def _class_project(source):
    where = source.where(CLASS_PROJECT)
    try:
        captions = _plain_captions(captions_pickle.read(source.read(CLASS_PROJECT)))
    except Unusable as error:
        raise PhotosError(f"{where}: {error}") from None
    suffixes, splits, uncaptioned = Image.registered_extensions(), {}, 0
    for split, folder in _FOLDERS.items():
        pictures = [PurePosixPath(file) for file in source.files(folder) if PurePosixPath(file).suffix.lower() in suffixes]
        captioned = {}
        for picture in pictures:
            if picture.stem in captioned:
                raise PhotosError(f"{where}: {picture} and {captioned[picture.stem]} differ only in their endings; captions for {picture.stem!r} could be of either")
            if picture.stem in captions:
                captioned[picture.stem] = _inside(where, str(picture))
        if not captioned:
            raise PhotosError(f"{where}: has captions for none of the {len(pictures)} pictures in {folder}")
        splits[split] = {file: captions[stem] for stem, file in captioned.items()}
        uncaptioned += len(pictures) - len(captioned)
    return splits, uncaptioned


def _plain_captions(content):
    """What was pickled as a dict from str to a list of str; one caption more than a picture may have tells that it has too many."""
    if not isinstance(content, dict):
        raise Unusable(f"expected a dict from file name to a list of captions, found {reprlib.repr(content)}")
    captions = {}
    for name, texts in content.items():
        texts = texts[: MAX_CAPTIONS + 1] if isinstance(texts, list | tuple) else None
        if not isinstance(name, str | bytes) or texts is None or not all(isinstance(text, str | bytes) for text in texts):
            raise Unusable(f"expected a dict from file name to a list of captions, found {reprlib.repr({name: content[name]})}")
        try:
            name, *texts = (text.decode() if isinstance(text, bytes) else text for text in (name, *texts))
        except UnicodeDecodeError:
            raise Unusable(f"{reprlib.repr(name)} or a caption of it is bytes that are not UTF-8") from None
        captions[name] = texts
    return captions


def _csv(source, name):
    where, text = source.where(name), _text(source, name)
    rows, captions = csv.reader(io.StringIO(text, newline=""), strict=True), {}
    try:
        header = next(rows, [])
        if header.count("file") != 1 or header.count("caption") != 1:
            raise PhotosError(f"{where}: columns are {reprlib.repr(header)}; expected file and caption once each, with commas between columns")
        for row in rows:
            if row and (len(row) != len(header) or not row[header.index("file")]):
                raise PhotosError(f"{where}, line {rows.line_num}: found {reprlib.repr(row)}; expected {len(header)} columns, a caption that holds commas in quotes")
            if row:
                captions.setdefault(_inside(f"{where}, line {rows.line_num}", row[header.index("file")]), []).append(row[header.index("caption")])
    except csv.Error as error:
        raise PhotosError(f"{where}, line {rows.line_num}: not readable as CSV: {error}") from None
    return captions


def _json(source, name):
    content, where = _load_json(source, name), source.where(name)
    if not isinstance(content, dict):
        raise PhotosError(f"{where}: expected an object from file name to caption or captions, found {type(content).__name__}")
    captions = {}
    for file, value in content.items():
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise PhotosError(f"{where}: {reprlib.repr(file)} has {reprlib.repr(value)}; expected a caption or a list of captions")
        file = _inside(where, file)
        if file in captions:
            raise PhotosError(f"{where}: the file {file} is in it twice; expected every file once, with a list of captions")
        captions[file] = texts
    return captions
