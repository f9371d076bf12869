"""Captioned photographs from a folder: COCO, the class project's layout, or a user's own."""

import csv
import io
import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SPLITS = ("train", "valid")
_CLASS_PROJECT = "dict_key_imgID_value_caps_train_and_valid.pkl"
_FOLDERS = {"train": "train2014", "valid": "val2014"}
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class PhotosError(ValueError):
    """A folder, captions file or picture that cannot be used; the message names it."""


def read_folder(folder):
    """The pictures and captions of a folder in any of three layouts.

    COCO (`annotations/captions_train2014.json` beside `train2014/`, likewise `val2014`), the class project
    (`dict_key_imgID_value_caps_train_and_valid.pkl` beside the same folders; COCO goes first where both are there), or an
    own folder (pictures with `captions.csv`, columns file and caption, or `captions.json`, an object from file to captions).

    Returns:
        dict from "train" and "valid" to a list of (path, captions), sorted by file name. An own folder gives every
        tenth picture to "valid".
    Raises:
        PhotosError: no such folder, no known layout, or captions that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PhotosError(f"{folder}: no such folder; give one with captions (COCO, class project, or captions.csv and pictures)")
    if (folder / "annotations").is_dir():
        return {split: _coco(folder, split) for split in SPLITS}
    if (folder / _CLASS_PROJECT).is_file():
        return _class_project(folder)
    for name, read in (("captions.csv", _captions_csv), ("captions.json", _captions_json)):
        if (folder / name).is_file():
            pairs = _existing(folder / name, folder, read(folder / name))
            if len(pairs) < 2:
                raise PhotosError(f"{folder / name}: {len(pairs)} captioned picture(s); at least 2 are needed, one to train on and one to hold out")
            return {"train": [p for i, p in enumerate(pairs) if i % 10 or not i], "valid": pairs[10::10] or pairs[-1:]}
    raise PhotosError(f"{folder}: no captions found; expected annotations/captions_train2014.json, {_CLASS_PROJECT}, captions.csv or captions.json")


def _coco(folder, split):
    path = folder / "annotations" / f"captions_{_FOLDERS[split]}.json"
    content = _load_json(path)
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        captions = {}
        for annotation in content["annotations"]:
            captions.setdefault(names[annotation["image_id"]], []).append(str(annotation["caption"]))
    except (KeyError, TypeError) as error:
        raise PhotosError(f"{path}: not a COCO captions file: {error!r}; expected images with id and file_name, annotations with image_id and caption") from None
    return _existing(path, folder / _FOLDERS[split], captions)


def _class_project(folder):
    path = folder / _CLASS_PROJECT
    captions = read_captions_pickle(path)
    result = {}
    for split, name in _FOLDERS.items():
        pictures = {p.stem: p for p in sorted((folder / name).glob("*")) if p.suffix.lower() in _SUFFIXES}
        if not pictures:
            raise PhotosError(f"{folder / name}: no pictures; the captions in {path.name} need them")
        result[split] = [(picture, tuple(captions[stem])) for stem, picture in pictures.items() if captions.get(stem)]
        if not result[split]:
            raise PhotosError(f"{path}: has captions for none of the {len(pictures)} pictures in {folder / name}")
    return result


def read_captions_pickle(path):
    """The class project's captions: a pickled dict from file stem to a list of captions, read by an unpickler that makes
    nothing but plain containers and strings.

    Raises:
        PhotosError: anything else in the file, by name.
    """

    class PlainUnpickler(pickle.Unpickler):
        def find_class(self, module, name):
            raise PhotosError(f"{path}: refused, the pickle asks for {module}.{name}; expected a plain dict of lists of strings")

    try:
        content = PlainUnpickler(io.BytesIO(Path(path).read_bytes()), encoding="utf-8").load()
    except PhotosError:
        raise
    except Exception as error:  # a broken pickle can raise anything at all
        raise PhotosError(f"{path}: not a readable pickle: {error!r}") from None
    if not isinstance(content, dict) or not all(isinstance(k, str) and isinstance(v, list | tuple) and all(isinstance(c, str) for c in v) for k, v in content.items()):
        raise PhotosError(f"{path}: expected a dict from file name to a list of captions")
    return content


def _captions_csv(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"file", "caption"} <= set(rows.fieldnames or ()):
            raise PhotosError(f"{path}: columns are {rows.fieldnames}; expected file and caption")
        captions = {}
        for number, row in enumerate(rows, 2):
            if not row["file"] or row["caption"] is None:
                raise PhotosError(f"{path}, line {number}: expected a file and a caption, found {dict(row)}")
            captions.setdefault(row["file"], []).append(row["caption"])
    return captions


def _captions_json(path):
    content = _load_json(path)
    if not isinstance(content, dict):
        raise PhotosError(f"{path}: expected an object from file name to caption or captions, found {type(content).__name__}")
    captions = {name: [value] if isinstance(value, str) else value for name, value in content.items()}
    for name, value in captions.items():
        if not isinstance(value, list) or not all(isinstance(caption, str) for caption in value):
            raise PhotosError(f"{path}: {name!r} has {value!r}; expected a caption or a list of captions")
    return captions


def _load_json(path):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PhotosError(f"{path}: no such file") from None
    except ValueError as error:
        raise PhotosError(f"{path}: not readable as JSON: {error}") from None


def _existing(source, folder, captions):
    pairs = [(folder / name, tuple(texts)) for name, texts in sorted(captions.items()) if texts]
    if not pairs:
        raise PhotosError(f"{source}: names no captioned picture")
    missing = [path for path, _ in pairs if not path.is_file()]
    if missing:
        raise PhotosError(f"{source}: names {missing[0].name}, which is not in {folder} ({len(missing)} of {len(pairs)} pictures are missing)")
    return pairs


def read_picture(path, size):
    """A picture as uint8 (3, size, size): turned upright, centre-cropped to a square, Lanczos-resized, greyscale and CMYK made RGB.

    Raises:
        PhotosError: the file is not a whole picture.
    """
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            fitted = ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PhotosError(f"{path}: not a readable picture: {error}") from None
    return np.asarray(fitted).transpose(2, 0, 1).copy()
