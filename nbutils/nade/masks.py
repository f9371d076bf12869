"""Random masks: which variables of a picture the model may see. `known` is True where a variable is
observed."""

import torch
from torch.nn import functional as F


def orderless(shape, *, hole=None, generator):
    """A uniformly random number of known variables at uniformly random positions (Uria, Murray, Larochelle
    2014, section 4.1).

    This is the state of an ancestral process with a random ordering, stopped at a random time.

    Args:
        shape: (B, C, H, W).
        hole: bool (B, C, H, W), True where variables are to be filled in; the D variables of the ordering are
            those of the hole and everything outside is known. None: the whole picture.
        generator: torch.Generator of the CPU.
    Returns:
        known: bool (B, C, H, W), with d known variables in each example's hole, d uniform in 0..D-1.
    Raises:
        ValueError: an example's hole is empty.
    """
    hole = torch.ones(shape, dtype=torch.bool) if hole is None else hole
    inside = hole.flatten(1)
    sizes = inside.sum(1)  # D
    if (sizes == 0).any():
        raise ValueError(
            f"hole: example {int((sizes == 0).nonzero()[0])} has no variable to hide; every hole needs "
            "at least one"
        )
    place = torch.rand(inside.shape, generator=generator).masked_fill_(~inside, 2.0)
    rank = place.argsort(1).argsort(1)
    num_known = (torch.rand(len(inside), generator=generator, dtype=torch.float64) * sizes).long()
    return ((rank < num_known[:, None]) | ~inside).reshape(shape)


def square(shape, *, size=32, central=False, generator=None):
    """One hidden square of `size` x `size` pixels with all their channels, uniformly placed or in the centre.

    Returns:
        known: bool (B, C, H, W), False in the square.
    Raises:
        ValueError: the square does not fit into the picture.
    """
    batch, _, height, width = shape
    if not 1 <= size <= min(height, width):
        raise ValueError(f"size: a hole of {size} x {size} does not fit into a picture of {height} x {width}")
    if central:
        top, left = (torch.full((batch,), (side - size) // 2) for side in (height, width))
    else:
        top = torch.randint(0, height - size + 1, (batch,), generator=generator)
        left = torch.randint(0, width - size + 1, (batch,), generator=generator)
    rows, columns = torch.arange(height), torch.arange(width)
    hidden_rows = (rows >= top[:, None]) & (rows < top[:, None] + size)  # (B, H)
    hidden_columns = (columns >= left[:, None]) & (columns < left[:, None] + size)  # (B, W)
    hidden = hidden_rows[:, :, None] & hidden_columns[:, None, :]
    return ~hidden[:, None].expand(shape).contiguous()


def contiguish(shape, *, radius=8, generator):
    """Hidden neighbourhoods: a variable is known where no variable within `radius` was struck.

    p ~ U(0, 1) per example; with a = (2 radius + 1)^2 each variable is struck with probability 1 - p^(1/a),
    so that it is known with probability p. The field of strikes is wider than the picture by `radius`, so
    that borders are like the middle. The published code drew p once for all examples; here each has its own.
    A mask that hides nothing is drawn again.

    Returns:
        known: bool (B, C, H, W); channels are independent given p.
    Raises:
        ValueError: `radius` is negative.
    """
    if radius < 0:
        raise ValueError(f"radius: {radius} is negative; 0 gives independent variables, 8 windows of 17 x 17")
    batch, channels, height, width = shape
    side = 2 * radius + 1
    p = torch.rand(batch, 1, 1, 1, generator=generator, dtype=torch.float64)
    wider = (height + 2 * radius, width + 2 * radius)
    noise = torch.rand(batch, channels, *wider, generator=generator, dtype=torch.float64)
    struck = (noise >= p ** (1 / side**2)).float()
    known = F.max_pool2d(struck, side, stride=1) == 0
    empty = known.flatten(1).all(1)
    if empty.any():
        again = (int(empty.sum()), channels, height, width)
        known[empty] = contiguish(again, radius=radius, generator=generator)
    return known
