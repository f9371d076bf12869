"""Digits are read whole or refused by name, split without overlap, and turned into sequences as stated."""

import gzip
import hashlib
import http.server
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nbutils.data import digits
from nbutils.data.preparation import checking


def idx(array, kind=8):
    return (
        bytes([0, 0, kind, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype(np.uint8).tobytes()
    )


def write_mnist(folder, train=24, test=6, side=5):
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(
            idx(numbers.integers(0, 256, (count, side, side)))
        )
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(idx(numbers.integers(0, 10, count)))
        )
    return folder


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.booleans())
def test_an_idx_file_is_read_as_it_was_written(tmp_path_factory, shape, compressed):
    array = np.arange(np.prod(shape)).reshape(shape) % 256
    path = tmp_path_factory.getbasetemp() / "array-idx"
    path.write_bytes(gzip.compress(idx(array)) if compressed else idx(array))
    assert np.array_equal(digits.read_idx(path), array)


GOOD = idx(np.arange(12).reshape(3, 4))
PACKED = gzip.compress(GOOD, mtime=0)  # the same on every worker of the tests


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (GOOD[:-1], "holds 11 bytes of data"),
        (GOOD + b"x", "holds 13 bytes of data"),
        (GOOD[:7], "cut short within its header"),
        (b"", "begins with b''"),
        (b"PK\x03\x04" + GOOD, "expected an IDX file"),
        (idx(np.zeros((2, 2)), kind=0x0D), "its type is 0x0d; expected 0x08"),
        (PACKED[:-9], "cannot be read"),
        (PACKED[:12] + b"\xff\xff" + PACKED[14:], "cannot be read"),
        (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, "its header (0, 4294967295, 4294967295) is of no array"),
        (idx(np.zeros((1,)))[:4] + b"\xff\xff\xff\xff", "its header (4294967295,) asks for"),
    ],
)
def test_a_file_that_is_not_whole_or_not_idx_is_named_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(digits.DigitsError) as error:
        digits.read_idx(path)
    assert str(path) in str(error.value)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=60))
def test_no_bytes_make_the_reader_fail_otherwise(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any-idx"
    path.write_bytes(content)
    complaint = ""
    try:
        assert digits.read_idx(path).dtype == np.uint8
    except digits.DigitsError as error:
        complaint = str(error)
    assert not complaint or str(path) in complaint


def test_a_folder_of_idx_files_is_split_with_one_in_twelve_to_select_by(tmp_path):
    splits = digits.load(write_mnist(tmp_path / "mnist"), image_size=5)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [22, 2, 6]
    assert splits.train.images.shape == (22, 5, 5)
    assert "22 to train on" in splits.description


def other_names(folder, kind):
    """The digits of `write_mnist` as other programs leave them."""
    made = write_mnist(folder / "made")
    arrays = dict(
        zip(
            ("x_train", "y_train", "x_test", "y_test"),
            [array for part in digits.read_mnist(made) for array in part],
        )
    )
    there = folder / kind
    if kind == "keras":
        there.mkdir()
        np.savez_compressed(there / "mnist.npz", **arrays)
        return there, arrays
    target = there / ("MNIST/raw" if kind == "torchvision" else "")
    target.mkdir(parents=True)
    for path in made.iterdir():
        (target / (path.name.replace("-idx", ".idx") if kind == "7-zip" else path.name)).write_bytes(
            path.read_bytes()
        )
    return there, arrays


@pytest.mark.parametrize("kind", ["keras", "torchvision", "7-zip"])
def test_digits_are_read_as_other_programs_leave_them(tmp_path, kind, monkeypatch):
    folder, arrays = other_names(tmp_path, kind)
    for place in (folder, folder / "mnist.npz") if kind == "keras" else (folder,):
        found = [array for part in digits.read_mnist(digits.locate(str(place))) for array in part]
        assert all(np.array_equal(one, other) for one, other in zip(found, arrays.values(), strict=True))
        summary, faults = checking.check(place, 1)
        assert not faults
        assert f"digits of {place.name}, which are not MNIST by their checksums: 24 to train on" in summary
    assert digits.load(str(folder), image_size=5).description.startswith(
        f"Digits of {folder.name}, which are not MNIST by their checksums: 22 to train on"
    )
    sums = tuple(hashlib.md5(idx(array)).hexdigest() for array in arrays.values())
    monkeypatch.setattr(digits, "_CONTENTS", sums)
    assert digits.load(str(folder), image_size=5).description.startswith("MNIST: 22 to train on")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"y_test": np.zeros(5, np.uint8)}, "mnist.npz: y_test: 5 labels up to 0; expected 6"),
        ({"x_test": np.zeros((6, 5, 5))}, "x_test is float64"),
        ({"y_train": None}, "not MNIST as Keras has it"),
    ],
)
def test_an_npz_of_other_arrays_is_named(tmp_path, change, complaint):
    folder, arrays = other_names(tmp_path, "keras")
    np.savez(
        folder / "mnist.npz",
        **{name: array for name, array in (arrays | change).items() if array is not None},
    )
    with pytest.raises(digits.DigitsError, match=complaint):
        digits.read_mnist(folder)


def test_missing_and_mismatched_files_are_named(tmp_path):
    folder = write_mnist(tmp_path / "mnist")
    labels = folder / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(idx(np.zeros(5)))
    with pytest.raises(digits.DigitsError, match=r"t10k-labels.*5 labels up to 0; expected 6"):
        digits.read_mnist(folder)
    labels.write_bytes(idx(np.full(6, 11)))
    with pytest.raises(digits.DigitsError, match="labels up to 11"):
        digits.read_mnist(folder)
    labels.write_bytes(idx(np.zeros((2, 3))))
    with pytest.raises(digits.DigitsError, match=r"2 dimension\(s\); expected 1"):
        digits.read_mnist(folder)
    labels.unlink()
    with pytest.raises(digits.DigitsError, match="NBUTILS_DATA"):
        digits.read_mnist(folder)


def test_the_embedded_digits_need_nothing_and_do_not_overlap():
    splits = digits.load("embedded", image_size=8)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [1200, 300, 297]
    rows = torch.cat([part.images.flatten(1) for part in (splits.train, splits.valid, splits.test)])
    assert len(rows.unique(dim=0)) == 1797  # every digit once, and nowhere else
    for part in (splits.train, splits.valid, splits.test):
        assert part.labels.unique().tolist() == list(range(10))
    again = digits.load("embedded", image_size=8, num_train=10)
    assert torch.equal(again.train.images, splits.train.images[:10])


def test_pictures_are_enlarged_smoothly_and_shrunk_by_means(tmp_path):
    assert digits.load("embedded", image_size=12).train.images.shape == (1200, 12, 12)
    folder = write_mnist(tmp_path / "mnist", side=6)
    original = digits.load(folder, image_size=6).test.images.double()
    means = original.view(-1, 3, 2, 3, 2).mean((2, 4))
    assert (
        digits.load(folder, image_size=3).test.images - means
    ).abs().max() <= 1  # Pillow rounds after rows and after columns


def test_sequences_go_row_by_row_and_the_threshold_is_one_half():
    picture = digits.Digits(torch.tensor([[[0, 127], [128, 255]]], dtype=torch.uint8), torch.tensor([3]))
    assert torch.allclose(digits.grey(picture), torch.tensor([[0, 127 / 255, 128 / 255, 1]]))
    assert digits.binarise(picture).tolist() == [[0, 0, 1, 1]]
    assert digits.binarise(picture, threshold=0.4).tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize("choices", [{"image_size": 0}, {"num_train": 0}, {"num_valid": -1}, {"num_test": 0}])
def test_impossible_numbers_are_named(choices):
    with pytest.raises(digits.DigitsError, match=next(iter(choices))):
        digits.load("embedded", **choices)
    with pytest.raises(digits.DigitsError, match="nowhere"):
        digits.load("nowhere")


@pytest.fixture
def server(tmp_path):
    """A server on loopback with a folder for each of two mirrors: (folder, addresses)."""
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: handler(*a, directory=str(tmp_path))
    ) as running:
        threading.Thread(
            target=running.serve_forever, args=(0.01,), daemon=True
        ).start()  # looks for an end that often
        yield tmp_path, [f"http://127.0.0.1:{running.server_port}/{name}/" for name in ("first", "second")]
        running.shutdown()


def serve(folder, monkeypatch, broken=()):
    made = write_mnist(folder / "made")
    sums = {}
    for name in digits.FILES:
        path = made / name
        content = (
            gzip.compress(path.read_bytes()) if path.exists() else path.with_name(f"{name}.gz").read_bytes()
        )
        sums[name] = hashlib.md5(content).hexdigest()
        for mirror in ("first", "second"):
            (folder / mirror).mkdir(exist_ok=True)
            (folder / mirror / f"{name}.gz").write_bytes(b"other bytes" if mirror in broken else content)
    monkeypatch.setattr(digits, "FILES", sums)
    monkeypatch.setenv("NBUTILS_CACHE", str(folder / "cache"))
    monkeypatch.delenv("NBUTILS_DATA", raising=False)


def test_a_mirror_with_wrong_bytes_is_passed_over_and_nothing_is_fetched_twice(server, monkeypatch):
    folder, mirrors = server
    serve(folder, monkeypatch, broken=("first",))
    found = digits.find_mnist(mirrors)
    assert digits.load(found, image_size=5).train.images.shape == (22, 5, 5)
    for name in digits.FILES:
        (folder / "second" / f"{name}.gz").unlink()
    assert digits.find_mnist(mirrors) == found


def test_without_a_mirror_the_message_says_what_each_said_and_what_to_do(server, monkeypatch):
    folder, mirrors = server
    serve(folder, monkeypatch, broken=("first", "second"))
    with pytest.raises(digits.DigitsError, match=r"first/.*hash.*second/.*hash.*set NBUTILS_DATA"):
        digits.find_mnist(mirrors)
    with pytest.raises(digits.DigitsError, match=r"(?s)127.0.0.1:9/.*set NBUTILS_DATA"):
        digits.find_mnist(["http://127.0.0.1:9/"])
    assert list((folder / "cache").rglob("*.gz")) == []


def test_the_folder_named_by_the_environment_goes_before_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("NBUTILS_DATA", str(tmp_path))
    write_mnist(tmp_path / "mnist")
    assert digits.find_mnist(mirrors=()) == tmp_path / "mnist"


@pytest.mark.real_data
def test_real_mnist_is_the_one_known(monkeypatch):
    import os

    root = Path(os.environ["NBUTILS_TEST_DATA"])
    monkeypatch.setenv("NBUTILS_DATA", str(root))
    (train, _), (test, _) = digits.read_mnist(digits.find_mnist())
    assert [hashlib.md5(idx(images)).hexdigest() for images in (train, test)] == [
        "6bbc9ace898e44ae57da46a324031adb",
        "2646ac647ad5339dbf082846283269ea",
    ]
    splits = digits.load("mnist")
    assert splits.description.startswith("MNIST: ")
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [55_000, 5_000, 10_000]
