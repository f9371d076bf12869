"""Training resumes exactly, keeps what it had when it fails, and its schedule is the one described."""

import csv
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nbutils.data import sources
from nbutils.nade.inpainter import Inpainter, InpainterConfig
from nbutils.nade.objective import EncodedPictures, InpaintingTask, hide
from nbutils.training import checkpoints
from nbutils.training.job import load
from nbutils.training.loop import TrainingSettings, learning_rate, train
from nbutils.training.state import MedianPlateau, TrainingState


def small_run(folder, steps=8, loss="cross_entropy", **settings):
    """A training that takes a second or two: (model, run)."""
    splits = sources.load("scenes", image_size=8, num_train=20, num_valid=6)
    parts = [
        EncodedPictures(part.images, *splits.vocabulary.encode(part.captions))
        for part in (splits.train, splits.valid)
    ]
    torch.manual_seed(0)
    sizes = dict(
        image_size=8,
        width=6,
        layers=3,
        vocabulary_size=len(splits.vocabulary),
        embedding_size=4,
        reader_size=4,
    )
    model = Inpainter(InpainterConfig(**sizes))
    task = InpaintingTask(pictures=parts[0], held_out=parts[1], hole_size=4, loss=loss, caption_dropout=0.3)
    chosen = dict(steps=steps, batch_size=4, validate_every=3, checkpoint_every=2, patience=3) | settings
    description = {
        "name": "small",
        "model": "Inpainter",
        "config": vars(model.config),
        "vocabulary": splits.vocabulary.words,
    }
    return model, train(model, task, TrainingSettings(**chosen), folder, description)


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_training_killed_and_resumed_ends_with_the_same_weights_bit_for_bit(tmp_path, precision):
    whole, run = small_run(tmp_path / "whole", steps=40, precision=precision)
    here, folder = str(Path(__file__).parent), str(tmp_path / "cut")
    code = (
        f"import sys; sys.path.insert(0, {here!r}); from test_training import small_run; "
        f"small_run({folder!r}, steps=40, precision={precision!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "cut").glob("*/checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -9
    _, description = checkpoints.load(next((tmp_path / "cut").glob("*/checkpoint.safetensors")))
    assert 0 < description["progress"]["step"] < 40  # it was really interrupted
    resumed, again = small_run(tmp_path / "cut", steps=40, precision=precision)
    assert same_weights(whole, resumed)
    drop = ("seconds",)
    assert [{k: v for k, v in row.items() if k not in drop} for row in run.metrics] == [
        {k: v for k, v in row.items() if k not in drop} for row in again.metrics
    ]


def test_a_finished_training_is_not_repeated_and_other_settings_start_anew(tmp_path):
    first, run = small_run(tmp_path)
    written = run.checkpoint.stat().st_mtime_ns
    second, again = small_run(tmp_path)
    assert same_weights(first, second)
    assert again.checkpoint.stat().st_mtime_ns == written
    _, other = small_run(tmp_path, learning_rate=2e-3)
    assert other.checkpoint != run.checkpoint


def test_metrics_are_written_as_csv(tmp_path):
    _, run = small_run(tmp_path)
    with open(run.checkpoint.parent / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [3, 6, 8]
    assert float(rows[-1]["valid_bits"]) == run.metrics[-1]["valid_bits"]
    assert {"gradient_norm", "parameter_norm", "valid_bits_known", "train_loss"} <= set(rows[0])


@pytest.mark.parametrize("loss", ["cross_entropy", "emd1", "emd2"])
def test_every_loss_goes_down(tmp_path, loss):
    _, run = small_run(tmp_path, steps=160, loss=loss, learning_rate=0.01, validate_every=20, patience=1000)
    assert run.metrics[-1]["train_loss"] < 0.9 * run.metrics[0]["train_loss"]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_weights(tmp_path, monkeypatch):
    real = InpaintingTask.loss_of
    calls = []

    def poisoned(self, model, batch):
        calls.append(1)
        return real(self, model, batch) * (math.nan if len(calls) == 6 else 1)

    monkeypatch.setattr(InpaintingTask, "loss_of", poisoned)
    with pytest.raises(FloatingPointError, match="the loss became nan at step 5; the weights of step 4"):
        small_run(tmp_path)
    tensors, description = checkpoints.load(next(tmp_path.glob("*/checkpoint.safetensors")))
    assert description["progress"]["step"] == 4
    assert all(tensor.isfinite().all() for name, tensor in tensors.items() if name.startswith("model."))


def test_numbers_that_were_noted_are_refused_by_the_step_that_they_are_of(tmp_path):
    """Losses and gradients stay on their device for some steps; what is read then still names the first step
    that went wrong."""
    for losses, norms, message in (
        ([2, 1, math.nan], [1, 1, 1], "loss became nan at step 6"),
        ([3, 2, 1], [1, math.inf, 1], "gradient became inf at step 5"),
    ):
        state = TrainingState(tmp_path, TrainingSettings(steps=9), {})
        state.step = 4
        for loss, norm in zip(losses, norms):
            state.note(torch.tensor(float(loss)), torch.tensor(float(norm)))
            state.step += 1
        with pytest.raises(FloatingPointError, match=message):
            state.read()
        assert state.losses == losses[: losses.index(state.losses[-1]) + 1]


def test_a_trained_model_is_left_as_it_was_but_for_its_weights(tmp_path):
    for precision in ("32-true", "bf16-mixed"):
        model, _ = small_run(tmp_path, precision=precision)
        assert model.forward == Inpainter.forward.__get__(model)  # not under autocast any more
        assert next(model.parameters()).dtype == torch.float32
        assert not model.training


def test_known_variables_are_scored_over_the_pictures_that_have_some(tmp_path):
    """Held-out pictures come in batches; one in which nothing is known says nothing of what known variables
    cost."""
    model, _ = small_run(tmp_path)
    splits = sources.load("scenes", image_size=8, num_train=1, num_valid=70)
    held_out = EncodedPictures(splits.valid.images, *splits.vocabulary.encode(splits.valid.captions))
    task = InpaintingTask(pictures=held_out, held_out=held_out, hole_size=1)
    nats, number = 0.0, 0
    generator = torch.Generator().manual_seed(20170402)
    for rows in (range(64), range(64, 70)):
        image, caption, length = held_out.take(torch.tensor(rows))
        known, hole = hide(task.mask, image.shape, hole_size=1, generator=generator)
        with torch.no_grad():
            costs = torch.nn.functional.cross_entropy(
                model(image, known, caption, length).movedim(-1, 1), image, reduction="none"
            )
        nats, number = nats + float(costs[known & hole].sum()), number + int((known & hole).sum())
    assert task.validate(model)["bits_known"] == pytest.approx(nats / number / math.log(2), rel=1e-5)
    nothing = InpaintingTask(pictures=held_out, held_out=held_out, hole_size=8, mask="square")
    assert math.isnan(nothing.validate(model)["bits_known"])


def test_the_plateau_divides_when_the_median_has_not_improved_for_its_patience():
    plateau = MedianPlateau(patience=300)
    for step in range(0, 2000, 100):
        plateau.update(step, 1.0 if step else 2.0)
    assert plateau.divisions == 5  # best at 200 (median of 2, 1, 1), then every 300 steps: 500, 800, ... 1700
    lone = MedianPlateau(patience=300)
    for step in range(0, 900, 100):
        lone.update(step, 0.1 if step == 500 else 1.0)
    assert lone.best == 1.0  # one lucky evaluation does not pass the median


def test_learning_rates_rise_and_fall():
    cosine = TrainingSettings(steps=1000, learning_rate=0.1, schedule="cosine")
    assert learning_rate(cosine, 0, 0) == pytest.approx(0.1 / 50)
    assert learning_rate(cosine, 500, 0) == pytest.approx(0.0505)
    assert learning_rate(cosine, 999, 0) < 0.0011
    assert learning_rate(TrainingSettings(steps=1000, learning_rate=0.1), 999, 2) == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": 0}, "steps: 0"),
        ({"schedule": "linear"}, "schedule: 'linear'"),
        ({"precision": "8"}, "precision: '8'"),
    ],
)
def test_impossible_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**{"steps": 1} | setting)


def test_checkpoints_are_read_back_or_refused(tmp_path):
    model, run = small_run(tmp_path)
    loaded, vocabulary = load(run.checkpoint)
    assert same_weights(model, loaded)
    assert vocabulary.words[0] == "<padding>"
    whole = run.checkpoint.read_bytes()
    cut, flipped, foreign = tmp_path / "cut", tmp_path / "flipped", tmp_path / "foreign"
    cut.write_bytes(whole[: len(whole) // 2])
    changed = bytearray(whole)
    changed[-100] ^= 1
    flipped.write_bytes(changed)
    foreign.write_bytes(b"PK\x03\x04 something else")
    for path, message in (
        (cut, "cut short"),
        (flipped, "contents have changed"),
        (foreign, "not a checkpoint"),
    ):
        with pytest.raises(checkpoints.CheckpointError, match=message):
            checkpoints.load(path)
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        checkpoints.load(tmp_path / "nowhere")


def test_a_checkpoint_from_the_future_or_of_another_model_is_refused(tmp_path):
    checkpoints.save(tmp_path / "new", {"a": torch.zeros(1)}, {"format": 99})
    with pytest.raises(checkpoints.CheckpointError, match="format 99"):
        checkpoints.load(tmp_path / "new")
    checkpoints.save(tmp_path / "other", {"a": torch.zeros(1)}, {"model": "GRU"})
    with pytest.raises(checkpoints.CheckpointError, match="holds a GRU"):
        load(tmp_path / "other")


def test_a_failed_write_leaves_what_was_there(tmp_path):
    from nbutils.files import write_json

    write_json(tmp_path / "numbers.json", {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "numbers.json", {"a": math.nan})
    assert (tmp_path / "numbers.json").read_text() == '{\n "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["numbers.json"]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_training_of_usual_size_gives_the_same_weights_twice(tmp_path, two_threads):
    """Large enough that every operation runs on all threads, where sums could come out in another order."""
    splits = sources.load("scenes", image_size=32, num_train=40, num_valid=4)
    parts = [
        EncodedPictures(part.images, *splits.vocabulary.encode(part.captions))
        for part in (splits.train, splits.valid)
    ]
    models = []
    for attempt in ("first", "second"):
        torch.manual_seed(0)
        sizes = dict(
            image_size=32,
            width=32,
            layers=4,
            kind="dilated_residual",
            readout=128,
            vocabulary_size=len(splits.vocabulary),
            embedding_size=32,
            reader_size=32,
        )
        models.append(Inpainter(InpainterConfig(**sizes)))
        task = InpaintingTask(pictures=parts[0], held_out=parts[1], hole_size=16)
        train(
            models[-1],
            task,
            TrainingSettings(steps=3, batch_size=8, precision="32-true"),
            tmp_path / attempt,
            {"name": attempt},
        )
    assert same_weights(*models)
