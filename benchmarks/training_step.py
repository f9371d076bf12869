"""What the table look-up, scoring a few of the hidden variables, and bfloat16 save in a training step of 8
layers of 64 filters at 32 x 32."""

import torch
from torch.nn import functional as F
from torch.utils.benchmark import Timer

from nbutils.nade import masks
from nbutils.nade.inpainter import Inpainter, InpainterConfig
from nbutils.nade.losses import cross_entropy, weights
from nbutils.nade.objective import choose
from nbutils.nade.one_hot import planes_of, with_planes


def _seconds(work):
    return (
        Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
        .blocked_autorange(min_run_time=2)
        .median
    )


def rows():
    """(work, seconds of the plain way, seconds of the fast way) for a batch of 16 pictures of 32 x 32 with a
    hole of 16 x 16."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = Inpainter(InpainterConfig(image_size=32, width=64, layers=8)).to(
        memory_format=torch.channels_last
    )
    plain = with_planes(model)
    image = torch.randint(256, (16, 3, 32, 32), generator=generator)
    hole = ~masks.square(image.shape, size=16, generator=generator)
    known = masks.orderless(image.shape, hole=hole, generator=generator)
    weight = weights(known, hole, "ordering_weighted")
    upstream = torch.randn(16, 64, 32, 32, generator=generator)

    def one_hot_layer():
        F.conv2d(planes_of(image, known), plain.first.weight, padding=1).backward(upstream)

    def look_up_layer():
        model.first(image, known).backward(upstream)

    def full_step():
        (cross_entropy(plain(image, known), image) * weight).sum().backward()

    def chosen_step():
        index, chosen_weight = choose(weight, 192, generator)
        with torch.autocast("cpu", torch.bfloat16):
            losses = cross_entropy(model(image, known, index=index), image.flatten()[index])
        (losses * chosen_weight).sum().backward()

    yield "first layer, forward and backward", _seconds(one_hot_layer), _seconds(look_up_layer)
    yield "training step", _seconds(full_step), _seconds(chosen_step)
