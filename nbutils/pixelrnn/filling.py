"""Filling in pixels with a `PixelPredictor`: samples of what comes next or lies between, and the exact
distribution over fillings of a patch anywhere.

Hidden states are carried from pixel to pixel. Pictures that begin alike, be they candidates for one hole or
different digits under the same blank rows, are read once as far as they are alike. Inputs may be on any
device: the work happens where the model is, and results come back to where the pixels were.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from .models import START

# pixels between two looks at which beginnings can still win, besides those at missing pixels
_PRUNE_EVERY = 28
_ROWS = 512  # pictures read side by side: as many as keep a step's memory within a core's cache


@dataclass(frozen=True)
class Continuation:
    """Samples of the pixels after a prefix: `values`, float (S, N, K) of 0 and 1, and `probabilities`, of ink
    given each sample's own past."""

    values: torch.Tensor
    probabilities: torch.Tensor


@torch.no_grad()
def sample_next(model, pixels, first, count, *, num_samples, generator):
    """Sample the pixels from `first` on, each given all before it.

    The first k of `count` pixels are a sample of k pixels, so one call serves every shorter length.

    Args:
        model: PixelPredictor in evaluation mode.
        pixels: float (N, T) of 0 and 1; those from `first` on are not looked at.
        first: position of the first hidden pixel.
        count: how many to sample, K.
        num_samples: samples per picture, S.
        generator: torch.Generator.
    Returns:
        Continuation.
    Raises:
        ValueError: positions outside the picture, or a model in training mode.
    """
    _check(model)
    if not 0 <= first < first + count <= pixels.shape[1]:
        raise ValueError(
            f"first, count: pixels {first} to {first + count - 1}; expected some within 0 to "
            f"{pixels.shape[1] - 1}"
        )
    given, pixels = pixels.device, pixels.to(_device(model))
    before = torch.cat([pixels.new_full((len(pixels), 1), START), pixels[:, :first]], 1)
    logits, state = _read(model, before)
    rows = torch.arange(len(pixels), device=pixels.device).repeat(num_samples)
    logits, state = logits[rows, -1], _of_rows(state, rows)
    uniform = torch.rand(count, len(rows), generator=generator, device=generator.device).to(pixels.device)
    values, probabilities = [], []
    read, _ = model.steps(state)
    for step in range(count):
        probabilities.append(logits.sigmoid())
        values.append((uniform[step] < probabilities[-1]).to(pixels))
        if step + 1 < count:
            logits = read(values[-1])
    shape = (num_samples, len(pixels), count)
    return Continuation(*(torch.stack(parts, 1).view(shape).to(given) for parts in (values, probabilities)))


@dataclass(frozen=True)
class Surrounded:
    """Fillings given what is known before and after them: `pixels`, float (S, N, T), equally good, some of
    them the same; `log_evidence`, float64 (N,), nats, the logarithm of an unbiased estimate of the
    probability of what is known; on average the logarithm is too low."""

    pixels: torch.Tensor
    log_evidence: torch.Tensor


@torch.no_grad()
def sample_around(model, pixels, known, *, num_particles, generator):
    """Fill in pixels anywhere by a particle filter (Gordon, Salmond, Smith 1993).

    Hidden pixels are sampled forwards, which knows nothing of what comes later. Each known pixel then weighs
    the samples by how probable they make it, and once the weights have become uneven the samples are drawn
    again by them. With ever more particles the fillings come to be those of p(hidden | known); a single
    particle is forward sampling that ignores whatever comes after a hole.

    Args:
        model: PixelPredictor in evaluation mode.
        pixels: float (N, T) of 0 and 1; the hidden ones are not looked at.
        known: bool (N, T).
        num_particles: samples side by side for each picture, S.
        generator: torch.Generator.
    Returns:
        Surrounded.
    Raises:
        ValueError: shapes that differ, no particle, nothing hidden, or a model in training mode.
    """
    _check(model)
    if known.shape != pixels.shape or known.dtype != torch.bool or known.all():
        raise ValueError(
            f"known: {known.dtype} of shape {tuple(known.shape)}; expected bool {tuple(pixels.shape)}, "
            "False at one pixel at least"
        )
    if num_particles < 1:
        raise ValueError(f"num_particles: {num_particles}; expected at least 1")
    count, length = pixels.shape
    first = int((~known).any(0).nonzero()[0, 0])
    given, device = pixels.device, _device(model)
    pixels, known = pixels.to(device), known.to(device)
    logits, state = _read(model, torch.cat([pixels.new_full((count, 1), START), pixels[:, :first]], 1))
    evidence = -_nats(logits[:, :-1], pixels[:, :first]).sum(1)
    # a picture's particles lie side by side
    rows = torch.arange(count, device=device).repeat_interleave(num_particles)
    logits, state, values = logits[rows, -1], _of_rows(state, rows), pixels[rows]
    weight = torch.zeros(count, num_particles, dtype=torch.float64, device=device)  # logarithms
    read, steps = model.steps(state)
    for time in range(first, length):
        if time > first:
            logits = read(values[:, time - 1])
        uniform = torch.rand(len(rows), generator=generator, device=generator.device).to(device)
        drawn = (uniform < logits.sigmoid()).to(values)
        values[:, time] = torch.where(known[rows, time], values[:, time], drawn)
        cost = _nats(logits, values[:, time]).view(count, num_particles)
        weight -= torch.where(known[:, time, None], cost, 0)
        worth = 1 / weight.softmax(1).square().sum(1)  # so many even particles
        uneven = (worth < num_particles / 2) | (time + 1 == length)
        if uneven.any():
            evidence += torch.where(uneven, weight.logsumexp(1) - math.log(num_particles), 0)
            chosen = _drawn_again(weight, uneven, generator)
            values = values[chosen]
            steps.take(chosen)
            weight[uneven] = 0
    return Surrounded(values.view(count, num_particles, length).transpose(0, 1).to(given), evidence.to(given))


def _drawn_again(weight, which, generator):
    """Rows, flat into (N, S), drawn by weight for the pictures `which`, at evenly spaced places of the
    cumulated weights; the others keep theirs."""
    count, particles = weight.shape
    particle = torch.arange(particles, device=weight.device)
    uniform = torch.rand(count, 1, generator=generator, dtype=torch.float64, device=generator.device)
    place = (uniform.to(weight.device) + particle) / particles
    found = torch.searchsorted(weight.softmax(1).cumsum(1), place).clamp(max=particles - 1)
    first = particles * torch.arange(count, device=weight.device)[:, None]
    return (torch.where(which[:, None], found, particle) + first).flatten()


def fillings(count):
    """All fillings of `count` binary pixels: float (2^count, count), the first pixel the most significant
    bit."""
    codes, bits = torch.arange(2**count)[:, None], torch.arange(count - 1, -1, -1)
    return (codes >> bits & 1).float()


@torch.no_grad()
def filling_nlls(model, pixels, missing):
    """Negative log-likelihood, nats per whole picture, of every filling of every picture's missing pixels.

    The posterior over the fillings is its softmax with the sign turned: p(filling | all other pixels).

    Args:
        model: PixelPredictor in evaluation mode.
        pixels: float (N, T) of 0 and 1; the missing ones are not looked at.
        missing: int64 (N, k), positions in each picture.
    Returns:
        float64 (N, 2^k), in the order of `fillings`.
    Raises:
        ValueError: a position outside the picture or twice in it, or a model in training mode.
    """
    count, missing = _check_missing(model, pixels, missing), missing.to(pixels.device)
    whole = pixels[:, None].repeat(1, 2**count, 1)
    every = fillings(count).to(pixels).expand(len(pixels), -1, -1)
    whole.scatter_(2, missing[:, None].expand_as(every), every)
    return shared_prefix_nll(model, whole.flatten(0, 1)).view(len(pixels), 2**count)


@torch.no_grad()
def shared_prefix_nll(model, pixels):
    """Negative log-likelihood of whole pictures, nats: float (M, T) of 0 and 1 -> float64 (M,).

    Sorted, pictures with a common beginning lie side by side, so a step reads as many rows as there are
    different beginnings. They go in blocks of `_ROWS`, and only what the last of a block shares with the
    first of the next is read again.
    """
    given, pixels = pixels.device, pixels.cpu()
    order = torch.from_numpy(np.lexsort(pixels.numpy().T[::-1]).copy())
    nll = torch.cat([_block_nll(model, block) for block in pixels[order].split(_ROWS)]).to(given)
    order = order.to(given)
    return torch.empty_like(nll).scatter_(0, order, nll)


def _block_nll(model, pixels):
    """`shared_prefix_nll` of sorted pictures on the CPU."""
    (rows, length), device = pixels.shape, _device(model)
    differs = pixels[1:] != pixels[:-1]
    unlike_above = torch.where(differs.any(1), differs.int().argmax(1), length)
    splits = torch.cat([torch.zeros(1, dtype=torch.long), unlike_above])  # by row, the first such pixel
    representatives = torch.zeros(1, dtype=torch.long)  # a picture for every beginning up to `time`
    logits, state = model(pixels.new_full((1, 1), START, device=device))
    nll, time = torch.zeros(1, dtype=torch.float64, device=device), 0
    logits = logits[:, -1]
    for until in sorted({*splits[1:].tolist(), length}):
        if until > time:  # the pixels before `until` are the same for all that a representative stands for
            seen = pixels[representatives, time:until].to(device)
            following, state = model(seen, state)
            predicted = torch.cat([logits[:, None], following[:, :-1]], 1)
            nll += _nats(predicted, seen).sum(1)
            logits, time = following[:, -1], until
        new = (splits <= until).nonzero()[:, 0] if until < length else representatives
        parents = _parents(representatives, new).to(device)
        logits, state, nll, representatives = logits[parents], _of_rows(state, parents), nll[parents], new
    return nll[_parents(representatives, torch.arange(rows)).to(device)]


def _parents(representatives, rows):
    """Which of the representatives, ascending row numbers, stands for each row: the last not below it."""
    return torch.searchsorted(representatives, rows, right=True) - 1


@dataclass(frozen=True)
class MostProbable:
    """A most probable filling, float (k,), its picture's `nll` in nats, and the pixels read, beside those
    that trying all would read."""

    filling: torch.Tensor
    nll: float
    pixels_read: int
    pixels_all: int


@torch.no_grad()
def most_probable(model, pixels, missing, *, beam=16):
    """The exactly most probable filling of one picture's missing pixels, by branch and bound over prefixes.

    A beam search gives a filling and with it a bound: no part of a picture has a negative cost, so a
    beginning that already costs more than the whole picture of the bound cannot be part of a better one. Ties
    go to the beam's, then to the first of `fillings`.

    Args:
        model: PixelPredictor in evaluation mode.
        pixels: float (T,) of 0 and 1.
        missing: int64 (k,), positions.
        beam: how many beginnings the beam search keeps.
    Returns:
        MostProbable.
    Raises:
        ValueError: as `filling_nlls`.
    """
    _check_missing(model, pixels[None], missing[None])
    given, pixels, missing = pixels.device, pixels.to(_device(model)), missing.cpu().sort()

    def cheapest(nll):
        return nll.topk(min(beam, len(nll)), largest=False).indices.sort().values

    guess, bound, read = _best(model, pixels, missing.values, cheapest)
    found, nll, more = _best(model, pixels, missing.values, lambda nll: (nll < bound).nonzero()[:, 0])
    filling = (guess if found is None else found)[missing.indices.argsort()].to(given)
    read_by_trying_all = len(pixels) * 2 ** len(missing.values)
    return MostProbable(filling, min(bound, nll), read + more, read_by_trying_all)


def share_read(missing, num_pixels):
    """The share of the pixels of all 2^k fillings that is read where nothing but common beginnings is spared:
    int64 (k,) -> float."""
    begins = missing.sort().values.tolist()
    ends = [*begins[1:], num_pixels]
    read = begins[0] + sum(2 ** (n + 1) * (end - begin) for n, (begin, end) in enumerate(zip(begins, ends)))
    return read / (num_pixels * 2 ** len(begins))


def _best(model, pixels, missing, keep):
    """Search breadth first; before every missing pixel, and now and then, go on with the beginnings that
    `keep` chooses by their cost.

    Returns:
        the best filling (None where nothing was kept), its cost (infinite), and the number of pixels read.
    """
    holes, length = set(missing.tolist()), len(pixels)
    looks = range(int(missing[0]) + _PRUNE_EVERY, length, _PRUNE_EVERY)
    stops = sorted(holes - {0} | {*looks, length})
    chosen = pixels.new_zeros(1, 0, dtype=torch.float32)
    nll = pixels.new_zeros(1, dtype=torch.float64)
    logits, state = model(pixels.new_full((1, 1), START))
    read, time = 0, 0
    for stop in stops:
        if time in holes:
            rows = torch.arange(2 * len(nll), device=nll.device) // 2
            both = torch.tensor([0.0, 1.0], device=nll.device).repeat(len(nll))[:, None]
            chosen = torch.cat([chosen[rows], both], 1)
            nll, logits, state = nll[rows], logits[rows], _of_rows(state, rows)
        seen = pixels[time:stop].repeat(len(nll), 1)
        if time in holes:
            seen[:, 0] = chosen[:, -1]
        following, state = _read(model, seen, state)
        nll = nll + _nats(torch.cat([logits, following[:, :-1]], 1), seen).sum(1)
        read, time = read + seen.numel(), stop
        kept = keep(nll)
        chosen, nll, logits, state = chosen[kept], nll[kept], following[kept, -1:], _of_rows(state, kept)
        if not len(nll):
            return None, float("inf"), read
    best = nll.argmin()
    return chosen[best], float(nll[best]), read


def _read(model, pixels, state=None):
    """The model on many rows, some at a time."""
    logits, states = [], []
    for at, part in zip(range(0, len(pixels), _ROWS), pixels.split(_ROWS)):
        found, after = model(part, None if state is None else _of_rows(state, slice(at, at + _ROWS)))
        logits.append(found)
        states.append(after)
    if isinstance(states[0], tuple):
        return torch.cat(logits), tuple(torch.cat(kind, 1) for kind in zip(*states))
    return torch.cat(logits), torch.cat(states, 1)


def _nats(logits, pixels):
    """What pixels cost under the logits of ink, float64, the shape of both."""
    return binary_cross_entropy_with_logits(logits, pixels, reduction="none").double()


def _of_rows(state, rows):
    """The state of some rows: (layers, B, units), or a pair of them."""
    return tuple(part[:, rows] for part in state) if isinstance(state, tuple) else state[:, rows]


def _device(model):
    return next(model.parameters()).device


def _check(model):
    if model.training:
        raise ValueError("model: is in training mode; call model.eval() first")


def _check_missing(model, pixels, missing):
    _check(model)
    count = missing.shape[1]
    if len(missing) != len(pixels) or not count or missing.min() < 0 or missing.max() >= pixels.shape[1]:
        raise ValueError(
            f"missing: {tuple(missing.shape)}, from {missing.min()} to {missing.max()}; expected "
            f"positions of every picture within 0 to {pixels.shape[1] - 1}"
        )
    if (missing.sort(1).values.diff(dim=1) == 0).any():
        raise ValueError("missing: names a pixel twice; expected different positions within a picture")
    return count
