"""Filling a hole by sampling: ancestral and Gibbs processes over the conditionals of a model.

`inpaint` is the one door: inputs may be on any device, the work happens where the model is, and results come
back to where the pictures were. Every number it draws has an address (see `uniforms`), so runs that differ in
one setting share the rest.
"""

from dataclasses import dataclass, fields
from functools import partial
from numbers import Integral, Real

import torch

from . import splits, uniforms
from .arguments import check_engine, check_pictures, fixed_order, to_rank
from .categorical import BY_CONTENT, draw_levels, entropy, most_certain, refuse_unsound
from .devices import device_of, moved, on_device
from .fast import engines
from .halton import halton
from .schedules import annealed

ANCESTRAL = ("orderless", "halton", *BY_CONTENT)
GIBBS = ("independent_gibbs", "ancestral_gibbs", "informed_gibbs")
STRATEGIES = (*ANCESTRAL, "maskgit", "remdm", *GIBBS)
CONVENTIONS = ("resample", "keep")
STARTS = ("noise", "black", "image")
# What means something to some strategies only; to a fixed order, what does to "orderless".
ONLY = {
    "blocks": (*ANCESTRAL, "maskgit"),
    "entropy_bound": ANCESTRAL,
    "noise": ("maskgit",),
    "remasking": ("remdm",),
    "redrawn": ("informed_gibbs",),
    "schedule": GIBBS,
    "num_steps": ("remdm", *GIBBS),
    "convention": GIBBS,
}


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
    blocks=None,
    entropy_bound=None,
    noise=0.0,
    remasking=0.0,
    redrawn=None,
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

    Ancestral strategies draw every variable once, one at a time or in blocks, whose variables are drawn blind
    to each other, for each example in an order of its own: `orderless` at random (Uria, Murray, Larochelle
    2014), `halton` spread out over the picture (Besnier et al. 2025), `greedy` the lowest predictive entropy
    first, `antigreedy` the highest, `top_probability` the likeliest level first, `margin` the largest lead of
    the likeliest over the second (Kim et al. 2025), all measured at temperature 1, ties going to the lowest
    flat index. `maskgit` draws all that is hidden in every round and keeps as many as the block has of those
    whose drawn level is likeliest, with noise (Chang et al. 2022). `remdm` draws in rounds, in which what was
    drawn may be hidden again (Wang et al. 2025). Gibbs strategies begin with a full hole; step n of N
    resamples every hole variable with probability alpha_n: `independent_gibbs` all of that block at once
    given the rest (Yao, Ozair, Cho, Bengio 2014), `ancestral_gibbs` the block's variables one after the other
    in a random order, `informed_gibbs` of the block only what is least probable given the rest (after the
    informed correctors of Zhao et al. 2024 and the planner of Peng et al. 2025). What a strategy makes no use
    of, by `ONLY`, is refused.

    Args:
        model: an `Inpainter` in evaluation mode, or any callable of its signature.
        image: int64 (B, C, H, W); what stands in the hole has no influence, except with start="image".
        known: bool (B, C, H, W), False in the hole.
        caption, caption_length: int64 (B, T) and (B,), or None.
        strategy: one of `STRATEGIES`, or a fixed order for ancestral sampling: the flat indices (into C * H *
            W) of the hole variables, the same for every picture.
        temperature: T >= 0; conditionals are sampled from p^(1/T).
        blocks: for ancestral strategies and "maskgit" how many variables are drawn at a time, ints that add
            up to the size of every hole, see `splits`; None for one by one.
        entropy_bound: instead of blocks: what comes next in the order, as many as have a sum of entropies
            without the largest of at most so many bits, and one at least (Ben-Hamu et al. 2025, section 3).
        noise: of "maskgit": Gumbel noise on the logarithm of the drawn level's probability, times this and
            times the share of rounds that are left.
        remasking: of "remdm": the share of what could be hidden again without hiding more than the schedule
            has, 0 (never) to 1.
        redrawn: of "informed_gibbs": which share of the block is drawn again, above 0 to 1, one variable at
            least; None is a quarter.
        schedule: for Gibbs, (step, num_steps) -> alpha; None is `schedules.annealed` with its defaults.
        num_steps: Gibbs steps, or rounds of "remdm", which may be more than there are variables; None is the
            number of variables in each example's own hole.
        convention: "resample": alpha is the probability of being resampled, as described in 2017; "keep": of
            being kept, as published.
        start: what the hole is filled with first: uniform noise, black, or what stands there in `image`,
            which "maskgit" and "remdm" refuse.
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
        ValueError: an argument of the wrong shape or type, an impossible value, one that the strategy makes
            no use of, or a model in training mode.
    """
    _check(strategy, temperature, num_steps, convention, start, frames)
    not_default = dict(
        blocks=blocks is not None,
        entropy_bound=entropy_bound is not None,
        noise=noise != 0,
        remasking=remasking != 0,
        redrawn=redrawn is not None,
        schedule=schedule is not None,
        num_steps=num_steps is not None,
        convention=convention != "resample",
    )
    _check_useful(strategy, [name for name, given in not_default.items() if given])
    _check_blocks(blocks, entropy_bound, noise, remasking)
    _check_looking_back(strategy, start, redrawn)
    check_pictures(model, image, known, caption, caption_length)
    if blocks is not None:
        blocks = splits.checked(blocks, (~known).flatten(1).sum(1))
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
        if order is not None or strategy in ("orderless", "halton"):
            rank = run.fixed_rank(strategy if order is None else order)
            if entropy_bound is None:
                parts.append(run.in_order(rank, frames, blocks))
            else:
                parts.append(run.by_content(entropy, 1, None, entropy_bound, frames, rank))
        elif strategy in BY_CONTENT:
            parts.append(run.by_content(*BY_CONTENT[strategy], blocks, entropy_bound, frames))
        elif strategy == "maskgit":
            parts.append(run.drawn_then_kept(blocks, noise, frames))
        elif strategy == "remdm":
            parts.append(run.remasked(remasking, num_steps, frames))
        else:
            draw = {"independent_gibbs": run.draw_at_once, "ancestral_gibbs": run.draw_one_by_one}
            draw["informed_gibbs"] = partial(run.draw_least_probable, redrawn or 0.25)
            parts.append(run.gibbs(draw[strategy], schedule or annealed, num_steps, convention, frames))
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
    for name, value in (("num_steps", num_steps), ("frames", frames)):
        if value is not None and not isinstance(value, Integral):
            raise ValueError(f"{name}: {value!r}; expected a whole number")
    if not temperature >= 0:
        raise ValueError(f"temperature: {temperature}; expected a number of at least 0")
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"num_steps: {num_steps}; expected at least 1, or None for one per hole variable")
    if frames < 2:
        raise ValueError(f"frames: {frames}; expected at least 2, the start and the result")


def _check_useful(strategy, given):
    name = strategy if isinstance(strategy, str) else "orderless"
    for argument in given:
        if name not in ONLY[argument]:
            of_all = f"{strategy!r}" if isinstance(strategy, str) else "a fixed order"
            raise ValueError(
                f"{argument}: is for {', '.join(map(repr, ONLY[argument]))}; {of_all} makes no use of it"
            )


def _check_blocks(blocks, entropy_bound, noise, remasking):
    if entropy_bound is not None:
        if blocks is not None:
            raise ValueError(
                "blocks, entropy_bound: both say how many variables are drawn at a time; give one"
            )
        if not isinstance(entropy_bound, Real) or not entropy_bound >= 0:
            raise ValueError(f"entropy_bound: {entropy_bound!r}; expected a number of bits of at least 0")
    if not noise >= 0:
        raise ValueError(f"noise: {noise}; expected a number of at least 0")
    if not 0 <= remasking <= 1:
        raise ValueError(f"remasking: {remasking}; expected 0 to 1")


def _check_looking_back(strategy, start, redrawn):
    if start == "image" and isinstance(strategy, str) and strategy in ("maskgit", "remdm"):
        raise ValueError(
            f"start: 'image' for {strategy!r}, which begins with an empty hole and would not look at it; "
            f"expected one of {', '.join(GIBBS)}, which begin with a full one"
        )
    if redrawn is not None and not 0 < redrawn <= 1:
        raise ValueError(f"redrawn: {redrawn}; expected a share above 0, 1 at most")


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

    def fixed_rank(self, order):
        """An order that does not depend on values, "orderless", "halton" or flat indices of the hole, as
        `random_rank`."""
        if isinstance(order, torch.Tensor):
            return to_rank(order, self.hole.shape[1]).expand_as(self.hole)
        return self.random_rank(self.hole, 0) if order == "orderless" else self.halton_rank()

    def random_rank(self, among, step):
        """A random order of the variables `among` (B, V), as the position of each, V for the others."""
        size, index = among.shape[1], _where(among)
        place = torch.full((among.numel(),), 2.0, dtype=torch.float64)
        place[index] = self._uniform(uniforms.ORDER, step, index)
        return to_rank(place.view(among.shape).argsort(1), size).masked_fill(~among, size)

    def halton_rank(self):
        """The Halton order of the hole's variables, as `random_rank`."""
        size = self.hole.shape[1]
        place = halton(self.shape[1:]).expand_as(self.hole)
        return to_rank(place.masked_fill(~self.hole, size).argsort(1), size).masked_fill(~self.hole, size)

    def in_order(self, rank, frames, blocks=None):
        """Ancestral sampling in an order that does not depend on values: position of every variable (B, V), V
        outside the hole."""
        if blocks:
            return self._in_blocks(rank, blocks, frames)
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

    def _in_blocks(self, rank, blocks, frames):
        rounds = torch.where(self.sizes > 0, len(blocks), 0)
        watch, unknown = _Watch(self, rounds, frames), self.hole.clone()
        block = torch.arange(len(blocks)).repeat_interleave(torch.tensor(blocks))  # by position
        turn = torch.where(self.hole, block[rank.clamp(max=len(block) - 1)], rank.shape[1])
        for step, chosen in enumerate(engines.by_turn(turn)):
            self._draw(0, unknown, chosen, watch.framed(step))
            unknown.view(-1)[chosen] = False
            watch.look(step + 1)
        return watch.result(rounds)

    def by_content(self, measure, sign, blocks, entropy_bound, frames, rank=None):
        """Ancestral sampling of the variables with the lowest (sign 1) or highest (sign -1) measure next; or,
        with a bound, of those that come next by `rank` (B, V)."""

        def score(logits):
            bits = entropy(logits)
            return torch.stack([bits if measure is entropy else measure(logits), bits], -1)

        watch, unknown = _Watch(self, self.sizes, frames), self.hole.clone()
        scores = torch.zeros(*self.hole.shape, 2, device=self.device)
        place = None if rank is None else on_device(rank, self.device).to(scores.dtype)
        evaluations, step = torch.zeros_like(self.sizes), 0
        while unknown.any():
            index, found, logits_of = self.engine.scores(self.state, unknown, unknown, score)
            scores.view(-1, 2).index_copy_(0, on_device(index, self.device), found.to(scores.dtype))
            among, bits = on_device(unknown, self.device), scores[..., 1]
            first = sign * scores[..., 0] if place is None else place
            if entropy_bound is not None:
                count = _within(bits, first, among, entropy_bound)
            else:
                count = blocks[step] if blocks else 1
            chosen = _where(most_certain(first, among, count).cpu())
            before = self.sizes - unknown.sum(1)
            if watch.passes(before, before + torch.as_tensor(count).cpu()):
                self.noted_unknown = unknown.clone()
                self.noted_entropy = torch.where(among, bits, 0)
            evaluations += unknown.any(1)
            self._draw(0, unknown, chosen, watch.nothing, logits_of)
            unknown.view(-1)[chosen] = False
            watch.look_through(before, self.sizes - unknown.sum(1))
            step += 1
        return watch.result(evaluations)

    def drawn_then_kept(self, blocks, noise, frames):
        """In every round draw all that is hidden, and keep the block whose drawn levels are likeliest."""
        rounds = self.sizes if blocks is None else torch.where(self.sizes > 0, len(blocks), 0)
        blocks = blocks or [1] * int(self.sizes.max())
        watch, unknown = _Watch(self, rounds, frames), self.hole.clone()
        for step, count in enumerate(blocks):
            self._announce(unknown)
            index, logits = self.engine.predict(self.state, unknown, unknown)
            row, among = on_device(index, self.device), on_device(unknown, self.device)
            uniform = self._uniform(uniforms.LEVEL, step, row)
            levels = draw_levels(logits, self.temperature, uniform, self.unsound)
            sure = logits.log_softmax(-1).gather(1, levels[:, None])[:, 0].double()
            if noise:
                number = self._uniform(uniforms.CHOICE, step, row)
                left = on_device(1 - (step + 1) / rounds.double(), self.device)  # (B,), of its own rounds
                sure -= noise * left[row // self.hole.shape[1]] * (-number.log()).log()
            scores = torch.zeros(self.hole.shape, dtype=torch.float64, device=self.device)
            scores.view(-1)[row] = -sure
            kept = most_certain(scores, among, count)
            if watch.framed(step).any():
                self._note(unknown, index, logits)
            drawn = self.state.clone()
            drawn.view(-1)[row] = levels
            self.state = torch.where(kept, drawn, self.state)
            unknown &= ~kept.cpu()
            watch.look(step + 1)
        return watch.result(rounds)

    def remasked(self, remasking, num_steps, frames):
        """In round k of K the share drawn rises from (k - 1) / K to k / K. What was drawn is hidden again
        with probability sigma, `remasking` times what leaves the share as it should be, min(1, (1 -
        alpha_s) / alpha_t) (Wang et al. 2025, arXiv 2503.00307, section 4.1), and so much more is drawn."""
        limits = self.sizes if num_steps is None else torch.where(self.sizes > 0, num_steps, 0)
        watch, evaluations = _Watch(self, limits, frames), torch.zeros_like(self.sizes)
        unknown, size = self.hole.clone(), self.hole.shape[1]
        for step in range(int(limits.max())):
            before = step / limits.clamp(min=1).double()  # alpha_t, (B,)
            after = ((step + 1) / limits.clamp(min=1).double()).clamp(max=1)  # alpha_s
            again = torch.where(before > 0, remasking * ((1 - after) / before).clamp(max=1), 0)  # sigma
            drawn = (after - (1 - again) * before) / (1 - before).clamp(min=1e-12)
            index = _where(self.hole & (step < limits)[:, None])
            number = self._uniform(uniforms.BLOCK, step, index)
            hidden = unknown.view(-1)[index]
            chosen = index[hidden & (number < drawn[index // size])]
            hide = index[~hidden & (number < again[index // size])]
            evaluations += (
                torch.zeros_like(unknown).view(-1).index_fill(0, chosen, True).view_as(unknown).any(1)
            )
            self._draw(step, unknown, chosen, watch.framed(step))
            unknown.view(-1)[chosen] = False
            unknown.view(-1)[hide] = True
            watch.look(step + 1)
        return watch.result(evaluations)

    def _refuse_unless(self, sound):
        """Refuse predictions that are not `sound`, bool (n,): at once on a CPU, else at the end."""
        if self.unsound is not None:
            self.unsound |= ~sound.all()
        elif not sound.all():
            refuse_unsound(int((~sound).sum()))

    def _announce(self, unknown):
        """Tell who watches what is about to be drawn from."""
        if self.watch:
            self.watch(self.draws, self.state.view(self.shape), ~unknown.view(self.shape))
            self.draws += 1

    def _note(self, unknown, index, logits):
        """Keep what is unknown and how uncertain the predictions of the variables `index` are."""
        self.noted_unknown, self.noted_entropy = unknown.clone(), torch.zeros_like(self.noted_entropy)
        bits = entropy(logits).to(self.noted_entropy.dtype)
        self.noted_entropy.view(-1).index_copy_(0, on_device(index, self.device), bits)

    def gibbs(self, draw, schedule, num_steps, convention, frames):
        """Resample random blocks, from the full hole; `draw` draws one and says how many predictions that
        took of each example."""
        limits = self.sizes if num_steps is None else torch.where(self.sizes > 0, num_steps, 0)
        watch = _Watch(self, limits, frames)
        evaluations = torch.zeros_like(self.sizes)
        for step in range(int(limits.max())):
            block = self._random_block(schedule, step, limits, convention)
            evaluations += draw(step, block, watch.framed(step))
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

    def draw_at_once(self, step, block, framed):
        """All of a block, given the rest."""
        self._draw(step, block, _where(block), framed)
        return block.any(1)

    def draw_one_by_one(self, step, block, framed):
        """A block's variables one after the other, in a random order."""
        rank, unknown = self.random_rank(block, step), block.clone()
        turn = engines.turns(self.engine, rank, block.sum(1), torch.zeros_like(block))
        for chosen in engines.by_turn(turn) or [_where(block)]:
            self._draw(step, unknown, chosen, framed)
            unknown.view(-1)[chosen] = False
            framed = torch.zeros_like(framed)
        return block.sum(1)

    def draw_least_probable(self, redrawn, step, block, framed):
        """Of a block what is least probable given the rest, all at once."""
        self._announce(block)
        index, logits = self.engine.predict(self.state, block, block)
        if framed.any():
            self._note(block, index, logits)
        row = on_device(index, self.device)
        levels = self.state.view(-1)[row]
        probable = logits.log_softmax(-1).gather(1, levels[:, None])[:, 0].double()
        self._refuse_unless(~probable.isnan())
        scores = torch.zeros(self.hole.shape, dtype=torch.float64, device=self.device)
        scores.view(-1)[row] = probable
        count = on_device((redrawn * block.sum(1)).ceil().long(), self.device)
        chosen = _where(most_certain(scores, on_device(block, self.device), count).cpu())
        self._put(step, chosen, engines.rows_of(index, logits, chosen))
        return block.any(1)

    def _draw(self, step, unknown, chosen, framed, logits_of=None):
        """Draw the variables `chosen`, flat indices into (B, V), given all that are not `unknown` (B, V).

        For the examples `framed`, bool (B,), note what is unknown and how uncertain. `logits_of` may give the
        logits of what is chosen."""
        self._announce(unknown)
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
        self._put(step, chosen, logits)

    def _put(self, step, chosen, logits):
        """Draw the variables `chosen` from their logits."""
        row = on_device(chosen, self.device)
        uniform = self._uniform(uniforms.LEVEL, step, row)
        levels = draw_levels(logits, self.temperature, uniform, self.unsound)
        self.state.view(-1).index_copy_(0, row, levels)


def _within(bits, first, among, bound):
    """How many variables of each example, those with the lowest `first` (B, V) before others, may be drawn at
    once: the largest block of which the sum of entropies without the largest is at most `bound`; int64 (B,),
    one at least."""
    order = first.masked_fill(~among, torch.inf).argsort(dim=1, stable=True)
    in_order = bits.masked_fill(~among, torch.inf).gather(1, order)
    without_largest = in_order.cumsum(1) - in_order.cummax(1).values
    return (without_largest <= bound).sum(1).clamp(min=1)


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
        self._keep(*(self.moments == moment).nonzero(as_tuple=True))

    def _keep(self, frame, example):
        if len(frame):
            self.known[frame, example] = ~self.run.noted_unknown[example]
            frame, example = moved(self.run.device, frame, example)
            self.states[frame, example] = self.run.state[example]
            self.entropies[frame, example] = self.run.noted_entropy[example]

    def passes(self, before, after):
        """Whether a frame is due after more than `before` and at most `after` steps, int64 (B,)."""
        return bool(((self.moments > before) & (self.moments <= after)).any())

    def look_through(self, before, after):
        """Keep the state of every example that has a frame there, see `passes`."""
        self._keep(*((self.moments > before) & (self.moments <= after)).nonzero(as_tuple=True))

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
