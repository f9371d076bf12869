"""A training written down in a file, run from the command line, shared among processes, and watched."""

import csv
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from nbutils.cli import app
from nbutils.processes import single_threaded
from nbutils.training import checkpoints, recipes

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
def test_a_recipe_in_a_file_and_one_in_code_are_one_training(tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(SMALL | {"steps": 3}))
    process = train(tmp_path / "recipe.yaml", "--set", "steps=8", "--out", tmp_path / "out")
    assert process.returncode == 0, process.stderr
    model, run = recipes.Recipe(**SMALL).fit(tmp_path / "out")
    assert process.stdout.splitlines()[-1] == str(run.checkpoint)
    assert len(list((tmp_path / "out").glob("*/checkpoint.safetensors"))) == 1
    assert model.config.merge_layers == (1, 2, 3)
    assert checkpoints.load_inpainter(run.checkpoint)[0].config == model.config


@pytest.mark.slow
def test_a_watched_training_tells_its_metrics_while_it_runs(tmp_path):
    recipe = recipes.Recipe(**SMALL | {"steps": 40, "validate_every": 4})
    rows = []
    for row in recipes.watch(recipe, tmp_path, processes=2):
        rows.append(row)
        if len(rows) == 1:
            on_disk = len(list(csv.DictReader(next(tmp_path.glob("*/metrics.csv")).read_text().splitlines())))
            assert on_disk < 10  # it had not ended yet
    assert [row["step"] for row in rows] == list(range(4, 41, 4))
    alone = recipe.fit(tmp_path / "alone")[1]
    assert [row["valid_loss"] for row in rows] == pytest.approx(alone.column("valid_loss"), abs=1e-3)


@pytest.mark.slow
def test_a_watched_training_that_fails_says_why(tmp_path):
    with pytest.raises(
        RuntimeError,
        match=r"ended with exit code 1: error: batch_size: 5 cannot be cut into 2 equal parts.*said.txt",
    ):
        list(recipes.watch(recipes.Recipe(**SMALL | {"batch_size": 5}), tmp_path, processes=2))


@pytest.mark.parametrize(
    ("text", "setting", "message"),
    [
        ("[1, 2]", "steps=1", "expected a mapping of parameters by name, found list"),
        ("widht: 3", "steps=1", "recipe has no parameter 'widht'; did you mean 'width'?"),
        ("width: wide", "steps=1", "recipe: width is 'wide'; expected int such as 48"),
        ("loss: emd3", "steps=1", "loss: 'emd3'; expected one of cross_entropy, emd1, emd2"),
        ("", "hole_size=99", "a hole of 99 x 99 does not fit"),
        ("", "num_merges=-1", "num_merges: -1; expected at least 0"),
    ],
)
def test_bad_recipes_are_refused_in_one_line(tmp_path, capsys, text, setting, message):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(SystemExit) as ended:
        app(["train", str(tmp_path / "recipe.yaml"), "--set", setting, "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_merges_are_spread_evenly():
    assert recipes.spread(0, 5) == ()
    assert recipes.spread(1, 5) == (1,)
    assert recipes.spread(3, 5) == (1, 3, 5)
    assert recipes.spread(5, 3) == (1, 2, 3)


def without_captions(task):
    return replace(task, caption_dropout=1.0)


@pytest.mark.slow
def test_recipes_fitted_side_by_side_are_those_fitted_alone(tmp_path):
    pair = [
        recipes.Recipe(**SMALL | {"num_valid": 2, "steps": 16}),
        recipes.Recipe(**SMALL | {"seed": 3}),
    ]  # the second ends first
    together = recipes.fit_all(pair, tmp_path / "together")
    with single_threaded():
        alone = [recipe.fit(tmp_path / "alone")[1] for recipe in pair]
    assert [run.checkpoint.parent.name for run in together] == [run.checkpoint.parent.name for run in alone]
    assert [run.column("valid_bits") for run in together] == [run.column("valid_bits") for run in alone]


@pytest.mark.slow
def test_a_change_of_the_task_is_a_training_of_its_own(tmp_path):
    recipe = recipes.Recipe(**SMALL)
    (changed,) = recipes.fit_all([recipe], tmp_path, change=without_captions)
    (stated,) = recipes.fit_all([replace(recipe, caption_dropout=1.0)], tmp_path)
    (plain,) = recipes.fit_all([recipe], tmp_path)
    assert changed.checkpoint == stated.checkpoint
    assert changed.column("train_loss") != plain.column("train_loss")
