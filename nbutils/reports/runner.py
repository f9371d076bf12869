"""Runs a series of notebooks in order of dependence, only where something has changed, and keeps what comes of it in one folder."""

import errno
import os
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, replace
from pathlib import Path

from ..files import source_digest, written_whole
from . import html, parameters, records, workers
from .execution import Execution, Outcome

_NO_SPACE = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_NO_PART = ("cli", "__main__", "console", *(f"reports/{name}." for name in ("html", "runner", "records", "workers", "sweep", "execution")))  # in what notebooks compute


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


def run(notebooks, resolved, out, *, force=False, timeout=None, jobs=1, scheduler=None, resources=None, report=print):
    """Run notebooks, render their pages and the index. A second run into the same folder waits for the first to end.

    Args:
        notebooks: dict from name to path, from `series`, which stand in an order that puts what is needed first.
        resolved: dict from name to parameters, from `parameters.resolve`.
        out: folder of the pages, results and executed notebooks.
        force: run also what has not changed.
        timeout: longest time for one cell, seconds; None for no limit.
        jobs: how many notebooks at a time on this machine.
        scheduler: address of a Dask scheduler, to run them on its workers instead; resources: see `workers.on_cluster`.
        report: called with a line of text for every event.
    Returns:
        list of Outcome, in order.
    Raises:
        OSError: the folder cannot be written, or the disk is full; what is finished is kept.
    """
    out = Path(out).resolve()
    with records.alone_in(out, report):
        records.remove_remains(out)
        works = {name: Work(name, path, resolved.get(name, {}), out, tuple(needs(path))) for name, path in notebooks.items()}
        with workers.on_cluster(scheduler, resources) if scheduler else workers.here(jobs) as pool:
            outcomes = run_all(works, pool, apart=bool(scheduler), force=force, timeout=timeout, report=report)
        render(out, outcomes, report)
    return list(outcomes.values())


@dataclass(frozen=True)
class Work:
    """A notebook to be run: its name, path and parameters, the folder that keeps what comes of it, and the works it needs, as keys of the dict it is in."""

    name: str
    path: Path
    values: dict
    out: Path
    needs: tuple


def run_all(works, pool, *, apart, force, timeout, report):
    """Run works as soon as what they need is there, and keep what comes of them. Equal work for several folders is done once.

    Args:
        works: dict from what messages call a work to Work.
        pool: workers.Pool.
        apart: run each in a folder of its own, from which results come back as bytes, rather than in the folder that keeps them.
        force, timeout, report: see `run`.
    Returns:
        dict from the same names to Outcome, in the same order.
    """
    code, keys, outcomes, running, waiting = source_digest(_NO_PART), {}, {}, {}, dict(works)
    while waiting or running:
        for label, work in list(waiting.items()):
            if any(need not in outcomes for need in work.needs):
                continue
            keys[label] = keys.get(label) or records.cache_key(work.path, work.values, code, [keys[need] for need in work.needs])
            if any(keys[other] == keys[label] for other in running.values()):
                continue
            if len(running) == pool.capacity:
                break
            del waiting[label]
            done_before = [other for other, outcome in outcomes.items() if keys[other] == keys[label] and outcome.status != "not run"]
            if outcome := _without_running(work, keys[label], outcomes, works, done_before, force, report):
                outcomes[label] = outcome
                _tell(label, outcome, report)
            else:
                report(f"{label}: running")
                running[_submit(pool, work, keys[label], works, timeout, apart)] = label
        for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
            label = running.pop(future)
            outcomes[label] = _keep(works[label], keys[label], future)
            _tell(label, outcomes[label], report)
    return {label: outcomes[label] for label in works}


def _without_running(work, key, outcomes, works, done_before, force, report):
    """The outcome of a work that need not or cannot be run; None of one that must be."""
    blocked = [works[need].name for need in work.needs if outcomes[need].status != "done"]
    if blocked:
        return Outcome(work.name, "not run", error=f"needs {', '.join(blocked)}")
    if done_before:
        return replace(records.adopt(work.name, works[done_before[0]].out, work.out), cached=True)
    earlier = None if force else records.earlier(work.out, work.name, report, "it is run again")
    if earlier and earlier.key == key and earlier.outcome.status == "done":
        records.name_commit(work.out, earlier)
        return replace(earlier.outcome, cached=True)
    return None


def _submit(pool, work, key, works, timeout, apart):
    if not apart:
        return pool.submit(workers.in_place, work.path, work.values, work.out, timeout)
    upstream = {}
    for need in _all_needs(work, works):
        sidecar = (work.out / f"{need}.json").read_bytes()
        upstream |= {f"{need}.json": sidecar} | {place: path.read_bytes() for place, path in workers.named_checkpoints(work.out, sidecar).items()}
    if work.values.get("compare_with"):
        place = f"{work.name}.json"
        upstream[f"compared/{place}"] = (Path(work.values["compare_with"]) / place).read_bytes()
    return pool.submit(workers.perform, workers.Request(work.name, key, work.path.read_bytes(), work.values, upstream, timeout, source_digest()))


def _all_needs(work, works):
    """The names of the notebooks that a work needs, and of those that they need."""
    names = set()
    for need in work.needs:
        names |= {works[need].name} | _all_needs(works[need], works)
    return names


def _keep(work, key, future):
    """Keep what came of a work in its folder; its Outcome."""
    try:
        execution = future.result()
    except workers.WorkerError as error:
        execution = Execution(Outcome(work.name, "failed", error=str(error)))
    error = execution.outcome.error
    if any(text in error for text in _NO_SPACE):  # which says nothing about the notebook, and would stop the others too
        raise OSError(f"{work.name}: {error}; free some space and run again, what is finished is kept")
    for place, content in execution.checkpoints.items():
        with written_whole(work.out / place) as beside:
            beside.write_bytes(content)
    records.keep(work.out, key, execution)
    return execution.outcome


def _tell(label, outcome, report):
    report(f"{label}: {outcome.status}" + (", nothing changed" if outcome.cached else f" in {outcome.seconds:.0f} s") + (f", {outcome.error}" if outcome.error else ""))


def render(out, outcomes, report):
    """Render the pages of this run and of the notebooks that earlier runs left."""
    every = [path.stem for path in sorted(parameters.NOTEBOOKS.glob("*.ipynb"))]
    before = {name: replace(before_.outcome, cached=True) for name in every if name not in outcomes and (before_ := records.earlier(out, name, report, "run it again"))}
    shown = {name: vars((outcomes | before)[name]) for name in every if name in outcomes or name in before}
    for page in html.render_series(out, list(shown), shown):
        report(f"{page}: was missing or not as it had been written; made again")
