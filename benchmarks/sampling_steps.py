"""What the incremental engine saves: 20 pictures of 64 x 64, hole of 32 x 32, 8 straight layers of 128 filters of 3 x 3, 256 levels.

The fast side is run from beginning to end. Of the plain side, which takes hours, some evaluations are timed and multiplied by how many it makes.
"""

import time

import torch
from torch.utils.benchmark import Timer

from nbutils.nade import likelihood, masks, sampling, schedules
from nbutils.nade.inpainter import Inpainter, InpainterConfig

from .one_hot import with_planes


def _evaluation(model, *arguments):
    with torch.no_grad():
        return Timer("model(*arguments)", globals={"model": model, "arguments": arguments}, num_threads=torch.get_num_threads()).timeit(3).median


def _seconds(work):
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _model(**choices):
    torch.manual_seed(0)
    return Inpainter(InpainterConfig(image_size=64, width=128, **choices)).eval()


def rows():
    """(work, seconds of the plain way, seconds of the fast way), per step of 20 pictures or per run."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(256, (20, 3, 64, 64), generator=generator)
    known = masks.square(image.shape, size=32, central=True)
    steps = int((~known[0]).sum())

    def run(model, strategy, **choices):
        return _seconds(lambda: sampling.inpaint(model, image, known, strategy=strategy, engine="incremental", frames=2, generator=torch.Generator().manual_seed(1), **choices))

    model = _model(layers=8)
    look_up, one_hot = _evaluation(model, image, known), _evaluation(with_planes(model), image, known)
    seconds, _ = run(model, "orderless")
    yield "orderless step, against one-hot", one_hot, seconds / steps
    yield "orderless step, against look-up", look_up, seconds / steps
    seconds, _ = _seconds(lambda: likelihood.hole_nll(model, image, known, ordering="orderless", engine="incremental", generator=torch.Generator().manual_seed(1)))
    yield "exact likelihood of one order", one_hot * steps, seconds
    dilated = _model(layers=5, kind="dilated")
    seconds, _ = run(dilated, "orderless")
    yield "orderless step, dilations 1 to 16", _evaluation(with_planes(dilated), image, known), seconds / steps
    seconds, _ = run(model, "greedy")
    yield "greedy step", one_hot, seconds / steps
    seconds, result = run(model, "independent_gibbs", schedule=lambda n, N: schedules.annealed(n, N, 0.5, 0.001, 0.1))
    yield "Gibbs run, alpha 0.5 to 0.001", one_hot * int(result.evaluations.max()), seconds
