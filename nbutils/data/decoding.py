"""Many pictures of a source, decoded by several processes, with a memory that does not grow with their
number."""

import signal
import sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

from tqdm import tqdm

from .errors import PhotosError
from .pictures import decode_rows, end_with_parent

_BATCH, _BATCH_BYTES = 64, 1 << 23  # pictures and bytes that go to a process at once


def decoded(source, places, size, jobs, arrays, title):
    """Decode pictures, with a progress bar on standard output.

    Args:
        source: from `archives.open_source`.
        places: dict from file to (split, row).
        size: side, pixels.
        jobs: number of processes.
        arrays: where to write the rows, see `pictures.decode_rows`.
        title: what the bar calls it.
    Yields:
        lists of (split, row, CRC-32 of the pixels, reason), as batches are finished.
    Raises:
        PhotosError: a process was ended from outside.
        OSError: a row cannot be written.
    """
    pool, pending = (
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=end_with_parent),
        set(),
    )
    bar = tqdm(
        total=len(places),
        desc=title,
        unit=" pictures",
        file=sys.stdout,
        mininterval=1,
        dynamic_ncols=False,
        ncols=84,
    )
    try:
        for batch, unread in _batches(source, places):
            if batch:
                with _interrupts_held_back():
                    pending.add(pool.submit(decode_rows, batch, size, arrays))
            if unread:
                bar.update(len(unread))
                yield unread
            while len(pending) > 2 * jobs:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    bar.update(len(future.result()))
                    yield future.result()
        for future in pending:
            bar.update(len(future.result()))
            yield future.result()
    except BrokenProcessPool:
        raise PhotosError(
            "a process that decodes pictures was ended from outside, perhaps for lack of memory; what "
            "is done is kept: give the command again, perhaps with --jobs 1"
        ) from None
    finally:
        bar.close()
        pool.shutdown(wait=True, cancel_futures=True)


def _batches(source, places):
    """Yields (list of (split, row, bytes), list of results for files that could not be read)."""
    batch, unread, length = [], [], 0
    for name, content, reason in source.contents(places):
        split, row = places[name]
        if content is None:
            unread.append((split, row, None, reason))
            continue
        batch.append((split, row, content))
        length += len(content)
        if len(batch) == _BATCH or length > _BATCH_BYTES:
            yield batch, unread
            batch, unread, length = [], [], 0
    yield batch, unread


@contextmanager
def _interrupts_held_back():
    """What is started here never sees Ctrl-C, which is for the process that started it to answer."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
