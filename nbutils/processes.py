"""Several trainings or samplings at a time, each in a process and on a processor core of its own."""

import contextlib
import functools
import io
import os
import sys
import threading
import time
import warnings


def side_by_side(function, calls, jobs):
    """Call a function with each of several tuples of arguments, `jobs` at a time, each call in a worker
    process.

    Returns:
        generator of results, as they come.
    Raises:
        concurrent.futures.process.BrokenProcessPool: a worker was killed.
    """
    import joblib  # here, as not every process that watches its parent trains

    # A worker that has grown is replaced between two calls, which gives its memory back and loses nothing.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given to the executor")
    # A pool of one would be this very process, which a worker that runs out of memory must not take with it.
    workers = joblib.Parallel(
        max(2, jobs),
        pre_dispatch=jobs,
        batch_size=1,
        return_as="generator_unordered",
        inner_max_num_threads=1,
        backend="loky",
    )
    return workers(joblib.delayed(_in_worker)(function, arguments) for arguments in calls)


def by_key(function, calls, device, what):
    """Call a function with each of several tuples of arguments: on a CPU as many at a time as there are
    cores, with one thread each, which beats one call on all cores; on an accelerator one after the other. A
    bar tells how far it has come.

    Args:
        function: also one that a notebook defines.
        calls: dict from a key to arguments.
        device: type of the device where the work happens, such as "cpu".
        what: what the bar calls the calls.
    Returns:
        dict from key to result, in the order of `calls`.
    Raises:
        concurrent.futures.process.BrokenProcessPool: a worker was killed.
    """
    import joblib  # here, see `side_by_side`
    from tqdm import tqdm

    keyed = [(function, key, arguments) for key, arguments in calls.items()]
    if device == "cpu":
        finished = side_by_side(_keyed, keyed, min(len(keyed), joblib.cpu_count()))
    else:
        finished = (_keyed(*call) for call in keyed)
    shown = dict(desc=what, file=sys.stdout, ncols=84, mininterval=1)  # seconds, as pages keep every line
    found = dict(tqdm(finished, total=len(keyed), **shown))
    return {key: found[key] for key in calls}


def _keyed(function, key, arguments):
    return key, function(*arguments)


def _in_worker(function, arguments):
    end_with_parent()
    # bars of several processes would overwrite each other
    with single_threaded(), contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments)


@contextlib.contextmanager
def single_threaded():
    """One processor core for what is inside, so that sums are added up in the same order however many
    processes there are."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.cache
def end_with_parent():
    """End this process when its parent has been killed, so that nothing trains on unseen, into folders that a
    new run uses."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
