"""Models stay on the device where they are. Where there is no accelerator, `meta` stands in for one: its
tensors have no values, so whatever would wait for one raises. Whether a GPU computes the same is a test that
needs one."""

import pytest
import torch
from test_incremental import random_case, seeded
from test_pixel_models import predictor

from nbutils.nade import categorical, likelihood, sampling, schedules
from nbutils.nade.fast import engines
from nbutils.pixelrnn import filling

META = torch.device("meta")


def case_on(device):
    """A model with captions on a device, and pictures as a group of them is filled in."""
    model, image, known, caption, length = next(
        case for case in map(random_case, range(100)) if case[3] is not None and case[1].shape[0] == 3
    )
    return model.to(device), image.to(device), known, caption.to(device), length.to(device)


def run_on_meta():
    model, image, known, caption, length = case_on(META)
    return sampling._Run(
        model, image, known, caption, length, "incremental", 1.0, "noise", torch.tensor(5), 0, None
    )


def test_a_device_is_waited_for_in_no_turn_of_an_order():
    run = run_on_meta()
    result = run.in_order(run.random_rank(run.hole, 0), 5)
    assert {value.device.type for value in (result.image, result.frames, result.entropy_frames)} == {"meta"}


@pytest.mark.parametrize("draw", ["draw_at_once", "draw_one_by_one"])
def test_a_device_is_waited_for_in_no_step_of_gibbs_sampling(draw):
    run = run_on_meta()
    result = run.gibbs(getattr(run, draw), schedules.annealed, 6, "resample", 3)
    assert result.image.device == META


def test_a_device_is_waited_for_in_no_turn_of_a_likelihood():
    model, image, known, caption, length = case_on(META)
    hole = ~known.flatten(1)
    group = likelihood._Group(model, image, hole, caption, length, "incremental")
    nats, rank = group.in_order(
        torch.arange(hole.shape[1]).expand_as(hole), torch.zeros(3, dtype=torch.long), 1
    )
    assert nats.device == META
    assert rank.device.type == "cpu"


def test_a_greedy_order_waits_for_nothing_but_the_choice():
    model, image, known, caption, length = case_on(META)
    hole = ~known.flatten(1)
    engine = engines.build("incremental", model, image.shape, hole, caption, length, META)
    index, bits, logits_of = engine.scores(image.flatten(1), hole, hole, categorical.entropy)
    assert bits.device == logits_of(index[:1]).device == META


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_no_pixel_that_is_sampled_waits_for_a_device(cell):
    model, pixels = predictor(cell=cell, num_layers=2).to(META), torch.zeros(3, 20, device=META).double()
    result = filling.sample_next(model, pixels, 5, 10, num_samples=2, generator=seeded())
    assert result.values.device == META
    assert result.values.shape == (2, 3, 10)


def test_a_pass_that_needs_a_value_is_noticed():
    """What the tests above rely on."""
    with pytest.raises((NotImplementedError, RuntimeError)):
        torch.zeros(2, device=META).cpu()
    with pytest.raises((NotImplementedError, RuntimeError)):
        bool(torch.zeros((), device=META))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_a_gpu_gives_what_the_cpu_gives_on_the_device_of_the_pictures(strategy):
    model, image, known, caption, length = case_on("cpu")
    there = case_on("cuda")[0].double()
    choices = {"strategy": strategy} | ({"num_steps": 5} if strategy in sampling.ONLY["num_steps"] else {})
    here = sampling.inpaint(model.double(), image, known, caption, length, **choices, generator=seeded())
    away = sampling.inpaint(there, image, known, caption, length, **choices, generator=seeded())
    assert away.image.device.type == "cpu"
    assert torch.equal(here.image, away.image)
    for ordering in likelihood.ORDERINGS:
        nats = [
            likelihood.hole_nll(m, image, known, caption, length, ordering=ordering, generator=seeded())
            for m in (model, there)
        ]
        assert nats[1].device.type == "cpu"
        assert torch.allclose(*nats)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_gpu_fills_in_pixels_as_the_cpu_does(cell):
    models = [predictor(cell=cell, num_layers=2).to(device) for device in ("cpu", "cuda")]
    pixels = (torch.rand(3, 20, generator=seeded()) > 0.5).double()
    known = torch.ones_like(pixels, dtype=torch.bool)
    known[:, 7:10] = False
    after = [
        filling.sample_next(model, pixels, 5, 10, num_samples=2, generator=seeded()).values
        for model in models
    ]
    around = [
        filling.sample_around(model, pixels, known, num_particles=4, generator=seeded()).pixels
        for model in models
    ]
    nlls = [filling.filling_nlls(model, pixels, torch.tensor([[3, 8]] * 3)) for model in models]
    best = [filling.most_probable(model, pixels[0], torch.tensor([3, 8])).filling for model in models]
    for here, there in (after, around, nlls, best):
        assert there.device.type == "cpu"
        assert torch.allclose(here, there)
