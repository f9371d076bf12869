"""Runs one notebook in processes of its own and hands back what came of it, as values and bytes that can
travel between machines."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import joblib
import nbformat

from ... import devices
from ...evidence import results
from ...files import write_json
from ...training import checkpoints
from .. import parameters

_ERROR_LENGTH = 500  # characters
_REPORTS = "../reports"  # from the folder of the notebooks, in a clone
_TREE = Path(__file__).parents[3]  # that holds this package
_PATIENCE = 10  # seconds for a process to end its kernel


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook: `status` is done, failed or not run; `cached` where an earlier run stood;
    `error` is one line."""

    name: str
    status: str
    seconds: float = 0.0
    cached: bool = False
    error: str = ""


@dataclass(frozen=True)
class Execution:
    """An Outcome, and the files that go with it: the executed `notebook`, as far as it came, and the results
    it wrote, the `sidecar`; None without.

    `files` are those that the results declare, by name. `checkpoints` are those that they name, by place in
    the folder of the reports, where they have to travel.
    """

    outcome: Outcome
    notebook: bytes | None = None
    sidecar: bytes | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    checkpoints: dict[str, bytes] = field(default_factory=dict)


def declared_files(reports, sidecar):
    """The files that the results of a notebook declare (see `results.save`), by name.

    Raises:
        OSError: one cannot be read.
    """
    names = json.loads(sidecar).get("files", [])
    return {name: (Path(reports) / name).read_bytes() for name in names if Path(name).name == name}


class Stopped(Exception):
    """Nobody waits for the notebook any more."""


def execute(path, values, reports, timeout=None, stopped=lambda done, total: False):
    """Run a notebook. Whatever happens to this process, no kernel is left behind.

    Args:
        path: of the notebook.
        values: dict of its parameters.
        reports: folder on this machine with the results of the notebooks it needs; its checkpoints go there,
            and its results.
        timeout: longest time for one cell, seconds; None for no limit.
        stopped: called every half a second with the number of cells executed and of all, 0 while not known;
            the notebook is ended when it says True.
    Returns:
        Execution.
    Raises:
        Stopped: it was.
        OSError: the temporary folder cannot be written.
    """
    began, started, made_by = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds"), commit()
    sidecar = Path(reports) / f"{path.stem}.json"
    before = _stamp(sidecar)
    places = {"reports": reports} | {
        name: values[name] for name in parameters.PATHS if os.path.isabs(values.get(name, ""))
    }
    here = os.path.realpath(path.parent)  # no machine's paths in a page
    given = values | {name: os.path.relpath(place, here) for name, place in places.items() if name in values}
    with tempfile.TemporaryDirectory(prefix="nbutils-") as folder:
        write_json(
            Path(folder) / "request.json", {"notebook": str(path), "parameters": given, "timeout": timeout}
        )
        error = _one_line(_supervise(Path(folder), stopped, path.stem))
        outcome = Outcome(
            path.stem, "failed" if error else "done", round(time.perf_counter() - began, 1), error=error
        )
        executed = Path(folder) / "executed.ipynb"
        said = (
            executed.read_text(encoding="utf-8").replace(f"{folder}/", "") if executed.is_file() else ""
        )  # warnings name the kernel's temporary files
    notebook = nbformat.reads(said, as_version=4) if said else None
    if notebook is None:
        return Execution(outcome)
    notebook.cells = [
        cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", ())
    ]
    notebook.metadata["papermill"]["output_path"] = path.name
    _name_reports(notebook)
    notebook.metadata["nbutils"] = (
        dict(notebook.metadata.get("nbutils", {}))
        | {
            "parameters": {name: value for name, value in given.items() if name != "reports"},
            "seconds": outcome.seconds,
            "started": started,
            "device": _device(),
            "versions": checkpoints.versions(),
            "commit": made_by,
            "error": error,
        }
        | _resolved(values)
    )
    written = outcome.status == "done" and _stamp(sidecar) not in (None, before)
    saved = sidecar.read_bytes() if written else None
    return Execution(
        outcome,
        (nbformat.writes(notebook) + "\n").encode(),
        saved,
        declared_files(reports, saved) if saved else {},
    )


def _resolved(values):
    """What the run card says of parameters that depend on the machine that ran the notebook."""
    return {"precision": devices.resolved(values["precision"])} if "precision" in values else {}


def _name_reports(notebook):
    """Say where reports are kept in a reader's own copy, not where they were kept on this machine."""
    given = notebook.metadata["papermill"]["parameters"]
    for cell in notebook.cells:
        if "reports" in given and "injected-parameters" in cell.metadata.get("tags", ()):
            cell.source = re.sub(
                r"^reports = .*$", f'reports = "{_REPORTS}"', cell.source, flags=re.MULTILINE
            )
            given["reports"] = _REPORTS


def _supervise(folder, stopped, name):
    """Run the engine on the request in `folder`; the reason why the notebook failed, or an empty text."""
    # one thread: the same sums however many notebooks run at a time; a number that the user has set stands
    environment = {"OMP_NUM_THREADS": "1"} | os.environ
    environment["NBUTILS_PANELS"] = ""  # panels off also in a terminal of JupyterLab
    environment["TMPDIR"] = str(folder)  # nothing is left in /tmp
    environment |= _nobodys(folder) | {results.RUNNING: name}
    for variable in (
        "NBUTILS_DATA",
        "NBUTILS_CACHE",
    ):  # which are meant from here, not from the notebook's folder
        if environment.get(variable):
            environment[variable] = os.path.abspath(environment[variable])
    # -P, as the folder where the command is given is no place for modules, unless it is where this package
    # comes from
    if not sys.flags.safe_path and os.path.realpath(sys.path[0]) == os.path.realpath(_TREE):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_TREE), environment.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", f"{__package__}.kernel_process", str(folder)]
    with (
        open(folder / "log", "wb") as log
    ):  # a session of its own keeps a terminal's Ctrl-C for this process, which ends the other in order
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        while not _ended(process, 0.5):
            if stopped(*_cells(folder)):
                raise Stopped
    finally:
        process.stdin.close()  # the leash: the engine ends, and its kernel
        if not _ended(process, _PATIENCE):
            process.kill()
            process.wait()
    kernel, result = folder / "kernel", folder / "result.json"
    if kernel.is_file():
        with contextlib.suppress(ProcessLookupError):  # nothing is left of it, mostly
            os.killpg(int(kernel.read_text(encoding="utf-8")), signal.SIGKILL)
    if result.is_file():
        return json.loads(result.read_text(encoding="utf-8"))["error"]
    if process.returncode < 0:
        return f"the process that runs the notebook was killed by {signal.Signals(-process.returncode).name}"
    said = (folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines() or [
        "it said nothing"
    ]
    return f"the process that runs the notebook ended with exit code {process.returncode}: {said[-1]}"


def _nobodys(folder):
    """Variables that keep a user's own settings of matplotlib, IPython and Jupyter out of a report."""
    (folder / "matplotlibrc").touch()
    names = {"MATPLOTLIBRC": "matplotlibrc", "IPYTHONDIR": "ipython", "JUPYTER_RUNTIME_DIR": "runtime"}
    return {variable: str(folder / name) for variable, name in names.items()}


def _cells(folder):
    """How many cells the engine has executed, and of how many."""
    path = folder / "cells.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else (0, 0)


def _ended(process, seconds):
    """Whether a process ends within so many seconds."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _one_line(text):
    """What a terminal can show of a text, without its escapes and line breaks."""
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= _ERROR_LENGTH else f"{text[:_ERROR_LENGTH]} ..."


def _stamp(path):
    """Tells one version of a file from another; None where there is none."""
    if not path.is_file():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _device():
    """What the machine has to compute with: the accelerator that trainings use, where there is one, and the
    cores."""
    cores = f"{joblib.cpu_count()} processor cores"
    return cores if devices.default().type == "cpu" else f"{devices.default().type}, {cores}"


def commit():
    """The commit of the working tree, ending in -dirty where notebooks or package have changes that it lacks.

    Empty where this tree is no repository of its own, also where it lies inside another one.
    """
    if not shutil.which("git"):
        return ""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    }  # of a hook

    def git(*arguments):
        return subprocess.run(
            ["git", *arguments], cwd=_TREE, capture_output=True, text=True, env=environment
        ).stdout.strip()

    tree = git("rev-parse", "--show-toplevel")
    if not tree or not os.path.samefile(tree, _TREE):
        return ""
    name = git("describe", "--always")
    return (
        f"{name}-dirty" if name and git("status", "--porcelain", "--", ":/nbutils", ":/notebooks") else name
    )


def is_commit(name):
    """Whether a name from `commit` is that of a commit and all of what was run."""
    return bool(name) and not name.endswith("-dirty")
