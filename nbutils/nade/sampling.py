"""Filling a hole by sampling: ancestral and Gibbs processes over the conditionals of a model.

`inpaint` is the one door. Every number it draws has an address (see `uniforms`), so runs that differ in one setting share the rest.
"""

from dataclasses import dataclass
from functools import partial

import torch

from . import uniforms
from .inpainter import predict
from .schedules import annealed

STRATEGIES = ("orderless", "independent_gibbs")
CONVENTIONS = ("resample", "keep")
STARTS = ("noise", "black")
ENGINES = ("dense",)


@dataclass(frozen=True)
class InpaintResult:
    """What `inpaint` returns; B pictures watched in F frames.

    image: int64 (B, C, H, W), the filled-in pictures.
    frames: int64 (F, B, C, H, W), the state from the start (frame 0) to the result (the last frame).
    known_frames: bool (F, B, C, H, W), what the model was shown at the step that led to the frame.
    entropy_frames: float32 (F, B, C, H, W), bits, the entropy at temperature 1 of the predictions then made; 0 where none was made.
    steps: int64 (F, B), the number of steps that each example had made at each frame.
    """

    image: torch.Tensor
    frames: torch.Tensor
    known_frames: torch.Tensor
    entropy_frames: torch.Tensor
    steps: torch.Tensor


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


def entropy(logits):
    """Entropy in bits of each row of logits, (n, levels) -> (n,)."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p.clamp(min=torch.finfo(log_p.dtype).min)).sum(-1) / torch.log(torch.tensor(2.0))


@torch.no_grad()
def inpaint(
    model, image, known, caption=None, caption_length=None, *, strategy, temperature=1.0, schedule=None, num_steps=None,
    convention="resample", start="noise", engine="dense", frames=33, generator=None,
):  # fmt: skip
    """Fill in what is not known by sampling.

    `orderless`: ancestral, one variable at a time in a random order of each example's own.
    `independent_gibbs`: step n of N resamples every hole variable with probability alpha_n, all at once given the rest
    (Yao, Ozair, Cho, Bengio 2014).

    Args:
        model: an `Inpainter` in evaluation mode, or any callable of its signature.
        image: int64 (B, C, H, W); what stands in the hole has no influence.
        known: bool (B, C, H, W), False in the hole.
        caption, caption_length: int64 (B, T) and (B,), or None.
        strategy: one of `STRATEGIES`.
        temperature: T >= 0; conditionals are sampled from p^(1/T).
        schedule: for Gibbs, (step, num_steps) -> alpha; None is `schedules.annealed` with its defaults.
        num_steps: Gibbs steps; None is the number of variables in each example's own hole.
        convention: "resample": alpha is the probability of being resampled, as described in 2017; "keep": of being kept, as published.
        start: what the hole is filled with first, uniform noise or black.
        frames: how many states to return, evenly spaced from the start to the result.
        generator: torch.Generator that the seed of all random numbers is drawn from.
    Returns:
        InpaintResult.
    Raises:
        ValueError: an argument of the wrong shape or type, an impossible value, or a model in training mode.
    """
    _check(model, image, known, caption, caption_length, strategy, temperature, num_steps, convention, start, engine, frames)
    seed = uniforms.seed_from(generator if generator is not None else torch.default_generator)
    run = _Run(model, image, known, caption, caption_length, temperature, start, seed)
    if strategy == "orderless":
        run.limits = run.sizes
        block_at = run.next_in_random_order()
    else:
        run.limits = run.sizes if num_steps is None else torch.where(run.sizes > 0, num_steps, 0)
        block_at = partial(run.gibbs_block, schedule or annealed, convention)
    watch = _Watch(run, frames)
    for step in range(int(run.limits.max())):
        unknown, chosen = block_at(step)
        run.resample(step, unknown, chosen, watch.wants_entropy(step))
        watch.look(step + 1)
    return watch.result()


def _check(model, image, known, caption, caption_length, strategy, temperature, num_steps, convention, start, engine, frames):
    for name, value, allowed in (("strategy", strategy, STRATEGIES), ("convention", convention, CONVENTIONS), ("start", start, STARTS), ("engine", engine, ENGINES)):
        if value not in allowed:
            raise ValueError(f"{name}: {value!r}; expected one of {', '.join(allowed)}")
    if not temperature >= 0:
        raise ValueError(f"temperature: {temperature}; expected a number of at least 0")
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"num_steps: {num_steps}; expected at least 1, or None for one per hole variable")
    if frames < 2:
        raise ValueError(f"frames: {frames}; expected at least 2, the start and the result")
    if getattr(model, "training", False):
        raise ValueError("model: is in training mode, where its batch statistics would mix examples; call model.eval() first")
    if image.dim() != 4 or image.dtype != torch.int64:
        raise ValueError(f"image: {image.dtype} of shape {tuple(image.shape)}; expected int64 (B, C, H, W)")
    levels = getattr(getattr(model, "config", None), "levels", None)
    if image.numel() and (image.min() < 0 or (levels and image.max() >= levels)):
        raise ValueError(f"image: levels from {int(image.min())} to {int(image.max())}; expected 0 to {levels - 1 if levels else 'levels - 1'}")
    if known.shape != image.shape or known.dtype != torch.bool:
        raise ValueError(f"known: {known.dtype} of shape {tuple(known.shape)}; expected bool {tuple(image.shape)}, True where observed")
    if (caption is None) != (caption_length is None):
        raise ValueError("caption and caption_length: one is given and the other is not; give both or neither")
    if caption is not None and (caption.dim() != 2 or len(caption) != len(image) or caption_length.shape != (len(image),)):
        raise ValueError(f"caption: shapes {tuple(caption.shape)} and {tuple(caption_length.shape)}; expected ({len(image)}, T) and ({len(image)},)")


class _Run:
    """The pictures being filled in, and the addresses of their random numbers."""

    def __init__(self, model, image, known, caption, caption_length, temperature, start, seed):
        self.model, self.caption, self.caption_length, self.temperature, self.seed = model, caption, caption_length, temperature, seed
        self.shape = image.shape
        self.hole = ~known.flatten(1)  # (B, V) with V = C * H * W
        self.sizes = self.hole.sum(1)
        self.example = torch.arange(len(image), device=image.device)[:, None]
        self.variable = torch.arange(self.hole.shape[1], device=image.device)[None]
        self.levels = self._levels(image)
        noise = (self._uniform(uniforms.START, 0) * self.levels).long() if start == "noise" else torch.zeros_like(self.hole, dtype=torch.long)
        self.state = torch.where(self.hole, noise, image.flatten(1))
        self.unknown = self.hole
        self.entropy = torch.zeros(self.hole.shape, device=image.device)

    def _levels(self, image):
        config = getattr(self.model, "config", None)
        if config is not None:
            return config.levels
        return self.model(image, torch.ones_like(image, dtype=torch.bool), self.caption, self.caption_length).shape[-1]

    def _uniform(self, purpose, step):
        return uniforms.uniform(self.seed, purpose, self.example, torch.as_tensor(step, device=self.variable.device), self.variable)

    def next_in_random_order(self):
        """For every step the variables still unknown, and the one to draw."""
        place = self._uniform(uniforms.ORDER, 0).masked_fill(~self.hole, 2.0)
        rank = torch.empty_like(self.variable.expand_as(self.hole)).scatter_(1, place.argsort(1), self.variable.expand_as(self.hole))
        return lambda step: (self.hole & (rank >= step), self.hole & (rank == step))

    def gibbs_block(self, schedule, convention, step):
        """The block to resample: it is unknown to the model, and all of it is drawn."""
        alpha = torch.tensor([[schedule(step, max(1, n)) for n in self.limits.tolist()]], dtype=torch.float64, device=self.hole.device).T
        struck = self._uniform(uniforms.BLOCK, step) < alpha
        block = self.hole & (struck if convention == "resample" else ~struck) & (step < self.limits)[:, None]
        return block, block

    def resample(self, step, unknown, chosen, with_entropy):
        """Draw the variables `chosen` given all that are not `unknown`; entropies of all unknown ones where wanted."""
        self.unknown = unknown
        self.entropy = torch.zeros_like(self.entropy)
        wanted = (unknown if with_entropy else chosen).flatten().nonzero()[:, 0]
        if len(wanted) == 0:
            return
        known = ~unknown
        logits = predict(self.model, self.state.view(self.shape), known.view(self.shape), self.caption, self.caption_length, wanted)
        if with_entropy:
            self.entropy.view(-1)[wanted] = entropy(logits).to(self.entropy.dtype)
        drawn = chosen.flatten()[wanted]
        index = wanted[drawn]
        u = self._uniform(uniforms.LEVEL, step).flatten()[index]
        self.state.view(-1)[index] = draw_levels(logits[drawn], self.temperature, u)


class _Watch:
    """Copies the state at evenly spaced steps, for each example over its own number of steps."""

    def __init__(self, run, frames):
        self.run = run
        most = int(run.limits.max())
        count = max(2, min(frames, most + 1))
        share = torch.arange(count, dtype=torch.float64)[:, None] / (count - 1)
        self.steps = (share * run.limits.cpu()[None]).round().long()  # (F, B)
        self.states = run.state.repeat(count, 1, 1)
        self.known = (~run.unknown).repeat(count, 1, 1)
        self.entropies = run.entropy.repeat(count, 1, 1)

    def wants_entropy(self, step):
        """Whether some example has a frame right after this step."""
        return bool((self.steps == step + 1).any())

    def look(self, step):
        """Keep the state of every example that has a frame at `step`; later frames are overwritten as they come."""
        frame, example = (self.steps == step).nonzero(as_tuple=True)
        self.states[frame, example] = self.run.state[example]
        self.known[frame, example] = ~self.run.unknown[example]
        self.entropies[frame, example] = self.run.entropy[example]

    def result(self):
        shape = (len(self.steps), *self.run.shape)
        views = (x.view(shape) for x in (self.states, self.known, self.entropies))
        return InpaintResult(self.run.state.view(self.run.shape), *views, self.steps)
