"""Runs a series of notebooks in order of dependence, only where something has changed, and keeps what comes
of it in one folder."""

import errno
import os
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ... import identity
from ...files import write_text, written_whole
from .. import series
from ..render import rendering
from . import progress, records, workers
from .execution import Execution, Outcome, declared_files
from .run_index import RunIndex

_NO_SPACE = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_BEAT = 2  # seconds


def run(
    notebooks,
    resolved,
    out,
    *,
    force=False,
    timeout=None,
    jobs=1,
    scheduler=None,
    resources=None,
    profile=None,
    live=False,
    report=print,
):
    """Run notebooks, render their pages and the index, which stands from the beginning.

    A second run into the same folder waits for the first to end.

    Args:
        notebooks: dict from name to path, from `series.chosen`, which stand in an order that puts what is
            needed first.
        resolved: dict from name to parameters, from `parameters.resolve`.
        out: folder of the pages, results and executed notebooks.
        force: run also what has not changed.
        timeout: longest time for one cell, seconds; None for no limit.
        jobs: how many notebooks at a time on this machine.
        scheduler: address of a Dask scheduler, to run them on its workers instead; resources: see
            `workers.on_cluster`.
        profile: name of the profile, whose usual times tell about how long it will take.
        live, report: see `progress.Progress`.
    Returns:
        list of Outcome, in order.
    Raises:
        OSError: the folder cannot be written, or the disk is full; what is finished is kept.
    """
    out = Path(out).resolve()
    with records.alone_in(out, report):
        records.remove_remains(out)
        works = {
            name: Work(name, path, values, out, tuple(series.needs(path, values)))
            for name, path in notebooks.items()
            for values in [resolved.get(name, {})]
        }
        before, damaged = _before(out, works, report), rendering.damaged(out, _every())
        usual = progress.usual_seconds(profile)
        needed = {name: work.needs for name, work in works.items()}
        index = RunIndex(out, _every(), before, report)
        expected = {}
        for name, work in works.items():
            expected[name] = progress.expected_seconds(out, name, work.values, usual.get(name))
        with workers.on_cluster(scheduler, resources) if scheduler else workers.here(jobs) as pool:
            shown = {"report": report, "index": index, "live": live}
            with progress.Progress(needed, expected, pool.capacity, **shown) as watched:
                outcomes = run_all(works, pool, watched, apart=bool(scheduler), force=force, timeout=timeout)
                outcomes = _write_pages(out, outcomes, before, damaged, report)
    return list(outcomes.values())


@dataclass(frozen=True)
class Work:
    """A notebook to be run: its name, path and parameters, the folder that keeps what comes of it, and the
    works it needs, as keys of the dict it is in."""

    name: str
    path: Path
    values: dict
    out: Path
    needs: tuple


def run_all(works, pool, watched, *, apart, force, timeout):
    """Run works as soon as what they need is there, and keep what comes of them. Equal work for several
    folders is done once.

    Args:
        works: dict from what messages call a work to Work.
        pool: workers.Pool.
        watched: progress.Progress of the same names.
        apart: run each in a folder of its own, from which results come back as bytes, rather than in the
            folder that keeps them.
        force, timeout: see `run`.
    Returns:
        dict from the same names to Outcome, in the same order.
    """
    keys, outcomes, running, queued = {}, {}, {}, {}
    waiting = dict(works)
    while waiting or queued or running:
        for label, work in list(waiting.items()):  # in the order of need, to see all that has not changed
            if any(need not in outcomes for need in work.needs):
                continue
            keys[label] = keys.get(label) or records.cache_key(
                work.path, work.values, [keys[need] for need in work.needs]
            )
            if any(keys[other] == keys[label] for other in (*queued, *running.values())):
                continue
            del waiting[label]
            done_before = [
                other
                for other, outcome in outcomes.items()
                if keys[other] == keys[label] and outcome.status != "not run"
            ]
            outcome = _without_running(work, keys[label], outcomes, works, done_before, force, watched.report)
            if outcome:
                outcomes[label] = outcome
                watched.ended(label, outcome)
            else:
                queued[label] = work
        watched.beat()  # before anything begins, which may leave no room on the disk for an index
        chains = watched.chains()
        for label in sorted(queued, key=lambda label: -chains[label]):  # the longest chain first
            if len(running) == pool.capacity:
                break
            tell = partial(watched.cells, label)
            running[_submit(pool, queued.pop(label), keys[label], works, timeout, apart, tell)] = label
            watched.began(label)
        for future in wait(running, timeout=_BEAT, return_when=FIRST_COMPLETED).done if running else ():
            label = running.pop(future)
            upstream = {works[need].name: keys[need] for need in works[label].needs}
            outcomes[label] = _keep(works[label], keys[label], upstream, future)
            watched.ended(label, outcomes[label])
    watched.beat()
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
        records.renew(work.out, earlier, work.path)
        return replace(earlier.outcome, cached=True)
    return None


def _submit(pool, work, key, works, timeout, apart, tell):
    if not apart:
        return pool.submit(tell, workers.in_place, work.path, work.values, work.out, timeout)
    upstream = {}
    for need in _all_needs(work, works):
        sidecar = (work.out / f"{need}.json").read_bytes()
        upstream |= {f"{need}.json": sidecar} | declared_files(work.out, sidecar)
        upstream |= {
            place: path.read_bytes() for place, path in workers.named_checkpoints(work.out, sidecar).items()
        }
    notebook = work.path.read_bytes()
    request = workers.Request(work.name, key, notebook, work.values, upstream, timeout, identity.of_package())
    return pool.submit(tell, workers.perform, request)


def _all_needs(work, works):
    """The names of the notebooks that a work needs, and of those that they need."""
    names = set()
    for need in work.needs:
        names |= {works[need].name} | _all_needs(works[need], works)
    return names


def _keep(work, key, upstream, future):
    """Keep what came of a work in its folder; its Outcome."""
    try:
        execution = future.result()
    except workers.WorkerError as error:
        execution = Execution(Outcome(work.name, "failed", error=str(error)))
    error = execution.outcome.error
    if any(
        text in error for text in _NO_SPACE
    ):  # which says nothing about the notebook, and would stop the others too
        raise OSError(f"{work.name}: {error}; free some space and run again, what is finished is kept")
    for place, content in execution.checkpoints.items():
        with written_whole(work.out / place) as beside:
            beside.write_bytes(content)
    records.keep(work.out, key, execution, upstream)
    return execution.outcome


def render(out, outcomes, report):
    """Render the pages of this run and of the notebooks that earlier runs left; see `_write_pages`."""
    return _write_pages(
        out, outcomes, _before(out, outcomes, report), rendering.damaged(out, _every()), report
    )


def _every():
    return list(series.in_series())


def _before(out, names, report):
    """What became in earlier runs into a folder of notebooks other than `names`; dict from name to dict."""
    others = [name for name in _every() if name not in names]
    found = {name: records.earlier(out, name, report, "run it again") for name in others}
    outcomes = {name: replace(record.outcome, cached=True) for name, record in found.items() if record}
    return _dated(out, {name: vars(outcome) for name, outcome in outcomes.items()})


def _dated(out, outcomes):
    """Outcomes as pages show them, dicts by name: what is out of date says why."""
    old = records.out_of_date(out, _every())
    return {name: outcome | {"old": old.get(name, "")} for name, outcome in outcomes.items()}


def _write_pages(out, outcomes, before, damaged, report):
    """Write the pages of a folder; say which of those that this run has not made were `damaged`.

    Returns:
        `outcomes`, where a notebook whose page cannot be rendered has failed.
    """
    known = _dated(out, before | {name: vars(outcome) for name, outcome in outcomes.items()})
    shown = {name: known[name] for name in _every() if name in known}
    pages, failures = rendering.series_pages(out, list(shown), shown)
    stood = {f"{name}.html" for name, outcome in shown.items() if outcome["cached"]} & set(pages)
    stood |= {"index.html", "status.html"} if stood else set()
    for page, text in pages.items():
        write_text(out / page, text)
    for page in damaged:
        if page in stood:
            report(f"{page}: was missing or not as it had been written; made again")
    for name, reason in failures.items():
        report(f"{name}: failed, {reason}")
    failed = {
        name: replace(outcomes[name], status="failed", error=reason)
        for name, reason in failures.items()
        if name in outcomes
    }
    return {name: failed.get(name, outcome) for name, outcome in outcomes.items()}
