"""The incremental engine is the dense one, only faster: same logits, same samples, same likelihoods."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inpainter import trained_like

from nbutils.nade import likelihood, masks, sampling
from nbutils.nade.categorical import entropy
from nbutils.nade.fast import engines, wavefronts
from nbutils.nade.fast.incremental import IncrementalEngine
from nbutils.nade.inpainter import KINDS, MERGERS, Inpainter, InpainterConfig

HOLES = ("square", "corner", "two regions", "one channel", "scattered", "everything", "different sizes")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def hole_of(kind, shape, generator):
    hole = torch.zeros(shape, dtype=torch.bool)
    height, width = shape[2:]
    if kind == "square":
        hole = ~masks.square(shape, size=min(height, width) // 2, generator=generator)
    elif kind == "corner":
        hole[:, :, height - 3 :, : width // 3] = True
    elif kind == "two regions":
        hole[:, :, :2, :2] = hole[:, :, -3:, -3:] = True
    elif kind == "one channel":
        hole[:, 1, 1:5, 1:5] = True
    elif kind == "scattered":
        hole = torch.rand(shape, generator=generator) < 0.15
    elif kind == "everything":
        hole[:] = True
    else:
        hole[0, :, 1:4, 1:3] = True
        hole[-1, 0, 0, 0] = True
    return hole


def random_case(seed):
    """A model with any choices, weights as after training, and pictures with any holes."""
    generator, pick = seeded(seed), np.random.default_rng(seed)
    size = int(pick.integers(5, 9))
    # among twenty seeds is every kind with every size of kernel and either merger, every kind of hole
    config = InpainterConfig(
        image_size=size,
        levels=4,
        width=int(pick.integers(2, 6)),
        layers=int(pick.integers(1, 6)),
        kind=KINDS[seed % 4],
        kernel_size=(3, 1, 2, 3, 4)[seed % 5],
        merger=MERGERS[seed // 4 % 2],
        merger_planes=2,
        vocabulary_size=0 if seed % 3 == 2 else 7,
        embedding_size=3,
        reader_size=4,
        readout=int(pick.choice([0, 5])),
    )
    torch.manual_seed(seed)
    model = trained_like(Inpainter(config), seed)
    shape = (int(pick.integers(1, 4)), 3, size, size)
    image = torch.randint(4, shape, generator=generator)
    words = (
        (
            torch.randint(1, 7, (shape[0], 4), generator=generator),
            torch.randint(0, 5, (shape[0],), generator=generator),
        )
        if config.vocabulary_size
        else (None, None)
    )
    return model, image, ~hole_of(HOLES[seed % len(HOLES)], shape, generator), *words


@pytest.mark.parametrize("seed", range(20))
def test_engines_draw_the_same_samples(seed):
    model, image, known, caption, length = random_case(seed)
    strategies = sampling.STRATEGIES if (~known).sum() < 150 else ("orderless", "greedy", "independent_gibbs")
    for strategy in strategies:
        steps = None if "gibbs" not in strategy else 4
        arguments = dict(strategy=strategy, num_steps=steps, frames=5, temperature=(0.0, 0.7, 1.0)[seed % 3])
        if strategy == "maskgit":  # without noise rounding would tell equal variables apart
            arguments["noise"] = 1.0
        dense = sampling.inpaint(
            model, image, known, caption, length, **arguments, engine="dense", generator=seeded(seed)
        )
        for engine in ("incremental", "auto"):
            fast = sampling.inpaint(
                model, image, known, caption, length, **arguments, engine=engine, generator=seeded(seed)
            )
            for name in ("image", "frames", "known_frames", "steps", "evaluations"):
                assert torch.equal(getattr(fast, name), getattr(dense, name)), (strategy, engine, name)
            assert torch.allclose(fast.entropy_frames, dense.entropy_frames, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("seed", range(20))
def test_logits_are_those_of_the_whole_net_after_any_changes(seed, dtype):
    model, image, known, caption, length = random_case(seed)
    model, generator, shape = model.to(dtype), seeded(seed), image.shape
    hole = ~known.flatten(1)
    engine = IncrementalEngine(model, shape, hole, caption, length, image.device)
    state, unknown = image.flatten(1).clone(), hole.clone()
    with torch.no_grad():
        for _ in range(6):
            wanted = unknown & (torch.rand(hole.shape, generator=generator) < 0.5)
            index, logits = engine.predict(state, unknown, wanted)
            whole = model(state.view(shape), ~unknown.view(shape), caption, length).flatten(0, 3)
            assert torch.equal(index, wanted.flatten().nonzero()[:, 0])
            assert torch.allclose(logits, whole[index], atol=1e-9 if dtype == torch.float64 else 1e-4, rtol=0)
            redrawn = torch.randint(4, hole.shape, generator=generator)
            state = torch.where(unknown, redrawn, state)
            unknown = hole & (torch.rand(hole.shape, generator=generator) < 0.6)


@pytest.mark.parametrize("seed", range(20))
def test_likelihoods_are_the_same(seed):
    model, image, known, caption, length = random_case(seed)
    for ordering in likelihood.ORDERINGS:
        orders = 2 if ordering == "orderless" else 1
        arguments = dict(ordering=ordering, num_orders=orders)
        dense, rank = likelihood.conditional_nlls(
            model, image, known, caption, length, **arguments, engine="dense", generator=seeded(seed)
        )
        for engine in ("incremental", "auto"):
            fast, fast_rank = likelihood.conditional_nlls(
                model, image, known, caption, length, **arguments, engine=engine, generator=seeded(seed)
            )
            assert torch.equal(rank, fast_rank)
            assert torch.allclose(dense, fast, atol=1e-9, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("seed", range(8))
def test_an_order_cut_into_segments_costs_what_it_costs_from_end_to_end(seed, dtype):
    model, image, known, caption, length = random_case(seed)
    arguments = dict(ordering="orderless", num_orders=2, engine=("auto", "incremental", "dense")[seed % 3])
    plain, *others = (
        likelihood.conditional_nlls(
            model.to(dtype),
            image,
            known,
            caption,
            length,
            **arguments,
            generator=seeded(seed),
            segments=count,
        )
        for count in (1, None, 3, 500)  # the last is more than there are variables
    )
    for nats, rank in others:
        assert torch.equal(rank, plain[1])
        assert torch.allclose(nats, plain[0], atol=1e-9 if dtype == torch.float64 else 1e-5, rtol=0)
        assert torch.allclose(nats.sum(-1), plain[0].sum(-1), rtol=2e-6, atol=0)


def test_segments_are_counted_by_work_and_memory(monkeypatch):
    model = Inpainter(InpainterConfig(image_size=16, levels=4, width=8, layers=4)).eval()
    shape, variables = (1, 3, 16, 16), 192
    alone = engines.num_segments("auto", model, shape, variables)
    assert alone > 1
    assert (
        1 <= engines.num_segments("auto", model, (200, *shape[1:]), variables) < alone
    )  # there is enough to do in every turn
    assert engines.num_segments("dense", model, shape, variables) == 1
    assert engines.num_segments("auto", lambda *_: None, shape, variables) == 1
    monkeypatch.setattr(engines, "MEMORY", 3 * IncrementalEngine.bytes_per_picture(model, shape))
    assert engines.num_segments("auto", model, shape, variables) == 3


def cases_of_greedy_orders():
    """An engine that has just given all entropies, then after each of a few changes."""
    for seed in range(12):
        model, image, known, caption, length = random_case(seed)
        hole = ~known.flatten(1)
        engine = IncrementalEngine(model.double(), image.shape, hole, caption, length, image.device)
        state, unknown = image.flatten(1).clone(), hole.clone()
        for _ in range(5):
            yield (
                model,
                (state.view(image.shape), ~unknown.view(image.shape), caption, length),
                engine,
                state,
                unknown,
            )
            shown = unknown & (torch.rand(hole.shape, generator=seeded(seed)) < 0.2)
            state = torch.where(shown, (state + 1) % 4, state)
            unknown = unknown & ~shown


def test_entropies_of_what_changed_are_those_of_the_whole_net():
    kept, left_out = {}, 0
    for model, whole, engine, state, unknown in cases_of_greedy_orders():
        bits = kept.setdefault(id(engine), (engine, torch.zeros(unknown.shape, dtype=torch.float64)))[1]
        index, found, logits_of = engine.scores(state, unknown, unknown, entropy)
        left_out += int(unknown.sum()) - len(index)
        bits.view(-1)[index] = found
        with torch.no_grad():
            logits = model(*whole).flatten(0, 3)
        assert torch.allclose(bits[unknown], entropy(logits).view(bits.shape)[unknown], atol=1e-9)
        some = unknown.flatten().nonzero()[::3, 0]
        assert torch.allclose(logits_of(some), logits[some], atol=1e-9)
    assert left_out > 0


def test_pictures_that_do_not_fit_together_are_filled_group_by_group(monkeypatch):
    model, image, known, caption, length = next(
        case for case in map(random_case, range(100)) if len(case[1]) == 3 and case[3] is not None
    )
    per_picture = IncrementalEngine.bytes_per_picture(model, image.shape)
    engine = IncrementalEngine(model, image.shape, ~known.flatten(1), caption, length, image.device)
    assert sum(kept[:-1].numel() * 8 for kept in engine.kept) <= 3 * per_picture
    for strategy in ("orderless", "independent_gibbs", "greedy"):
        whole = sampling.inpaint(model, image, known, caption, length, strategy=strategy, generator=seeded())
        nats = likelihood.hole_nll_per_order(
            model, image, known, caption, length, ordering="orderless", num_orders=2, generator=seeded()
        )
        with monkeypatch.context() as patch:
            patch.setattr(engines, "MEMORY", 2 * per_picture)
            split = sampling.inpaint(
                model, image, known, caption, length, strategy=strategy, generator=seeded()
            )
            assert torch.equal(whole.frames, split.frames)
            assert torch.equal(whole.evaluations, split.evaluations)
            assert torch.allclose(
                nats,
                likelihood.hole_nll_per_order(
                    model,
                    image,
                    known,
                    caption,
                    length,
                    ordering="orderless",
                    num_orders=2,
                    generator=seeded(),
                ),
            )


def test_what_a_block_of_gibbs_sampling_can_change_is_convolved_as_a_rectangle(monkeypatch):
    """Pictures with holes at different places, of which some are finished before others."""
    torch.manual_seed(0)
    model = trained_like(
        Inpainter(InpainterConfig(image_size=20, levels=4, width=4, layers=4, kind="residual")), 0
    )
    image, known = (
        torch.randint(4, (3, 3, 20, 20), generator=seeded()),
        torch.ones(3, 3, 20, 20, dtype=torch.bool),
    )
    known[0, :, :6, :6] = known[1, :, 3:9, 2:7] = known[2, :, 4, 4] = False
    sizes, convolved = [], IncrementalEngine._convolved

    def counted(engine, layer, sites, rectangle):
        sizes.append((layer, rectangle.size))
        return convolved(engine, layer, sites, rectangle)

    def sample(engine):
        return sampling.inpaint(
            model,
            image,
            known,
            strategy="independent_gibbs",
            schedule=lambda step, num_steps: 0.7,
            engine=engine,
            generator=seeded(),
        )

    monkeypatch.setattr(IncrementalEngine, "_convolved", counted)
    dense, fast = sample("dense"), sample("auto")
    assert torch.equal(dense.frames, fast.frames)
    assert {layer for layer, _ in sizes} == {1, 2, 3}
    assert max(size for _, size in sizes) < image[:, 0].numel() / 2


def test_counting_prefers_the_whole_net_only_where_nearly_all_of_it_is_needed():
    torch.manual_seed(0)
    model = Inpainter(InpainterConfig(image_size=24, levels=4, width=4, layers=4)).eval()
    image, known = torch.zeros(2, 3, 24, 24, dtype=torch.long), torch.zeros(2, 3, 24, 24, dtype=torch.bool)
    engine = engines.build("auto", model, image.shape, ~known.flatten(1), None, None, image.device)
    called = []
    engine.dense.predict = lambda *arguments: called.append(arguments) or (None, None)
    unknown = ~known.flatten(1)
    engine.predict(image.flatten(1), unknown, unknown)
    assert len(called) == 1
    one = torch.zeros_like(unknown)
    one[:, 700] = True
    engine.predict(image.flatten(1), unknown, one)
    assert len(called) == 1


def test_a_model_without_layers_to_look_into_is_refused_by_the_incremental_engine():
    image = torch.zeros(1, 1, 1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="engine: 'incremental' needs an Inpainter"):
        sampling.inpaint(
            lambda image, known, *_: torch.zeros(*image.shape, 2),
            image,
            image > 0,
            strategy="orderless",
            engine="incremental",
        )
    with pytest.raises(ValueError, match="engine: 'incremental' needs an Inpainter"):
        likelihood.hole_nll(
            lambda image, known, *_: torch.zeros(*image.shape, 2),
            image,
            image > 0,
            ordering="orderless",
            engine="incremental",
        )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 2), st.integers(0, 2))
def test_turns_keep_every_context_and_are_few(seed, before, after):
    pick = np.random.default_rng(seed)
    batch, channels, height, width = 2, 2, 5, 6
    size = channels * height * width
    ranked = pick.random((batch, size)) < 0.7
    rank = np.where(
        ranked, np.argsort(np.argsort(np.where(ranked, pick.random((batch, size)), 2), 1), 1), size
    )
    alone = np.zeros((batch, size), bool)
    alone[0, 5] = alone[1, [3, 17]] = True
    alone &= np.arange(size) < ranked.sum(1)[:, None]
    turn = wavefronts.turns(rank, ranked.sum(1), (before, after), (channels, height, width), alone)
    for example in range(batch):
        order = np.argsort(rank[example])[: ranked[example].sum()]
        y, x = order % (height * width) // width, order % width
        for i, v in enumerate(order):
            sees = (y >= y[i] - before) & (y <= y[i] + after) & (x >= x[i] - before) & (x <= x[i] + after)
            assert (
                turn[example, order[:i]][sees[:i]] < turn[example, v]
            ).all()  # what it sees and came before is there
            assert (
                turn[example, order[i:]][sees[i:]] >= turn[example, v]
            ).all()  # what it sees and comes after is not
            if alone[example, i]:
                assert (turn[example, order[:i]] < turn[example, v]).all()
                assert (turn[example, order[i + 1 :]] > turn[example, v]).all()
        assert turn[example].min() == 0
        assert (turn[example][~ranked[example]] == size).all()
    if before == after == 0 and not alone.any():
        assert turn[ranked].max() < channels
