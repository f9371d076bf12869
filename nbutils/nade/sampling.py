"""Filling a hole by sampling: ancestral and Gibbs processes over the conditionals of a model.

`inpaint` is the one door. Every number it draws has an address (see `uniforms`), so runs that differ in one setting share the rest.
"""

from dataclasses import dataclass
from functools import partial

import torch

from . import uniforms
from .arguments import check_pictures, fixed_order, to_rank
from .categorical import draw_levels, entropy, most_certain
from .inpainter import predict
from .schedules import annealed

STRATEGIES = ("orderless", "greedy", "antigreedy", "independent_gibbs", "ancestral_gibbs")
CONVENTIONS = ("resample", "keep")
STARTS = ("noise", "black", "image")
ENGINES = ("dense",)


@dataclass(frozen=True)
class InpaintResult:
    """What `inpaint` returns; B pictures watched in F frames.

    image: int64 (B, C, H, W), the filled-in pictures.
    frames: int64 (F, B, C, H, W), the state from the start (frame 0) to the result (the last frame).
    known_frames: bool (F, B, C, H, W), what the model was shown at the step that led to the frame; of `ancestral_gibbs`, at its beginning.
    entropy_frames: float32 (F, B, C, H, W), bits, the entropy at temperature 1 of the predictions then made; 0 where none was made.
    steps: int64 (F, B), the number of steps that each example had made at each frame.
    evaluations: int64 (B,), how many times the model was evaluated for each example.
    """

    image: torch.Tensor
    frames: torch.Tensor
    known_frames: torch.Tensor
    entropy_frames: torch.Tensor
    steps: torch.Tensor
    evaluations: torch.Tensor


@torch.no_grad()
def inpaint(
    model, image, known, caption=None, caption_length=None, *, strategy, temperature=1.0, schedule=None, num_steps=None,
    convention="resample", start="noise", engine="dense", frames=33, generator=None,
):  # fmt: skip
    """Fill in what is not known by sampling.

    Ancestral strategies draw one variable at a time, for each example in an order of its own, and never change it again:
    `orderless` in a random order (Uria, Murray, Larochelle 2014), `greedy` the variable with the lowest predictive entropy first,
    `antigreedy` the one with the highest, both measured at temperature 1, ties going to the lowest flat index.
    Gibbs strategies begin with a full hole; step n of N resamples every hole variable with probability alpha_n:
    `independent_gibbs` all of that block at once given the rest (Yao, Ozair, Cho, Bengio 2014), `ancestral_gibbs` the block's
    variables one after the other in a random order.

    Args:
        model: an `Inpainter` in evaluation mode, or any callable of its signature.
        image: int64 (B, C, H, W); what stands in the hole has no influence, except with start="image".
        known: bool (B, C, H, W), False in the hole.
        caption, caption_length: int64 (B, T) and (B,), or None.
        strategy: one of `STRATEGIES`, or a fixed order for ancestral sampling: the flat indices (into C * H * W) of the hole
            variables, the same for every picture.
        temperature: T >= 0; conditionals are sampled from p^(1/T).
        schedule: for Gibbs, (step, num_steps) -> alpha; None is `schedules.annealed` with its defaults.
        num_steps: Gibbs steps; None is the number of variables in each example's own hole.
        convention: "resample": alpha is the probability of being resampled, as described in 2017; "keep": of being kept, as published.
        start: what the hole is filled with first: uniform noise, black, or what stands there in `image`.
        frames: how many states to return, evenly spaced from the start to the result.
        generator: torch.Generator that the seed of all random numbers is drawn from.
    Returns:
        InpaintResult.
    Raises:
        ValueError: an argument of the wrong shape or type, an impossible value, or a model in training mode.
    """
    ordered = not isinstance(strategy, str)
    _check(strategy, temperature, num_steps, convention, start, engine, frames)
    check_pictures(model, image, known, caption, caption_length)
    order = fixed_order("strategy", strategy, known) if ordered else None
    seed = uniforms.seed_from(generator if generator is not None else torch.default_generator)
    run = _Run(model, image, known, caption, caption_length, temperature, start, seed)
    limits = run.sizes
    if ordered:
        advance = partial(run.ordered_step, to_rank(order, run.hole.shape[1]).expand_as(run.hole))
    elif strategy == "orderless":
        advance = partial(run.ordered_step, run.random_rank(run.hole, 0))
    elif strategy in ("greedy", "antigreedy"):
        advance = partial(run.entropy_step, 1 if strategy == "greedy" else -1)
    else:
        limits = run.sizes if num_steps is None else torch.where(run.sizes > 0, num_steps, 0)
        advance = partial(run.gibbs_step, schedule or annealed, convention, limits, strategy == "ancestral_gibbs")
    watch = _Watch(run, limits, frames)
    for step in range(int(limits.max())):
        advance(step, watch.has_frame_after(step))
        watch.look(step + 1)
    return watch.result()


def _check(strategy, temperature, num_steps, convention, start, engine, frames):
    for name, value, allowed in (("strategy", strategy, STRATEGIES), ("convention", convention, CONVENTIONS), ("start", start, STARTS), ("engine", engine, ENGINES)):
        if isinstance(value, str) and value not in allowed:
            raise ValueError(f"{name}: {value!r}; expected one of {', '.join(allowed)}")
    if not temperature >= 0:
        raise ValueError(f"temperature: {temperature}; expected a number of at least 0")
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"num_steps: {num_steps}; expected at least 1, or None for one per hole variable")
    if frames < 2:
        raise ValueError(f"frames: {frames}; expected at least 2, the start and the result")


class _Run:
    """The pictures being filled in, and the addresses of their random numbers. V = C * H * W variables."""

    def __init__(self, model, image, known, caption, caption_length, temperature, start, seed):
        self.model, self.caption, self.caption_length, self.temperature, self.seed = model, caption, caption_length, temperature, seed
        self.shape, self.device = image.shape, image.device
        self.hole = ~known.flatten(1)  # (B, V)
        self.sizes = self.hole.sum(1)
        self.state = image.flatten(1).clone()
        if start != "image":
            index = self.hole.flatten().nonzero()[:, 0]
            self.state.view(-1)[index] = (self._uniform(uniforms.START, 0, index) * self._levels(image)).long() if start == "noise" else 0
        self.unknown = self.undrawn = self.hole
        self.entropy = torch.zeros(self.hole.shape, device=self.device)
        self.evaluations = torch.zeros_like(self.sizes)

    def _levels(self, image):
        config = getattr(self.model, "config", None)
        if config is not None:
            return config.levels
        return self.model(image, torch.ones_like(image, dtype=torch.bool), self.caption, self.caption_length).shape[-1]

    def _uniform(self, purpose, step, index):
        """Numbers for the variables `index`, flat into (B, V)."""
        return uniforms.uniform(self.seed, purpose, index // self.hole.shape[1], torch.tensor(step, device=self.device), index % self.hole.shape[1])

    def random_rank(self, among, step):
        """A random order of the variables `among` (B, V), as the position of each, V for the others."""
        size = among.shape[1]
        index = among.flatten().nonzero()[:, 0]
        place = torch.full((among.numel(),), 2.0, dtype=torch.float64, device=self.device)
        place[index] = self._uniform(uniforms.ORDER, step, index)
        return to_rank(place.view(among.shape).argsort(1), size).masked_fill(~among, size)

    def ordered_step(self, rank, step, with_entropy):
        """Draw the variables whose turn it is, given those that came before them."""
        unknown = self.hole & (rank >= step)
        self._draw(step, unknown, self.hole & (rank == step), with_entropy)

    def entropy_step(self, sign, step, with_entropy):
        """Draw for each example the unknown variable with the lowest (sign 1) or highest (sign -1) entropy."""
        logits, index = self._predict(self.undrawn, self.undrawn)
        self._note(self.undrawn, index, logits)
        chosen = most_certain(sign * self.entropy, self.undrawn)
        self._set(step, logits, index, chosen)
        self.undrawn = self.undrawn & ~chosen

    def gibbs_step(self, schedule, convention, limits, ancestral, step, with_entropy):
        """Resample a random block."""
        alpha = torch.tensor([_probability(schedule, step, max(1, n)) for n in limits.tolist()], dtype=torch.float64, device=self.device)
        index = (self.hole & (step < limits)[:, None]).flatten().nonzero()[:, 0]
        struck = self._uniform(uniforms.BLOCK, step, index) < alpha[index // self.hole.shape[1]]
        block = torch.zeros_like(self.hole)
        block.view(-1)[index] = struck if convention == "resample" else ~struck
        if not ancestral:
            return self._draw(step, block, block, with_entropy)
        rank = self.random_rank(block, step)
        self._draw(step, block, rank == 0, with_entropy)
        noted = self.unknown, self.entropy
        for turn in range(1, int(block.sum(1).max())):
            self._draw(step, block & (rank >= turn), rank == turn, False)
        self.unknown, self.entropy = noted

    def _draw(self, step, unknown, chosen, with_entropy):
        """Draw the variables `chosen` given all that are not `unknown`; entropies of all unknown ones where wanted."""
        logits, index = self._predict(unknown, unknown if with_entropy else chosen)
        self._note(unknown, index, logits if with_entropy else None)
        self._set(step, logits, index, chosen)

    def _predict(self, unknown, wanted):
        """Logits of the variables `wanted` given all that are not `unknown`, and their flat indices into (B, V).

        Examples of which nothing is wanted, because they are finished or their block is empty, cost nothing."""
        index = wanted.flatten().nonzero()[:, 0]
        rows = wanted.any(1)
        self.evaluations += rows
        if not rows.any():
            return torch.zeros(0, 1, device=self.device), index
        image, known, wanted = self.state[rows].view(-1, *self.shape[1:]), ~unknown[rows].view(-1, *self.shape[1:]), wanted[rows]
        caption, length = (None, None) if self.caption is None else (self.caption[rows], self.caption_length[rows])
        return predict(self.model, image, known, caption, length, wanted.flatten().nonzero()[:, 0]), index

    def _note(self, unknown, index, logits):
        """Remember for the frames what was unknown, and the entropies of the predictions, if given."""
        self.unknown, self.entropy = unknown, torch.zeros_like(self.entropy)
        if logits is not None:
            self.entropy.view(-1)[index] = entropy(logits).to(self.entropy.dtype)

    def _set(self, step, logits, index, chosen):
        drawn = chosen.flatten()[index]
        index = index[drawn]
        self.state.view(-1)[index] = draw_levels(logits[drawn], self.temperature, self._uniform(uniforms.LEVEL, step, index))


def _probability(schedule, step, num_steps):
    alpha = schedule(step, num_steps)
    if not 0 <= alpha <= 1:
        raise ValueError(f"schedule: gives {alpha} at step {step} of {num_steps}; expected a probability between 0 and 1")
    return alpha


class _Watch:
    """Copies the state at evenly spaced steps, for each example over its own number of steps."""

    def __init__(self, run, limits, frames):
        self.run = run
        share = torch.arange(frames, dtype=torch.float64)[:, None] / (frames - 1)
        self.steps = (share * limits.cpu()[None]).round().long()  # (F, B)
        self.states = run.state.repeat(frames, 1, 1)
        self.known = (~run.unknown).repeat(frames, 1, 1)
        self.entropies = run.entropy.repeat(frames, 1, 1)

    def has_frame_after(self, step):
        """Whether some example has a frame right after this step."""
        return bool((self.steps == step + 1).any())

    def look(self, step):
        """Keep the state of every example that has a frame at `step`."""
        frame, example = (self.steps == step).nonzero(as_tuple=True)
        self.states[frame, example] = self.run.state[example]
        self.known[frame, example] = ~self.run.unknown[example]
        self.entropies[frame, example] = self.run.entropy[example]

    def result(self):
        views = (x.view(len(self.steps), *self.run.shape) for x in (self.states, self.known, self.entropies))
        return InpaintResult(self.run.state.view(self.run.shape), *views, self.steps, self.run.evaluations)
