"""What is kept of a run in the folder of the reports: files whole, recorded with what they depended on, and one run at a time."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout

from .. import checkpoints, devices
from ..data import digits
from ..data.sources import photos_folder
from ..files import write_json, written_whole
from . import parameters, publications
from .execution import Execution, Outcome, commit, is_commit
from .workers import named_checkpoints


class RecordError(ValueError):
    """What is kept of an earlier run is not whole; the message says what of it."""


@dataclass(frozen=True)
class Record:
    """What is kept of the run of a notebook beside its files: the `key` it depended on, its `outcome`, and `files`, a dict from file name to digest."""

    key: str
    outcome: Outcome
    files: dict[str, str]


def alone_in(out, report):
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


def remove_remains(out):
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


def cache_key(path, values, code, upstream):
    """What a notebook's results depend on: cells, parameters, code, package versions, what precision "auto" is here, data, published weights, upstream."""
    notebook = parameters.source(path)
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells] if notebook else []
    compared = Path(values["compare_with"]) / f"{path.stem}.json" if values.get("compare_with") else None
    places = [photos_folder(values["data"])] if values.get("data", "scenes") != "scenes" else []
    places += [digits.locate(values["digit_data"])] if values.get("digit_data", "embedded") != "embedded" else []
    found = [(place, path) for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*")))]
    files = [(str(path.relative_to(place)), *_size_and_time(path)) for place, path in found]
    weights = publications.digests() if values.get("checkpoint", "trained") != "trained" else []
    beside = compared.read_text(encoding="utf-8") if compared else None
    precision = devices.resolved(values["precision"]) if "precision" in values else None
    content = json.dumps([cells, values, code, checkpoints.versions(), precision, files, beside, weights, upstream], sort_keys=True)
    return content_digest(content.encode())


def _size_and_time(path):
    """What tells one version of a file from another; of a link that leads nowhere, that of the link."""
    try:
        status = path.stat()
    except OSError:
        status = path.lstat()
    return status.st_size, status.st_mtime_ns


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
        files |= {f"{outcome.name}.json": execution.sidecar} | execution.files
    elif execution.notebook is None:
        files[f"{outcome.name}.html"] = None  # an earlier run's, which would stand beside a failure
    for name, content in files.items():
        if content is None:
            (out / name).unlink(missing_ok=True)
        elif not (out / name).is_file() or (out / name).read_bytes() != content:
            with written_whole(out / name) as beside:
                beside.write_bytes(content)
    digests = {name: content_digest(content) for name, content in files.items() if content is not None}
    record = {"key": key, "outcome": vars(outcome), "files": digests}
    write_json(out / f".{outcome.name}.run.json", {"record": record, "digest": _digest_of(record)})


def name_commit(out, record):
    """Name the commit in the card of a notebook that ran with changes which had not been committed and now are.

    Only for a record whose key is that of the code as it is: what this code would compute stands there already.
    """
    path = out / f"{record.outcome.name}.ipynb"
    notebook, now = nbformat.read(path, as_version=4), commit()
    if is_commit(notebook.metadata["nbutils"]["commit"]) or not is_commit(now):
        return
    notebook.metadata["nbutils"]["commit"] = now
    kept = {name: (out / name).read_bytes() for name in record.files if name != path.name}
    results = kept.pop(f"{record.outcome.name}.json", None)
    keep(out, record.key, Execution(record.outcome, (nbformat.writes(notebook) + "\n").encode(), results, kept))


def adopt(name, source, out):
    """Take over what `source`, another folder of reports, keeps of a notebook: its files, record, and the checkpoints that its results name."""
    record = recorded(source, name)
    copied = [*record.files, f".{name}.run.json"]
    if f"{name}.json" in record.files:
        copied += named_checkpoints(source, (source / f"{name}.json").read_bytes())
    for file in copied:
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        with written_whole(out / file) as beside:
            shutil.copyfile(source / file, beside)
    return record.outcome


def earlier(out, name, report, consequence):
    """The Record of an earlier run into this folder; None where there was none, or where it is damaged, which is reported."""
    try:
        return recorded(out, name)
    except RecordError as error:
        report(f"{name}: {error}; {consequence}")
        return None


def recorded(out, name):
    """The Record of an earlier run into this folder; None where there was none.

    Raises:
        RecordError: it, or a file it speaks of, is damaged.
    """
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
        if content_digest((out / file).read_bytes()) != digest:
            raise RecordError(f"{file} is not as it was written")
    return record


def content_digest(content):
    """The digest of bytes by which files are told from altered ones."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest_of(value):
    return content_digest(json.dumps(value, sort_keys=True).encode())
