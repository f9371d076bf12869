"""Filling a hole by sampling: ancestral and Gibbs processes over the conditionals of a model.

`inpaint` is the one door: inputs may be on any device, the work happens where the model is, and results come
back to where the pictures were. Every number it draws has an address (see `uniforms`), so runs that differ in
one setting share the rest.
"""

from dataclasses import dataclass, fields

import torch

from . import uniforms
from .arguments import check_engine, check_pictures, fixed_order, to_rank
from .categorical import draw_levels, entropy, most_certain, refuse_unsound
from .devices import device_of, moved, on_device
from .fast import engines
from .schedules import annealed

STRATEGIES = ("orderless", "greedy", "antigreedy", "independent_gibbs", "ancestral_gibbs")
CONVENTIONS = ("resample", "keep")
STARTS = ("noise", "black", "image")


@dataclass(frozen=True)
class InpaintResult:
    """What `inpaint` returns; B pictures watched in F frames.

    image: int64 (B, C, H, W), the filled-in pictures.
    frames: int64 (F, B, C, H, W), the state from the start (frame 0) to the result (the last frame).
    known_frames: bool (F, B, C, H, W), what the model was shown at the step that led to the frame; of
    `ancestral_gibbs`, at its beginning. entropy_frames: float32 (F, B, C, H, W), bits, the entropy at
    temperature 1 of the predictions then made; 0 where none was made. steps: int64 (F, B), the number of
    steps that each example had made at each frame. evaluations: int64 (B,), the predictions that had to wait
    for one another, each an evaluation of the whole net if done plainly.
    """

    image: torch.Tensor
    frames: torch.Tensor
    known_frames: torch.Tensor
    entropy_frames: torch.Tensor
    steps: torch.Tensor
    evaluations: torch.Tensor


@torch.no_grad()
def inpaint(
    model,
    image,
    known,
    caption=None,
    caption_length=None,
    *,
    strategy,
    temperature=1.0,
    schedule=None,
    num_steps=None,
    convention="resample",
    start="noise",
    engine="auto",
    frames=33,
    generator=None,
    watch=None,
):
    """Fill in what is not known by sampling.

    Ancestral strategies draw one variable at a time, for each example in an order of its own, and never
    change it again: `orderless` in a random order (Uria, Murray, Larochelle 2014), `greedy` the variable with
    the lowest predictive entropy first, `antigreedy` the one with the highest, both measured at temperature
    1, ties going to the lowest flat index. Gibbs strategies begin with a full hole; step n of N resamples
    every hole variable with probability alpha_n: `independent_gibbs` all of that block at once given the rest
    (Yao, Ozair, Cho, Bengio 2014), `ancestral_gibbs` the block's variables one after the other in a random
    order.

    Args:
        model: an `Inpainter` in evaluation mode, or any callable of its signature.
        image: int64 (B, C, H, W); what stands in the hole has no influence, except with start="image".
        known: bool (B, C, H, W), False in the hole.
        caption, caption_length: int64 (B, T) and (B,), or None.
        strategy: one of `STRATEGIES`, or a fixed order for ancestral sampling: the flat indices (into C * H *
            W) of the hole variables, the same for every picture.
        temperature: T >= 0; conditionals are sampled from p^(1/T).
        schedule: for Gibbs, (step, num_steps) -> alpha; None is `schedules.annealed` with its defaults.
        num_steps: Gibbs steps; None is the number of variables in each example's own hole.
        convention: "resample": alpha is the probability of being resampled, as described in 2017; "keep": of
            being kept, as published.
        start: what the hole is filled with first: uniform noise, black, or what stands there in `image`.
        engine: "dense" evaluates the whole net for every step; "incremental" computes what has changed and is
            needed, and draws variables that do not feel each other together; "auto" counts before every
            prediction which is cheaper. The samples are the same up to rounding. A model that is no
            `Inpainter` runs dense.
        frames: how many states to return, evenly spaced from the start to the result.
        generator: torch.Generator that the seed of all random numbers is drawn from.
        watch: called before every draw with the number of draws so far, the pictures as they stand, int64 (B,
            C, H, W), where the model is, to be copied if kept, and what the model is shown, bool (B, C, H, W)
            on the CPU; of groups of pictures where they are filled group by group. What it raises ends the
            sampling and is passed on.
    Returns:
        InpaintResult.
    Raises:
        ValueError: an argument of the wrong shape or type, an impossible value, or a model in training mode.
    """
    _check(strategy, temperature, num_steps, convention, start, frames)
    check_pictures(model, image, known, caption, caption_length)
    order = None if isinstance(strategy, str) else fixed_order("strategy", strategy, known.cpu())
    check_engine(engine, model)
    seed = uniforms.seed_from(generator if generator is not None else torch.default_generator).cpu()
    given, known = image.device, known.cpu()
    image, caption, caption_length = moved(device_of(model, image), image, caption, caption_length)
    parts = []
    size = engines.group_size(engine, model, image.shape)
    for first in range(0, len(image), size):
        group = slice(first, first + size)
        words = (None, None) if caption is None else (caption[group], caption_length[group])
        run = _Run(model, image[group], known[group], *words, engine, temperature, start, seed, first, watch)
        if order is not None:
            rank = to_rank(order, run.hole.shape[1]).expand_as(run.hole)
            parts.append(run.in_order(rank, frames))
        elif strategy == "orderless":
            parts.append(run.in_order(run.random_rank(run.hole, 0), frames))
        elif strategy in ("greedy", "antigreedy"):
            parts.append(run.by_entropy(1 if strategy == "greedy" else -1, frames))
        else:
            ancestral = strategy == "ancestral_gibbs"
            parts.append(run.gibbs(schedule or annealed, num_steps, convention, ancestral, frames))
        if run.unsound:
            refuse_unsound("some")
    return _joined(parts, given)


def _joined(parts, device):
    """One result, on a device, from those of several groups of pictures."""
    joined = {}
    for field in fields(InpaintResult):
        axis = 0 if field.name in ("image", "evaluations") else 1
        joined[field.name] = torch.cat([getattr(part, field.name) for part in parts], axis).to(device)
    return InpaintResult(**joined)


def _check(strategy, temperature, num_steps, convention, start, frames):
    named = [("convention", convention, CONVENTIONS), ("start", start, STARTS)]
    if isinstance(strategy, str):
        named.insert(0, ("strategy", strategy, STRATEGIES))
    for name, value, allowed in named:
        if value not in allowed:
            raise ValueError(f"{name}: {value!r}; expected one of {', '.join(allowed)}")
    if not temperature >= 0:
        raise ValueError(f"temperature: {temperature}; expected a number of at least 0")
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"num_steps: {num_steps}; expected at least 1, or None for one per hole variable")
    if frames < 2:
        raise ValueError(f"frames: {frames}; expected at least 2, the start and the result")


class _Run:
    """A group of pictures being filled in. Masks are on the CPU, levels on the device of the pictures; V = C
    * H * W variables."""

    def __init__(
        self, model, image, known, caption, caption_length, engine, temperature, start, seed, first, watch
    ):
        self.shape, self.device = image.shape, image.device
        self.temperature, self.first = temperature, first
        self.watch, self.draws = watch, 0
        # on a CPU unsound logits are refused at once, on another device, which nobody waits for, at the end
        self.unsound = None
        if self.device.type != "cpu":
            self.unsound = torch.zeros((), dtype=torch.bool, device=self.device)
        self.seeds = {device: seed.to(device) for device in {torch.device("cpu"), self.device}}
        self.hole = ~known.flatten(1)  # (B, V)
        self.sizes = self.hole.sum(1)
        words = caption, caption_length
        self.engine = engines.build(engine, model, image.shape, self.hole, *words, self.device)
        self.state = image.flatten(1).clone()
        inside = on_device(_where(self.hole), self.device)
        if start == "black":
            self.state.view(-1)[inside] = 0
        elif start == "noise":
            levels = _levels(model, image, *words)
            self.state.view(-1)[inside] = (self._uniform(uniforms.START, 0, inside) * levels).long()
        self.noted_unknown = self.hole
        self.noted_entropy = torch.zeros(self.hole.shape, device=self.device)

    def _uniform(self, purpose, step, index):
        """Numbers for the variables `index`, flat into (B, V), on the device of `index`."""
        size = self.hole.shape[1]
        example = index // size + self.first
        return uniforms.uniform(self.seeds[index.device], purpose, example, step, index % size)

    def random_rank(self, among, step):
        """A random order of the variables `among` (B, V), as the position of each, V for the others."""
        size, index = among.shape[1], _where(among)
        place = torch.full((among.numel(),), 2.0, dtype=torch.float64)
        place[index] = self._uniform(uniforms.ORDER, step, index)
        return to_rank(place.view(among.shape).argsort(1), size).masked_fill(~among, size)

    def in_order(self, rank, frames):
        """Ancestral sampling in an order that does not depend on values: position of every variable (B, V), V
        outside the hole."""
        watch = _Watch(self, self.sizes, frames)
        framed = torch.zeros_like(self.hole)  # by position in the order
        frame, example = (watch.steps > 0).nonzero(as_tuple=True)
        framed[example, watch.steps[frame, example] - 1] = True
        turn = engines.turns(self.engine, rank, self.sizes, framed)
        turn_at = turn.gather(1, rank.argsort(1))  # by position in the order
        last_drawn = (watch.steps.T - 1).clamp(min=0)  # the position before each frame
        watch.moments = torch.where(watch.steps > 0, turn_at.gather(1, last_drawn).T + 1, 0)
        unknown = self.hole.clone()
        for moment, chosen in enumerate(engines.by_turn(turn)):
            self._draw(0, unknown, chosen, watch.framed(moment))
            unknown.view(-1)[chosen] = False
            watch.look(moment + 1)
        return watch.result(self.sizes)

    def by_entropy(self, sign, frames):
        """Ancestral sampling of the variable with the lowest (sign 1) or highest (sign -1) entropy next."""
        watch = _Watch(self, self.sizes, frames)
        unknown = self.hole.clone()
        entropies = torch.zeros_like(self.noted_entropy)
        for step in range(int(self.sizes.max())):
            index, bits, logits_of = self.engine.entropies(self.state, unknown, unknown)
            entropies.view(-1).index_copy_(0, on_device(index, self.device), bits.to(entropies.dtype))
            among = on_device(unknown, self.device)
            if watch.framed(step).any():
                self.noted_unknown = unknown.clone()
                self.noted_entropy = torch.where(among, entropies, 0)
            chosen = _where(most_certain(sign * entropies, among).cpu())
            self._draw(0, unknown, chosen, watch.nothing, logits_of)
            unknown.view(-1)[chosen] = False
            watch.look(step + 1)
        return watch.result(self.sizes)

    def gibbs(self, schedule, num_steps, convention, ancestral, frames):
        """Resample random blocks, from the full hole."""
        limits = self.sizes if num_steps is None else torch.where(self.sizes > 0, num_steps, 0)
        watch = _Watch(self, limits, frames)
        evaluations = torch.zeros_like(self.sizes)
        for step in range(int(limits.max())):
            block = self._random_block(schedule, step, limits, convention)
            if ancestral:
                self._draw_one_by_one(step, block, watch.framed(step))
            else:
                self._draw(step, block, _where(block), watch.framed(step))
            evaluations += block.sum(1) if ancestral else block.any(1)
            watch.look(step + 1)
        return watch.result(evaluations)

    def _random_block(self, schedule, step, limits, convention):
        """What a Gibbs step resamples, bool (B, V); nothing of examples whose steps, `limits`, are over."""
        alpha = torch.zeros(len(limits), dtype=torch.float64)
        for example, num_steps in enumerate(limits.tolist()):
            if step < num_steps:
                alpha[example] = _probability(schedule, step, num_steps)
        index = _where(self.hole & (step < limits)[:, None])
        struck = self._uniform(uniforms.BLOCK, step, index) < alpha[index // self.hole.shape[1]]
        block = torch.zeros_like(self.hole)
        block.view(-1)[index] = struck if convention == "resample" else ~struck
        return block

    def _draw_one_by_one(self, step, block, framed):
        rank, unknown = self.random_rank(block, step), block.clone()
        turn = engines.turns(self.engine, rank, block.sum(1), torch.zeros_like(block))
        for chosen in engines.by_turn(turn) or [_where(block)]:
            self._draw(step, unknown, chosen, framed)
            unknown.view(-1)[chosen] = False
            framed = torch.zeros_like(framed)

    def _draw(self, step, unknown, chosen, framed, logits_of=None):
        """Draw the variables `chosen`, flat indices into (B, V), given all that are not `unknown` (B, V).

        For the examples `framed`, bool (B,), note what is unknown and how uncertain. `logits_of` may give the
        logits of what is chosen."""
        if self.watch:
            self.watch(self.draws, self.state.view(self.shape), ~unknown.view(self.shape))
            self.draws += 1
        wanted = torch.zeros_like(unknown)
        wanted.view(-1)[chosen] = True
        if framed.any():
            wanted |= unknown & framed[:, None]
            self.noted_unknown, self.noted_entropy = unknown.clone(), torch.zeros_like(self.noted_entropy)
        if not wanted.any():
            return
        if logits_of:
            logits = logits_of(chosen)
        else:
            index, logits = self.engine.predict(self.state, unknown, wanted)
            if framed.any():
                noted = entropy(logits).to(self.noted_entropy.dtype)
                self.noted_entropy.view(-1).index_copy_(0, on_device(index, self.device), noted)
            logits = engines.rows_of(index, logits, chosen)
        row = on_device(chosen, self.device)
        uniform = self._uniform(uniforms.LEVEL, step, row)
        levels = draw_levels(logits, self.temperature, uniform, self.unsound)
        self.state.view(-1).index_copy_(0, row, levels)


def _where(mask):
    """Flat indices of True."""
    return mask.flatten().nonzero()[:, 0]


def _levels(model, image, caption, caption_length):
    config = getattr(model, "config", None)
    if config is not None:
        return config.levels
    everything = torch.ones_like(image, dtype=torch.bool)
    return model(image, everything, caption, caption_length).shape[-1]


def _probability(schedule, step, num_steps):
    alpha = schedule(step, num_steps)
    if not 0 <= alpha <= 1:
        raise ValueError(
            f"schedule: gives {alpha} at step {step} of {num_steps}; expected a probability between 0 and 1"
        )
    return alpha


class _Watch:
    """Copies the state at evenly spaced steps, for each example over its own number of steps.

    `moments` (F, B) is when each frame is due, by the count of `look`: equal to `steps` unless several
    variables are drawn at once."""

    def __init__(self, run, limits, frames):
        self.run = run
        share = torch.arange(frames, dtype=torch.float64)[:, None] / (frames - 1)
        self.steps = self.moments = (share * limits[None]).round().long()  # (F, B)
        self.states = run.state.repeat(frames, 1, 1)
        self.known = (~run.noted_unknown).repeat(frames, 1, 1)
        self.entropies = run.noted_entropy.repeat(frames, 1, 1)
        self.nothing = torch.zeros(len(limits), dtype=torch.bool)

    def framed(self, moment):
        """Which examples have a frame right after what happens now, bool (B,)."""
        return (self.moments == moment + 1).any(0)

    def look(self, moment):
        """Keep the state of every example that has a frame at `moment`."""
        frame, example = (self.moments == moment).nonzero(as_tuple=True)
        if len(frame):
            self.known[frame, example] = ~self.run.noted_unknown[example]
            frame, example = moved(self.run.device, frame, example)
            self.states[frame, example] = self.run.state[example]
            self.entropies[frame, example] = self.run.noted_entropy[example]

    def result(self, evaluations):
        shape = self.run.shape
        return InpaintResult(
            image=self.run.state.view(shape),
            frames=self.states.view(-1, *shape),
            known_frames=self.known.view(-1, *shape),
            entropy_frames=self.entropies.view(-1, *shape),
            steps=self.steps,
            evaluations=evaluations,
        )
