"""Whatever stands in a file, its reader gives a value or its own error, and soon."""

import json
import pickle
import pickletools
import struct
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_sources import CLASS_PROJECT, archive, class_project, coco_folder, own_folder, picture_bytes, write
from PIL import Image
from test_untrusted import grey16, half_transparent, saved

from nbutils.data import captions, digits, photos
from nbutils.data.errors import Unusable
from nbutils.data.folders import archives, captions_pickle, pictures
from nbutils.data.preparation import prepare, prepared

LENGTHS = pytest.mark.parametrize(
    "examples",
    [pytest.param(50, id="short"), pytest.param(settings().max_examples, marks=pytest.mark.slow, id="long")],
)


def fuzz(strategy, check, examples):
    suppressed = [HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large]
    settings(
        max_examples=examples, deadline=timedelta(seconds=3), database=None, suppress_health_check=suppressed
    )(given(strategy)(check))()


@st.composite
def mutated(draw, valid):
    """One of the valid files with some bytes changed, put in, taken out or repeated; or any bytes at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    content = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 8))
        kind = draw(st.sampled_from(("change", "insert", "delete", "repeat", "cut", "flip")))
        if kind == "change":
            content[place : place + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "insert":
            content[place:place] = draw(
                st.sampled_from(
                    (b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"..", b"\\ud800", b'"', b"\n", b"9" * 40)
                )
            )
        elif kind == "delete":
            del content[place : place + length]
        elif kind == "repeat":
            content[place:place] = content[max(0, place - 40) : place] * draw(st.integers(1, 3))
        elif kind == "cut":
            del content[place:]
        elif place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


def complaint_of(work, error):
    """The one line with which `work` ends in its own error, or nothing where it has none to make."""
    try:
        work()
    except error as refused:
        text = str(refused)
    else:
        return ""
    assert text
    assert "\n" not in text
    return text


def usable(listing):
    """What a listing promises: captions that are clean, names within the source."""
    for split in photos.SPLITS:
        for picture in listing.splits[split]:
            assert archives.inside(picture.file) == picture.file
            assert all(captions.clean(text) == text for text in picture.captions)


def read_source(path):
    """List a source and read all its pictures; what it has to complain of, it names."""

    def work():
        source = archives.open_source(path)
        listing = photos.read_layout(source)
        usable(listing)
        for _, content, reason in source.contents(
            [picture.file for split in photos.SPLITS for picture in listing.splits[split]]
        ):
            assert (content is None) != (reason is None)

    complaint = complaint_of(work, photos.PhotosError)
    assert not complaint or str(path) in complaint


@LENGTHS
def test_idx_files(tmp_path, examples):
    good = b"\0\0\x08\x02" + struct.pack(">II", 3, 4) + bytes(12)

    def check(content):
        path = write(tmp_path, "idx", content)
        complaint = complaint_of(lambda: digits.read_idx(path), digits.DigitsError)
        assert not complaint or str(path) in complaint

    fuzz(mutated([good, digits.gzip.compress(good)]), check, examples)


NAMES = ("images", "annotations", "id", "image_id", "file_name", "caption", "000.jpg", "x")
SIMPLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(("000.jpg", "../x", "a\0", "\ud800"))
)
ANYTHING = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@LENGTHS
@pytest.mark.parametrize("layout", ["own", "COCO"])
def test_json_captions(tmp_path, layout, examples):
    folder = own_folder(tmp_path, 3) if layout == "own" else coco_folder(tmp_path)
    name = "captions.json" if layout == "own" else "annotations/captions_train2014.json"
    good = (
        json.dumps({"000.jpg": "x", "sub/001.jpg": ["y", "z"], "002.jpg": "\U0001f415"}).encode()
        if layout == "own"
        else (folder / name).read_bytes()
    )
    if layout == "own":
        (folder / "captions.csv").unlink()

    def check(content):
        write(folder, name, content)
        read_source(folder)

    fuzz(mutated([good]) | ANYTHING.map(lambda value: json.dumps(value).encode()), check, examples)


@LENGTHS
def test_csv_captions(tmp_path, examples):
    folder = own_folder(tmp_path, 3)
    good = (folder / "captions.csv").read_bytes()

    def check(content):
        write(folder, "captions.csv", content)
        read_source(folder)

    fuzz(mutated([good, b"\xef\xbb\xbf" + good, good.decode().encode("utf-16")]), check, examples)


@st.composite
def instructions(draw):
    """A pickle of arbitrary instructions with arguments that fit."""
    made = bytearray()
    for _ in range(draw(st.integers(0, 30))):
        instruction = draw(st.sampled_from(pickletools.opcodes))
        made += instruction.code.encode("latin-1")
        if instruction.arg:
            length = instruction.arg.n
            text = draw(st.sampled_from((b"1\n", b"x\n", b"'x'\n", b"os\nsystem\n")))
            counted = draw(st.binary(max_size=3))
            made += (
                draw(st.binary(min_size=length, max_size=length))
                if length > 0
                else text
                if length == -1
                else bytes([len(counted)]) + counted
            )
    return bytes(made) + b"."


@LENGTHS
def test_pickles(tmp_path, examples):
    value = {f"{number:03}": ["x", "caf\xe9"] for number in (0, 1, 100)}

    def check(content):
        complaint_of(lambda: captions_pickle.read(content), Unusable)

    fuzz(
        mutated([pickle.dumps(value, protocol=protocol) for protocol in range(6)]) | instructions(),
        check,
        examples,
    )


@LENGTHS
def test_captions_of_the_class_project(tmp_path, examples):
    folder = class_project(tmp_path)
    good = (folder / CLASS_PROJECT).read_bytes()
    values = st.dictionaries(st.sampled_from(("000", "100", "x", 7, None, b"000")), ANYTHING, max_size=4).map(
        lambda value: pickle.dumps(value, protocol=2)
    )

    def check(content):
        write(folder, CLASS_PROJECT, content)
        read_source(folder)

    fuzz(mutated([good]) | values, check, examples)


@LENGTHS
def test_texts_of_captions(examples):
    def check(text):
        try:
            kept = captions.clean(text)
        except Unusable:
            return
        assert captions.clean(kept) == kept
        assert len(kept) == len(text)
        kept.encode()

    fuzz(st.text(st.characters(codec=None, categories=None), max_size=40), check, examples)


def pictures_of_every_kind():
    image = Image.effect_noise((16, 12), 80).convert("RGB")
    yield from (
        saved(image, kind)
        for kind in (
            "BMP",
            "GIF",
            "JPEG",
            "JPEG2000",
            "PNG",
            "PPM",
            "TGA",
            "TIFF",
            "WEBP",
            "PCX",
            "ICO",
            "AVIF",
            "SGI",
            "DDS",
            "ICNS",
            "MPO",
        )
    )
    yield from (
        saved(half_transparent(mode)[0], "PNG", **half_transparent(mode)[1]) for mode in ("RGBA", "LA", "P")
    )
    yield from (grey16(kind) for kind in ("PNG", "TIFF"))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield saved(image, "JPEG", exif=exif)
    yield saved(image, "TIFF", compression="tiff_lzw")
    yield saved(image, "JPEG", progressive=True)
    yield picture_bytes(3)


@LENGTHS
def test_pictures(examples):
    def check(content):
        read = []
        if not complaint_of(lambda: read.append(pictures.decode(content, 8)), Unusable):
            assert (read[0].shape, read[0].dtype) == ((3, 8, 8), np.uint8)

    fuzz(mutated(list(pictures_of_every_kind())), check, examples)


@LENGTHS
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_archives(tmp_path, suffix, examples):
    folders = {"own": own_folder(tmp_path / "own", 2), "COCO": coco_folder(tmp_path / "COCO", 1, 1)}
    good = [
        archive(folder, tmp_path / f"{name}{suffix}", "top/").read_bytes() for name, folder in folders.items()
    ]
    fuzz(mutated(good), lambda content: read_source(write(tmp_path, f"fuzzed{suffix}", content)), examples)


@LENGTHS
@pytest.mark.parametrize("name", ["manifest.json", "train.npy", "pictures.json"])
def test_prepared_folders(tmp_path, name, examples):
    prepare.prepare(own_folder(tmp_path / "source", 4), tmp_path / "out", size=8)
    good = (tmp_path / "out" / name).read_bytes()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())

    def check(content):
        write(tmp_path / "out", name, content)
        if name != "manifest.json":  # with the right digest, or the reader would never see it
            manifest["digest"] = prepared.digest(tmp_path / "out", manifest)
            write(tmp_path / "out", "manifest.json", json.dumps(manifest))
        complaint = complaint_of(lambda: prepared.open_prepared(tmp_path / "out"), photos.PhotosError)
        assert not complaint or str(tmp_path) in complaint

    values = st.dictionaries(
        st.sampled_from(
            ("format", "image_size", "pictures", "digest", "source", "layout", "left_out", "train")
        ),
        ANYTHING,
    )
    fuzz(
        mutated([good, good[:200]])
        | values.map(lambda value: json.dumps(value | {"format": prepared.FORMAT}).encode()),
        check,
        examples,
    )


def test_the_mutations_reach_both_the_good_and_the_bad():
    """Fuzzing of which nothing is ever accepted, or nothing refused, would show nothing."""
    outcomes = set()

    def check(content):
        outcomes.add("refused" if complaint_of(lambda: pictures.decode(content, 8), Unusable) else "read")

    fuzz(mutated([picture_bytes(3, kind="PNG")]), check, 200)
    assert outcomes == {"read", "refused"}
