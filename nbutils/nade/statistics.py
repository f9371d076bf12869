"""Numbers that the eye cannot judge: statistics of filled-in holes, and the peer that a user would otherwise
pick.

`hole` is bool (B, C, H, W), True where variables were filled in; statistics are over those variables alone.
"""

import math

import numpy as np
import torch
from torch.nn import functional as F

LEVELS = 256  # of a picture


def hole_mean(values, hole):
    """The mean over each example's hole of values (B, C, H, W) of any type; float64 (B,), NaN where the hole
    is empty."""
    return torch.where(hole, values, 0).double().flatten(1).sum(1) / hole.flatten(1).sum(1)


def extreme_share(image, hole):
    """Share of the hole's variables at the first or the last level, (B,)."""
    return hole_mean((image == 0) | (image == LEVELS - 1), hole)


def roughness(image, hole):
    """Mean absolute difference, in levels, between neighbours in a row or column of a channel of which one at
    least is in the hole, (B,)."""
    total = torch.zeros(len(image), dtype=torch.float64)
    count = torch.zeros(len(image), dtype=torch.float64)
    for axis in (2, 3):
        length = image.shape[axis] - 1
        counted = hole.narrow(axis, 0, length) | hole.narrow(axis, 1, length)
        total += (torch.where(counted, image.diff(dim=axis).abs(), 0)).double().flatten(1).sum(1)
        count += counted.flatten(1).sum(1)
    return total / count


def stray(image):
    """Which variables differ by more than 32 levels from every one of their neighbours (up to eight)
    in their channel.

    Returns:
        bool (B, C, H, W).
    """
    image = image.double()
    padded = F.pad(image, (1, 1, 1, 1), value=torch.inf)
    height, width = image.shape[2:]
    nearest = torch.full_like(image, torch.inf)
    for row in range(3):
        for column in range(3):
            if (row, column) != (1, 1):
                neighbour = padded[:, :, row : row + height, column : column + width]
                nearest = torch.minimum(nearest, (neighbour - image).abs())
    return nearest > 32


def diversity(samples, hole):
    """Mean absolute difference, in levels, between two samples of the same hole.

    Args:
        samples: int64 (S, B, C, H, W), S >= 2.
    Returns:
        float64 (B,).
    """
    pairs = [hole_mean((a - b).abs(), hole) for i, a in enumerate(samples) for b in samples[:i]]
    return torch.stack(pairs).mean(0)


def psnr(image, truth, hole):
    """Peak signal-to-noise ratio of the hole in dB, (B,)."""
    # here, as scikit-image takes long to import and few need it
    from skimage.metrics import peak_signal_noise_ratio

    decibels = []
    for filled, original, inside in zip(image, truth, hole):
        pair = original[inside].numpy(), filled[inside].numpy()
        decibels.append(peak_signal_noise_ratio(*pair, data_range=LEVELS - 1))
    return torch.tensor(decibels, dtype=torch.float64)


def ssim(image, truth, hole):
    """Structural similarity, averaged over the hole, (B,). Pictures have at least 7 x 7 pixels, the size of
    its window."""
    from skimage.metrics import structural_similarity

    maps = []
    for filled, original in zip(image, truth):
        pair = original.numpy(), filled.numpy()
        _, of_pixels = structural_similarity(*pair, channel_axis=0, data_range=LEVELS - 1, full=True)
        maps.append(of_pixels)
    return hole_mean(torch.from_numpy(np.stack(maps)), hole)


def biharmonic(image, known):
    """Holes filled by the biharmonic equation, the smoothest surface that fits what is known; it reads no
    captions.

    Args:
        image: int64 (B, C, H, W); known: bool (B, C, H, W).
    Returns:
        int64 (B, C, H, W).
    Raises:
        ValueError: a channel of which nothing is known.
    """
    from skimage.restoration import inpaint_biharmonic

    filled = image.clone()
    for example, channel in (~known).flatten(2).any(2).nonzero().tolist():
        hidden = ~known[example, channel]
        if hidden.all():
            raise ValueError(
                f"known: nothing of channel {channel} of example {example} is known; there is no "
                "boundary to continue"
            )
        plane = torch.where(hidden, 0, image[example, channel]).double() / (LEVELS - 1)
        answer = torch.from_numpy(inpaint_biharmonic(plane.numpy(), hidden.numpy())) * (LEVELS - 1)
        answer = answer.round().long().clamp(0, LEVELS - 1)
        filled[example, channel] = torch.where(hidden, answer, image[example, channel])
    return filled


def laplace_nll(centre, target, scale, levels=LEVELS):
    """Negative log-likelihood of levels under a Laplace distribution around an answer, cut into levels, in
    nats.

    A level has the probability of the interval that rounds to it; the first and the last have the tails. It
    gives bits to a method that gives only an answer.

    Args:
        centre, target: int64, any shape; scale: float > 0, levels.
    Returns:
        float64, shape of target.
    """
    away = (target - centre).abs().double()
    tail = (target == 0) | (target == levels - 1)
    beyond = (away - 0.5) / scale + math.log(2)  # -log of the tail that begins half a level before the target
    inside = beyond - torch.where(tail, 0.0, math.log(-math.expm1(-1 / scale)))
    half = 0.5 * math.exp(-0.5 / scale)  # the tail on either side of the centre's own level
    return torch.where(away > 0, inside, -torch.log1p(torch.where(tail, -half, -2 * half)))


def laplace_scale(centre, target):
    """The scale that makes `laplace_nll` smallest on the whole, to 3%."""
    scales = torch.logspace(-1, 2, 240).tolist()
    return min(scales, key=lambda scale: float(laplace_nll(centre, target, scale).sum()))
