"""A training written down in a file, run from the command line, shared among processes, and watched."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from nbutils import identity, job_files
from nbutils.cli import app
from nbutils.nade.inpainter import Inpainter
from nbutils.processes import single_threaded
from nbutils.training import job as jobs
from nbutils.training.job import fit_all, load, spread, usual, watch
from nbutils.training.pixels import Classification

ROOT = Path(__file__).parents[1]
SMALL = dict(
    image_size=8,
    hole_size=4,
    num_train=12,
    num_valid=4,
    width=6,
    layers=3,
    readout=0,
    reader_size=4,
    batch_size=4,
    steps=8,
    validate_every=2,
    checkpoint_every=4,
    precision="32-true",
)


def train(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "nbutils", "train", *map(str, arguments)], capture_output=True, text=True
    )


@pytest.mark.slow
def test_a_job_in_a_file_and_one_in_code_are_one_training(tmp_path):
    nested = {"data": {"num_train": 12, "image_size": 8}, "model": {"image_size": 8}}
    flat = {name: value for name, value in SMALL.items() if name not in ("num_train", "image_size")}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(nested | flat | {"steps": 3}))
    process = train(tmp_path / "job.yaml", "--set", "steps=8", "--out", tmp_path / "out")
    assert process.returncode == 0, process.stderr
    run = usual().vary(**SMALL).fit(tmp_path / "out")
    assert process.stdout.splitlines()[-1] == str(run.checkpoint)
    assert len(list((tmp_path / "out").glob("*/checkpoint.safetensors"))) == 1
    assert run.model.config.merge_layers == (1, 2, 3)


@pytest.mark.slow
def test_a_watched_training_tells_its_metrics_while_it_runs(tmp_path):
    job = usual().vary(**SMALL | {"steps": 40, "validate_every": 4, "layers": 4})
    rows = []
    for row in watch(job, tmp_path, processes=2):
        rows.append(row)
        if len(rows) == 1:
            on_disk = len(list(csv.DictReader(next(tmp_path.glob("*/metrics.csv")).read_text().splitlines())))
            assert on_disk < 10  # it had not ended yet
    assert [row["step"] for row in rows] == list(range(4, 41, 4))
    alone = job.fit(tmp_path / "alone")
    assert [row["valid_loss"] for row in rows] == pytest.approx(alone.column("valid_loss"), abs=1e-3)


@pytest.mark.slow
def test_a_watched_training_that_fails_says_why(tmp_path):
    with pytest.raises(
        RuntimeError,
        match=r"ended with exit code 1: error: batch_size: 5 cannot be cut into 2 equal parts.*said.txt",
    ):
        list(watch(usual().vary(**SMALL | {"batch_size": 5}), tmp_path, processes=2))


@pytest.mark.parametrize(
    ("text", "setting", "message"),
    [
        ("[1, 2]", "steps=1", "expected a mapping of parameters by name, found list"),
        ("widht: 3", "steps=1", "job has no parameter 'widht'; did you mean 'width'?"),
        ("width: wide", "steps=1", "job: width is 'wide'; expected int such as 48"),
        ("loss: emd3", "steps=1", "loss: 'emd3'; expected one of cross_entropy, emd1, emd2"),
        ("", "hole_size=99", "a hole of 99 x 99 does not fit"),
        ("", "num_merges=-1", "num_merges: -1; expected at least 0"),
        ("job: classifier", "width=3", "job has no parameter 'width'"),
        (
            "job: predicter",
            "steps=1",
            "job: 'predicter'; expected one of inpainter, digit inpainter, predictor",
        ),
        ("model: {image_size: 16}", "steps=1", "a model for 16 and pictures of 32 pixels"),
    ],
)
def test_bad_jobs_are_refused_in_one_line(tmp_path, capsys, text, setting, message):
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(SystemExit) as ended:
        app(["train", str(tmp_path / "job.yaml"), "--set", setting, "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_merges_are_spread_evenly():
    assert spread(0, 5) == ()
    assert spread(1, 5) == (1,)
    assert spread(3, 5) == (1, 3, 5)
    assert spread(5, 3) == (1, 2, 3)


def test_a_name_sets_what_it_means_wherever_a_job_has_it():
    job = usual()
    assert job.vary(image_size=64, seed=3) == job.vary(
        **{"data.image_size": 64, "model.image_size": 64, "data.seed": 3, "settings.seed": 3}
    )
    assert job.vary(**{"settings.seed": 3}).data.seed == 0
    assert job.vary(layers=7).model.merge_layers == (1, 4, 7)
    assert job.vary(layers=7, num_merges=2).model.merge_layers == (1, 7)
    assert job.vary(layers=7, merge_layers=(2,)).model.merge_layers == (2,)
    assert job.vary(reader_size=8).model.embedding_size == 8
    assert job.vary(reader_size=8, embedding_size=4).model.embedding_size == 4
    assert job.vary(**job.values()) == job
    with pytest.raises(ValueError, match="widht: no part of a training of this kind has it"):
        job.vary(widht=3)
    with pytest.raises(ValueError, match="num_merges: no part"):
        usual("predictor").vary(num_merges=3)


def test_parts_that_do_not_go_together_are_refused():
    job, reader = usual(), usual("classifier")
    with pytest.raises(ValueError, match="Classification with InpainterConfig on PictureData; expected"):
        replace(job, task=Classification())
    with pytest.raises(ValueError, match="task: TrainingSettings; expected one of Inpainting, Prediction"):
        replace(job, task=job.settings)
    with pytest.raises(ValueError, match="hole_size: a hole of 16 x 16 does not fit into pictures of 12"):
        replace(job, data=reader.data)
    with pytest.raises(ValueError, match="image_size: a model for 32 and pictures of 16 pixels"):
        job.vary(**{"data.image_size": 16})
    with pytest.raises(ValueError, match="channels and levels: a model of 1 and 256; expected 3 and 256"):
        job.vary(channels=1)
    with pytest.raises(ValueError, match="num_pixels: 144; expected 784, those of pictures of 28 x 28"):
        usual("whole image").vary(image_size=28)
    with pytest.raises(ValueError, match="variant: 'early_stages' with mask 'orderless'"):
        job.vary(variant="early_stages", mask="orderless")
    with pytest.raises(ValueError, match="validation_masks: 0; expected at least 1"):
        job.vary(validation_masks=0)
    with pytest.raises(ValueError, match="num_scored: 1; expected 2 or more"):
        usual("predictor").vary(num_scored=1)
    with pytest.raises(ValueError, match="Prediction with ClassifierConfig on DigitData; expected"):
        replace(reader, task=usual("predictor").task)
    with pytest.raises(ValueError, match="in-painting with RecurrentConfig on PictureData"):
        replace(job, model=usual("predictor").model)


@pytest.mark.parametrize("kind", ["inpainter", "digit inpainter", "predictor", "classifier", "whole image"])
def test_what_is_written_of_a_job_is_read_as_that_job(tmp_path, kind):
    job = usual(kind).vary(steps=7, name="other", learning_rate=1e-3 / 3)
    if kind == "inpainter":
        job = job.vary(scored_variables=None, layers=4, **{"model.reader_size": 12}, data=str(tmp_path))
    (tmp_path / "job.yaml").write_text(jobs._written(job, tmp_path))
    assert job_files.read(tmp_path / "job.yaml", ()) == job
    changed = job_files.read(tmp_path / "job.yaml", ["batch_size=6", "settings.seed=5"])
    assert changed == job.vary(batch_size=6, **{"settings.seed": 5})


def test_a_file_names_digits_and_no_checkpoint_to_begin_with(tmp_path):
    (tmp_path / "job.yaml").write_text("job: predictor\ndata: mnist\n")
    (tmp_path / "mnist").mkdir()
    job = job_files.read(tmp_path / "job.yaml", ["begin_with=null"])
    assert (job.data.source, job.begin_with) == ("mnist", None)
    begun = replace(job, begin_with=tmp_path / "first.safetensors")
    (tmp_path / "begun.yaml").write_text(jobs._written(begun, tmp_path))
    assert job_files.read(tmp_path / "begun.yaml", ()).begin_with == str(begun.begin_with)


def test_a_training_on_sequences_is_not_cut_into_parts(tmp_path):
    with pytest.raises(ValueError, match="micro_batches: 2 for each of 1 processes; a training on sequences"):
        usual("predictor").vary(steps=1, micro_batches=2, num_train=60).fit(tmp_path)


@pytest.mark.slow
def test_jobs_fitted_side_by_side_are_those_fitted_alone(tmp_path):
    small = usual().vary(**SMALL)
    pair = [small.vary(num_valid=2, steps=16), small.vary(seed=3)]  # the second ends first
    together = fit_all(pair, tmp_path / "together")
    with single_threaded():
        alone = [job.fit(tmp_path / "alone") for job in pair]
    assert [run.checkpoint.parent.name for run in together] == [run.checkpoint.parent.name for run in alone]
    assert [run.column("valid_bits") for run in together] == [run.column("valid_bits") for run in alone]


def test_another_variant_of_the_task_is_a_training_of_its_own(tmp_path):
    job = usual().vary(**SMALL)
    plain, changed = (job.vary(variant=variant).fit(tmp_path) for variant in ("plain", "early_stages"))
    assert changed.checkpoint != plain.checkpoint
    assert changed.column("train_loss") != plain.column("train_loss")


def test_a_checkpoint_says_all_that_reading_it_takes(tmp_path):
    run = usual().vary(**SMALL).fit(tmp_path)
    model, vocabulary = load(run.checkpoint)
    assert not model.training
    assert len(vocabulary) == model.config.vocabulary_size > 2
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), run.model.state_dict().values())
    )


def test_the_code_of_inpainters_is_no_part_of_what_a_reader_of_pixels_depends_on():
    def modules(name):
        return {path.name for path in identity._closure([f"nbutils.training.{name}"])}

    assert {"inpainter.py", "objective.py", "variants.py"} <= modules("inpainting")
    assert not {"inpainter.py", "variants.py", "scenes.py"} & (modules("pixels") | modules("loop"))
    assert not {"recurrent.py", "pixels.py"} & modules("inpainting")


def test_published_models_are_read():
    place = ROOT / "docs" / "checkpoints"
    found = sorted(place.rglob("checkpoint.safetensors"))
    of = {path.relative_to(place).parts[0] for path in found}
    assert of == {"05_sampling_orderings", "11_pixel_prediction", "13_nade_meets_pixel_rnn"}
    for path in found:
        model, vocabulary = load(path, "cpu")
        assert (vocabulary is None) == (not isinstance(model, Inpainter))
        assert not model.training
