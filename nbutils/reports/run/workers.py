"""Where notebooks run: on this machine, several at a time, or on the workers of a Dask cluster, which share
no disk with it."""

import json
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
from filelock import FileLock

from ... import identity
from .execution import execute

_RETRIES = 3  # of a notebook whose worker was lost


class WorkerError(ValueError):
    """A worker that cannot do what is asked of it; the message says what to do."""


@dataclass(frozen=True)
class Request:
    """A notebook to be run somewhere: all that it needs, as values and bytes that can travel.

    `key` names the work: where the same key was begun before on a machine, its trainings go on. `upstream`
    are files in the folder of the reports that it reads, by place. `code` is the digest of this package's
    source, which must be that of the worker's.
    """

    name: str
    key: str
    notebook: bytes
    values: dict
    upstream: dict[str, bytes]
    timeout: int | None
    code: str


def named_checkpoints(reports, sidecar):
    """The checkpoints in the folder `reports` that the results of a notebook name, so that another can read
    them: dict from place to path."""
    places = []

    def walk(value):
        if isinstance(value, dict | list):
            for entry in value.values() if isinstance(value, dict) else value:
                walk(entry)
        elif isinstance(value, str) and value.endswith(".safetensors"):
            places.append(value)

    walk(json.loads(sidecar))
    root = Path(reports).resolve()
    return {place: root / place for place in places if (root / place).resolve().is_relative_to(root)}


def perform(request, scratch=None, stopped=lambda done, total: False):
    """Run a Request in a folder of its own below `scratch`, this system's temporary folder if None. What was
    begun there before goes on.

    Returns:
        Execution, with its checkpoints.
    Raises:
        WorkerError: this machine has other code than the one that asks.
    """
    if request.code != identity.of_package():
        raise WorkerError(
            "the worker's nbutils is not the one that asks: install the same commit on every machine "
            "and start the workers again"
        )
    folder = Path(scratch or tempfile.gettempdir()) / f"nbutils-{request.key}"
    path, reports = folder / "notebooks" / f"{request.name}.ipynb", folder / "reports"
    for place in (path.parent, reports):
        place.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        files = {path: request.notebook} | {
            reports / place: content for place, content in request.upstream.items()
        }
        for place, content in files.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        execution = execute(path, request.values, reports, request.timeout, stopped)
        named = named_checkpoints(reports, execution.sidecar) if execution.sidecar else {}
        execution = replace(
            execution,
            checkpoints={
                place: path.read_bytes() for place, path in named.items() if place not in request.upstream
            },
        )
        if execution.outcome.status == "done":
            shutil.rmtree(folder)
    return execution


def in_place(path, values, reports, timeout, *, scratch=None, stopped):
    """Run a notebook in the folder that keeps its results, where its trainings go on; see `execute`."""
    return execute(path, values, reports, timeout, stopped)


@dataclass(frozen=True)
class Pool:
    """Somewhere to run notebooks.

    `submit` takes whom to tell now and then how many cells are executed and of how many; then `in_place`
    or `perform` with its arguments. It gives a Future of the Execution.
    `capacity` is how many notebooks make sense at a time, None where somebody else keeps the queue.
    """

    submit: Callable
    capacity: int | None


def usual_jobs():
    """How many notebooks to run at a time on this machine: two, where it has the cores for it."""
    return min(2, joblib.cpu_count())


@contextmanager
def here(jobs, scratch=None):
    """This machine as a Pool for so many notebooks at a time, stopped with the caller; see `perform`."""
    stop = threading.Event()

    def submit(tell, work, *arguments):
        def stopped(done, total):
            tell(done, total)
            return stop.is_set()

        return threads.submit(work, *arguments, scratch=scratch, stopped=stopped)

    with ThreadPoolExecutor(jobs) as threads:
        try:
            yield Pool(submit, jobs)
        except BaseException:
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise


@contextmanager
def on_cluster(scheduler, resources=None):
    """The workers of a Dask cluster as a Pool, one notebook for every thread of theirs.

    A notebook whose worker is lost is run again on another. When the caller is stopped, so are its notebooks,
    wherever they run.

    Args:
        scheduler: address such as tcp://host:8786.
        resources: dict from name to number that a notebook takes of a worker's, such as {"GPU": 1}; None for
            nothing.
    Raises:
        OSError: no scheduler answers.
        WorkerError: Dask is not installed.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise WorkerError(
            "--scheduler: needs Dask, which is not installed; add it with `pip install 'nbutils[scale]'`"
        ) from None
    try:
        client = Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OSError(
            f"--scheduler {scheduler}: no Dask scheduler answers ({' '.join(str(error).split())}); "
            "start one with `dask scheduler`"
        ) from None
    with client:
        pending = []

        def submit(tell, work, *arguments):  # no cells are heard of from so far away
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", "Sending large graph"
                )  # a notebook's checkpoints; they must outlive any one worker
                pending.append(
                    client.submit(
                        _watched, work, *arguments, pure=False, retries=_RETRIES, resources=resources
                    )
                )
            outcome = Future()
            pending[-1].add_done_callback(lambda done: _pass_on(done, outcome))
            return outcome

        try:
            yield Pool(submit, None)
        except BaseException:
            client.cancel(pending, force=True)
            raise


def _pass_on(done, outcome):
    """Whatever became of it, somebody waits for `outcome`."""
    try:
        outcome.set_result(done.result())
    except WorkerError as error:
        outcome.set_exception(error)
    except BaseException as error:  # what says that it was cancelled is no Exception
        outcome.set_exception(WorkerError(f"no worker could run it: {type(error).__name__}: {error}"))


def _watched(work, *arguments):
    """Do `work` on a worker until nobody waits for it any more."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def stopped(done, total):
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    return work(*arguments, scratch=worker.local_directory, stopped=stopped)
