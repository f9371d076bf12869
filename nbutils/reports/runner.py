"""Runs notebooks with papermill: in order of dependence, each in a process of its own, and only where something has changed."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import joblib
import nbformat
import torch
import yaml

from .. import checkpoints
from ..data.digits import digits_folder
from ..data.sources import photos_folder
from ..files import source_digest, write_json, written_whole
from . import html, parameters


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook: `status` is done, failed or not run; `cached` where an earlier run stood; `error` is one line."""

    name: str
    status: str
    seconds: float = 0.0
    cached: bool = False
    error: str = ""


def series(names=()):
    """Notebooks by name in order of the series; `names` picks some, by name or number ("04"), with all that they need.

    Raises:
        ParameterError: a name that no notebook has.
    """
    every = {path.stem: path for path in sorted(parameters.NOTEBOOKS.glob("*.ipynb"))}
    chosen = set()
    for name in names:
        matching = [known for known in every if known == Path(name).stem or known.split("_")[0] == name]
        if not matching:
            raise parameters.ParameterError(f"notebook: {name!r}; expected one of {', '.join(every)}")
        chosen.update(matching)
    wanted = set(chosen or every)
    while missing := {need for name in wanted for need in needs(every[name])} - wanted:
        wanted |= missing
    return {name: path for name, path in every.items() if name in wanted}


def needs(path):
    """The notebooks whose results a notebook reads, as its metadata says."""
    return nbformat.read(path, as_version=4).metadata.get("nbutils", {}).get("needs", [])


def run(notebooks, resolved, out, *, force=False, timeout=None, report=print):
    """Run notebooks, render their pages and the index.

    Args:
        notebooks: dict from name to path, from `series`, which stand in an order that puts what is needed first.
        resolved: dict from name to parameters, from `parameters.resolve`.
        out: folder of the pages, results and executed notebooks.
        force: run also what has not changed.
        timeout: longest time for one cell, seconds; None for no limit.
        report: called with a line of text for every event.
    Returns:
        list of Outcome, in order.
    """
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    code, keys, outcomes = source_digest(("cli", "__main__", "reports/html", "reports/runner")), {}, {}
    for name, path in notebooks.items():
        upstream = needs(path)
        blocked = [need for need in upstream if outcomes[need].status != "done"]
        keys[name] = cache_key(path, resolved[name], code, [keys[need] for need in upstream])
        if blocked:
            outcomes[name] = Outcome(name, "not run", error=f"needs {', '.join(blocked)}")
        elif not force and (earlier := _earlier(out, name)) and earlier["key"] == keys[name] and earlier["outcome"]["status"] == "done":
            outcomes[name] = replace(Outcome(**earlier["outcome"]), cached=True)
        else:
            report(f"{name}: running")
            outcomes[name] = _execute(path, resolved[name], out, keys[name], timeout)
        outcome = outcomes[name]
        report(f"{name}: {outcome.status}" + (", nothing changed" if outcome.cached else f" in {outcome.seconds:.0f} s") + (f", {outcome.error}" if outcome.error else ""))
    every = [path.stem for path in sorted(parameters.NOTEBOOKS.glob("*.ipynb"))]
    before = {name: Outcome(**earlier["outcome"]) for name in every if name not in outcomes and (earlier := _earlier(out, name))}
    shown = {name: vars((outcomes | before)[name]) for name in every if name in outcomes or name in before}
    html.render_series(out, list(shown), shown)
    return list(outcomes.values())


def cache_key(path, values, code, upstream):
    """What a notebook's results depend on: its cells, parameters, the code, package versions, data on disk, what it needs."""
    cells = [(cell.cell_type, cell.source) for cell in nbformat.read(path, as_version=4).cells]
    folders = [photos_folder(values["data"])] if values.get("data", "scenes") != "scenes" else []
    folders += [digits_folder(values["digit_data"])] if values.get("digit_data", "embedded") != "embedded" else []
    files = [(str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns) for folder in folders for p in sorted(folder.rglob("*"))]
    content = json.dumps([cells, values, code, checkpoints.versions(), files, upstream], sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _earlier(out, name):
    """What is recorded of an earlier run into this folder: its key and outcome; None where there was none."""
    record = out / f".{name}.run.json"
    if record.is_file() and (out / f"{name}.ipynb").is_file():
        return json.loads(record.read_text(encoding="utf-8"))
    return None


def _execute(path, values, out, key, timeout):
    began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    given = values | ({"reports": os.path.relpath(out, path.parent)} if "reports" in values else {})  # no machine's paths in a page
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "parameters.yaml"
        settings.write_text(yaml.safe_dump({name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}), encoding="utf-8")
        executed = Path(folder) / path.name
        command = [sys.executable, "-m", "papermill", path, executed, "--cwd", path.parent, "-k", "python3", "-f", settings, "--no-progress-bar"]
        command += ["--execution-timeout", str(timeout)] if timeout else []
        quiet = os.environ | {"NBUTILS_PANELS": ""}  # also where a terminal of JupyterLab runs the series
        process = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=quiet)
        if process.returncode and not executed.exists():
            return Outcome(path.stem, "failed", time.perf_counter() - began, error=f"papermill: {process.stderr.strip().splitlines()[-1]}")
        error = _error(executed) or ("" if process.returncode == 0 else process.stderr.strip().splitlines()[-1])
        outcome = Outcome(path.stem, "failed" if error else "done", round(time.perf_counter() - began, 1), error=error)
        notebook = nbformat.read(executed, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", ())]
    notebook.metadata["nbutils"] = dict(notebook.metadata.get("nbutils", {})) | {
        "parameters": {name: value for name, value in values.items() if name != "reports"},
        "seconds": outcome.seconds, "started": started, "device": _device(), "versions": checkpoints.versions(), "commit": _commit(), "error": error,
    }  # fmt: skip
    with written_whole(out / path.name) as beside:
        nbformat.write(notebook, beside)
    write_json(out / f".{path.stem}.run.json", {"key": key, "outcome": vars(outcome)})
    return outcome


def _error(executed):
    for cell in nbformat.read(executed, as_version=4).cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                return f"{output.ename}: {output.evalue}".splitlines()[0]
    return ""


def _device():
    """What the machine has to compute with: the accelerator that trainings use, where there is one, and the cores."""
    if torch.accelerator.is_available():
        return f"{torch.accelerator.current_accelerator().type}, {joblib.cpu_count()} processor cores"
    return f"{joblib.cpu_count()} processor cores"


def _commit():
    """The commit of the working tree, for the run card; empty outside a repository."""
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return git.stdout.strip()
