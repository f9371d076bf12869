"""A low-discrepancy order of the variables of a picture."""

import functools

import torch

BASES = 5, 2, 3  # of the channel, the row and the column


@functools.cache
def halton(shape):
    """The Halton order (Besnier et al. 2025, arXiv 2503.17076) of variables instead of tokens: spread out
    evenly over rows, columns and channels, whatever part of it has been drawn.

    Args:
        shape: (C, H, W).
    Returns:
        int64 (C * H * W,), the position of every variable in the order.
    """
    place, seen, number = torch.full(shape, -1), 0, 0
    while seen < place.numel():
        number += 1
        variable = tuple(int(size * _inverse(number, base)) for size, base in zip(shape, BASES))
        if place[variable] < 0:
            place[variable] = seen
            seen += 1
    return place.flatten()


def _inverse(number, base):
    """The radical inverse: the digits of a number in some base, mirrored at the point."""
    found, scale = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        scale /= base
        found += digit * scale
    return found
