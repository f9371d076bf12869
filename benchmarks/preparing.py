"""What preparing pictures costs above decoding and resizing them: 20,000 JPEGs of 160 x 120 to 64 x 64, by
two processes either way."""

import io
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from nbutils.data.preparation.prepare import prepare

_COUNT, _SIZE = 20_000, 64


def synthetic(count):
    """Bytes of varied JPEGs: smooth backgrounds under a little noise, as much to decode as photographs
    are."""
    for number in range(count):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize(
            (160, 120), Image.Resampling.BICUBIC
        )
        levels = np.asarray(coarse, np.int16) + random.integers(-12, 13, (120, 160, 1))
        file = io.BytesIO()
        Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
        yield file.getvalue()


def _decode(path):
    with Image.open(path) as picture:
        return np.asarray(
            ImageOps.fit(picture.convert("RGB"), (_SIZE, _SIZE), Image.Resampling.LANCZOS)
        ).sum()


def rows():
    """(work, seconds of the bare loop, seconds of preparing)."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pictures"
        source.mkdir()
        for number, content in enumerate(synthetic(_COUNT)):
            (source / f"{number:05}.jpg").write_bytes(content)
        (source / "captions.csv").write_text(
            "file,caption\n" + "".join(f"{number:05}.jpg,picture {number}\n" for number in range(_COUNT))
        )
        paths = sorted(source.glob("*.jpg"))
        began = time.perf_counter()
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.map(_decode, paths, chunksize=64)
        bare, began = time.perf_counter() - began, time.perf_counter()
        prepare(source, Path(folder) / "prepared", size=_SIZE, jobs=2)
        yield f"preparing {_COUNT:,} JPEGs", bare, time.perf_counter() - began
