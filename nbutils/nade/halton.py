"""A low-discrepancy order of the variables of a picture."""

import functools

import torch


@functools.cache
def halton(shape):
    """The Halton order (Besnier et al. 2025, arXiv 2503.17076): pixels spread out evenly, whatever part of it
    has been drawn; the channels of a pixel follow one another.

    Args:
        shape: (C, H, W).
    Returns:
        int64 (C * H * W,), the position of every variable in the order.
    """
    channels, height, width = shape
    place, seen, number = torch.full((height, width), -1), 0, 0
    while seen < height * width:
        number += 1
        row, column = int(height * _inverse(number, 2)), int(width * _inverse(number, 3))
        if place[row, column] < 0:
            place[row, column] = seen
            seen += 1
    channel = torch.arange(channels)[:, None, None]
    return (place * channels + channel).flatten()


def _inverse(number, base):
    """The radical inverse: the digits of a number in some base, mirrored at the point."""
    found, scale = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        scale /= base
        found += digit * scale
    return found
