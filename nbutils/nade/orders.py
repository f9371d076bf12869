"""Exact likelihoods of whole pictures under several orders, side by side on the cores of a processor."""

import torch

from ..processes import by_key
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
    # a worker is sent the pictures it reads: a slice that is not copied would travel with all of them
    parts = [part.clone() for part in pictures.split(_AT_ONCE)]
    pairs = [(number, first) for number in range(len(orders)) for first in range(len(parts))]
    calls = {(number, first): (model, parts[first], orders[number]) for number, first in pairs}
    found = by_key(_in_order, calls, next(model.parameters()).device.type, "likelihoods")
    each = [[found[number, first] for first in range(len(parts))] for number in range(len(orders))]
    return torch.stack([torch.cat(nats) for nats in each])


def _in_order(model, pictures, order):
    known = torch.zeros_like(pictures, dtype=torch.bool)
    return likelihood.hole_nll(model, pictures, known, ordering=order)
