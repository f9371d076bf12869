"""Captions in the layouts that people have: COCO, the class project's pickle, an own table, texts beside
pictures.

Each reader gives, for "train" and "valid", a dict from the file of a picture to its captions as they stand in
the file. What they hold is not trusted: a wrong type, a name that leads out of the folder or an ambiguity is
refused by name.
"""

import re
import reprlib
from pathlib import PurePosixPath

from ..captions import MAX_CAPTIONS
from ..errors import PhotosError, Unusable
from . import captions_pickle
from .names import CLASS_PROJECT, TABLE, is_picture
from .tables import SPLITS, decoded, every_tenth, fields, named, own_table, parsed, text_of

_FOLDERS = {"train": "train", "valid": "val"}  # of COCO, before the year
_COCO = "a COCO captions file"


def read_captions(source):
    """The captions of a source in any of the layouts of `photos.read_layout`.

    Args:
        source: from `archives.open_source`.
    Returns:
        layout: "COCO", "class project" or "own folder".
        captions: dict from split to a dict from file to a list of str.
        understood: how the captions were read, a clause.
    Raises:
        PhotosError: no known layout, or captions that cannot be read.
    """
    years = {split: _coco_years(source, part) for split, part in _FOLDERS.items()}
    whole = years["train"] & years["valid"]
    if len(whole) > 1:
        raise PhotosError(
            f"{source.path}: annotations has captions of {' and of '.join(sorted(whole))}; expected "
            "those of one year"
        )
    if whole:
        (year,) = whole
        found = {split: _coco(source, split, year) for split in SPLITS}
        return "COCO", found, f"captions of {year}"
    if source.size(CLASS_PROJECT) is not None:
        return "class project", _class_project(source), CLASS_PROJECT
    tables = [name for name in source.files("") if TABLE.fullmatch(name)]
    if len(tables) > 1:
        raise PhotosError(
            f"{source.path}: both {tables[0]} and {tables[1]} could hold the captions; expected one such file"
        )
    if tables:
        return "own folder", *own_table(source, tables[0])
    _refuse_half_of_coco(source, years)
    if texts := _texts_beside(source):
        return "own folder", *texts
    expected = (
        f"annotations/captions_train2014.json (or of 2017), {CLASS_PROJECT}, captions.csv, .tsv, .txt, "
        ".json or .jsonl, metadata.csv or .jsonl, results.csv, Flickr8k.token.txt, dataset.json"
    )
    raise PhotosError(f"{source.path}: no captions found; expected {expected}, or a .txt beside each picture")


def _coco_years(source, part):
    """The years of which there are COCO's captions."""
    found = (re.search(rf"/captions_{part}(\d{{4}})\.json$", name) for name in source.files("annotations"))
    return {match[1] for match in found if match}


def _refuse_half_of_coco(source, years):
    """Refuse COCO's captions of which only those to train on are there, or only those to hold out."""
    for split, other in (("train", "valid"), ("valid", "train")):
        for year in sorted(years[split] - years[other]):
            there, lacking = (f"captions_{_FOLDERS[part]}{year}.json" for part in (split, other))
            raise PhotosError(
                f"{source.path}: annotations has {there} and not {lacking}: there is no such file; "
                "expected COCO's captions to train on and to hold out"
            )


def _coco(source, split, year):
    folder = f"{_FOLDERS[split]}{year}"
    name = f"annotations/captions_{folder}.json"
    where, text = source.where(name), text_of(source, name)
    content = parsed(where, text)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(part), list) for part in ("images", "annotations")
    ):
        raise PhotosError(
            f"{where}: not a COCO captions file; expected an object with the lists images and annotations"
        )
    files, captions = {}, {}
    for number, image in enumerate(content["images"]):
        identity, file = fields(f"{where}: images[{number}]", image, _COCO, id=int | str, file_name=str)
        file = f"{folder}/{named(where, file)}"
        if identity in files or file in captions:
            raise PhotosError(
                f"{where}: images[{number}] has the id {identity!r} and the file {file}, one of which "
                "is in it before; expected both once"
            )
        files[identity], captions[file] = file, []
    for number, annotation in enumerate(content["annotations"]):
        identity, caption = fields(
            f"{where}: annotations[{number}]", annotation, _COCO, image_id=int | str, caption=str
        )
        if identity not in files:
            raise PhotosError(
                f"{where}: annotations[{number}] is about the image {reprlib.repr(identity)}, which "
                "images does not have"
            )
        captions[files[identity]].append(caption)
    return {file: texts for file, texts in captions.items() if texts}


def _class_project(source):
    where = source.where(CLASS_PROJECT)
    try:
        captions = _plain_captions(captions_pickle.read(source.read(CLASS_PROJECT)))
    except Unusable as error:
        raise PhotosError(f"{where}: {error}") from None
    splits = {}
    for split, part in _FOLDERS.items():
        folder = f"{part}2014"
        pictures = [PurePosixPath(file) for file in source.files(folder) if is_picture(file)]
        captioned = {}
        for picture in pictures:
            if picture.stem in captioned:
                raise PhotosError(
                    f"{where}: {picture} and {captioned[picture.stem]} differ only in their endings; "
                    f"captions for {picture.stem!r} could be of either"
                )
            if picture.stem in captions:
                captioned[picture.stem] = named(where, str(picture))
        if not captioned:
            raise PhotosError(f"{where}: has captions for none of the {len(pictures)} pictures in {folder}")
        splits[split] = {file: captions[stem] for stem, file in captioned.items()}
    return splits


def _plain_captions(content):
    """What was pickled as a dict from str to a list of str; one caption more than a picture may have tells
    that it has too many."""
    if not isinstance(content, dict):
        raise Unusable(f"expected a dict from file name to a list of captions, found {reprlib.repr(content)}")
    captions = {}
    for name, texts in content.items():
        kept = texts[: MAX_CAPTIONS + 1] if isinstance(texts, list | tuple) else [None]
        if not all(isinstance(text, str) for text in (name, *kept)):
            found = reprlib.repr({name: texts})
            raise Unusable(f"expected a dict from file name to a list of captions, found {found}")
        captions[name] = list(kept)
    return captions


def _texts_beside(source):
    """What `read_captions` gives, but for the layout, of pictures with a text of the same name beside them,
    each line of it a caption; None where there are no such texts."""
    stems, names = {}, source.names()
    for name in names:
        if is_picture(name):
            stems.setdefault(str(PurePosixPath(name).with_suffix(".txt")), []).append(name)
    texts, captions = sorted(stems.keys() & set(names)), {}
    if not texts:
        return None
    for name, content, reason in source.contents(texts):
        if len(stems[name]) > 1:
            raise PhotosError(
                f"{source.where(name)}: could be of {stems[name][0]} or of {stems[name][1]}; expected "
                "one picture of that name"
            )
        if content is None:
            raise PhotosError(f"{source.where(name)}: {reason}")
        lines = decoded(source.where(name), content).splitlines()
        captions[stems[name][0]] = [line for line in lines if line.strip()]
    splits = every_tenth(str(source.path), captions)
    return splits, "a text beside each picture, a caption on each line"
