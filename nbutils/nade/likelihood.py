"""How probable the model finds what was in the hole: exactly for an order of its variables, or estimated over all orders.

Everything is teacher-forced: a variable is predicted from the true values of those that come before it.
"""

import math

import torch

from . import masks
from .arguments import check_pictures, fixed_order, to_rank
from .categorical import entropy, most_certain
from .inpainter import predict
from .losses import cross_entropy

ORDERINGS = ("orderless", "greedy", "antigreedy")
_ROWS = 64  # pictures per evaluation of the model


def hole_nll(model, image, known, caption=None, caption_length=None, *, ordering, num_orders=1, generator=None):
    """Negative log-likelihood of the hole, (B,) nats, the mean over orders, exact for each; see `conditional_nlls`."""
    return hole_nll_per_order(model, image, known, caption, caption_length, ordering=ordering, num_orders=num_orders, generator=generator).mean(0)


def hole_nll_per_order(model, image, known, caption=None, caption_length=None, *, ordering, num_orders=1, generator=None):
    """Negative log-likelihood of the hole under each order, (num_orders, B) nats; see `conditional_nlls`."""
    return conditional_nlls(model, image, known, caption, caption_length, ordering=ordering, num_orders=num_orders, generator=generator)[0].sum(-1)


def ensemble_nll(model, image, known, caption=None, caption_length=None, *, num_orders, generator=None):
    """Negative log-likelihood of the hole under the equal mixture of k random orders, (B,) nats: log k - logsumexp of the
    joint log-likelihoods (Uria, Murray, Larochelle 2014, section 4.2). The same k orders serve every picture."""
    nats = hole_nll_per_order(model, image, known, caption, caption_length, ordering="orderless", num_orders=num_orders, generator=generator)
    return math.log(num_orders) - torch.logsumexp(-nats, 0)


@torch.no_grad()
def conditional_nlls(model, image, known, caption=None, caption_length=None, *, ordering, num_orders=1, generator=None):
    """What every hole variable costs, given the true values of those before it.

    Their sum is the negative log-likelihood of the hole. With a greedy order it is one of a joint distribution too, because
    the order depends on nothing but what came before, and ties go to the lowest index.

    Args:
        model: an `Inpainter` in evaluation mode, or any callable of its signature.
        image, known, caption, caption_length: as in `sampling.inpaint`.
        ordering: "orderless", `num_orders` random orders of all variables of the picture, the same for every picture, each
            restricted to the picture's hole; "greedy" or "antigreedy", the variable of lowest or highest predictive entropy
            first; or the flat indices (into C * H * W) of the hole variables in the order wanted, the same for every picture.
        num_orders: K, 1 except for "orderless".
        generator: torch.Generator of the CPU, for "orderless".
    Returns:
        nats: float64 (K, B, C * H * W), 0 where known.
        rank: int64 (K, B, C * H * W), the position in the order, C * H * W where known.
    Raises:
        ValueError: an argument of the wrong shape or type, an impossible value, or a model in training mode.
    """
    check_pictures(model, image, known, caption, caption_length)
    if isinstance(ordering, str) and ordering not in ORDERINGS:
        raise ValueError(f"ordering: {ordering!r}; expected one of {', '.join(ORDERINGS)}, or the flat indices of the hole variables")
    if num_orders < 1 or (num_orders > 1 and not (isinstance(ordering, str) and ordering == "orderless")):
        raise ValueError(f"num_orders: {num_orders}; expected 1, or more for the random orders of 'orderless'")
    if isinstance(ordering, str) and ordering != "orderless":
        nats, rank = _by_entropy(model, image, known, caption, caption_length, 1 if ordering == "greedy" else -1)
        return nats[None], rank[None]
    hole, size = ~known.flatten(1), known[0].numel()
    if isinstance(ordering, str):
        place = torch.stack([to_rank(torch.randperm(size, generator=generator), size) for _ in range(num_orders)]).to(image.device)
    else:
        place = to_rank(fixed_order("ordering", ordering, known), size)[None]
    order = place[:, None].masked_fill(~hole, size).argsort(-1)  # (K, B, V), the hole's variables first
    rank = to_rank(order, size).masked_fill(~hole, size)
    return _in_order(model, image, rank, caption, caption_length), rank


def _in_order(model, image, rank, caption, length):
    """Each conditional is an evaluation of its own; all are independent given the truth, so many share a batch."""
    _, batch, size = rank.shape
    nats = torch.zeros(rank.shape, dtype=torch.float64, device=image.device)
    for part in (rank < size).flatten().nonzero()[:, 0].split(_ROWS):
        which = part // size  # flat into (K, B)
        example = which % batch
        ranks = rank.view(-1, size)[which]
        known = (ranks < rank.flatten()[part, None]) | (ranks == size)
        words = (None, None) if caption is None else (caption[example], length[example])
        index = torch.arange(len(part), device=part.device) * size + part % size
        logits = predict(model, image[example], known.view(-1, *image.shape[1:]), *words, index)
        nats.view(-1)[part] = cross_entropy(logits, image.flatten(1)[example, part % size]).double()
    return nats


def _by_entropy(model, image, known, caption, length, sign):
    """Greedy orders come about as they go: every step is an evaluation, and shows the truth of the variable it chose."""
    truth, unknown = image.flatten(1), ~known.flatten(1)
    nats = torch.zeros(unknown.shape, dtype=torch.float64, device=image.device)
    rank = torch.full(unknown.shape, unknown.shape[1], device=image.device)
    for step in range(int(unknown.sum(1).max())):
        index = unknown.flatten().nonzero()[:, 0]
        logits = predict(model, image, ~unknown.view(image.shape), caption, length, index)
        entropies = torch.zeros(unknown.shape, device=image.device)
        entropies.view(-1)[index] = entropy(logits).to(entropies.dtype)
        chosen = most_certain(sign * entropies, unknown)
        drawn = chosen.flatten()[index]
        nats[chosen] = cross_entropy(logits[drawn], truth[chosen]).double()
        rank[chosen] = step
        unknown = unknown & ~chosen
    return nats, rank


@torch.no_grad()
def estimate_nll(model, image, known, caption=None, caption_length=None, *, num_masks, generator):
    """Unbiased estimate of the negative log-likelihood of the hole, averaged over all orderings of its D variables.

    Each mask shows a random set of d hole variables and scores the others with weight D / (D - d)
    (Uria, Murray, Larochelle 2014, equation 9), in one evaluation where an exact ordering needs D.

    Args:
        model: an `Inpainter` in evaluation mode, or any callable of its signature.
        image, known, caption, caption_length: as in `sampling.inpaint`.
        num_masks: number of masks per picture, at least 2.
        generator: torch.Generator of the CPU.
    Returns:
        estimate: (B,) nats.
        standard_error: (B,) nats, over masks.
    Raises:
        ValueError: fewer than two masks, an empty hole, a wrong argument, or a model in training mode.
    """
    check_pictures(model, image, known, caption, caption_length)
    if num_masks < 2:
        raise ValueError(f"num_masks: {num_masks}; a standard error needs at least 2")
    hole = ~known
    sizes = hole.flatten(1).sum(1)
    estimates = []
    for _ in range(num_masks):
        shown = masks.orderless(image.shape, hole=hole.cpu(), generator=generator).to(image.device)
        index = (~shown).flatten().nonzero()[:, 0]
        nats = cross_entropy(predict(model, image, shown, caption, caption_length, index), image.flatten()[index])
        example = index // image[0].numel()
        total = torch.zeros(len(image), dtype=torch.float64, device=image.device).index_add_(0, example, nats.double())
        estimates.append(total * sizes / (~shown).flatten(1).sum(1))
    estimates = torch.stack(estimates)
    return estimates.mean(0), estimates.std(0) / num_masks**0.5
