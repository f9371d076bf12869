"""What surrounds a run has no part in it: other folders, repositories, kernels, settings, names."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from test_faults import COMMAND
from test_reports import notebook

from nbutils.evidence import results
from nbutils.reports import parameters, series
from nbutils.reports.run import execution

ROOT = Path(__file__).parents[1]
LOOKS = """import sys
import matplotlib
import helper
import random
from nbutils.evidence import results
from nbutils.show import figures
found = {"python": sys.executable, "helper": helper.__file__, "random": random.__file__}
found |= {"face": matplotlib.rcParams["axes.facecolor"], "red": "red" in dir()}
results.save(reports, "01_first", found, [])"""


def test_other_kernels_modules_and_settings_have_no_part_in_a_run(tmp_path):
    books, typed, home = tmp_path / "books", tmp_path / "typed", tmp_path / "home"
    (books / "profiles").mkdir(parents=True)
    (books / "profiles" / "quick.yaml").write_text("{}")
    for folder in (
        typed,
        home / ".ipython/profile_default/startup",
        home / ".config/matplotlib",
        tmp_path / "j/kernels/python3",
    ):
        folder.mkdir(parents=True)
    (home / ".config/matplotlib/matplotlibrc").write_text("axes.facecolor: yellow\n")
    (home / ".ipython/profile_default/startup/a.py").write_text("red = 1")
    spec = {"argv": ["/nowhere/python", "{connection_file}"], "display_name": "Other", "language": "python"}
    (tmp_path / "j/kernels/python3/kernel.json").write_text(json.dumps(spec))
    for place in (typed, books):
        for name in ("random", "email"):
            (place / f"{name}.py").write_text("raise SystemExit('a module of the folder')")
    (books / "helper.py").touch()
    notebook(books, "01_first", LOOKS)
    notebook(books, "16_copy", LOOKS)
    script = (
        tmp_path / "script" / "nbutils.py"
    )  # which, like the command that is installed, does not lie where it is called
    script.parent.mkdir()
    script.write_text(COMMAND)
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTER_PATH": str(tmp_path / "j"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-P", str(script), str(books), "run", "--out", str(tmp_path / "out")]
    process = subprocess.run(command, cwd=typed, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    for name in ("01_first", "16_copy"):  # a copy has results of its own
        found = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert found["python"] == sys.executable
        assert os.path.samefile(
            books, Path(found["helper"]).parent if os.path.isabs(found["helper"]) else books
        )
        assert found["random"] != str(books / "random.py")
        assert (found["face"], found["red"]) == ("white", False)


@pytest.mark.parametrize("variable", [results.RUNNING, "JPY_SESSION_NAME"])
def test_results_bear_the_name_of_the_notebook_that_runs(tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, "16_copy" if variable == results.RUNNING else "notebooks/16_copy.ipynb")
    results.save(tmp_path, "01_first", {}, [])
    assert [path.name for path in tmp_path.iterdir()] == ["16_copy.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["papermill", "-k", "python3", "02_copy.ipynb", "executed.ipynb"],
        ["jupyter", "nbconvert", "--execute", "--to", "notebook", "--output", "executed", "02_copy.ipynb"],
    ],
    ids=lambda command: command[0],
)
def test_a_copy_that_a_command_runs_has_results_of_its_own(tmp_path, command):
    (tmp_path / "reports").mkdir()
    (tmp_path / "books").mkdir()
    saves = "from nbutils.evidence import results\nresults.save(reports, '01_first', {}, [])"
    notebook(tmp_path / "books", "02_copy", saves)
    program = Path(sys.executable).with_name(command[0])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    subprocess.run(
        [program, *command[1:]], cwd=tmp_path / "books", env=environment, check=True, capture_output=True
    )
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["02_copy.json"]


def test_scratch_notebooks_and_copies_are_not_in_the_series(tmp_path, monkeypatch):
    monkeypatch.setattr(series, "NOTEBOOKS", tmp_path)
    notebook(tmp_path, "01_first", "1")
    for name in ("01_first-Copy1", "01_first copy", "01_first (1)"):
        shutil.copy(tmp_path / "01_first.ipynb", tmp_path / f"{name}.ipynb")
    (tmp_path / "Untitled.ipynb").write_text(
        '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    (tmp_path / "Untitled1.ipynb").touch()
    assert list(series.chosen()) == ["01_first"]
    with pytest.raises(
        parameters.ParameterError,
        match=r"without nbutils.needs in its metadata, or named as a copy; expected one of 01_first",
    ):
        series.chosen(["Untitled"])


def test_a_tree_inside_another_repository_has_no_commit(tmp_path, monkeypatch):
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b.example"]
    subprocess.run([*git, "init", "-q", str(tmp_path)], check=True)
    subprocess.run([*git, "-C", str(tmp_path), "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    (tmp_path / "tree").mkdir()
    monkeypatch.setattr(execution, "_TREE", tmp_path / "tree")
    assert execution.commit() == ""
    subprocess.run([*git, "init", "-q", str(tmp_path / "tree")], check=True)
    subprocess.run(
        [*git, "-C", str(tmp_path / "tree"), "commit", "-q", "--allow-empty", "-m", "y"], check=True
    )
    assert execution.is_commit(execution.commit())


def test_data_is_given_to_a_notebook_from_its_own_folder(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(
        execution,
        "_supervise",
        lambda folder, *_: given.update(json.loads((folder / "request.json").read_text())) or "ended",
    )
    values = {"data": str(tmp_path / "pics"), "digit_data": "mnist", "reports": "../reports"}
    execution.execute(tmp_path / "books" / "01.ipynb", values, tmp_path / "out")
    assert given["parameters"] == {"data": "../pics", "digit_data": "mnist", "reports": "../out"}


def test_a_notebook_run_from_the_root_of_its_clone_is_refused(tmp_path, monkeypatch):
    (tmp_path / "clone" / "notebooks").mkdir(parents=True)
    monkeypatch.setattr(series, "NOTEBOOKS", tmp_path / "clone" / "notebooks")
    shell = types.SimpleNamespace(user_ns={"reports": "../reports"})
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    for folder in (tmp_path, tmp_path / "clone"):
        monkeypatch.chdir(folder)
        with pytest.raises(
            parameters.ParameterError, match=r"'../reports' is meant from the folder of the notebooks"
        ):
            parameters.check({"seed": 0})
    shell.user_ns["reports"] = "reports"
    parameters.check({"seed": 0})
    shell.user_ns["reports"] = "../reports"
    monkeypatch.chdir(tmp_path / "clone" / "notebooks")
    parameters.check({"seed": 0})


def test_a_user_without_a_home_gets_a_folder_and_is_told():
    script = (
        "from pathlib import Path\n"
        + "def home(cls):\n    raise RuntimeError('Could not determine home directory.')\n"
    )
    script += "Path.home = classmethod(home)\nfrom nbutils.cli import app\napp(['data', 'check', '--help'])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("HOME is not set") == 1


def test_the_pins_hold_for_every_python_that_is_promised():
    floor = (
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
        + ".0"
    )
    pins = [line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line]
    there = {
        re.sub(r"[-_.]+", "-", found.name).lower(): found for found in importlib.metadata.distributions()
    }
    compared = 0
    for name, version in pins:
        found = there.get(re.sub(r"[-_.]+", "-", name).lower())
        if found and found.version.partition("+")[0] == version:
            assert SpecifierSet(found.metadata["Requires-Python"] or "").contains(floor), name
            compared += 1
    assert compared > 100


def test_a_picture_of_ones_own_is_meant_from_where_it_was_typed_and_has_to_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(parameters.ParameterError, match=r"picture: there is no file '.*me\.png'"):
        parameters.merge("16_play", {"picture": ""}, {"picture": "me.png"})
    (tmp_path / "me.png").touch()
    found = parameters.merge("16_play", {"picture": ""}, {"picture": "me.png"})
    assert found == {"picture": str(tmp_path / "me.png")}
