"""Several variables at a time: samples follow the distribution that is written down for them, likelihoods of
partitions are theirs, and splits lose what was foretold."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sampling import MODELS, STATES, Joint, assert_follows, conditionals, seeded

from nbutils.nade import likelihood, sampling, splits
from nbutils.nade.halton import halton
from nbutils.nade.inpainter import Inpainter, InpainterConfig

EVERY = STATES.view(8, 1, 1, 3)
NOTHING = torch.zeros(8, 1, 1, 3, dtype=torch.bool)
model_name = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


def entropies(p):
    return -(p * p.log()).sum(-1)


def surest(scores):
    """Rules of which variables a block takes: those with the lowest scores, the first of equals."""
    return lambda left, p, size: [(1.0, sorted(left, key=lambda v: (float(scores(p)[v]), v))[:size])]


def at_random(left, p, size):
    every = list(itertools.combinations(left, size))
    return [(1 / len(every), list(block)) for block in every]


RULES = {
    "orderless": at_random,
    "greedy": surest(entropies),
    "antigreedy": surest(lambda p: -entropies(p)),
    "top_probability": surest(lambda p: -p.max(-1).values),
    "margin": surest(lambda p: -(p[:, 0] - p[:, 1]).abs()),
    "halton": surest(lambda p: halton((1, 1, 3))),
    (2, 0, 1): lambda left, p, size: [(1.0, [v for v in (2, 0, 1) if v in left][:size])],
}


def in_blocks(model, choose, blocks, context):
    """The distribution over the 8 pictures of drawing in blocks, by walking all paths."""
    left = [v for v in range(3) if v not in context]
    if not left:
        state = torch.tensor([context[v] for v in range(3)])
        return (state == STATES).all(-1).double()
    p, total = conditionals(model, context), torch.zeros(8, dtype=torch.float64)
    for share, block in choose(left, p, blocks[0]):
        for levels in itertools.product((0, 1), repeat=len(block)):
            drawn = dict(zip(block, levels))
            probability = math.prod(float(p[v, level]) for v, level in drawn.items())
            total += share * probability * in_blocks(model, choose, blocks[1:], context | drawn)
    return total


@pytest.mark.parametrize("blocks", [[1, 1, 1], [2, 1], [1, 2], [3]], ids=str)
@pytest.mark.parametrize("strategy", RULES, ids=str)
@model_name
def test_blocks_follow_what_enumeration_gives_and_their_likelihood_is_its_probability(
    model, strategy, blocks
):
    image = torch.zeros(6000, 1, 1, 3, dtype=torch.long)
    expected = in_blocks(model, RULES[strategy], blocks, {})
    options = {"strategy": strategy, "blocks": blocks, "generator": seeded()}
    result = sampling.inpaint(model, image, image > 0, **options)
    assert_follows(result.image, expected)
    assert result.evaluations.eq(len(blocks)).all()
    if strategy != "orderless":
        nats = likelihood.hole_nll(model, EVERY, NOTHING, ordering=strategy, blocks=blocks)
        assert torch.allclose((-nats).exp(), expected)


def at_random_one_by_one(left, p, size):
    every = list(itertools.permutations(left))
    return [(1 / len(every), list(order)) for order in every]


@pytest.mark.parametrize("bound", [0.8, 1.7])
@pytest.mark.parametrize("strategy", RULES, ids=str)
@model_name
def test_a_bound_on_entropy_takes_the_largest_block_within_it(model, strategy, bound):
    image = torch.zeros(6000, 1, 1, 3, dtype=torch.long)
    rule = at_random_one_by_one if strategy == "orderless" else RULES[strategy]

    def bounded(left, p, size):
        blocks = []
        for share, order in rule(left, p, len(left)):
            bits = [float(entropies(p)[v]) / math.log(2) for v in order]
            count = max(n for n in range(1, len(order) + 1) if sum(bits[:n]) - max(bits[:n]) <= bound)
            blocks.append((share, order[:count]))
        return blocks

    options = {"strategy": strategy, "entropy_bound": bound, "generator": seeded()}
    result = sampling.inpaint(model, image, image > 0, **options)
    assert_follows(result.image, in_blocks(model, bounded, [0] * 3, {}))
    assert int(result.evaluations.max()) <= 3


def kept_of(left, likely, noise, count):
    """What is kept of levels that are `likely`: the likeliest, or with Gumbel noise on the logarithm, times
    `noise`, one after the other with chances like p^(1 / noise) (Plackett and Luce)."""
    if not noise:
        yield 1.0, sorted(left, key=lambda v: (-likely[v], v))[:count]
        return
    for kept in itertools.permutations(left, count):
        weight, rest, share = {v: likely[v] ** (1 / noise) for v in left}, list(left), 1.0
        for v in kept:
            share *= weight[v] / sum(weight[other] for other in rest)
            rest.remove(v)
        yield share, kept


def drawn_then_kept(model, blocks, noise, context, step=0):
    """MaskGIT: draw all that is left, keep the likeliest of the drawn."""
    left = [v for v in range(3) if v not in context]
    if not left:
        return (torch.tensor([context[v] for v in range(3)]) == STATES).all(-1).double()
    p, total = conditionals(model, context), torch.zeros(8, dtype=torch.float64)
    cooling = noise * (1 - (step + 1) / len(blocks))
    for levels in itertools.product((0, 1), repeat=len(left)):
        drawn = dict(zip(left, levels))
        likely = {v: float(p[v, level]) for v, level in drawn.items()}
        for share, kept in kept_of(left, likely, cooling, blocks[step]):
            then = drawn_then_kept(model, blocks, noise, context | {v: drawn[v] for v in kept}, step + 1)
            total += math.prod(likely.values()) * share * then
    return total


@pytest.mark.parametrize("noise", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("blocks", [[1, 1, 1], [1, 2], [2, 1], [3]], ids=str)
@model_name
def test_maskgit_follows_what_enumeration_gives(model, blocks, noise):
    image = torch.zeros(6000, 1, 1, 3, dtype=torch.long)
    options = {"strategy": "maskgit", "blocks": blocks, "noise": noise, "generator": seeded()}
    result = sampling.inpaint(model, image, image > 0, **options)
    assert_follows(result.image, drawn_then_kept(model, blocks, noise, {}))


def test_maskgit_is_sharper_than_its_model_and_noise_blunts_it():
    model, image = Joint(0), torch.zeros(20_000, 1, 1, 3, dtype=torch.long)
    likeliest = int(model.p.flatten().argmax())

    def share(noise):
        options = {"blocks": [1, 1, 1], "noise": noise, "generator": seeded()}
        result = sampling.inpaint(model, image, image > 0, strategy="maskgit", **options)
        return float((result.image.flatten(1) == STATES[likeliest]).all(1).double().mean())

    truth = float(model.p.max())
    assert share(0.0) > share(30.0) > 0
    assert share(0.0) > truth + 0.02
    assert abs(share(30.0) - truth) < 0.02  # with much noise what is kept is chosen at random


def remasked(model, remasking, rounds):
    """ReMDM by its Markov chain over what each variable is: hidden (2), or its level."""
    states = list(itertools.product((0, 1, 2), repeat=3))
    now = {state: float(state == (2, 2, 2)) for state in states}
    for step in range(rounds):
        before, after = step / rounds, (step + 1) / rounds
        again = remasking * min(1, (1 - after) / before) if before else 0.0
        drawn = (after - (1 - again) * before) / (1 - before)
        then = dict.fromkeys(states, 0.0)
        for state, probability in now.items():
            p = conditionals(model, {v: level for v, level in enumerate(state) if level < 2})
            moves = []
            for v, level in enumerate(state):
                if level < 2:
                    moves.append([(level, 1 - again), (2, again)])
                else:
                    moves.append([(2, 1 - drawn)] + [(new, drawn * float(p[v, new])) for new in (0, 1)])
            for choice in itertools.product(*moves):
                then[tuple(new for new, _ in choice)] += probability * math.prod(q for _, q in choice)
        now = then
    return torch.tensor([now[tuple(state)] for state in STATES.tolist()], dtype=torch.float64)


@pytest.mark.parametrize(("remasking", "rounds"), [(0.0, 1), (0.0, 3), (0.5, 4), (1.0, 4)])
@model_name
def test_remdm_follows_its_markov_chain(model, remasking, rounds):
    image = torch.zeros(6000, 1, 1, 3, dtype=torch.long)
    options = {"remasking": remasking, "num_steps": rounds, "generator": seeded()}
    result = sampling.inpaint(model, image, image > 0, strategy="remdm", **options)
    assert_follows(result.image, remasked(model, remasking, rounds))


@pytest.mark.parametrize("redrawn", [0.3, 0.6, 1.0])
@model_name
def test_informed_gibbs_follows_its_transition_matrix(model, redrawn):
    alpha, image = 0.6, torch.zeros(8000, 1, 1, 3, dtype=torch.long)
    matrix = torch.zeros(8, 8, dtype=torch.float64)
    for row, state in enumerate(STATES.tolist()):
        for struck in itertools.product((False, True), repeat=3):
            block = [v for v in range(3) if struck[v]]
            p = conditionals(model, {v: state[v] for v in range(3) if not struck[v]})
            again = sorted(block, key=lambda v: (float(p[v, state[v]]), v))[: math.ceil(redrawn * len(block))]
            for column, new in enumerate(STATES.tolist()):
                share = math.prod(alpha if hit else 1 - alpha for hit in struck)
                stays = all(new[v] == state[v] for v in range(3) if v not in again)
                matrix[row, column] += share * stays * math.prod(float(p[v, new[v]]) for v in again)
    options = {"redrawn": redrawn, "schedule": lambda n, N: alpha, "num_steps": 4, "start": "black"}
    result = sampling.inpaint(
        model, image, image > 0, strategy="informed_gibbs", generator=seeded(), **options
    )
    assert_follows(result.image, torch.linalg.matrix_power(matrix, 4)[0])


def small():
    torch.manual_seed(0)
    shape = dict(image_size=8, levels=6, width=8, layers=3, kind="dilated_residual", vocabulary_size=0)
    return Inpainter(InpainterConfig(**shape)).double().eval()


CHOICES = [
    {"strategy": "orderless", "blocks": [4] * 12},
    {"strategy": "halton", "blocks": [8] * 6},
    {"strategy": "greedy", "blocks": [3] * 16},
    {"strategy": "margin", "blocks": [16] * 3},
    {"strategy": "top_probability", "blocks": [6] * 8},
    {"strategy": "greedy", "entropy_bound": 8.0},
    {"strategy": "margin", "entropy_bound": 8.0},
    {"strategy": "halton", "entropy_bound": 8.0},
    {"strategy": "orderless", "entropy_bound": 8.0},
    {"strategy": "maskgit", "blocks": [16] * 3, "noise": 1.0},
    {"strategy": "remdm", "num_steps": 7, "remasking": 0.5},
    {"strategy": "informed_gibbs", "num_steps": 7, "redrawn": 0.25},
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_engines_and_batch_sizes_give_the_same_samples(choice):
    model, image = small(), torch.randint(0, 6, (3, 3, 8, 8), generator=seeded(1))
    known = torch.ones_like(image, dtype=torch.bool)
    known[:, :, 2:6, 2:6] = False
    runs = []
    for engine in ("dense", "incremental", "auto"):
        runs.append(sampling.inpaint(model, image, known, engine=engine, generator=seeded(), **choice))
        assert torch.equal(runs[-1].image, runs[0].image)
        assert torch.equal(runs[-1].evaluations, runs[0].evaluations)
        assert torch.equal(runs[-1].image[known], image[known])
        assert torch.equal(runs[-1].frames[-1], runs[-1].image)
    alone = sampling.inpaint(model, image[:1], known[:1], generator=seeded(), **choice)
    assert torch.equal(alone.image[0], runs[0].image[0])


def test_the_noise_of_maskgit_is_that_of_a_picture_s_own_rounds_whoever_is_beside_it():
    model, image = small(), torch.randint(0, 6, (2, 3, 8, 8), generator=seeded(1))
    known = torch.ones_like(image, dtype=torch.bool)
    known[0, 0, :1, :3] = False
    known[1, :, 2:6, 2:6] = False
    choice = {"strategy": "maskgit", "noise": 5.0}
    both = sampling.inpaint(model, image, known, generator=seeded(), **choice)
    alone = sampling.inpaint(model, image[:1], known[:1], generator=seeded(), **choice)
    assert torch.equal(both.image[0], alone.image[0])


def test_the_halton_order_spreads_over_places_and_over_the_channels_of_a_pixel():
    place = halton((3, 32, 32))
    assert place.sort().values.equal(torch.arange(3 * 32 * 32))
    apart = place.view(3, -1).sort(0).values.diff(dim=0)
    assert int(apart.min()) > 48  # no pixel has two channels in a round, if there are 64 rounds or more
    first = (place.view(3, 4, 8, 4, 8) < 48).sum((0, 2, 4))
    assert int((first - 3).abs().max()) <= 1  # every sixteenth of the picture has its share of them


def test_one_variable_a_block_is_one_at_a_time():
    model, image = small(), torch.randint(0, 6, (2, 3, 8, 8), generator=seeded(1))
    known = torch.ones_like(image, dtype=torch.bool)
    known[:, :, 3:6, 3:6] = False
    for strategy in ("orderless", "greedy", "halton"):
        options = {"strategy": strategy, "generator": seeded()}
        plain = sampling.inpaint(model, image, known, **options)
        options["generator"] = seeded()
        assert torch.equal(
            sampling.inpaint(model, image, known, blocks=[1] * 27, **options).image, plain.image
        )
    for ordering in likelihood.ORDERINGS:
        options = {"ordering": ordering, "engine": "auto"}
        plain = likelihood.hole_nll(model, image, known, generator=seeded(), **options)
        found = likelihood.hole_nll(model, image, known, blocks=[1] * 27, generator=seeded(), **options)
        assert torch.allclose(plain, found)


@given(st.integers(1, 60).flatmap(lambda count: st.tuples(st.just(count), st.integers(1, count))))
def test_splits_leave_no_block_empty_and_none_out(sizes):
    variables, rounds = sizes
    profile = np.linspace(3, 1, variables)
    for split in (splits.uniform(*sizes), splits.cosine(*sizes), splits.optimal(profile, rounds)):
        assert len(split) == rounds
        assert sum(split) == variables
        assert min(split) >= 1


@settings(max_examples=60)
@given(st.lists(st.floats(0, 8), min_size=1, max_size=8), st.data())
def test_the_optimal_split_is_the_best_of_all(profile, data):
    rounds = data.draw(st.integers(1, len(profile)))
    ends = itertools.combinations(range(1, len(profile)), rounds - 1)
    every = [np.diff([0, *cut, len(profile)]).tolist() for cut in ends]
    found = splits.loss(profile, splits.optimal(profile, rounds))
    assert found == pytest.approx(min(splits.loss(profile, split) for split in every))
    for other in (splits.uniform, splits.cosine):
        assert found <= splits.loss(profile, other(len(profile), rounds)) + 1e-9


@pytest.mark.parametrize("blocks", [[3], [2, 1], [1, 2], [1, 1, 1]], ids=str)
def test_what_a_split_loses_is_what_the_profile_foretells_where_conditionals_agree(blocks):
    """Over all pictures and orders, weighted by their probability under the joint."""
    model = Joint(3)
    p, profile = model.p.flatten(), np.zeros(3)
    for order in itertools.permutations(range(3)):
        nats, _ = likelihood.conditional_nlls(model, EVERY, NOTHING, ordering=order)
        profile += (p[:, None] * nats[0]).sum(0)[list(order)].numpy() / 6
    lost = 0.0
    for order in itertools.permutations(range(3)):
        split = likelihood.hole_nll(model, EVERY, NOTHING, ordering=order, blocks=blocks)
        one_by_one = likelihood.hole_nll(model, EVERY, NOTHING, ordering=order)
        lost += float((p * (split - one_by_one)).sum()) / 6
    assert lost == pytest.approx(splits.loss(profile, blocks), abs=1e-12)


def test_the_profile_adds_up_to_the_mean_over_orders():
    model, image = Joint(2), STATES[5].view(1, 1, 1, 3).expand(4000, -1, -1, -1).contiguous()
    hidden = torch.zeros_like(image, dtype=torch.bool)
    profile = likelihood.information_profile(model, image, hidden, shown=[0, 1, 2], generator=seeded())
    one = (model, image[:1], hidden[:1])
    exact = [likelihood.hole_nll(*one, ordering=order) for order in itertools.permutations(range(3))]
    error = profile.sum(0).std() / 4000**0.5
    assert abs(float(profile.sum(0).mean() - torch.stack(exact).mean())) < 4 * float(error)
    with pytest.raises(ValueError, match="shown: 1 to 3; expected 0 to 2"):
        likelihood.information_profile(model, image, hidden, shown=[1, 3], generator=seeded())


BAD = {
    "empty": ({"strategy": "greedy", "blocks": [2, 0, 1]}, "expected at least one variable in every block"),
    "too many": ({"strategy": "greedy", "blocks": [2, 2]}, "4 variables in 2 blocks are not the 3 hole"),
    "none": ({"strategy": "greedy", "blocks": []}, "expected at least one variable in every block"),
    "gibbs": ({"strategy": "independent_gibbs", "blocks": [3]}, "blocks: is for 'orderless'"),
    "both": ({"strategy": "greedy", "blocks": [3], "entropy_bound": 1.0}, "give one"),
    "bound of Gibbs": ({"strategy": "independent_gibbs", "entropy_bound": 1.0}, "entropy_bound: is for 'ord"),
    "bound of MaskGIT": ({"strategy": "maskgit", "entropy_bound": 1.0}, "entropy_bound: is for 'orderless'"),
    "bound in words": ({"strategy": "greedy", "entropy_bound": "1"}, "entropy_bound: '1'; expected a number"),
    "a number of blocks": ({"strategy": "greedy", "blocks": 3}, "as `splits.uniform"),
    "half a round": ({"strategy": "remdm", "num_steps": 2.5}, "num_steps: 2.5; expected a whole number"),
    "half a step": ({"strategy": "informed_gibbs", "num_steps": 1.5}, "num_steps: 1.5; expected a whole"),
    "half a frame": ({"strategy": "greedy", "frames": 2.5}, "frames: 2.5; expected a whole number"),
    "negative bound": ({"strategy": "greedy", "entropy_bound": -1.0}, "entropy_bound: -1.0"),
    "not a number": ({"strategy": "greedy", "entropy_bound": math.nan}, "entropy_bound: nan"),
    "noise": ({"strategy": "greedy", "noise": 1.0}, "noise: is for 'maskgit'"),
    "redrawn": ({"strategy": "informed_gibbs", "redrawn": 0.0}, "redrawn: 0.0"),
    "remasking": ({"strategy": "remdm", "remasking": 1.5}, "remasking: 1.5"),
    "remasking from a picture": ({"strategy": "remdm", "start": "image"}, "begins with an empty hole"),
    "unknown order": ({"strategy": "surest", "blocks": [3]}, "strategy: 'surest'; expected one of"),
    "order and partition": ({"strategy": "greedy", "blocks": [[0, 2], [1]]}, "for the order to say"),
    "half a variable": ({"strategy": "orderless", "blocks": [1.5, 1.5]}, "whole numbers"),
    "half a hole": ({"strategy": (2, 0), "blocks": [2]}, "not the 3 hole variables"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_impossible_schedules_are_refused_at_the_door(options, message):
    image = torch.zeros(1, 1, 1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match=message):
        sampling.inpaint(Joint(0), image, image > 0, **options)


def test_likelihoods_refuse_impossible_partitions_too():
    image = torch.zeros(1, 1, 1, 3, dtype=torch.long)
    for ordering, blocks, message in (
        ("surest", [3], "ordering: 'surest'"),
        ("greedy", [[0, 2], [1]], "for the order to say"),
        ("orderless", [3, 0], "at least one variable in every block"),
        ("antigreedy", [2, 2], "4 variables in 2 blocks"),
    ):
        with pytest.raises(ValueError, match=message):
            likelihood.hole_nll(Joint(0), image, image > 0, ordering=ordering, blocks=blocks)


@pytest.mark.parametrize("split", [splits.uniform, splits.cosine, lambda d, k: splits.optimal([1.0] * d, k)])
@pytest.mark.parametrize("rounds", [0, 4, -1, 2.5])
def test_more_rounds_than_variables_are_refused(split, rounds):
    with pytest.raises(ValueError, match=f"rounds: {rounds}; expected 1 to 3"):
        split(3, rounds)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_profile_that_is_not_finite_is_refused(wrong):
    with pytest.raises(ValueError, match=f"profile: {wrong} at 1; expected the mean cost"):
        splits.optimal([2.0, wrong, 1.0], 2)


def test_frames_show_the_entropy_that_the_model_had_whatever_the_order_goes_by():
    model, image = small(), torch.randint(0, 6, (2, 3, 8, 8), generator=seeded(1))
    known = torch.ones_like(image, dtype=torch.bool)
    known[:, :, 3:6, 3:6] = False
    for strategy in ("greedy", "margin", "top_probability", "antigreedy"):
        options = {"strategy": strategy, "blocks": [9] * 3, "frames": 4, "generator": seeded()}
        result = sampling.inpaint(model, image, known, **options)
        shown = result.known_frames[2]  # of the second round
        expected = entropies(model(result.frames[1], shown, None, None).softmax(-1)) / math.log(2)
        found = result.entropy_frames[2].double()
        assert torch.allclose(found, expected.masked_fill(shown, 0).double(), atol=1e-5)
