"""The 288 Sudokus of 4 x 4: so few that whatever one asks of the uniform distribution over them can be
counted."""

import itertools
from functools import lru_cache

import torch

SIDE, LEVELS = 4, 4


@lru_cache(maxsize=1)
def grids():
    """All of them, in lexicographic order: int64 (288, 1, 4, 4), levels from 0."""
    rows = torch.tensor(list(itertools.permutations(range(LEVELS))))  # (24, 4)
    choice = torch.cartesian_prod(*[torch.arange(len(rows))] * SIDE)  # (24^4, 4)
    every = rows[choice][:, None]  # (24^4, 1, 4, 4)
    return every[valid(every)]


def valid(image):
    """Whether every row, every column and every box of 2 x 2 has each level once: image (B, 1, 4, 4), result
    bool (B,)."""
    grid = image[:, 0]
    boxes = grid.unflatten(1, (2, 2)).unflatten(3, (2, 2)).transpose(2, 3).reshape(-1, SIDE, SIDE)
    groups = torch.cat([grid, grid.transpose(1, 2), boxes], 1)  # (B, 12, 4)
    return (groups.sort(-1).values == torch.arange(LEVELS)).all(-1).all(-1)


def exact(image, known, caption=None, caption_length=None):
    """The conditionals of the uniform distribution over all grids, as a model that samplers take.

    Args:
        image: int64 (B, 1, 4, 4); known: bool (B, 1, 4, 4). There are no captions.
    Returns:
        float64 (B, 1, 4, 4, 4), log-probabilities, -inf for what cannot be. Where no grid has what is known,
        which only happens after a mistake, all levels are equally likely.
    """
    shown = torch.where(known, image, -1).flatten(1)[:, None]  # (B, 1, 16)
    every = grids().flatten(1)  # (288, 16)
    agree = ((shown == every) | (shown < 0)).all(-1).double()  # (B, 288)
    count = agree @ torch.nn.functional.one_hot(every, LEVELS).double().flatten(1)  # (B, 16 * 4)
    count = torch.where(agree.any(-1, keepdim=True), count, 1.0).view(*image.shape, LEVELS)
    return (count / count.sum(-1, keepdim=True)).log()
