"""A training that is kept is taken by its very job, and by no other."""

import json
from dataclasses import replace

import pytest
import torch

from nbutils.nade.inpainter import InpainterConfig
from nbutils.nade.objective import Inpainting
from nbutils.pixelrnn.models import RecurrentConfig
from nbutils.reports import publications
from nbutils.reports.render import rendering
from nbutils.training import checkpoints, kept
from nbutils.training.digit_data import DigitData
from nbutils.training.inpainting import PictureData
from nbutils.training.job import Job, fit_all
from nbutils.training.loop import TrainingSettings
from nbutils.training.pixels import Prediction

SETTINGS = TrainingSettings(steps=4, batch_size=4, schedule="constant", validate_every=2, keep_best=True)
DIGITS = Job(
    name="GRU",
    data=DigitData(source="embedded", image_size=6, num_train=20, num_valid=10),
    model=RecurrentConfig(cell="gru", hidden_size=4),
    task=Prediction(num_scored=5),
    settings=SETTINGS,
)
PICTURES = Job(
    name="net",
    data=PictureData(image_size=8, num_train=8, num_valid=4),
    model=InpainterConfig(image_size=8, width=4, layers=2, reader_size=4, embedding_size=4),
    task=Inpainting(hole_size=4),
    settings=SETTINGS,
)
ORIGIN = dict(commit="0123abc", processor="one core")


@pytest.fixture
def store(tmp_path):
    return tmp_path / "trained"


def weights(run):
    return checkpoints.weights(checkpoints.load(run.checkpoint)[0])


@pytest.mark.parametrize("job", [DIGITS, PICTURES], ids=["digits", "pictures"])
def test_the_same_job_takes_what_was_kept_instead_of_training(tmp_path, store, job, monkeypatch):
    own = job.fit(tmp_path / "there")
    kept.keep(own.checkpoint, store, "small", **ORIGIN)
    monkeypatch.setattr("nbutils.training.job.train", None)  # whoever trains now fails
    named = replace(job, name="another name")
    taken = named.fit(tmp_path / "here", beforehand=store)
    assert taken.metrics == own.metrics
    assert taken.checkpoint.is_relative_to(tmp_path / "here")
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights(own).items()
    }
    assert weights(taken).keys() == halves.keys()
    assert all(torch.equal(tensor, halves[name]) for name, tensor in weights(taken).items())
    for name, tensor in taken.model.state_dict().items():
        assert torch.equal(tensor.cpu(), halves[name].to(tensor.dtype))
    said = publications.told({"The net": taken.checkpoint})
    assert "half precision: The net (4 steps, 0 minutes) on one core at commit `0123abc`." in said
    assert publications.told({"The net": own.checkpoint}) == ""


@pytest.mark.parametrize("job", [DIGITS, PICTURES], ids=["digits", "pictures"])
def test_what_was_kept_is_listed_and_stands_on_the_page_of_runs(tmp_path, store, job):
    run = job.fit(tmp_path / "there")
    kept.keep(run.checkpoint, store, "small_net", **ORIGIN)
    (row,) = kept.listed(store)
    end = run.metrics[-1]
    reached = {
        "GRU": f"{end['valid_loss']:.4f} nats a pixel",
        "net": f"{end.get('valid_bits', 0):.3f} bits a variable",
    }
    assert row == ORIGIN | {"name": "small_net", "reached": reached[job.name], "steps": 4, "hours": 0.0}
    page = rendering.template("status_page").render(cards=[], outcomes={}, common={}, trained=[row])
    for told in ("small net", row["reached"], "one core", "0123abc"):
        assert f"<td>{told}</td>" in page
    assert kept.listed(publications.trainings())  # those of the repository


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"hidden_size": 5}, {"num_scored": 6}, {"num_train": 19}, {"beta2": 0.9}]
)
def test_a_job_that_differs_by_one_value_trains(tmp_path, store, change):
    kept.keep(DIGITS.fit(tmp_path / "there").checkpoint, store, "small", **ORIGIN)
    run = DIGITS.vary(**change).fit(tmp_path / "here", beforehand=store)
    assert publications.told({"run": run.checkpoint}) == ""


@pytest.mark.slow
def test_of_jobs_side_by_side_those_are_taken_that_were_kept(tmp_path, store):
    kept.keep(DIGITS.fit(tmp_path / "there").checkpoint, store, "small", **ORIGIN)
    runs = fit_all([DIGITS, DIGITS.vary(beta2=0.9)], tmp_path / "here", store)
    assert [bool(publications.told({"run": run.checkpoint})) for run in runs] == [True, False]


def test_what_began_with_a_kept_training_is_known_by_it(tmp_path, store):
    first = PICTURES.fit(tmp_path / "there")
    after = PICTURES.vary(loss="emd1", begin_with=first.checkpoint)
    kept.keep(first.checkpoint, store, "first", **ORIGIN)
    kept.keep(after.fit(tmp_path / "there").checkpoint, store, "after", **ORIGIN)
    again = PICTURES.fit(tmp_path / "here", beforehand=store)
    follows = PICTURES.vary(loss="emd1", begin_with=again.checkpoint).fit(tmp_path / "here", beforehand=store)
    assert "(4 steps" in publications.told({"after": follows.checkpoint})
    of_another = PICTURES.vary(**{"settings.seed": 1}).fit(tmp_path / "here")
    kept.keep(of_another.checkpoint, store, "of_another", **ORIGIN)  # in one folder with the first
    other = PICTURES.vary(loss="emd1", begin_with=store / "of_another.safetensors")
    assert publications.told({"other": other.fit(tmp_path / "here", beforehand=store).checkpoint}) == ""


def test_a_damaged_file_is_named_and_nothing_is_trained(tmp_path, store, monkeypatch):
    place = kept.keep(DIGITS.fit(tmp_path / "there").checkpoint, store, "small", **ORIGIN)
    monkeypatch.setattr("nbutils.training.job.train", None)
    whole = place.read_bytes()
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    changed = "small.safetensors: its contents have changed since it was written; .* or restore it"
    with pytest.raises(checkpoints.CheckpointError, match=changed):
        DIGITS.fit(tmp_path / "here", beforehand=store)
    place.write_bytes(whole[:100])
    with pytest.raises(
        checkpoints.CheckpointError, match=r"small\.safetensors: not a checkpoint, or cut short"
    ):
        DIGITS.fit(tmp_path / "here", beforehand=store)
    assert not (tmp_path / "here").exists()


def test_an_unfinished_training_and_a_foreign_file_are_refused(tmp_path, store):
    unfinished = DIGITS.fit(tmp_path / "there").checkpoint
    tensors, description = checkpoints.load(unfinished)
    store.mkdir()
    (store / "small.safetensors").write_bytes(unfinished.read_bytes())
    with pytest.raises(checkpoints.CheckpointError, match=r"small.*: is no kept training"):
        DIGITS.fit(tmp_path / "here", beforehand=store)
    description.pop("digest")
    checkpoints.save(unfinished, tensors, description | {"settings": description["settings"] | {"steps": 9}})
    with pytest.raises(ValueError, match=r"is at step 4 of 9; keep it when it has ended"):
        kept.keep(unfinished, tmp_path / "other", "small", **ORIGIN)
    assert not (tmp_path / "other").exists()


def test_what_people_read_of_a_kept_training(tmp_path, store):
    place = kept.keep(DIGITS.fit(tmp_path / "there").checkpoint, store, "small", **ORIGIN)
    said = json.loads(place.with_suffix(".json").read_text())
    assert (said["commit"], said["steps"], said["task"]) == ("0123abc", 4, {"num_scored": 5})
    assert [row["step"] for row in said["curve"]] == [2, 4]
    assert said["settings"]["clip_norm"] == "Infinity"
