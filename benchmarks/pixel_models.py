"""What the fused recurrent layers save in a training step over 784 pixels, two trainings side by side against
one after the other, and shared prefixes against reading every candidate from its first pixel."""

import time

import joblib
import torch
from torch import nn

from nbutils.data import digits
from nbutils.pixelrnn import filling, recurrent
from nbutils.pixelrnn.models import PixelPredictor, RecurrentConfig, build_cells, pixel_nll

_PIXELS = 784


def _seconds(work, repeats=3):
    """The fastest of several runs, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def _step(cells, fused):
    sequence = (torch.rand(_PIXELS, 256, 1, generator=torch.Generator().manual_seed(0)) > 0.8).float()
    recurrent.run(cells, sequence, fused=fused)[0].sum().backward()


def _steps(threads, count):
    torch.set_num_threads(threads)
    cells = nn.GRU(1, 64)
    for _ in range(count):
        _step(cells, True)


def _every_candidate(model, pixels, missing):
    candidates = 2 ** missing.shape[1]
    whole = pixels[:, None].repeat(1, candidates, 1)
    whole.scatter_(
        2,
        missing[:, None].expand(-1, candidates, -1),
        filling.fillings(missing.shape[1]).expand(len(pixels), -1, -1),
    )
    with torch.no_grad():
        for part in whole.flatten(0, 1).split(256):
            pixel_nll(model, part)


def rows():
    """(work, seconds of the plain way, seconds of the fast way); one thread where nothing else is said."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for config in (
        dict(hidden_size=32),
        dict(hidden_size=64),
        dict(hidden_size=128),
        dict(hidden_size=32, num_layers=3),
        dict(cell="lstm"),
        dict(cell="lstm", hidden_size=128),
    ):
        config = RecurrentConfig(**config)
        cells = build_cells(config)
        yield (
            f"{config.title}, step of 256 digits",
            _seconds(lambda cells=cells: _step(cells, False)),
            _seconds(lambda cells=cells: _step(cells, True)),
        )
    cores = joblib.cpu_count()
    with joblib.Parallel(cores, inner_max_num_threads=1, backend="loky") as workers:
        beside = _seconds(lambda: workers(joblib.delayed(_steps)(1, 10) for _ in range(cores)), 1)
    after = _seconds(lambda: [_steps(cores, 10) for _ in range(cores)], 1)
    yield f"{cores} trainings of GRU 64 on {cores} cores", after, beside
    torch.set_num_threads(1)
    model = PixelPredictor(RecurrentConfig(hidden_size=128)).eval()
    pixels = digits.binarise(digits.load("embedded", image_size=28, num_train=1000).train)
    for side in (1, 2):
        corner = torch.randint(29 - side, (2, 1000, 1), generator=torch.Generator().manual_seed(side))
        missing = (
            (corner[0] + torch.arange(side).repeat_interleave(side)) * 28
            + corner[1]
            + torch.arange(side).repeat(side)
        )
        plain, fast = (
            _seconds(lambda m=missing: _every_candidate(model, pixels, m), 1),
            _seconds(lambda m=missing: filling.filling_nlls(model, pixels, m), 1),
        )
        yield f"exact filling, {side} x {side}, 1000 digits", plain, fast
    torch.set_num_threads(threads)
