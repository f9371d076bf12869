"""The static split is the one that papers compare on, to the bit, or it is refused by name; the server is
real and on loopback."""

import hashlib
import http.server
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nbutils.data import binarized, digits
from nbutils.reports import parameters, series
from nbutils.reports.run import records
from nbutils.training.digit_data import DigitData
from nbutils.training.inpainting import pictures_of
from nbutils.training.job import usual

COUNTS = {"train": 5, "valid": 3, "test": 2}


def bits():
    numbers = np.random.default_rng(0)
    return {split: numbers.integers(0, 2, (count, 784), np.uint8) for split, count in COUNTS.items()}


@pytest.fixture
def known(monkeypatch):
    """`bits` are taken for the real ones."""
    digests = {
        split: hashlib.blake2b(np.packbits(rows, axis=1).tobytes(), digest_size=16).hexdigest()
        for split, rows in bits().items()
    }
    monkeypatch.setattr(binarized, "DIGESTS", digests)


def write(path, **changes):
    np.savez(path, **{split: np.packbits(rows, axis=1) for split, rows in bits().items()} | changes)
    return path


def refusal(path):
    with pytest.raises(digits.DigitsError) as error:
        binarized.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_bits_come_back_as_they_were_packed(known, tmp_path):
    read = binarized.read(write(tmp_path / "static.npz"))
    for split, rows in bits().items():
        assert read[split].dtype == np.uint8
        assert np.array_equal(read[split], rows.reshape(-1, 28, 28))


def test_other_files_and_other_bits_are_refused(known, tmp_path):
    assert "train is float64 (2, 98); expected uint8" in refusal(
        write(tmp_path / "floats.npz", train=np.zeros((2, 98)))
    )
    assert "test is uint8 (2, 97); expected uint8 (N, 98)" in refusal(
        write(tmp_path / "short.npz", test=np.zeros((2, 97), np.uint8))
    )
    assert "expected arrays train, valid and test" in refusal(
        write(tmp_path / "objects.npz", test=np.array([None, {}]))
    )
    np.savez(tmp_path / "two.npz", train=np.zeros((2, 98), np.uint8))
    (tmp_path / "broken.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:40])
    for name in ("two.npz", "broken.npz", "none.npz"):
        assert "expected arrays train, valid and test of packed bits" in refusal(tmp_path / name)
    changed = np.packbits(bits()["valid"], axis=1)
    changed[1, 50] ^= 4
    assert "valid holds 3 pictures of digest" in refusal(write(tmp_path / "changed.npz", valid=changed))


def test_the_split_is_loaded_as_pictures_without_labels(known, tmp_path, monkeypatch):
    monkeypatch.setenv("NBUTILS_DATA", str(tmp_path))
    write(tmp_path / binarized.NAME)
    splits = digits.load("binarized", num_train=4)
    assert np.array_equal(digits.binarise(splits.train).numpy(), bits()["train"][:4])
    assert np.array_equal(pictures_of(splits.test).numpy().reshape(2, 784), bits()["test"])
    assert splits.test.labels.tolist() == [-1, -1]
    assert "statically binarised" in splits.description
    assert "4 to train on, 3 to select models by, 2 to report" in splits.description
    with pytest.raises(digits.DigitsError, match="image_size: 14"):
        digits.load("binarized", image_size=14)


def test_a_classifier_refuses_digits_without_labels(known, tmp_path, monkeypatch):
    monkeypatch.setenv("NBUTILS_DATA", str(tmp_path))
    write(tmp_path / binarized.NAME)
    job = replace(usual("classifier"), name="reader", data=DigitData(source="binarized"))
    with pytest.raises(ValueError, match="digit_data: 'binarized' has no labels, which reader is to learn"):
        job.fit(tmp_path / "checkpoints")


def test_a_report_depends_on_the_file_of_the_bits(known, tmp_path, monkeypatch):
    monkeypatch.setenv("NBUTILS_DATA", str(tmp_path))
    path, notebook = write(tmp_path / binarized.NAME), series.NOTEBOOKS / "01_data_and_captions.ipynb"
    parameters.check({"digit_data": "binarized"})

    def key():
        return records.cache_key(notebook, {"digit_data": "binarized"}, [])

    before = key()
    assert key() == before
    os.utime(path, (1, 1))
    assert key() != before


@pytest.fixture
def served(tmp_path, monkeypatch, known):
    """A server of the texts of `bits`, and an empty cache: (folder, address)."""
    monkeypatch.delenv("NBUTILS_DATA", raising=False)
    monkeypatch.setenv("NBUTILS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "served"
    folder.mkdir()
    for split, rows in bits().items():
        (folder / f"binarized_mnist_{split}.amat").write_text(
            "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist())
        )
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: handler(*a, directory=str(folder))
    ) as running:
        threading.Thread(
            target=running.serve_forever, args=(0.01,), daemon=True
        ).start()  # looks for an end that often
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


def test_the_texts_are_downloaded_once_and_packed(served, tmp_path):
    folder, address = served
    path = binarized.find(address)
    for split, rows in bits().items():
        assert np.array_equal(binarized.read(path)[split].reshape(-1, 784), rows)
        (folder / f"binarized_mnist_{split}.amat").unlink()
    assert binarized.find(address) == path
    assert list(path.parent.glob("*.amat")) == []


def test_what_was_had_before_a_download_broke_off_is_not_asked_for_again(served, tmp_path):
    folder, address = served
    last = folder / "binarized_mnist_test.amat"
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(
        digits.DigitsError,
        match=(
            r"binarized_mnist_test.amat is not to be had: .*404.*set NBUTILS_DATA to a folder that holds "
            r"binarized_mnist.npz"
        ),
    ):
        binarized.find(address)
    last.write_bytes(content)
    for split in ("train", "valid"):
        (folder / f"binarized_mnist_{split}.amat").unlink()
    assert binarized.read(binarized.find(address))["test"].shape == (2, 28, 28)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("1", "0", 1), "train holds 5 pictures of digest"),
        (lambda text: text[:-2], r"3,919 letters; expected 0 and 1, 784 to a picture"),
        (lambda text: text.replace("1", "2", 1), "expected 0 and 1"),
        (lambda _: "<html>moved</html>", r"begins with b'<html>moved</html>'"),
        (lambda _: "", "0 letters"),
    ],
)
def test_texts_of_something_else_are_thrown_away(served, tmp_path, change, message):
    folder, address = served
    text = folder / "binarized_mnist_train.amat"
    text.write_text(change(text.read_text()))
    with pytest.raises(digits.DigitsError, match=message):
        binarized.find(address)
    assert [path.name for path in (tmp_path / "cache").rglob("*.amat")] == []
    assert [path.name for path in (tmp_path / "cache").rglob("*.npz")] == []


@pytest.mark.real_data
def test_the_real_split_is_the_one_known(monkeypatch):
    monkeypatch.setenv("NBUTILS_DATA", os.environ["NBUTILS_TEST_DATA"])
    assert binarized.find() == Path(os.environ["NBUTILS_TEST_DATA"]) / binarized.NAME
    splits = digits.load("binarized")
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [50_000, 10_000, 10_000]
    assert splits.train.images.unique().tolist() == [0, 255]
    assert float(digits.binarise(splits.test).mean()) == pytest.approx(0.13, abs=0.01)
    assert torch.equal(splits.test.images[:3], digits.load("binarized", num_test=3).test.images)
