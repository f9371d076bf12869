"""Categorical distributions given by their logits: entropy, temperature, choice by entropy, sampling by
inverse CDF."""

import math

import torch

_IN_CACHE = 1 << 15  # numbers that are worked on at once on a CPU: as many as stay in a core's cache
_AT_ONCE = 1 << 26  # and on another device, where only memory counts


def in_parts(levels, *tensors):
    """Tensors with a row for each of n distributions over so many levels, cut alike into parts that are
    worked on one by one."""
    numbers = _IN_CACHE if tensors[0].device.type == "cpu" else _AT_ONCE
    return zip(*(tensor.split(max(1, numbers // levels)) for tensor in tensors))


def entropy(logits, temperature=1.0):
    """Entropy in bits of p^(1/T) for each row of logits, (..., levels) -> (...); T > 0, and -inf logits are
    allowed."""
    rows = logits.reshape(-1, logits.shape[-1])
    nats = rows.new_empty(len(rows))
    for part, out in in_parts(rows.shape[1], rows, nats):
        log_p = (part / temperature if temperature != 1 else part).log_softmax(-1)
        torch.sum(log_p.exp().mul_(log_p.clamp_(min=torch.finfo(log_p.dtype).min)), -1, out=out)
    return nats.div_(-math.log(2)).view(logits.shape[:-1])


def doubt(logits):
    """One minus the probability of the likeliest level, (..., levels) -> (...)."""
    return 1 - logits.softmax(-1).amax(-1)


def closeness(logits):
    """One minus the margin of the likeliest level over the second, (..., levels) -> (...)."""
    first, second = logits.softmax(-1).topk(2, -1).values.unbind(-1)
    return 1 - (first - second)


# By what a variable is chosen next, and whether the lowest or the highest comes first.
BY_CONTENT = {
    "greedy": (entropy, 1),
    "antigreedy": (entropy, -1),
    "top_probability": (doubt, 1),
    "margin": (closeness, 1),
}


def most_certain(scores, among, count=1):
    """The variables with the lowest scores of each example, the first of equals.

    Args:
        scores: float (B, V), such as entropies; negated they give the least certain variables.
        among: bool (B, V).
        count: how many of each example, an int or int64 (B,).
    Returns:
        bool (B, V), True at `count` variables of `among`, or at all where there are fewer.
    """
    scores = scores.masked_fill(~among, torch.inf)
    if isinstance(count, int) and count == 1:
        first = scores.argmin(1, keepdim=True)
        return torch.zeros_like(among).scatter_(1, first, True) & among
    place = scores.argsort(dim=1, stable=True).argsort(1)
    most = count if isinstance(count, int) else count[:, None]
    return (place < most) & among


def draw_levels(logits, temperature, uniform, unsound=None):
    """Sample from p^(1/T) by inverse CDF; T = 0 is the argmax, ties broken uniformly.

    Args:
        logits: float (n, levels); -inf is allowed, though not for all levels of a row.
        temperature: T >= 0.
        uniform: float64 (n,), in [0, 1).
        unsound: bool scalar tensor that is set where a row is no distribution, instead of raising: nothing
            waits then for the device.
    Returns:
        int64 (n,).
    Raises:
        ValueError: a row that is no distribution: NaN or inf, or -inf for every level.
    """
    levels = torch.empty(len(logits), dtype=torch.int64, device=logits.device)
    sound = torch.empty(len(logits), dtype=torch.bool, device=logits.device)
    for rows, u, level, ok in in_parts(logits.shape[1], logits, uniform, levels, sound):
        weight = rows.to(torch.float64, copy=True)
        highest = weight.amax(-1, keepdim=True)
        if temperature == 0:
            torch.eq(weight, highest, out=weight)
        else:
            weight.sub_(highest).div_(temperature).exp_()
        total = weight.cumsum_(-1)[:, -1]
        # u = 1 - 2^-53 can round up to the total
        threshold = torch.minimum(u * total, total.nextafter(torch.zeros_like(total)))
        level.copy_(torch.searchsorted(weight, threshold[:, None], right=True)[:, 0])
        ok.copy_((total + highest[:, 0]).isfinite())
    if unsound is not None:
        unsound |= ~sound.all()
    elif not sound.all():
        refuse_unsound(int((~sound).sum()))
    return levels.clamp_(max=logits.shape[-1] - 1)


def refuse_unsound(count):
    """Raises: ValueError: for the logits of so many variables, or of some."""
    what = f"logits: those of {count} variables are no distribution (NaN or inf, or -inf for every level)"
    raise ValueError(f"{what}; a model whose weights are not finite gives such")
