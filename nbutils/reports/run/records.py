"""What is kept of a run in the folder of the reports: files whole, recorded with what they depended on, and
one run at a time."""

import hashlib
import importlib.metadata
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout

from ... import devices, identity
from ...data import digits
from ...data.sources import photos_folder
from ...files import write_json, written_whole
from ...training import checkpoints
from .. import publications, series
from .execution import Execution, Outcome, commit, is_commit
from .workers import named_checkpoints

_LIBRARIES = (
    "matplotlib",
    "optuna",
    "pillow",
    "scikit-image",
    "scikit-learn",
    "scipy",
)  # beside those of checkpoints


class RecordError(ValueError):
    """What is kept of an earlier run is not whole; the message says what of it."""


@dataclass(frozen=True)
class Record:
    """What is kept of the run of a notebook beside its files: the `key` it depended on, its `outcome`,
    `files`, a dict from file name to digest, and `upstream`, a dict from the notebooks it needs to the keys
    they had then."""

    key: str
    outcome: Outcome
    files: dict[str, str]
    upstream: dict[str, str] = field(default_factory=dict)


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
        raise OSError(
            error.errno,
            f"{out} cannot be written ({error.strerror or error}); choose another folder with --out",
        ) from error


def remove_remains(out):
    """Remove the half-written files that a killed process left; those of a live one, such as a JupyterLab
    kernel's, are its own."""
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


def cache_key(path, values, upstream):
    """What a notebook's results depend on, its prose apart.

    Args:
        path: of the notebook: its code cells count, and all modules of this package that they import.
        values: its parameters; also the data on disk that they name, what precision "auto" is here, and the
            published weights they may take.
        upstream: keys of the notebooks that it needs.
    Returns:
        str, a digest of these and of the versions of libraries that compute.
    """
    notebook = series.source(path)
    cells = _code_of(notebook) if notebook else []
    places = [photos_folder(values["data"])] if values.get("data", "scenes") != "scenes" else []
    places += (
        [digits.locate(values["digit_data"])] if values.get("digit_data", "embedded") != "embedded" else []
    )
    places += [Path(values["picture"])] if values.get("picture") else []
    files = [
        _stamp(place, file)
        for place in places
        for file in ([place] if place.is_file() else sorted(place.rglob("*")))
    ]
    weights = publications.digests() if values.get("checkpoint", "trained") != "trained" else []
    precision = devices.resolved(values["precision"]) if "precision" in values else None
    versions = checkpoints.versions() | {name: importlib.metadata.version(name) for name in _LIBRARIES}
    content = [path.stem, cells, _code_digest(cells), values, versions, precision, files, weights, upstream]
    return content_digest(json.dumps(content, sort_keys=True).encode())


def _code_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def _code_digest(cells):
    """The digest of what cells import of this package; of all of it where they are not plain Python."""
    try:
        return identity.of_source("\n".join(cells))
    except SyntaxError:
        return identity.of_package()


def _stamp(place, file):
    """What tells one version of a file from another; of a link that leads nowhere, that of the link."""
    try:
        status = file.stat()
    except OSError:
        status = file.lstat()
    return str(file.relative_to(place)), status.st_size, status.st_mtime_ns


def keep(out, key, execution, upstream):
    """Write what came of a notebook into the folder of the reports, its record last, so that what is recorded
    is there.

    Args:
        out: folder.
        key: from `cache_key`.
        execution: execution.Execution, from this machine or another.
        upstream: dict from the notebooks it needs to their keys.
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
    record = {"key": key, "outcome": vars(outcome), "files": digests, "upstream": upstream}
    write_json(out / f".{outcome.name}.run.json", {"record": record, "digest": _digest_of(record)})


def renew(out, record, path):
    """Bring what is kept of a notebook that need not run again up to date with its prose and with the commit
    that has its code.

    Only for a record whose key is that of the notebook and the code as they are: what they would compute
    stands there already.

    Args:
        out: folder of the reports.
        record: from `earlier`.
        path: of the notebook.
    """
    name = record.outcome.name
    executed = nbformat.read(out / f"{name}.ipynb", as_version=4)
    before = nbformat.writes(executed)
    _renew_prose(executed, nbformat.read(path, as_version=4))
    if not is_commit(executed.metadata["nbutils"]["commit"]) and is_commit(commit()):
        executed.metadata["nbutils"]["commit"] = commit()
    if nbformat.writes(executed) != before:
        kept = {file: (out / file).read_bytes() for file in record.files if file != f"{name}.ipynb"}
        results = kept.pop(f"{name}.json", None)
        renewed = Execution(record.outcome, (nbformat.writes(executed) + "\n").encode(), results, kept)
        keep(out, record.key, renewed, record.upstream)


def _renew_prose(executed, source):
    """Give an executed notebook the text cells of its source, whose code cells are the same."""
    if _layout(executed) == _layout(source):
        return
    ran, cells = iter([cell for cell in executed.cells if cell.cell_type == "code"]), []
    for cell in source.cells:
        cells.append(next(ran) if cell.cell_type == "code" else cell)
        if cell.cell_type == "code":
            cells[-1].metadata["tags"] = cell.metadata.get("tags", [])
        if "parameters" in cell.metadata.get("tags", ()) and len(_code_of(executed)) > len(_code_of(source)):
            cells.append(next(ran))  # the parameters of the run, which papermill has put there
    executed.cells = cells


def _layout(notebook):
    """Texts, and where code stands among them with which tags; not the parameters that papermill put in."""
    tagged = [(cell, cell.metadata.get("tags", [])) for cell in notebook.cells]
    return [
        (cell.cell_type, "" if cell.cell_type == "code" else cell.source, tags)
        for cell, tags in tagged
        if "injected-parameters" not in tags
    ]


def adopt(name, source, out):
    """Take over what `source`, another folder of reports, keeps of a notebook: its files, record, and the
    checkpoints that its results name."""
    record = recorded(source, name)
    copied = [*record.files]
    if f"{name}.json" in record.files:
        copied += named_checkpoints(source, (source / f"{name}.json").read_bytes())
    for file in (*copied, f".{name}.run.json"):  # the record last, so that what it speaks of is there
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        with written_whole(out / file) as beside:
            shutil.copyfile(source / file, beside)
    return record.outcome


def earlier(out, name, report, consequence):
    """The Record of an earlier run into this folder; None where there was none, or where it is damaged, which
    is reported."""
    try:
        return recorded(out, name)
    except RecordError as error:
        report(f"{name}: {error}; {consequence}")
        return None


def recorded(out, name):
    """The Record of an earlier run into this folder; None where there was none.

    Raises:
        RecordError: it, or a file it speaks of, is damaged, or a checkpoint is gone that its results name.
    """
    record = _read(out, name)
    for file, digest in record.files.items() if record else ():
        if not (out / file).is_file():
            raise RecordError(f"{file} is missing")
        if content_digest((out / file).read_bytes()) != digest:
            raise RecordError(f"{file} is not as it was written")
    if record and f"{name}.json" in record.files:
        for place, path in named_checkpoints(out, (out / f"{name}.json").read_bytes()).items():
            if not path.is_file():
                raise RecordError(f"{place} is missing")
    return record


def _read(out, name):
    """What `recorded` gives, without a look at the files."""
    path = out / f".{name}.run.json"
    if not path.is_file():
        if (out / f"{name}.ipynb").is_file():
            raise RecordError(f"{path.name} is missing")
        return None
    try:
        content = json.loads(path.read_bytes())
        whole = content["digest"] == _digest_of(content["record"])
        outcome = Outcome(**content["record"]["outcome"])
        record = Record(**content["record"] | {"outcome": outcome})
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole or outcome.name != name:
        raise RecordError(f"{path.name} is not the record of a run")
    return record


def out_of_date(out, names):
    """The notebooks whose results are of an earlier time than those they were made from.

    Args:
        out: folder of the reports.
        names: of notebooks.
    Returns:
        dict from name to a line that says what has changed.
    """
    made = {}
    for name in names:
        try:
            record = _read(out, name)
        except RecordError:  # which whoever reads the notebook says
            continue
        if record:
            made[name] = record
    found = {}
    for name, record in made.items():
        anew = [need for need, key in record.upstream.items() if need in made and made[need].key != key]
        if anew:
            found[name] = f"out of date: {', '.join(anew)} has been run anew since"
    while later := [name for name in made if name not in found and found.keys() & made[name].upstream.keys()]:
        for name in later:
            older = ", ".join(need for need in made[name].upstream if need in found)
            found[name] = f"out of date: made from {older}, which is"
    return found


def content_digest(content):
    """The digest of bytes by which files are told from altered ones."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest_of(value):
    return content_digest(json.dumps(value, sort_keys=True).encode())
