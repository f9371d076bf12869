"""Scenes, captions and photographs."""

import json
import os
import pickle
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from nbutils.data import captions, painted_colours, photos, scenes, sources


def test_scenes_are_the_same_for_ever_and_at_every_size():
    assert scenes.describe(17, 3) == scenes.describe(17, 3) != scenes.describe(18, 3)
    assert np.array_equal(scenes.draw(17, 3, 32), scenes.draw(17, 3, 32))
    small, large = (scenes.render(scenes.describe(17, 3), size)[0] for size in (32, 64))
    halved = large.reshape(3, 32, 2, 32, 2).mean((2, 4))
    assert abs(halved - small).mean() < 4


@pytest.mark.skipif(platform.machine() != "x86_64", reason="knows the names of x86 instructions alone")
def test_scenes_are_the_same_on_older_processors():
    program = "import hashlib; from nbutils.data import scenes\ndrawn = [scenes.draw(i) for i in range(99)]\n"
    program += "print(hashlib.sha256(b''.join(picture.tobytes() for picture in drawn)).hexdigest())"

    def drawn_without(features):
        environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": features}
        run = [sys.executable, "-W", "ignore", "-c", program]
        return subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout

    newer = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3 AVX512F AVX512_SKX"  # by names of two numpys
    assert drawn_without("") == drawn_without(newer)


def test_scenes_are_made_of_what_their_captions_say():
    for index in range(50):
        scene = scenes.describe(index)
        text = " ".join(scene.captions)
        assert all(thing.phrase in text for thing in scene.objects)
        assert scene.sky in text.lower()
        assert scene.ground in text.lower()
        assert 1 <= len(scene.objects) <= 3
        assert len({thing.colour for thing in scene.objects}) == len(scene.objects)


def test_objects_are_drawn_where_and_in_the_colour_that_the_attributes_say():
    for index in range(40):
        scene = scenes.describe(index)
        clean, coverage = scenes.render(scene, 64)
        assert (coverage.sum(0) <= 1 + 1e-5).all()
        first = scene.main_object
        other = "red" if scene.objects[first].colour != "red" else "blue"
        objects = list(scene.objects)
        objects[first] = replace(objects[first], colour=other)
        repainted, _ = scenes.render(replace(scene, objects=tuple(objects)), 64)
        assert np.array_equal(repainted[:, coverage.sum(0) == 0], clean[:, coverage.sum(0) == 0])
        visible = coverage[first] > 0.5
        assert (repainted[:, visible] != clean[:, visible]).any(0).mean() > 0.9


def test_the_colour_of_an_object_is_read_wherever_its_caption_lets_it_stand():
    hole = np.zeros((32, 32), bool)
    hole[8:24, 8:24] = True
    for index in range(8):
        scene = scenes.describe(index)
        first, thing = scene.main_object, scene.objects[scene.main_object]
        moved = replace(
            thing,
            colour="red" if thing.colour != "red" else "blue",
            x=1 - thing.x,
            y=0.79 - thing.radius,
            radius=0.95 * thing.radius,
        )
        objects = tuple(moved if number == first else other for number, other in enumerate(scene.objects))
        picture = np.where(
            hole, scenes.render(replace(scene, objects=objects), 32)[0], scenes.draw(index, 0, 32)
        )
        assert painted_colours.painted(scene, first, picture, hole) == moved.colour
        assert painted_colours.matches([index], 0, [picture, picture], hole) == [False]
        assert painted_colours.matches([index], 0, [scenes.draw(index, 0, 32)], hole) == [True]


def test_the_shape_of_an_object_is_read_and_one_that_is_missed_is_nothing():
    hole = np.ones((24, 24), bool)
    for index in range(2):
        scene = scenes.describe(index)
        first = scene.main_object
        thing = scene.objects[first]
        other = "ball" if thing.shape != "ball" else "box"
        without = replace(thing, x=-9.0, y=-9.0)
        for changed, answer in (
            (thing, thing.shape),
            (replace(thing, shape=other), other),
            (without, painted_colours.NOTHING),
        ):
            objects = (*scene.objects[:first], changed, *scene.objects[first + 1 :])
            picture = scenes.render(replace(scene, objects=objects), 24)[0]
            assert painted_colours.painted(scene, first, picture, hole, "shape") == answer


def test_the_noise_is_what_the_floor_says():
    """Chi-square of 40,000 noisy values of one clean level against the distribution whose entropy is
    stated."""
    clean = np.full((40000,), 100.3)
    noisy = np.clip(
        np.rint(clean + scenes.NOISE_SD * np.random.default_rng(0).standard_normal(40000)), 0, 255
    )
    p = np.diff(stats.norm.cdf(np.arange(85, 117) - 0.5, 100.3, scenes.NOISE_SD))
    counts = np.bincount(noisy.astype(int), minlength=256)[85:116]
    assert stats.chisquare(counts, p / p.sum() * counts.sum()).pvalue > 0.001
    assert scenes.noise_entropy(np.array(100.3)) == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-4)
    assert scenes.noise_entropy(np.array(100.3)) == pytest.approx(3.64, abs=0.01)
    residual = scenes.draw(5, 0, 64).astype(float) - scenes.render(scenes.describe(5), 64)[0]
    assert residual.std() == pytest.approx(np.sqrt(scenes.NOISE_SD**2 + 1 / 12), rel=0.03)


def test_negative_scene_numbers_are_refused():
    with pytest.raises(ValueError, match="index is -1"):
        scenes.describe(-1)


def test_captions_make_a_round_trip_and_rare_words_become_unknown():
    texts = [("A red ball.", "It's Tom's!"), ("A blue ball.",)] * 5 + [("A zebra",)]
    vocabulary = captions.Vocabulary.build(texts)
    assert vocabulary.words[:2] == (captions.PADDING, captions.UNKNOWN)
    assert "zebra" not in vocabulary.words
    numbers, lengths = vocabulary.encode([texts[0], texts[-1], ()])
    assert vocabulary.decode(numbers[0]) == [
        "A",
        "red",
        "ball",
        ".",
        captions.SEPARATOR,
        "It's",
        "Tom's",
        "!",
    ]
    assert vocabulary.decode(numbers[1]) == ["A", captions.UNKNOWN]
    assert lengths.tolist() == [8, 2, 0]
    assert (numbers[2] == 0).all()


@given(st.lists(st.text(max_size=30), max_size=3))
def test_any_text_is_split_without_losing_letters(texts):
    words = captions.split_words(texts)
    kept = "".join(word for word in words if word != captions.SEPARATOR)
    assert kept == "".join("".join(text.replace(captions.SEPARATOR, " ").split()) for text in texts)


def picture(path, size=(40, 30), mode="RGB", colour=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour or {"RGB": (200, 10, 10), "L": 100, "CMYK": (0, 0, 0, 0)}[mode]).save(path)


def coco_folder(root):
    (root / "annotations").mkdir(parents=True)
    for split, names in (("train2014", "ab"), ("val2014", "c")):
        for name in names:
            picture(root / split / f"{name}.jpg")
        images = [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate(names)]
        content = {
            "images": images,
            "annotations": [{"id": 9, "image_id": i, "caption": f"a {name}"} for i, name in enumerate(names)],
        }
        (root / "annotations" / f"captions_{split}.json").write_text(json.dumps(content))
    return root


def test_the_three_layouts_are_read(tmp_path):
    root = coco_folder(tmp_path / "both")
    (root / "dict_key_imgID_value_caps_train_and_valid.pkl").write_bytes(
        pickle.dumps({"a": ["from the pickle"], "c": ["x"]}, protocol=2)
    )
    assert [c for _, c in photos.read_folder(root)["train"]] == [("a a",), ("a b",)]  # COCO goes first
    for path in (root / "annotations").iterdir():
        path.unlink()
    (root / "annotations").rmdir()
    assert photos.read_folder(root)["train"] == [(root / "train2014" / "a.jpg", ("from the pickle",))]
    own = tmp_path / "own"
    for i in range(12):
        picture(own / f"{i:02}.png")
    (own / "captions.csv").write_text(
        "file,caption\n" + "".join(f'{i:02}.png,"one, {i}"\n{i:02}.png,two\n' for i in range(12))
    )
    splits = photos.read_folder(own)
    assert [len(splits[s]) for s in photos.SPLITS] == [11, 1]
    assert splits["valid"] == [(own / "10.png", ("one, 10", "two"))]
    (own / "captions.csv").unlink()
    (own / "captions.json").write_text(json.dumps({"00.png": "one", "01.png": ["two", "three"]}))
    assert photos.read_folder(own)["valid"] == [(own / "01.png", ("two", "three"))]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_pictures_of_any_mode_become_square_rgb(tmp_path, mode):
    picture(tmp_path / "p.jpg", mode=mode)
    pixels = photos.read_picture(tmp_path / "p.jpg", 16)
    assert pixels.shape == (3, 16, 16)
    assert pixels.dtype == np.uint8


def test_the_crop_is_central_and_upright(tmp_path):
    array = np.zeros((20, 60, 3), np.uint8)
    array[:, 20:40] = 255
    image = Image.fromarray(array)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "p.png", exif=exif)
    # The white middle, but for the ringing of the filter.
    assert photos.read_picture(tmp_path / "p.png", 8).min() > 230


def test_broken_pictures_and_missing_folders_are_named(tmp_path):
    for content in (b"", b"\xff\xd8\xff\xe0 cut", b"GIF89a", b"PK\x03\x04"):
        (tmp_path / "p.jpg").write_bytes(content)
        with pytest.raises(photos.PhotosError, match=r"p.jpg: not a readable picture"):
            photos.read_picture(tmp_path / "p.jpg", 8)
    with pytest.raises(photos.PhotosError, match="no such folder"):
        photos.read_folder(tmp_path / "nowhere")


def test_sources_are_split_and_the_vocabulary_is_of_the_training_captions(tmp_path, monkeypatch):
    splits = sources.load("scenes", image_size=16, num_train=30, num_valid=5, seed=2)
    assert splits.train.images.shape == (30, 3, 16, 16)
    assert not set(splits.train.indices) & set(splits.valid.indices)
    assert torch.equal(splits.train.images[4], torch.from_numpy(scenes.draw(4, 2, 16)))
    coco_folder(tmp_path / "photos64")
    monkeypatch.setenv("NBUTILS_DATA", str(tmp_path))
    with pytest.raises(
        photos.PhotosError,
        match=r"1 pictures are held out; reports need 3 pictures held out, .*: 31 pictures",
    ):
        sources.load("photos", image_size=16, num_train=5, num_valid=5)
    splits = sources.load("photos", image_size=16, num_train=5, num_valid=1)
    assert (len(splits.train), len(splits.valid), len(splits.vocabulary)) == (2, 1, 2)
    assert splits.valid.captions == (("a c",),)


def test_unknown_sources_say_what_is_known(tmp_path, monkeypatch):
    monkeypatch.delenv("NBUTILS_DATA", raising=False)
    with pytest.raises(ValueError, match="data: 'pictures'; expected scenes or photos"):
        sources.load("pictures", image_size=16, num_train=1, num_valid=1)
    with pytest.raises(ValueError, match="needs the environment variable NBUTILS_DATA"):
        sources.load("photos", image_size=16, num_train=1, num_valid=1)
    monkeypatch.setenv("NBUTILS_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="holds no folder photos64 or coco or photos8k"):
        sources.load("photos", image_size=16, num_train=1, num_valid=1)


def test_photographs_are_named_by_their_folder_in_that_of_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NBUTILS_DATA", str(tmp_path))
    for name in ("photos8k", "coco"):
        (tmp_path / name).mkdir()
    assert sources.photos_folder("photos8k") == tmp_path / "photos8k"
    assert sources.photos_folder("photos") == tmp_path / "coco"
    assert sources.photos_folder(str(tmp_path)) == tmp_path
    with pytest.raises(ValueError, match=r"holds no folder photos64$"):
        sources.photos_folder("photos64")


@pytest.mark.real_data
@pytest.mark.parametrize("layout", ["coco", "class project"])
def test_real_photographs_are_read_in_both_layouts(layout, tmp_path):
    root = Path(os.environ["NBUTILS_TEST_DATA"]) / "photos64"
    if layout == "class project":
        for name in ("train2014", "val2014", "dict_key_imgID_value_caps_train_and_valid.pkl"):
            (tmp_path / name).symlink_to(root / name)
        root = tmp_path
    found = photos.read_folder(root)
    assert [len(found[split]) for split in photos.SPLITS] == [750, 100]
    assert all(len(texts) == 5 for _, texts in found["train"])
    pixels = photos.read_picture(found["valid"][0][0], 64)
    assert pixels.std() > 10
