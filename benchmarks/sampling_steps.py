"""What sampling and scoring save: at the benchmark's shape, 20 pictures of 64 x 64, hole of 32 x 32, 8
straight layers of 128 filters of 3 x 3, 256 levels; with the net of the series, 16 captioned pictures, 6
dilated residual layers of 64 filters; and the parts by themselves.

The fast side is run from beginning to end. Of the plain side, which takes hours, some evaluations are timed
and multiplied by how many it makes.
"""

import math
import time
from functools import partial

import torch
from torch.utils.benchmark import Timer

from nbutils.nade import categorical, likelihood, masks, sampling, schedules
from nbutils.nade.inpainter import Inpainter, InpainterConfig
from nbutils.nade.one_hot import with_planes
from nbutils.pixelrnn.models import PixelPredictor, RecurrentConfig

SIZE = 64  # of the pictures; the hole has half of it


def _evaluation(model, *arguments):
    with torch.no_grad():
        return _median(lambda: model(*arguments))


def _median(work):
    return Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads()).timeit(3).median


def _seconds(work):
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _model(**choices):
    torch.manual_seed(0)
    return Inpainter(InpainterConfig(image_size=SIZE, **choices)).eval()


def _pictures(count):
    image = torch.randint(256, (count, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    return image, masks.square(image.shape, size=SIZE // 2, central=True)


def _run(model, inputs, strategy, **choices):
    """Seconds of a whole run, and its result."""
    settings = dict(strategy=strategy, engine="auto", frames=2, generator=torch.Generator().manual_seed(1))
    return _seconds(lambda: sampling.inpaint(model, *inputs, **settings, **choices))


def rows():
    """(work, seconds of the plain way, seconds of the fast way), per step of a batch or per run."""
    yield from _parts()
    yield from _one_picture()
    yield from _pixels()
    yield from _benchmark_shape()
    yield from _net_of_the_series()


def _draw_plainly(logits, temperature, uniform):
    logits = logits.double()
    cumulative = ((logits - logits.max(-1, keepdim=True).values) / temperature).exp().cumsum(-1)
    total = cumulative[:, -1]
    threshold = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
    return (cumulative <= threshold[:, None]).sum(-1)


def _entropy_plainly(logits):
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1) / math.log(2)


def _parts():
    for count in (300, 30_000, 200_000):
        logits = torch.randn(count, 256)
        uniform = torch.rand(count, dtype=torch.float64)
        work = {
            f"drawing {count:,} levels": (_draw_plainly, categorical.draw_levels, (logits, 1.0, uniform)),
            f"{count:,} entropies": (_entropy_plainly, categorical.entropy, (logits,)),
        }
        for name, (plain, fast, arguments) in work.items():
            yield name, *(_median(partial(way, *arguments)) for way in (plain, fast))


def _one_picture():
    torch.manual_seed(0)
    model = Inpainter(InpainterConfig(image_size=32, width=32, layers=6)).eval()
    image = torch.randint(256, (1, 3, 32, 32))
    known = masks.square(image.shape, size=16, central=True)

    def score(segments):
        generator = torch.Generator().manual_seed(1)
        return _seconds(
            lambda: likelihood.conditional_nlls(
                model, image, known, ordering="orderless", generator=generator, segments=segments
            )
        )[0]

    yield (
        "likelihood of 768 variables, in segments",
        *(min(score(segments) for _ in range(3)) for segments in (1, None)),
    )


def _pixels():
    """128 rows, a pixel at a time: the model called for each against its written-out steps."""
    for config in (
        RecurrentConfig(hidden_size=128),
        RecurrentConfig(cell="lstm", hidden_size=128),
        RecurrentConfig(hidden_size=32, num_layers=3),
    ):
        model, pixels = PixelPredictor(config).eval(), torch.ones(128)
        with torch.no_grad():
            begun = model(pixels[:, None])[1]
            state, (read, _) = [begun], model.steps(begun)

            def call(model=model, state=state, pixels=pixels):
                state[0] = model(pixels[:, None], state[0])[1]

            plain, fast = (
                Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
                .blocked_autorange(min_run_time=0.5)
                .median
                for work in (call, lambda read=read, pixels=pixels: read(pixels))
            )
        yield f"sampled pixel, {config.title}", plain, fast


def _gibbs(n, num_steps):
    return schedules.annealed(n, num_steps, 0.5, 0.001, 0.1)


def _benchmark_shape():
    model, inputs = _model(width=128, layers=8), _pictures(20)
    steps = int((~inputs[1][0]).sum())
    look_up, one_hot = _evaluation(model, *inputs), _evaluation(with_planes(model), *inputs)
    seconds, _ = _run(model, inputs, "orderless")
    yield "orderless step, against one-hot", one_hot, seconds / steps
    yield "orderless step, against look-up", look_up, seconds / steps
    generator = torch.Generator().manual_seed(1)
    seconds, _ = _seconds(
        lambda: likelihood.hole_nll(model, *inputs, ordering="orderless", generator=generator)
    )
    yield "exact likelihood of one order", one_hot * steps, seconds
    dilated = _model(width=128, layers=5, kind="dilated")
    seconds, _ = _run(dilated, inputs, "orderless")
    yield "orderless step, dilations 1 to 16", _evaluation(with_planes(dilated), *inputs), seconds / steps
    seconds, _ = _run(model, inputs, "greedy")
    yield "greedy step", one_hot, seconds / steps
    seconds, result = _run(model, inputs, "independent_gibbs", schedule=_gibbs)
    yield "Gibbs run, alpha 0.5 to 0.001", one_hot * int(result.evaluations.max()), seconds


def _net_of_the_series():
    """Whole fills, so that seconds can be read off."""
    model = _model(
        width=64, layers=6, kind="dilated_residual", vocabulary_size=60, reader_size=48, readout=256
    )
    caption = torch.randint(1, 60, (16, 14), generator=torch.Generator().manual_seed(0))
    inputs = *_pictures(16), caption, torch.full((16,), 14)
    one_hot = _evaluation(with_planes(model), *inputs)
    for strategy in ("orderless", "greedy", "independent_gibbs"):
        choices = {"schedule": _gibbs} if "gibbs" in strategy else {}
        seconds, result = _run(model, inputs, strategy, **choices)
        yield f"series, {strategy}, 16 pictures", one_hot * int(result.evaluations.max()), seconds
