"""Categorical distributions given by their logits: entropy, temperature, choice by entropy, sampling by inverse CDF."""

import math

import torch


def entropy(logits, temperature=1.0):
    """Entropy in bits of p^(1/T) for each row of logits, (..., levels) -> (...); T > 0, and -inf logits are allowed."""
    log_p = (logits / temperature).log_softmax(-1)
    return -(log_p.exp() * log_p.clamp(min=torch.finfo(log_p.dtype).min)).sum(-1) / math.log(2)


def most_certain(entropies, among):
    """The variable with the lowest entropy of each example, the first of equals.

    Args:
        entropies: float (B, V); negated they give the least certain variable.
        among: bool (B, V).
    Returns:
        bool (B, V), True at one variable of `among`, or nowhere where that is empty.
    """
    first = entropies.masked_fill(~among, torch.inf).argmin(1, keepdim=True)
    return torch.zeros_like(among).scatter_(1, first, True) & among


def draw_levels(logits, temperature, uniform):
    """Sample from p^(1/T) by inverse CDF; T = 0 is the argmax, ties broken uniformly.

    Args:
        logits: float (n, levels); -inf is allowed, though not for all levels of a row.
        temperature: T >= 0.
        uniform: float64 (n,), in [0, 1).
    Returns:
        int64 (n,).
    """
    logits = logits.double()
    highest = logits.max(-1, keepdim=True).values
    weight = (logits == highest).double() if temperature == 0 else ((logits - highest) / temperature).exp()
    cumulative = weight.cumsum(-1)
    total = cumulative[:, -1]
    threshold = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))  # u = 1 - 2^-53 can round up to the total
    return (cumulative <= threshold[:, None]).sum(-1)
