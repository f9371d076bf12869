"""Which variables of a given order may be drawn at the same time.

Two variables of which neither lies in the other's receptive field do not feel each other, so an order that
does not depend on values can be run in fewer, larger turns with the very same result.
"""

import numpy as np


def turns(rank, num_ranked, reach, image_shape, alone):
    """The earliest turn of every variable that leaves all of its context as it is one by one.

    A variable is drawn after everything that comes before it in the order and lies in its receptive field,
    and not after anything that comes after it in the order and has it in its own field; for kernels of even
    size the two differ.

    Args:
        rank: int64 array (B, V), positions in the order, 0 .. D-1 of each example; larger elsewhere.
        num_ranked: int64 array (B,), D of each example.
        reach: (before, after), how many pixels a prediction sees upwards or to the left, and downwards or to
            the right.
        image_shape: (C, H, W) with V = C * H * W.
        alone: bool array (B, V), True at positions of the order that must have a turn of their own, with
            everything before them drawn and nothing after them.
    Returns:
        turn: int64 array (B, V), V where not ranked.
    """
    batch, size = rank.shape
    _, height, width = image_shape
    before, after = reach
    side = before + after
    order = np.argsort(rank, axis=1, kind="stable")
    # For every pixel the turn after the latest that was drawn there, with a margin that no window leaves.
    next_turn = np.zeros((batch, height + 2 * side, width + 2 * side), np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(next_turn, (side + 1, side + 1), (1, 2))
    turn = np.full((batch, size), size, np.int64)
    floor = np.zeros(batch, np.int64)  # the turn after the last variable that was alone
    latest = np.full(batch, -1, np.int64)
    for position in range(int(num_ranked.max(initial=0))):
        example = np.flatnonzero(position < num_ranked)
        variable = order[example, position]
        y, x = variable % (height * width) // width + side, variable % width + side
        # What the variable sees is drawn before it.
        seen = windows[example, y - before, x - before].max((1, 2))
        if before != after:
            # What sees the variable, and came before it, is not drawn after it.
            seers = windows[example, y - after, x - after].max((1, 2))
            seen = np.maximum(seen, seers - 1)
        single = alone[example, position]
        chosen = np.where(single, latest[example] + 1, np.maximum(seen, floor[example]))
        turn[example, variable] = chosen
        next_turn[example, y, x] = np.maximum(next_turn[example, y, x], chosen + 1)
        latest[example] = np.maximum(latest[example], chosen)
        floor[example] = np.where(single, chosen + 1, floor[example])
    return turn
