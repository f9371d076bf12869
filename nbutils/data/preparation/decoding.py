"""Many pictures of a source, decoded by several processes, with a memory that does not grow with their
number."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from tqdm import tqdm

from ..errors import PhotosError, Unusable
from ..folders.pictures import decode

_BATCH, _BATCH_BYTES = 64, 1 << 23  # pictures and bytes that go to a process at once


def decoded(source, files, size, jobs, title):
    """Decode pictures, with a progress bar on standard output.

    Args:
        source: from `archives.open_source`.
        files: names of pictures in it.
        size: side, pixels.
        jobs: number of processes.
        title: what the bar calls it.
    Yields:
        (file, uint8 (3, size, size), None) or (file, None, reason), in the order in which the source is read.
    Raises:
        PhotosError: a process was ended from outside.
    """
    bar = tqdm(total=len(files), desc=title, unit=" pictures", file=sys.stdout, mininterval=1, ncols=84)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent)
    pending = deque()
    try:
        for batch in _batches(source.contents(files)):
            with _interrupts_held_back():
                pending.append(pool.submit(_decode_all, batch, size))
            if len(pending) > 2 * jobs:
                yield from _counted(bar, pending.popleft())
        for future in pending:
            yield from _counted(bar, future)
    except BrokenProcessPool:
        raise PhotosError(
            "a process that decodes pictures was ended from outside, perhaps for lack of memory; give the "
            "command again, perhaps with --jobs 1"
        ) from None
    finally:
        bar.close()
        pool.shutdown(wait=True, cancel_futures=True)


def _counted(bar, future):
    bar.update(len(future.result()))
    return future.result()


def _batches(contents):
    """Lists of (file, bytes, reason) of which none is too long for a process."""
    batch, length = [], 0
    for file, content, reason in contents:
        batch.append((file, content, reason))
        length += len(content or b"")
        if len(batch) == _BATCH or length > _BATCH_BYTES:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def _decode_all(batch, size):
    return [_decode(file, content, reason, size) for file, content, reason in batch]


def _decode(file, content, reason, size):
    if content is None:
        return file, None, reason
    try:
        return file, decode(content, size), None
    except Unusable as error:
        return file, None, str(error)


def _end_with_parent():
    """Make a worker process end when the process that started it does, however that was ended; its parent in
    the system may be another, which forks workers for it."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _interrupts_held_back():
    """What is started here never sees Ctrl-C, which is for the process that started it to answer."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
