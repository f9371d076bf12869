"""Exact likelihoods of whole pictures under several orders, side by side on the cores of a processor."""

import sys

import joblib
import torch
from tqdm import tqdm

from ..processes import side_by_side
from . import likelihood

_AT_ONCE = 250  # pictures whose activations are kept together


def nll_by_order(model, pictures, orders):
    """Exact negative log-likelihoods of whole pictures under several orders, as many at a time as there are
    processor cores.

    Args:
        model: `Inpainter` in evaluation mode.
        pictures: int64 (N, C, H, W).
        orders: list of int64 (C * H * W,), all variables in the order wanted.
    Returns:
        float64 (len(orders), N), nats.
    """
    found = torch.zeros(len(orders), len(pictures), dtype=torch.float64)
    firsts = range(0, len(pictures), _AT_ONCE)
    parts = [list(range(first, min(first + _AT_ONCE, len(pictures)))) for first in firsts]
    count = len(parts) * len(orders)
    # a worker is sent the pictures it reads: indexed by a list they are a copy, where a slice would travel
    # with all of them
    calls = (
        (model, pictures[rows], order, number, rows) for rows in parts for number, order in enumerate(orders)
    )
    if next(model.parameters()).device.type == "cpu":
        finished = side_by_side(_in_order, calls, min(count, joblib.cpu_count()))
    else:  # an accelerator is one, and does a call at a time
        finished = (_in_order(*call) for call in calls)
    for number, rows, nats in tqdm(finished, total=count, desc="likelihoods", file=sys.stdout, ncols=84):
        found[number, rows] = nats
    return found


def _in_order(model, pictures, order, number, rows):
    known = torch.zeros_like(pictures, dtype=torch.bool)
    return number, rows, likelihood.hole_nll(model, pictures, known, ordering=order)
