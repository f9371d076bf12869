"""Small sources of captioned pictures for tests, in every layout and container."""

import io
import json
import pickle
import shutil
import subprocess
import tarfile
import zipfile

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from nbutils.cli import app

CLASS_PROJECT = "dict_key_imgID_value_caps_train_and_valid.pkl"


def picture_bytes(number, size=(24, 20), kind="JPEG"):
    """A picture of its own for every number."""
    levels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).resize(size).save(file, kind)
    return file.getvalue()


def write(root, name, content):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def own_folder(root, count=25, **choices):
    for number in range(count):
        write(
            root,
            f"sub/{number:03}.jpg" if number % 2 else f"{number:03}.jpg",
            picture_bytes(number, **choices),
        )
    rows = [
        f'{"sub/" if number % 2 else ""}{number:03}.jpg,"picture {number}, no {text}"'
        for number in range(count)
        for text in ("one", "two")
    ]
    write(root, "captions.csv", "file,caption\n" + "\n".join(rows))
    return root


def coco_folder(root, train=8, valid=3):
    for split, numbers in (("train2014", range(train)), ("val2014", range(100, 100 + valid))):
        for number in numbers:
            write(root, f"{split}/{number:03}.jpg", picture_bytes(number))
        images = [{"id": number, "file_name": f"{number:03}.jpg"} for number in numbers]
        annotations = [
            {"id": number, "image_id": number, "caption": f"picture {number}"} for number in numbers
        ]
        write(
            root,
            f"annotations/captions_{split}.json",
            json.dumps({"images": images, "annotations": annotations}),
        )
    return root


def class_project(root, train=8, valid=3):
    coco_folder(root, train, valid)
    shutil.rmtree(root / "annotations")
    captions = {f"{number:03}": [f"picture {number}"] for number in (*range(train), *range(100, 100 + valid))}
    write(root, CLASS_PROJECT, pickle.dumps(captions, protocol=2))
    return root


LAYOUTS = {"own folder": own_folder, "COCO": coco_folder, "class project": class_project}


def archive(folder, path, top=""):
    """All files of a folder as an archive, in an order that is not that of their names."""
    files = sorted((file for file in folder.rglob("*") if file.is_file()), key=lambda file: file.name[::-1])
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as made:
            for file in files:
                made.write(file, f"{top}{file.relative_to(folder)}")
    else:
        with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as made:
            for file in files:
                made.add(file, f"{top}{file.relative_to(folder)}")
    return path


def coco_zips(folder, root):
    """The same pictures and captions as COCO's official zip files."""
    root.mkdir()
    for name, part in (
        ("train2014", "train2014"),
        ("val2014", "val2014"),
        ("annotations_trainval2014", "annotations"),
    ):
        archive(folder / part, root / f"{name}.zip", top=f"{part}/")
    return root


def contents(folder):
    """Every file of a folder, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def nbutils(*arguments):
    """What the command line says and how it ends, without a process of its own."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def complaint(process):
    """The one line on standard error of a command that failed as it should."""
    assert process.returncode == 2, process.stdout + process.stderr
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ")
    return line
