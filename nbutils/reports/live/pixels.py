"""The panel of digits: rub pixels out, let a GRU write on or weigh all fillings, a NADE fill any hole."""

import torch
from torch.nn import functional

from ...data import digits
from ...pixelrnn import filling
from ...show import figures
from ...training import job
from .. import publications
from . import parts

SIZE = 28  # side of the digits
_OFFERED = 8
_SAMPLES = 4  # of the still picture


def live_digits(writer, pixels, filler=None, name="live"):
    """Show the panel of digits.

    Args:
        writer: path of a trained GRU, which writes digits row by row.
        pixels: float (N, T) of 0 and 1, of which the first eight are offered. Where they are not of 28 x 28
            pixels, published nets take the place of those given, and enlarged digits that of these.
        filler: path of a trained NADE of two levels, which fills any hole; None for none.
        name: of the figure.
    Raises:
        FileNotFoundError: nothing is published where it is needed.
    """
    if pixels.shape[1] != SIZE**2:
        writer = publications.checkpoint("11_pixel_prediction", "GRU 128")
        if filler:
            filler = publications.checkpoint("13_nade_meets_pixel_rnn", "Orderless NADE")
        pixels = _enlarged()
    offered = pixels[:_OFFERED].cpu()
    given = {
        "panel": "digits",
        "writer": parts.place(writer),
        "filler": parts.place(filler) if filler else None,
        "size": SIZE,
        "pictures": ["".join(map(str, one)) for one in offered.int().tolist()],
    }
    parts.show(
        given,
        _still(job.load(writer, "cpu").model, offered[:1]),
        "Rub out pixels of a digit, or draw one: a GRU writes what follows, says what every pixel costs, and "
        f"weighs all fillings of a few{'; a NADE fills any hole' if filler else ''}. It runs in this page. "
        f"The GRU is one {parts.origin(given['writer'])}.",
        name,
    )


def _enlarged():
    """The digits that need no download, of 20 x 20 pixels on 28 x 28, as MNIST has its own."""
    small = digits.binarise(digits.load("embedded", image_size=20, num_test=_OFFERED).test)
    return functional.pad(small.view(-1, 20, 20), (4, 4, 4, 4)).flatten(1)


def _still(writer, pixels):
    """A digit without its lower half, and how the net writes on."""
    first, lot = SIZE**2 // 2, torch.Generator().manual_seed(0)
    ends = filling.sample_next(writer, pixels, first, first, num_samples=_SAMPLES, generator=lot).values
    whole = torch.cat([pixels[:, :first].expand(_SAMPLES, -1), ends[:, 0]], 1)
    rows = torch.cat([pixels.index_fill(1, torch.arange(first, SIZE**2), 0.5), whole]).view(-1, SIZE, SIZE)
    known = torch.arange(SIZE**2).view(SIZE, SIZE) < first
    drawn = figures.tinted(rows, known)
    labels = ["lower half hidden", *(f"written on, {n + 1}" for n in range(_SAMPLES))]
    return [figures.picture_cell(one, label, f"A digit, {label}", 120) for one, label in zip(drawn, labels)]
