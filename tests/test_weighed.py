"""Digits written to disk by a likelihood, as report 13 does it: they weigh what it states, and come back."""

import math

import constriction
import nbformat
import numpy as np
import torch

from nbutils.nade import likelihood
from nbutils.nade.fast import engines
from nbutils.nade.inpainter import Inpainter, InpainterConfig
from nbutils.pixelrnn.models import START, PixelPredictor, RecurrentConfig
from nbutils.pixelrnn.objective import nats_per_pixel
from nbutils.reports import series

COUNT, SIDE = 120, 4
DEFINED = ("pixel_by_pixel", "written", "ink_of_gru", "ink_of_nade")


def program(**models):
    """What the cells of the report define that hold one of the functions above."""
    book = nbformat.read(series.NOTEBOOKS / "13_nade_meets_pixel_rnn.ipynb", as_version=4)
    names = dict(np=np, torch=torch, constriction=constriction, engines=engines, START=START, **models)
    cells = [cell.source for cell in book.cells if any(f"def {name}(" in cell.source for name in DEFINED)]
    for cell in cells:
        exec(compile(cell, "report 13", "exec"), names)
    return names


def test_files_weigh_what_the_likelihood_states_and_are_read_back():
    torch.manual_seed(0)
    shape = dict(image_size=SIDE, channels=1, levels=2, width=6, layers=2)
    nade, gru = (
        Inpainter(InpainterConfig(**shape)).eval(),
        PixelPredictor(RecurrentConfig(hidden_size=5)).eval(),
    )
    order = torch.randperm(SIDE**2)
    names = program(slow_nade=nade, slow_gru=gru, orders=[None, order], num_pixels=SIDE**2, image_size=SIDE)
    pixels = (torch.rand(COUNT, SIDE**2) < 0.3).long()
    image = pixels.view(COUNT, 1, SIDE, SIDE)
    stated = {
        "nade": likelihood.hole_nll(nade, image, image < 0, ordering=order).sum(),
        "gru": nats_per_pixel(gru, pixels.float())[0].sum(),
    }
    for name, places in (("nade", order), ("gru", torch.arange(SIDE**2))):
        bits, ink_of = pixels[:, places].numpy().astype(np.int32), names[f"ink_of_{name}"]
        words = names["written"](ink_of(COUNT), bits)
        assert words.dtype == np.uint32
        beyond = 4 * len(words) - float(stated[name]) / math.log(2) / 8
        assert -1 <= beyond <= 9, name  # bytes: the coder's state and what fills the last word
        assert np.array_equal(names["read"](ink_of(COUNT), words, bits.shape), bits)
        words[len(words) // 2] ^= 1 << 7  # what is read is what was written
        assert not np.array_equal(names["read"](ink_of(COUNT), words, bits.shape), bits)
