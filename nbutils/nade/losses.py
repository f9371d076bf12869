"""What a prediction costs: cross-entropy and the earth mover's distance, per variable, and their weighting
over a mask."""

import torch
from torch.nn import functional as F

WEIGHTINGS = ("ordering_weighted", "mean_unknown")


def cross_entropy(logits, target):
    """Negative log-likelihood of `target`, in nats.

    Args:
        logits: float (..., levels).
        target: int64 (...), levels.
    Returns:
        float, shape of target.
    """
    return F.cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none").view(target.shape)


def emd(logits, target, power=1):
    """Discrete earth mover's distance between the predicted distribution and the point mass at `target`.

    The sum over levels of |F - S|^power, with F the predicted cumulative distribution and S the step at the
    target. power 1 is the expected absolute error, linear in the probabilities: its optimum is a point mass
    at the conditional median. power 2 is the discrete ranked probability score (Epstein 1969), strictly
    proper: its optimum is the true distribution.

    Args:
        logits: float (..., levels).
        target: int64 (...), levels.
        power: 1 or 2.
    Returns:
        float, shape of target; in levels.
    Raises:
        ValueError: another power.
    """
    if power not in (1, 2):
        raise ValueError(f"power: {power}; the earth mover's distance is defined here for 1 and 2")
    cumulative = logits.softmax(-1).cumsum(-1)
    step = (torch.arange(logits.shape[-1], device=logits.device) >= target[..., None]).to(cumulative.dtype)
    difference = cumulative - step
    return (difference.abs() if power == 1 else difference.square()).sum(-1)


LOSSES = {
    "cross_entropy": cross_entropy,
    "emd1": lambda logits, target: emd(logits, target, 1),
    "emd2": lambda logits, target: emd(logits, target, 2),
}


def weights(known, hole, weighting, optimize_given=False):
    """The weight of every variable's loss in the objective of a batch.

    `ordering_weighted`: D / (D - d) for each of the D - d unknown variables of an example, averaged over the
    batch; the sum of losses so weighted estimates without bias the mean over orderings of the negative
    log-likelihood of the hole (Uria, Murray, Larochelle 2014, equation 9). `mean_unknown`: one over the
    number of unknown variables of the whole batch, as the published code did. `optimize_given` also scores
    the known variables of the hole, which a mask with room for copying makes easy: with weight 1 per example,
    or as members of the common mean.

    Args:
        known, hole: bool (B, C, H, W).
    Returns:
        float32 (B, C, H, W); zero where nothing is scored.
    Raises:
        ValueError: unknown weighting, or nothing to score.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting: {weighting!r}; one of {', '.join(WEIGHTINGS)}")
    unknown = hole & ~known
    num_unknown = unknown.flatten(1).sum(1)
    if (num_unknown == 0).any():
        raise ValueError(
            f"known: example {int((num_unknown == 0).nonzero()[0])} hides nothing, so there is nothing "
            "to predict"
        )
    if weighting == "mean_unknown":
        scored = hole if optimize_given else unknown
        return scored.float() / scored.sum()
    share = hole.flatten(1).sum(1) / num_unknown / len(known)
    weight = unknown * share[:, None, None, None]
    return weight + (hole & known) / len(known) if optimize_given else weight
