"""Sampling follows the distributions it should, and its random numbers have addresses."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nbutils.nade import categorical, likelihood, sampling, schedules, uniforms
from nbutils.nade.inpainter import Inpainter, InpainterConfig


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


STATES = torch.tensor(list(itertools.product((0, 1), repeat=3)))  # all pictures of three binary variables


class Joint(torch.nn.Module):
    """Three binary variables with a known joint: its conditionals are consistent and exact."""

    def __init__(self, seed=0):
        super().__init__()
        self.p = torch.rand(2, 2, 2, generator=seeded(seed), dtype=torch.float64) + 0.05
        self.p /= self.p.sum()
        self.eval()

    def forward(self, image, known, caption=None, caption_length=None):
        agree = ((image.flatten(1)[:, None] == STATES) | ~known.flatten(1)[:, None]).all(
            -1
        ) * self.p.flatten()  # (B, 8)
        logits = [
            torch.stack([agree[:, STATES[:, v] == level].sum(-1) for level in (0, 1)], -1) for v in range(3)
        ]
        return torch.stack(logits, 1).log().view(*image.shape, 2)


class Disagreeing(torch.nn.Module):
    """Three binary variables whose conditionals belong to no joint, as those of a net do: any logits for any
    context."""

    def __init__(self, seed=0):
        super().__init__()
        self.logits = torch.randn(27, 3, 2, generator=seeded(seed), dtype=torch.float64)
        self.eval()

    def forward(self, image, known, caption=None, caption_length=None):
        context = torch.where(known, image + 1, 0).flatten(1) @ torch.tensor([9, 3, 1])
        return self.logits[context].view(*image.shape, 2)


MODELS = (Joint(0), Disagreeing(1))


def conditionals(model, context):
    """(3, 2) probabilities given a context, a dict from variable to level."""
    image, known = torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.bool)
    for variable, level in context.items():
        image[variable], known[variable] = level, True
    return model(image.view(1, 1, 1, 3), known.view(1, 1, 1, 3)).softmax(-1).view(3, 2)


def ancestral(model, choose, hidden=(0, 1, 2), context=None, temperature=1.0):
    """The distribution over the 8 pictures of ancestral sampling, by walking all paths; `choose` gives
    (share, variable) pairs."""
    context = context or {}
    left = [v for v in hidden if v not in context]
    if not left:
        state = torch.tensor([context[v] for v in range(3)])
        return (state == STATES).all(-1).double()
    p = conditionals(model, context)
    cooled = p ** (1 / temperature) / (p ** (1 / temperature)).sum(-1, keepdim=True)
    total = torch.zeros(8, dtype=torch.float64)
    for share, variable in choose(left, p):
        for level in (0, 1):
            total += (
                share
                * cooled[variable, level]
                * ancestral(model, choose, hidden, context | {variable: level}, temperature)
            )
    return total


def in_order(order):
    return lambda left, p: [(1.0, next(v for v in order if v in left))]


def at_random(left, p):
    return [(1 / len(left), v) for v in left]


def by_entropy(sign):
    return lambda left, p: [(1.0, min(left, key=lambda v: (float(-sign * (p[v] * p[v].log()).sum()), v)))]


RULES = {"orderless": at_random, "greedy": by_entropy(1), "antigreedy": by_entropy(-1)} | {
    order: in_order(order) for order in itertools.permutations(range(3))
}


def counts_of(images):
    return torch.bincount(images.flatten(1) @ torch.tensor([4, 2, 1]), minlength=8)


def assert_follows(images, expected):
    assert float(expected.sum()) == pytest.approx(1)
    assert stats.chisquare(counts_of(images).numpy(), len(images) * expected.numpy()).pvalue > 0.001


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("strategy", RULES, ids=str)
@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_ancestral_samples_follow_what_enumeration_gives(model, strategy, temperature):
    image = torch.zeros(6000, 1, 1, 3, dtype=torch.long)
    expected = ancestral(model, RULES[strategy], temperature=temperature)
    if isinstance(model, Joint) and temperature == 1:
        assert torch.allclose(expected, model.p.flatten())
    result = sampling.inpaint(
        model, image, image > 0, strategy=strategy, temperature=temperature, generator=seeded()
    )
    assert_follows(result.image, expected)
    assert result.evaluations.eq(3).all()


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("ordering", RULES, ids=str)
def test_the_likelihood_is_the_probability_that_the_sampler_has(model, ordering):
    if ordering == "orderless":
        orders = [
            likelihood.hole_nll(
                model, STATES.view(8, 1, 1, 3), torch.zeros(8, 1, 1, 3, dtype=torch.bool), ordering=o
            )
            for o in itertools.permutations(range(3))
        ]
        p = torch.stack(orders).neg().exp().mean(0)
    else:
        p = (
            likelihood.hole_nll(
                model, STATES.view(8, 1, 1, 3), torch.zeros(8, 1, 1, 3, dtype=torch.bool), ordering=ordering
            )
            .neg()
            .exp()
        )
    assert torch.allclose(p, ancestral(model, RULES[ordering]))


def gibbs_transition(model, alpha, within_block):
    """The transition matrix over the 8 pictures: every block has its probability; `within_block` says how one
    is drawn."""
    matrix = torch.zeros(8, 8, dtype=torch.float64)
    for block in itertools.product((False, True), repeat=3):
        chance = alpha ** sum(block) * (1 - alpha) ** (3 - sum(block))
        hidden = [v for v in range(3) if block[v]]
        for start, state in enumerate(STATES.tolist()):
            matrix[start] += chance * within_block(
                model, hidden, {v: state[v] for v in range(3) if v not in hidden}
            )
    return matrix


def independently(model, hidden, context):
    p = conditionals(model, context)
    agrees = (
        torch.stack([(STATES[:, v] == level).double() for v, level in context.items()]).prod(0)
        if context
        else torch.ones(8, dtype=torch.float64)
    )
    return agrees * torch.stack([p[v, STATES[:, v]] for v in hidden]).prod(0) if hidden else agrees


def one_by_one(model, hidden, context):
    return ancestral(model, at_random, hidden, context)


GIBBS = {"independent_gibbs": independently, "ancestral_gibbs": one_by_one}


@pytest.mark.parametrize("convention", sampling.CONVENTIONS)
@pytest.mark.parametrize("strategy", GIBBS)
@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_gibbs_follows_its_transition_matrix(model, strategy, convention):
    image = torch.zeros(8000, 1, 1, 3, dtype=torch.long)
    alpha = 0.3
    result = sampling.inpaint(
        model,
        image,
        image > 0,
        strategy=strategy,
        schedule=lambda n, N: alpha,
        num_steps=2,
        start="black",
        convention=convention,
        generator=seeded(),
    )
    matrix = gibbs_transition(model, alpha if convention == "resample" else 1 - alpha, GIBBS[strategy])
    assert_follows(result.image, torch.linalg.matrix_power(matrix, 2)[0])


def test_independent_gibbs_approaches_the_joint_as_blocks_shrink():
    model, image = Joint(1), torch.zeros(6000, 1, 1, 3, dtype=torch.long)
    distances = []
    for alpha, steps in ((0.9, 30), (0.3, 30), (0.05, 120)):
        chain = torch.linalg.matrix_power(gibbs_transition(model, alpha, independently), steps)[0]
        result = sampling.inpaint(
            model,
            image,
            image > 0,
            strategy="independent_gibbs",
            schedule=lambda n, N, a=alpha: a,
            num_steps=steps,
            start="black",
            generator=seeded(),
        )
        assert_follows(result.image, chain)
        distances.append(float((chain - model.p.flatten()).abs().sum()) / 2)
    assert distances[0] > 2 * distances[1] > 4 * distances[2]
    assert distances[2] < 0.01


def test_ancestral_gibbs_leaves_the_joint_as_it_is():
    model = Joint(2)
    image = STATES[torch.multinomial(model.p.flatten(), 8000, True, generator=seeded())].view(-1, 1, 1, 3)
    result = sampling.inpaint(
        model,
        image,
        torch.zeros_like(image, dtype=torch.bool),
        strategy="ancestral_gibbs",
        schedule=lambda n, N: 0.6,
        num_steps=4,
        start="image",
        generator=seeded(1),
    )
    assert (result.image != image).any()
    assert_follows(result.image, model.p.flatten())


def test_temperature_zero_is_the_argmax_and_ties_are_broken_uniformly():
    logits = torch.tensor([[0.0, 3.0, 1.0, 3.0]]).expand(4000, -1)
    drawn = categorical.draw_levels(logits, 0.0, torch.rand(4000, generator=seeded(), dtype=torch.float64))
    counts = torch.bincount(drawn, minlength=4)
    assert counts[0] == counts[2] == 0
    assert stats.chisquare(counts[[1, 3]].numpy()).pvalue > 0.001


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_temperature_raises_probabilities_to_its_inverse(temperature):
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(6000, -1)
    drawn = categorical.draw_levels(
        logits, temperature, torch.rand(6000, generator=seeded(), dtype=torch.float64)
    )
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64) ** (1 / temperature)
    expected = 6000 * p / p.sum()
    assert (
        stats.chisquare(
            torch.bincount(drawn, minlength=3)[expected > 1].numpy(),
            (expected[expected > 1] / expected[expected > 1].sum() * 6000).numpy(),
        ).pvalue
        > 0.001
    )


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-3, 1.0, 1e6])
def test_impossible_levels_are_never_drawn_and_nothing_is_nan(temperature):
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, -2.0, -torch.inf]).expand(500, -1)
    uniform = torch.cat([torch.tensor([0.0, 1 - 2.0**-53]), torch.rand(498, generator=seeded())]).double()
    drawn = categorical.draw_levels(logits, temperature, uniform)
    assert set(drawn.tolist()) <= {1, 3}
    assert categorical.entropy(logits).isfinite().all()


def drawn_plainly(logits, temperature, uniform):
    """`draw_levels` as it is defined, whole tables at once."""
    logits = logits.double()
    highest = logits.max(-1, keepdim=True).values
    weight = (logits == highest).double() if temperature == 0 else ((logits - highest) / temperature).exp()
    cumulative = weight.cumsum(-1)
    total = cumulative[:, -1]
    threshold = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
    return (cumulative <= threshold[:, None]).sum(-1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 400),
    st.sampled_from([2, 7, 256]),
    st.sampled_from([0.0, 1e-300, 0.03, 0.7, 1.0, 5.0, 1e6]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_levels_drawn_in_parts_are_those_of_the_definition(seed, count, levels, temperature, dtype):
    generator = seeded(seed)
    logits = 5 * torch.randn(count, levels, generator=generator, dtype=dtype)
    ties = torch.rand(count, generator=generator) < 0.3
    logits[ties] = logits[ties].round()
    impossible = torch.rand(count, levels, generator=generator) < 0.3
    impossible[:, seed % levels] = False  # a level of each row stays possible
    logits[impossible] = -torch.inf
    ends = torch.tensor([0.0, 2.0**-53, 0.5, 1 - 2.0**-53], dtype=torch.float64)
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    extreme = torch.rand(count, generator=generator) < 0.4
    uniform[extreme] = ends[torch.randint(4, (int(extreme.sum()),), generator=generator)]
    before = logits.clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(categorical, "_IN_CACHE", 50 * levels)
        drawn = categorical.draw_levels(logits, temperature, uniform)
        bits = categorical.entropy(logits, max(temperature, 0.03))
    assert torch.equal(drawn, drawn_plainly(logits, temperature, uniform))
    assert torch.equal(logits, before)
    log_p = (logits.double() / max(temperature, 0.03)).log_softmax(-1)
    expected = -torch.where(log_p > -torch.inf, log_p.exp() * log_p, 0).sum(-1) / math.log(2)
    assert torch.allclose(bits.double(), expected, atol=1e-4 if dtype == torch.float32 else 1e-9, rtol=0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("row", [[0.0, torch.nan], [-torch.inf] * 2, [0.0, torch.inf], [torch.nan] * 2])
def test_logits_that_are_no_distribution_are_refused(row, temperature):
    logits = torch.tensor([[0.0, 1.0], row, [1.0, 0.0]])
    uniform = torch.tensor([0.5, 0.5, 0.5]).double()
    with pytest.raises(ValueError, match="logits: those of 1 variables are no distribution"):
        categorical.draw_levels(logits, temperature, uniform)
    unsound = torch.zeros((), dtype=torch.bool)
    categorical.draw_levels(logits[:1], temperature, uniform[:1], unsound)
    assert not unsound
    drawn = categorical.draw_levels(logits, temperature, uniform, unsound)
    assert unsound  # and what was drawn can be looked up
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_entropy_is_in_bits():
    assert torch.allclose(categorical.entropy(torch.zeros(1, 8)), torch.tensor([3.0]))


def small_model(**settings):
    torch.manual_seed(0)
    return Inpainter(
        InpainterConfig(
            image_size=6,
            levels=4,
            width=5,
            layers=2,
            vocabulary_size=7,
            embedding_size=4,
            reader_size=4,
            **settings,
        )
    ).eval()


def small_case(batch=4):
    generator = seeded(3)
    image = torch.randint(4, (batch, 3, 6, 6), generator=generator)
    known = torch.ones_like(image, dtype=torch.bool)
    known[0, :, 1:4, 2:5] = False
    known[1, 1, 0, 0] = False
    if batch > 2:
        known[2] = False
    return image, known, torch.tensor([[2, 3, 4]] * batch), torch.tensor([3, 2, 1, 0][:batch])


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_the_known_stays_and_holes_of_any_size_share_a_batch(strategy):
    image, known, caption, length = small_case()  # a square, one channel of a corner, everything, nothing
    result = sampling.inpaint(
        small_model(), image, known, caption, length, strategy=strategy, frames=5, generator=seeded()
    )
    assert torch.equal(result.image[known], image[known])
    assert torch.equal(result.frames[-1], result.image)
    assert torch.equal(result.frames[0][known], image[known])
    assert result.steps[-1].tolist() == [27, 1, 108, 0]
    assert (result.frames == torch.where(known, image, result.frames)).all()
    assert result.entropy_frames[:, 3].eq(0).all()
    assert result.evaluations[3] == 0
    assert result.image.min() >= 0
    assert result.image.max() < 4


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_the_same_seed_gives_the_same_animation_whatever_the_batch_size(strategy):
    model = small_model().double()
    image, known, caption, length = small_case()
    together = sampling.inpaint(model, image, known, caption, length, strategy=strategy, generator=seeded(5))
    alone = sampling.inpaint(
        model, image[:1], known[:1], caption[:1], length[:1], strategy=strategy, generator=seeded(5)
    )
    pair = sampling.inpaint(
        model, image[:2], known[:2], caption[:2], length[:2], strategy=strategy, generator=seeded(5)
    )
    assert torch.equal(together.image[:1], alone.image)
    assert torch.equal(together.image[:2], pair.image)
    assert torch.equal(alone.frames, together.frames[:, :1])
    assert torch.equal(alone.known_frames, together.known_frames[:, :1])
    assert torch.allclose(alone.entropy_frames, together.entropy_frames[:, :1])


def test_runs_that_differ_in_one_knob_start_from_the_same_picture():
    image, known, caption, length = small_case()
    runs = [
        sampling.inpaint(
            small_model(),
            image,
            known,
            caption,
            length,
            strategy="independent_gibbs",
            temperature=t,
            num_steps=4,
            generator=seeded(2),
        )
        for t in (0, 1)
    ]
    assert torch.equal(runs[0].frames[0], runs[1].frames[0])
    black = sampling.inpaint(
        small_model(),
        image,
        known,
        caption,
        length,
        strategy="independent_gibbs",
        start="black",
        num_steps=4,
        generator=seeded(2),
    )
    assert (black.frames[0][~known] == 0).all()


def test_a_chain_can_go_on_from_where_it_stands():
    image, known, caption, length = small_case()
    went_on = sampling.inpaint(
        small_model(),
        image,
        known,
        caption,
        length,
        strategy="independent_gibbs",
        schedule=lambda n, N: 0.0,
        start="image",
        num_steps=2,
        generator=seeded(),
    )
    assert torch.equal(went_on.image, image)
    assert went_on.evaluations.eq(0).all()  # empty blocks cost nothing


def test_greedy_orders_draw_the_most_and_the_least_certain_variable():
    model = small_model().double()
    image, known, caption, length = small_case()
    for strategy, pick in (("greedy", min), ("antigreedy", max)):
        result = sampling.inpaint(
            model,
            image[:1],
            known[:1],
            caption[:1],
            length[:1],
            strategy=strategy,
            temperature=0.5,
            frames=28,
            generator=seeded(),
        )
        for before, after, entropies in zip(
            result.known_frames[1:-1, 0], result.known_frames[2:, 0], result.entropy_frames[1:, 0]
        ):
            (drawn,) = (after & ~before).nonzero()
            assert float(entropies[tuple(drawn)]) == pick(entropies[~before].tolist())


def test_entropy_at_a_temperature_is_that_of_the_cooled_distribution():
    logits = torch.randn(5, 6, generator=seeded(), dtype=torch.float64)
    p = logits.softmax(-1) ** (1 / 0.3)
    expected = [stats.entropy(row.numpy(), base=2) for row in p]
    assert torch.allclose(categorical.entropy(logits, 0.3), torch.tensor(expected))


def test_a_fixed_order_is_the_order_of_the_frames():
    image, known, caption, length = small_case()
    order = (~known[0]).flatten().nonzero()[:, 0].flip(0)
    result = sampling.inpaint(
        small_model(),
        image[:1],
        known[:1],
        caption[:1],
        length[:1],
        strategy=order,
        frames=28,
        generator=seeded(),
    )
    drawn = [
        int((after & ~before).flatten().nonzero())
        for before, after in zip(result.known_frames[1:-1, 0], result.known_frames[2:, 0])
    ]
    assert drawn == order[:-1].tolist()
    others = [order.tolist(), tuple(order.tolist()), order.to(torch.int32), order.to(torch.uint8)]
    for other in (*others, *(order.numpy().astype(kind) for kind in ("i8", "i4", "u8", ">i8"))):
        again = sampling.inpaint(
            small_model(),
            image[:1],
            known[:1],
            caption[:1],
            length[:1],
            strategy=other,
            frames=28,
            generator=seeded(),
        )
        assert torch.equal(again.frames, result.frames)
    with pytest.raises(
        ValueError, match="strategy: 27 indices that are not the 1 hole variables of example 1"
    ):
        sampling.inpaint(small_model(), image[:2], known[:2], strategy=order)
    with pytest.raises(ValueError, match=r"strategy: torch\.float32 of shape"):
        sampling.inpaint(small_model(), image, known, strategy=torch.zeros(2))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sampling.STRATEGIES),
    st.integers(0, 2**31),
    st.floats(0, 1),
    st.sampled_from([0.0, 0.7, 1.0]),
    st.sampled_from(sampling.CONVENTIONS),
)
def test_any_hole_is_filled_and_nothing_else_is_touched(strategy, seed, share, temperature, convention):
    generator = seeded(seed)
    image = torch.randint(4, (3, 3, 4, 5), generator=generator)
    known = torch.rand(image.shape, generator=generator) < share
    model = small_model()
    arguments = dict(strategy=strategy, temperature=temperature, frames=4)
    if strategy in sampling.GIBBS:
        arguments |= dict(convention=convention, num_steps=3)
    result = sampling.inpaint(model, image, known, **arguments, generator=seeded(seed))
    blank = torch.where(known, image, 3)
    again = sampling.inpaint(model, blank, known, **arguments, generator=seeded(seed))
    assert torch.equal(result.image[known], image[known])
    assert torch.equal(result.image, again.image)  # what stood in the hole has no influence
    assert result.image.min() >= 0
    assert result.image.max() < 4
    assert result.entropy_frames.isfinite().all()


def test_frames_show_what_the_model_was_shown():
    image, known, caption, length = small_case()
    result = sampling.inpaint(
        small_model(), image, known, caption, length, strategy="orderless", frames=28, generator=seeded()
    )
    for frame, steps in zip(result.known_frames[1:, 0], result.steps[1:, 0]):
        assert int((~frame).sum()) == 27 - int(steps) + 1
    unknown = ~result.known_frames
    assert (result.entropy_frames[~unknown] == 0).all()
    assert (result.entropy_frames[1:, 0][unknown[1:, 0]] > 0).all()


@pytest.mark.parametrize("engine", ["dense", "incremental"])
@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_a_watched_run_is_the_same_run(strategy, engine):
    image, known, caption, length = small_case()
    settings = dict(strategy=strategy, engine=engine, frames=5)
    settings |= {"num_steps": 6} if strategy in sampling.ONLY["num_steps"] else {}
    seen = []
    watched = sampling.inpaint(
        small_model(),
        image,
        known,
        caption,
        length,
        **settings,
        generator=seeded(5),
        watch=lambda step, state, shown: seen.append((step, state.clone(), shown)),
    )
    unwatched = sampling.inpaint(
        small_model(), image, known, caption, length, **settings, generator=seeded(5)
    )
    assert all(torch.equal(getattr(watched, name), value) for name, value in vars(unwatched).items())
    assert [step for step, _, _ in seen] == list(range(len(seen)))
    assert torch.equal(seen[0][1], unwatched.frames[0])
    for _, state, shown in seen:
        assert torch.equal(state[known], image[known])
        assert shown[known].all()
    if "gibbs" not in strategy:
        assert torch.equal(seen[0][2], known)
        for _, state, shown in seen:
            assert torch.equal(state[shown], unwatched.image[shown])  # what has been drawn stays


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_what_a_watcher_raises_ends_the_run(strategy):
    def watch(step, state, shown):
        if step == 2:
            raise InterruptedError("enough")

    image, known, caption, length = small_case()
    with pytest.raises(InterruptedError, match="enough"):
        sampling.inpaint(
            small_model(), image, known, caption, length, strategy=strategy, watch=watch, generator=seeded()
        )


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_a_model_that_has_diverged_is_refused_instead_of_drawing_black(strategy):
    image, known, caption, length = small_case()
    model = small_model()
    model.head.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"logits: .*weights are not finite"):
        sampling.inpaint(model, image, known, caption, length, strategy=strategy, generator=seeded())


def test_a_whole_picture_can_be_drawn_from_nothing():
    image = torch.zeros(1, 3, 6, 6, dtype=torch.long)
    result = sampling.inpaint(
        small_model(), image, image > 0, strategy="independent_gibbs", num_steps=3, generator=seeded()
    )
    assert len(result.image.unique()) > 1


def test_the_schedule_is_that_of_the_post():
    alphas = [schedules.annealed(n, 10, alpha_max=0.9, alpha_min=0.1, eta=0.5) for n in range(10)]
    assert alphas == pytest.approx([0.9, 0.74, 0.58, 0.42, 0.26, 0.1, 0.1, 0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match="eta: 0"):
        schedules.annealed(0, 1, eta=0)
    with pytest.raises(ValueError, match=r"alpha_min and alpha_max: 0\.5 and 0\.2"):
        schedules.annealed(0, 1, alpha_max=0.2, alpha_min=0.5)


def test_addressed_numbers_are_uniform_and_unrelated():
    seed = torch.tensor(7)
    u = uniforms.uniform(seed, uniforms.LEVEL, torch.arange(50)[:, None], 3, torch.arange(400)[None])
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 0.001
    assert abs(float(torch.corrcoef(u)[0, 1:].mean())) < 0.05
    v = uniforms.uniform(
        seed, uniforms.LEVEL, torch.arange(50)[:, None], torch.tensor(4), torch.arange(400)[None]
    )
    assert abs(float(torch.corrcoef(torch.stack([u.flatten(), v.flatten()]))[0, 1])) < 0.03
    assert torch.equal(
        u[7:8, 5:6],
        uniforms.uniform(seed, uniforms.LEVEL, torch.tensor([[7]]), torch.tensor(3), torch.tensor([[5]])),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "beam"}, "strategy: 'beam'"),
        ({"temperature": -1.0}, "temperature: -1.0"),
        ({"temperature": float("nan")}, "temperature: nan"),
        ({"convention": "flip"}, "convention: 'flip'"),
        ({"start": "white"}, "start: 'white'"),
        ({"start": None}, "start: None"),
        ({"convention": None}, "convention: None"),
        ({"image": torch.zeros(0, 3, 6, 6, dtype=torch.long)}, "image: .* holds no picture"),
        ({"image": torch.zeros(4, 1, 6, 6, dtype=torch.long)}, "image: 1 channels"),
        ({"caption_length": torch.tensor([3, 2, 1, 4])}, "caption_length: from 1 to 4"),
        ({"engine": "quick"}, "engine: 'quick'"),
        ({"strategy": "independent_gibbs", "num_steps": 0}, "num_steps: 0"),
        ({"frames": 1}, "frames: 1"),
        ({"strategy": "independent_gibbs", "schedule": lambda n, N: 1.5}, "schedule: gives 1.5 at step 0"),
        ({"known": torch.ones(4, 3, 6, 5, dtype=torch.bool)}, "known: .*expected bool"),
        ({"image": torch.zeros(4, 3, 6, 6)}, "image: torch.float32"),
        ({"caption_length": None}, "caption and caption_length"),
        ({"caption": torch.zeros(3, 3, dtype=torch.long)}, "caption: shapes"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, message):
    image, known, caption, length = small_case()
    arguments = (
        dict(
            model=small_model(),
            image=image,
            known=known,
            caption=caption,
            caption_length=length,
            strategy="orderless",
        )
        | change
    )
    with pytest.raises(ValueError, match=message):
        sampling.inpaint(**arguments)


GIVEN = dict(
    blocks=[27],
    entropy_bound=0.0,
    noise=1.0,
    remasking=0.1,
    redrawn=0.25,
    schedule=schedules.annealed,
    num_steps=5,
    convention="keep",
)


@pytest.mark.parametrize("argument", GIVEN)
def test_what_a_strategy_makes_no_use_of_is_refused_and_the_rest_is_not(argument):
    image, known, caption, length = small_case()
    of_one_size = image[:1], known[:1], caption[:1], length[:1]
    for strategy in sampling.STRATEGIES:
        choices = {argument: GIVEN[argument], "strategy": strategy, "frames": 2, "generator": seeded()}
        if strategy in sampling.ONLY[argument]:
            sampling.inpaint(small_model(), *of_one_size, **choices)
        else:
            with pytest.raises(ValueError, match=f"{argument}: is for .*; '{strategy}' makes no use of it"):
                sampling.inpaint(small_model(), *of_one_size, **choices)


def test_a_fixed_order_takes_blocks_and_no_steps():
    image, known, *_ = small_case()
    image, known = image[:1], known[:1]
    order = (~known).flatten().nonzero()[:, 0]
    sampling.inpaint(small_model(), image, known, strategy=order, blocks=[len(order)])
    with pytest.raises(ValueError, match=r"num_steps: is for .*; a fixed order makes no use of it"):
        sampling.inpaint(small_model(), image, known, strategy=order, num_steps=5)


def test_levels_outside_the_models_range_are_refused():
    image, known, caption, length = small_case()
    image[0, 0, 0, 0] = 9
    with pytest.raises(ValueError, match="image: levels from 0 to 9"):
        sampling.inpaint(small_model(), image, known, caption, length, strategy="orderless")


def test_a_model_in_training_mode_is_refused():
    image, known, caption, length = small_case()
    with pytest.raises(ValueError, match="training mode"):
        sampling.inpaint(small_model().train(), image, known, caption, length, strategy="orderless")
