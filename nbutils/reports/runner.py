"""Runs a series of notebooks in order of dependence, only where something has changed, and keeps what comes of it in one folder."""

import errno
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from .. import checkpoints
from ..data.digits import digits_folder
from ..data.sources import photos_folder
from ..files import source_digest, write_json, written_whole
from . import html, parameters
from .execution import Outcome, execute

_NO_SPACE = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class RecordError(ValueError):
    """What is kept of an earlier run is not whole; the message says what of it."""


@dataclass(frozen=True)
class Record:
    """What is kept of the run of a notebook beside its files: the `key` it depended on, its `outcome`, and `files`, a dict from file name to digest."""

    key: str
    outcome: Outcome
    files: dict[str, str]


def series(names=()):
    """Notebooks by name in order of the series; `names` picks some, by name or number ("04"), with all that they need.

    Raises:
        ParameterError: a name that no notebook has, or a notebook that needs one which does not stand before it.
    """
    every = {path.stem: path for path in sorted(parameters.NOTEBOOKS.glob("*.ipynb"))}
    chosen = set()
    for name in names:
        matching = [known for known in every if known == Path(name).stem or known.split("_")[0] == name]
        if not matching:
            raise parameters.ParameterError(f"notebook: {name!r}; expected one of {', '.join(every)}")
        chosen.update(matching)
    wanted = set(chosen or every)
    needed = {name: needs(path) for name, path in every.items()}
    for name in every:
        for need in needed[name]:
            if need not in every or need >= name:
                raise parameters.ParameterError(f"{name}: needs {need!r}, which is no notebook before it; correct `needs` in its metadata")
    while missing := {need for name in wanted for need in needed[name]} - wanted:
        wanted |= missing
    return {name: path for name, path in every.items() if name in wanted}


def needs(path):
    """The notebooks whose results a notebook reads, as its metadata says; a file that is no notebook needs none, and fails when it is run."""
    notebook = parameters.source(path)
    return notebook.metadata.get("nbutils", {}).get("needs", []) if notebook else []


def run(notebooks, resolved, out, *, force=False, timeout=None, report=print):
    """Run notebooks, render their pages and the index. A second run into the same folder waits for the first to end.

    Args:
        notebooks: dict from name to path, from `series`, which stand in an order that puts what is needed first.
        resolved: dict from name to parameters, from `parameters.resolve`.
        out: folder of the pages, results and executed notebooks.
        force: run also what has not changed.
        timeout: longest time for one cell, seconds; None for no limit.
        report: called with a line of text for every event.
    Returns:
        list of Outcome, in order.
    Raises:
        OSError: the folder cannot be written, or the disk is full; what is finished is kept.
    """
    out = Path(out).resolve()
    with _alone_in(out, report):
        _remove_remains(out)
        code, keys, outcomes = source_digest(("cli", "__main__", "reports/html", "reports/runner", "reports/execution")), {}, {}
        for name, path in notebooks.items():
            upstream, values = needs(path), resolved.get(name, {})
            blocked = [need for need in upstream if outcomes[need].status != "done"]
            keys[name] = cache_key(path, values, code, [keys[need] for need in upstream])
            if blocked:
                outcomes[name] = Outcome(name, "not run", error=f"needs {', '.join(blocked)}")
            elif not force and (earlier := _earlier(out, name, report, "it is run again")) and earlier.key == keys[name] and earlier.outcome.status == "done":
                outcomes[name] = replace(earlier.outcome, cached=True)
            else:
                report(f"{name}: running")
                execution = execute(path, values, out, timeout)
                if any(text in execution.outcome.error for text in _NO_SPACE):  # which says nothing about the notebook, and would stop the others too
                    raise OSError(f"{name}: {execution.outcome.error}; free some space and run again, what is finished is kept")
                keep(out, keys[name], execution)
                outcomes[name] = execution.outcome
            outcome = outcomes[name]
            report(f"{name}: {outcome.status}" + (", nothing changed" if outcome.cached else f" in {outcome.seconds:.0f} s") + (f", {outcome.error}" if outcome.error else ""))
        _render(out, outcomes, report)
    return list(outcomes.values())


def keep(out, key, execution):
    """Write what came of a notebook into the folder of the reports, its record last, so that what is recorded is there.

    Args:
        out: folder.
        key: from `cache_key`.
        execution: execution.Execution, from this machine or another.
    Raises:
        OSError: the folder cannot be written.
    """
    outcome = execution.outcome
    files = {f"{outcome.name}.ipynb": execution.notebook}
    if outcome.status == "done":
        files[f"{outcome.name}.json"] = execution.sidecar
    elif execution.notebook is None:
        files[f"{outcome.name}.html"] = None  # an earlier run's, which would stand beside a failure
    for name, content in files.items():
        if content is None:
            (out / name).unlink(missing_ok=True)
        elif not (out / name).is_file() or (out / name).read_bytes() != content:
            with written_whole(out / name) as beside:
                beside.write_bytes(content)
    digests = {name: _digest(content) for name, content in files.items() if content is not None}
    record = {"key": key, "outcome": vars(outcome), "files": digests}
    write_json(out / f".{outcome.name}.run.json", {"record": record, "digest": _digest_of(record)})


def _alone_in(out, report):
    """The lock on a folder, held; the system lets go of it when its holder is killed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            report(f"another run is using {out}; waiting until it has ended")
            return lock.acquire()
    except OSError as error:
        raise OSError(error.errno, f"{out} cannot be written ({error.strerror or error}); choose another folder with --out") from error


def _remove_remains(out):
    """Remove the half-written files that a killed process left; those of a live one, such as a JupyterLab kernel's, are its own."""
    for part in out.rglob(".*.part"):
        process = part.name.split(".")[-2]
        if process.isdecimal() and not _alive(int(process)):
            part.unlink(missing_ok=True)


def _alive(process):
    try:
        os.kill(process, 0)
    except PermissionError:  # somebody else's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _render(out, outcomes, report):
    """Render the pages of this run and of the notebooks that earlier runs left."""
    every = [path.stem for path in sorted(parameters.NOTEBOOKS.glob("*.ipynb"))]
    before = {name: replace(earlier.outcome, cached=True) for name in every if name not in outcomes and (earlier := _earlier(out, name, report, "run it again"))}
    shown = {name: vars((outcomes | before)[name]) for name in every if name in outcomes or name in before}
    for page in html.render_series(out, list(shown), shown):
        report(f"{page}: was missing or not as it had been written; made again")


def cache_key(path, values, code, upstream):
    """What a notebook's results depend on: its cells, parameters, the code, package versions, data on disk, what it needs."""
    notebook = parameters.source(path)
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells] if notebook else []
    folders = [photos_folder(values["data"])] if values.get("data", "scenes") != "scenes" else []
    folders += [digits_folder(values["digit_data"])] if values.get("digit_data", "embedded") != "embedded" else []
    files = [(str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns) for folder in folders for p in sorted(folder.rglob("*"))]
    content = json.dumps([cells, values, code, checkpoints.versions(), files, upstream], sort_keys=True)
    return _digest(content.encode())


def _earlier(out, name, report, consequence):
    """The Record of an earlier run into this folder; None where there was none, or where it is damaged, which is reported."""
    try:
        return _recorded(out, name)
    except RecordError as error:
        report(f"{name}: {error}; {consequence}")
        return None


def _recorded(out, name):
    path = out / f".{name}.run.json"
    if not path.is_file():
        if (out / f"{name}.ipynb").is_file():
            raise RecordError(f"{path.name} is missing")
        return None
    try:
        content = json.loads(path.read_bytes())
        whole = content["digest"] == _digest_of(content["record"])
        record = Record(**content["record"] | {"outcome": Outcome(**content["record"]["outcome"])}) if whole else None
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole or record.outcome.name != name:
        raise RecordError(f"{path.name} is not the record of a run")
    for file, digest in record.files.items():
        if not (out / file).is_file():
            raise RecordError(f"{file} is missing")
        if _digest((out / file).read_bytes()) != digest:
            raise RecordError(f"{file} is not as it was written")
    return record


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest_of(value):
    return _digest(json.dumps(value, sort_keys=True).encode())
