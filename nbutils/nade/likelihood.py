"""How probable the model finds what was in the hole: exactly for an order of its variables, or estimated over
all orders.

Everything is teacher-forced: a variable is predicted from the true values of those that come before it.
Inputs may be on any device; the work happens where the model is, and results come back to where the pictures
were.
"""

import math

import torch

from . import masks, splits
from .arguments import check_engine, check_pictures, fixed_order, to_rank
from .categorical import BY_CONTENT, most_certain
from .devices import device_of, moved, on_device
from .fast import engines
from .halton import halton
from .inpainter import predict
from .losses import cross_entropy

ORDERINGS = ("orderless", "halton", *BY_CONTENT)


def hole_nll(model, image, known, caption=None, caption_length=None, *, ordering, **options):
    """Negative log-likelihood of the hole, (B,) nats, the mean over orders, exact for each; arguments and
    `options` as `conditional_nlls` has them."""
    inputs = model, image, known, caption, caption_length
    return hole_nll_per_order(*inputs, ordering=ordering, **options).mean(0)


def hole_nll_per_order(model, image, known, caption=None, caption_length=None, *, ordering, **options):
    """Negative log-likelihood of the hole under each order, (num_orders, B) nats; arguments and `options` as
    `conditional_nlls` has them."""
    inputs = model, image, known, caption, caption_length
    nats, _ = conditional_nlls(*inputs, ordering=ordering, **options)
    return nats.sum(-1)


def ensemble_nll(nats):
    """Negative log-likelihood under the equal mixture of K orders: log K - logsumexp of the joint
    log-likelihoods (Uria, Murray, Larochelle 2014, section 4.2).

    Args:
        nats: (K, B), the cost of every picture in each order, the same orders for all.
    Returns:
        (B,) nats.
    """
    return math.log(len(nats)) - torch.logsumexp(-nats, 0)


@torch.no_grad()
def hole_logits(model, image, known, caption=None, caption_length=None):
    """What a model says of every hole variable, given what is known and none of the others.

    Args:
        model, image, known, caption, caption_length: as in `sampling.inpaint`.
    Returns:
        index: int64 (n,), the hole's variables, ascending flat indices into (B, C, H, W).
        logits: float (n, levels), where the pictures are.
    Raises:
        ValueError: a wrong argument, or a model in training mode.
    """
    check_pictures(model, image, known, caption, caption_length)
    index = (~known).flatten().nonzero()[:, 0]
    inputs = moved(device_of(model, image), image, known, caption, caption_length, index)
    return index, predict(model, *inputs).to(image.device)


@torch.no_grad()
def conditional_nlls(
    model,
    image,
    known,
    caption=None,
    caption_length=None,
    *,
    ordering,
    num_orders=1,
    blocks=None,
    engine="auto",
    generator=None,
    segments=None,
):
    """What every hole variable costs, given the true values of those before it.

    Their sum is the negative log-likelihood of the hole. With an order by content it is one of a joint
    distribution too, because the order depends on nothing but what came before, and ties go to the lowest
    index. So it is where variables are drawn several at a time: a product over blocks, within which each is
    independent of the others.

    Args:
        model: an `Inpainter` in evaluation mode, or any callable of its signature.
        image, known, caption, caption_length: as in `sampling.inpaint`.
        ordering: "orderless", `num_orders` random orders of all variables of the picture, the same for every
            picture, each restricted to the picture's hole; one of the other ancestral strategies of
            `sampling.inpaint`; or the flat indices (into C * H * W) of the hole variables in the order
            wanted, the same for every picture.
        num_orders: K, 1 except for "orderless".
        blocks: how many of the order's variables are drawn at a time, ints that add up to the size of every
            hole, see `splits`; None for one by one.
        engine: as in `sampling.inpaint`.
        generator: torch.Generator of the CPU, for "orderless".
        segments: into how many parts an order that is known beforehand is cut, which are then computed side
            by side, each from what comes before it; 1 computes it from end to end, to the same result. None
            counts what is cheapest.
    Returns:
        nats: float64 (K, B, C * H * W), 0 where known.
        rank: int64 (K, B, C * H * W), the position in the order, C * H * W where known.
    Raises:
        ValueError: an argument of the wrong shape or type, an impossible value, or a model in training mode.
    """
    check_pictures(model, image, known, caption, caption_length)
    check_engine(engine, model)
    places = _places(ordering, num_orders, known.cpu(), generator)
    given, hole = image.device, ~known.flatten(1).cpu()
    blocks = None if blocks is None else splits.checked(blocks, hole.sum(1))
    image, caption, caption_length = moved(device_of(model, image), image, caption, caption_length)
    if places is None or blocks:
        segments = 1
    elif segments is None:
        every = (num_orders * len(image), *image.shape[1:])
        segments = engines.num_segments(engine, model, every, int(hole.sum(1).max()))
    nats, rank = [], []
    rows = torch.arange(num_orders * len(image) * segments)  # flat into (num_orders, B, segments)
    for row in rows.split(engines.group_size(engine, model, (len(rows), *image.shape[1:]))):
        pair, segment = row // segments, row % segments
        example = on_device(pair % len(image), image.device)
        words = (None, None) if caption is None else (caption[example], caption_length[example])
        group = _Group(model, image[example], hole[pair % len(image)], *words, engine)
        if places is None:
            found = group.by_content(*BY_CONTENT[ordering], blocks)
        elif blocks:
            found = group.in_blocks(places[pair // len(image)], blocks)
        else:
            found = group.in_order(places[pair // len(image)], segment, segments)
        nats.append(found[0])
        rank.append(found[1])
    shape = (num_orders, len(image), segments, hole.shape[1])
    nats = torch.cat(nats).view(shape).sum(2)  # a variable costs something in one of the segments
    return nats.to(given), torch.cat(rank).view(shape)[:, :, 0].to(given)


def _places(ordering, num_orders, known, generator):
    """The position of every variable in each order, int64 (num_orders, V); None for an order that depends on
    what it meets."""
    by_name = isinstance(ordering, str)
    if by_name and ordering not in ORDERINGS:
        allowed = f"{', '.join(ORDERINGS)}, or the flat indices of the hole variables"
        raise ValueError(f"ordering: {ordering!r}; expected one of {allowed}")
    if num_orders < 1 or (num_orders > 1 and not (by_name and ordering == "orderless")):
        allowed = "1, or more for the random orders of 'orderless'"
        raise ValueError(f"num_orders: {num_orders}; expected {allowed}")
    size = known[0].numel()
    if not by_name:
        return to_rank(fixed_order("ordering", ordering, known), size)[None]
    if ordering in BY_CONTENT:
        return None
    if ordering == "halton":
        return halton(known.shape[1:])[None]
    orders = [torch.randperm(size, generator=generator) for _ in range(num_orders)]
    return to_rank(torch.stack(orders), size)


class _Group:
    """Pictures whose conditionals are computed together. Masks and ranks are on the CPU."""

    def __init__(self, model, image, hole, caption, caption_length, engine):
        self.truth, self.hole = image.flatten(1), hole  # (B, V)
        self.engine = engines.build(engine, model, image.shape, hole, caption, caption_length, image.device)
        self.unknown = hole.clone()
        self.nats = torch.zeros(hole.shape, dtype=torch.float64, device=image.device)

    def _score(self, chosen, logits):
        """Note what the variables `chosen` cost, and show their values."""
        row = on_device(chosen, logits.device)
        cost = cross_entropy(logits, self.truth.flatten().index_select(0, row))
        self.nats.view(-1).index_copy_(0, row, cost.double())
        self.unknown.view(-1)[chosen] = False

    def in_order(self, place, segment, segments):
        """Each row scores one part of its order, given all before that.

        Args:
            place: int64 (B, V), position of every variable of the picture in an order; that of those outside
                the hole is ignored.
            segment: int64 (B,), which of the `segments` parts.
        """
        size, count = place.shape[1], self.hole.sum(1)
        rank = self._rank(place)
        first, last = count * segment // segments, count * (segment + 1) // segments
        self.unknown &= rank >= first[:, None]
        own = torch.where(self.unknown & (rank < last[:, None]), rank - first[:, None], size)
        turn = engines.turns(self.engine, own, last - first, torch.zeros_like(self.hole))
        self._score_by_turn(turn)
        return self.nats, rank

    def in_blocks(self, place, blocks):
        """As `in_order`, from end to end, so many variables at a time as `blocks` says."""
        rank = self._rank(place)
        block = torch.arange(len(blocks)).repeat_interleave(torch.tensor(blocks))  # by position
        inside = rank < rank.shape[1]
        turn = torch.where(inside, block[rank.clamp(max=len(block) - 1)], rank.shape[1])
        self._score_by_turn(turn)
        return self.nats, rank

    def _rank(self, place):
        """The position of every variable among those of the hole, the number of all for the others."""
        size = place.shape[1]
        return to_rank(place.masked_fill(~self.hole, size).argsort(1), size).masked_fill(~self.hole, size)

    def _score_by_turn(self, turn):
        for chosen in engines.by_turn(turn):
            wanted = torch.zeros_like(self.hole)
            wanted.view(-1)[chosen] = True
            _, logits = self.engine.predict(self.truth, self.unknown, wanted)
            self._score(chosen, logits)

    def by_content(self, measure, sign, blocks):
        """Such orders come about as they go; every step shows the truth of the variables that it chose."""
        rank = torch.full(self.hole.shape, self.hole.shape[1])
        scores = torch.zeros(self.hole.shape, device=self.truth.device)
        drawn = 0
        for count in blocks or [1] * int(self.hole.sum(1).max()):
            index, found, logits_of = self.engine.scores(self.truth, self.unknown, self.unknown, measure)
            scores.view(-1).index_copy_(0, on_device(index, scores.device), found.to(scores.dtype))
            among = on_device(self.unknown, scores.device)
            chosen = most_certain(sign * scores, among, count).cpu()
            rank[chosen] = drawn
            drawn += count
            flat = chosen.flatten().nonzero()[:, 0]
            self._score(flat, logits_of(flat))
        return self.nats, rank


@torch.no_grad()
def estimate_nll(model, image, known, caption=None, caption_length=None, *, num_masks, generator):
    """Unbiased estimate of the negative log-likelihood of the hole, averaged over all orderings of its D
    variables.

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
    given, device = image.device, device_of(model, image)
    image, known, caption, caption_length = moved(device, image, known, caption, caption_length)
    hole = ~known
    sizes = hole.flatten(1).sum(1)
    estimates = []
    for _ in range(num_masks):
        shown = masks.orderless(image.shape, hole=hole.cpu(), generator=generator).to(image.device)
        index = (~shown).flatten().nonzero()[:, 0]
        logits = predict(model, image, shown, caption, caption_length, index)
        nats = cross_entropy(logits, image.flatten()[index]).double()
        total = torch.zeros(len(image), dtype=torch.float64, device=device)
        total.index_add_(0, index // image[0].numel(), nats)
        estimates.append(total * sizes / (~shown).flatten(1).sum(1))
    estimates = torch.stack(estimates)
    return estimates.mean(0).to(given), (estimates.std(0) / num_masks**0.5).to(given)


@torch.no_grad()
def information_profile(model, image, known, caption=None, caption_length=None, *, shown, generator):
    """The mean cost of a hidden variable with so many of the hole's variables known, at random (Hoogeboom et
    al. 2021, arXiv 2110.02037, section 3.1). The sum over d = 0 .. D - 1 is the mean cost of the hole over
    all orders.

    Args:
        model: an `Inpainter` in evaluation mode, or any callable of its signature.
        image, known, caption, caption_length: as in `sampling.inpaint`.
        shown: list of d, how many of the D hole variables are known, each from 0 to D - 1.
        generator: torch.Generator of the CPU; the same order serves every d of a picture.
    Returns:
        float64 (len(shown), B), nats.
    Raises:
        ValueError: as `conditional_nlls`; a number in `shown` that some hole does not allow.
    """
    check_pictures(model, image, known, caption, caption_length)
    sizes = (~known).flatten(1).sum(1).cpu()
    if not 0 <= min(shown) <= max(shown) < int(sizes.min()):
        raise ValueError(f"shown: {min(shown)} to {max(shown)}; expected 0 to {int(sizes.min()) - 1}")
    given, device = image.device, device_of(model, image)
    hole = ~known.cpu().flatten(1)
    place = torch.rand(hole.shape, generator=generator).masked_fill_(~hole, 2.0).argsort(1).argsort(1)
    image, caption, caption_length = moved(device, image, caption, caption_length)
    profile = []
    for count in shown:
        visible = (~hole | (place < count)).view(image.shape).to(device)
        index = (~visible).flatten().nonzero()[:, 0]
        logits = predict(model, image, visible, caption, caption_length, index)
        nats = cross_entropy(logits, image.flatten()[index]).double()
        total = torch.zeros(len(image), dtype=torch.float64, device=device)
        total.index_add_(0, index // image[0].numel(), nats)
        profile.append(total.cpu() / (sizes - count))
    return torch.stack(profile).to(given)
