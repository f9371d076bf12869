"""Exact fillings are those that trying everything finds; samples follow the model; nothing that was read is
read differently."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_pixel_models import CONFIGS, predictor

from nbutils.pixelrnn import filling
from nbutils.pixelrnn.models import pixel_nll


def pictures(count, length, seed=0, blank=0):
    pixels = (torch.rand(count, length, generator=torch.Generator().manual_seed(seed)) > 0.6).double()
    pixels[:, :blank] = 0
    return pixels


def by_brute_force(model, pixels, missing):
    """Every filling's picture read from its first pixel to its last: (N, 2^k)."""
    rows = []
    for picture, holes in zip(pixels, missing):
        whole = picture.repeat(2 ** len(holes), 1)
        whole[:, holes] = torch.tensor(
            list(itertools.product((0.0, 1.0), repeat=len(holes))), dtype=whole.dtype
        )
        rows.append(pixel_nll(model, whole).sum(1))
    return torch.stack(rows).detach()


def draw_missing(count, length, k, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(length, generator=generator)[:k] for _ in range(count)])


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("k", [1, 4])
def test_the_exact_fillings_are_those_of_brute_force(config, k):
    model, pixels = predictor(**config), pictures(5, 24, blank=6)
    missing = draw_missing(5, 24, k, seed=k)
    missing[0, 0], missing[1, 0] = (
        p if p not in missing[n] else int(missing[n, 0]) for n, p in ((0, 0), (1, 23))
    )  # the first and the last pixel too
    assert torch.allclose(
        filling.filling_nlls(model, pixels, missing), by_brute_force(model, pixels, missing), atol=1e-10
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_an_exact_filling_never_costs_more_than_the_truth_and_the_posterior_sums_to_one(seed, k):
    model, pixels = predictor(), pictures(3, 20, seed)
    missing = draw_missing(3, 20, k, seed)
    nll = filling.filling_nlls(model, pixels, missing)
    with torch.no_grad():
        truth = pixel_nll(model, pixels).sum(1)
    assert (nll.min(1).values <= truth + 1e-10).all()
    assert torch.allclose(torch.softmax(-nll, 1).sum(1), torch.ones(3, dtype=torch.float64))
    for picture, holes, row in zip(pixels, missing, nll):
        found = filling.most_probable(model, picture, holes, beam=2)
        assert found.nll == pytest.approx(float(row.min()), abs=1e-10)
        assert torch.equal(found.filling.double(), filling.fillings(k)[row.argmin()].double())


@pytest.mark.parametrize("rows", [1, 3, 512])
def test_shared_prefixes_give_each_picture_its_own_likelihood_whatever_the_blocks(monkeypatch, rows):
    monkeypatch.setattr(filling, "_ROWS", rows)
    model = predictor()
    pixels = torch.cat(
        [pictures(9, 16, blank=9), pictures(9, 16, blank=9), torch.zeros(2, 16, dtype=torch.float64)]
    )  # with equal ones
    with torch.no_grad():
        expected = pixel_nll(model, pixels).sum(1)
    assert torch.allclose(filling.shared_prefix_nll(model, pixels), expected, atol=1e-10)


def test_pictures_are_read_only_as_far_as_they_differ(monkeypatch):
    model, read = predictor(), []
    forward = type(model).forward
    monkeypatch.setattr(
        type(model),
        "forward",
        lambda self, pixels, state=None: (read.append(pixels.numel()), forward(self, pixels, state))[1],
    )
    pixels = pictures(1, 40).repeat(16, 1)
    pixels[:, 36:] = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)
    filling.shared_prefix_nll(model, pixels)
    assert (
        sum(read) == 1 + 36 + 2 + 4 + 8 + 16
    )  # the start, the common beginning once, and then as the pictures part


def test_branch_and_bound_reads_less_than_everything():
    model, picture = predictor(), pictures(1, 60)[0]
    missing = torch.arange(30, 38)
    found = filling.most_probable(model, picture, missing)
    assert found.pixels_all == 60 * 256
    assert found.pixels_read < found.pixels_all / 2


def test_samples_have_the_probabilities_that_reading_them_again_gives():
    for config in CONFIGS:
        model, pixels = predictor(**config), pictures(4, 20)
        result = filling.sample_next(
            model, pixels, 8, 12, num_samples=3, generator=torch.Generator().manual_seed(0)
        )
        whole = torch.cat([pixels[:, :8].expand(3, -1, -1), result.values], 2)
        with torch.no_grad():
            again = pixel_nll(model, whole.flatten(0, 1)).view(3, 4, 20)[:, :, 8:]
        own = torch.where(result.values == 1, result.probabilities, 1 - result.probabilities)
        assert torch.allclose(-own.log(), again, atol=1e-10)


def plain_steps(model, state):
    """`PixelPredictor.steps` by calls of the model."""

    class Steps:
        def take(self, rows):
            self.state = filling._of_rows(self.state, rows)

        def __call__(self, pixels):
            logits, self.state = model(pixels[:, None], self.state)
            return logits[:, 0]

    steps = Steps()
    steps.state = state
    return steps, steps


@pytest.mark.parametrize("config", CONFIGS)
def test_samples_are_those_of_the_model_called_for_every_pixel(config, monkeypatch):
    model, pixels = predictor(**config), pictures(4, 20)
    found = []
    for plain in (False, True):
        if plain:
            monkeypatch.setattr(type(model), "steps", plain_steps)
        generator = torch.Generator().manual_seed(4)
        after = filling.sample_next(model, pixels, 3, 15, num_samples=5, generator=generator)
        around = filling.sample_around(
            model, pixels, hidden_at(pixels, [5, 6, 9]), num_particles=7, generator=generator
        )
        found.append((after.values, around.pixels, after.probabilities, around.log_evidence))
    for fast, slow in zip(*(case[:2] for case in found)):
        assert torch.equal(fast, slow)
    for fast, slow in zip(*(case[2:] for case in found)):
        assert torch.allclose(fast, slow, rtol=0, atol=1e-10)


def test_samples_follow_the_model():
    model, pixels = predictor(), pictures(1, 9)
    values = (
        filling.sample_next(model, pixels, 5, 4, num_samples=8000, generator=torch.Generator().manual_seed(1))
        .values[:, 0]
        .long()
    )
    counts = torch.bincount((values * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)
    exact = torch.softmax(-by_brute_force(model, pixels, torch.tensor([[5, 6, 7, 8]]))[0], 0)
    common = exact * 8000 >= 5
    chosen, expected = (
        torch.cat([part[common], part[~common].sum()[None]]) for part in (counts.double(), exact * 8000)
    )
    assert (
        stats.chisquare(chosen[expected > 0].numpy(), expected[expected > 0].numpy(), sum_check=False).pvalue
        > 0.001
    )


def test_a_shorter_sample_is_the_beginning_of_a_longer_one():
    model, pixels = predictor(), pictures(3, 20)
    short, long = (
        filling.sample_next(
            model, pixels, 6, count, num_samples=2, generator=torch.Generator().manual_seed(3)
        ).values
        for count in (4, 14)
    )
    assert torch.equal(short, long[:, :, :4])


def test_bad_positions_and_models_in_training_are_refused():
    model, pixels = predictor(), pictures(2, 10)
    generator = torch.Generator()
    for first, count in ((-1, 2), (9, 2), (3, 0)):
        with pytest.raises(ValueError, match="first, count"):
            filling.sample_next(model, pixels, first, count, num_samples=1, generator=generator)
    for missing, complaint in (
        ([[1], [10]], "within 0 to 9"),
        ([[1, 1], [2, 3]], "twice"),
        ([[1]], "every picture"),
    ):
        with pytest.raises(ValueError, match=complaint):
            filling.filling_nlls(model, pixels, torch.tensor(missing))
    with pytest.raises(ValueError, match="training mode"):
        filling.filling_nlls(model.train(), pixels, torch.tensor([[1], [2]]))


def hidden_at(pixels, positions):
    known = torch.ones_like(pixels, dtype=torch.bool)
    known[:, positions] = False
    return known


def test_many_particles_fill_a_hole_as_the_exact_posterior_does():
    model, pixels, missing = predictor(), pictures(2, 12, seed=3), torch.tensor([[2, 3, 7], [2, 3, 7]])
    nll = filling.filling_nlls(model, pixels, missing)
    known = hidden_at(pixels, [2, 3, 7])
    found = filling.sample_around(
        model, pixels, known, num_particles=20_000, generator=torch.Generator().manual_seed(0)
    )
    assert found.pixels.shape == (20_000, 2, 12)
    assert (found.pixels == pixels)[..., known[0]].all()
    code = (found.pixels.gather(2, missing.expand(20_000, -1, -1)) @ pixels.new_tensor([4, 2, 1])).long()
    shares = torch.nn.functional.one_hot(code, 8).double().mean(0)
    assert (shares - torch.softmax(-nll, 1)).abs().max() < 0.015
    assert torch.allclose(found.log_evidence, torch.logsumexp(-nll, 1), atol=0.02)


def test_the_evidence_of_few_particles_is_right_on_average():
    model, picture = predictor(), pictures(1, 10, seed=5)
    exact = torch.logsumexp(-filling.filling_nlls(model, picture, torch.tensor([[1, 2, 5]])), 1)
    many = picture.expand(20_000, -1)
    log_evidence = filling.sample_around(
        model, many, hidden_at(many, [1, 2, 5]), num_particles=3, generator=torch.Generator().manual_seed(0)
    ).log_evidence
    ratio = (log_evidence - exact).exp()
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / 20_000**0.5
    assert float(ratio.std()) > 0.01
    assert float(ratio.log().mean()) < 0


def test_one_particle_ignores_what_comes_after_it():
    model, picture = predictor(), pictures(1, 9, seed=1)
    first, count = 3, 30_000
    many = picture.expand(count, -1)
    alone = filling.sample_around(
        model, many, hidden_at(many, [first]), num_particles=1, generator=torch.Generator().manual_seed(0)
    )
    forwards = filling.sample_next(
        model, picture, first, 1, num_samples=2, generator=torch.Generator()
    ).probabilities[0, 0, 0]
    assert float(alone.pixels[0, :, first].mean()) == pytest.approx(float(forwards), abs=0.012)
    with torch.no_grad():
        nll = pixel_nll(model, alone.pixels[0, :2])
    assert torch.allclose(-alone.log_evidence[:2], nll.sum(1) - nll[:, first])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"known": torch.ones(1, 6, dtype=torch.bool)}, "expected bool .1, 6., False at one pixel at least"),
        ({"known": torch.zeros(1, 5, dtype=torch.bool)}, "known: torch.bool of shape .1, 5."),
        ({"known": torch.zeros(1, 6)}, "known: torch.float32"),
        ({"num_particles": 0}, "num_particles: 0"),
    ],
)
def test_holes_and_particles_that_make_no_sense_are_refused(change, message):
    arguments = {
        "pixels": pictures(1, 6),
        "known": torch.zeros(1, 6, dtype=torch.bool),
        "num_particles": 2,
    } | change
    with pytest.raises(ValueError, match=message):
        filling.sample_around(predictor(), **arguments, generator=torch.Generator())
    with pytest.raises(ValueError, match="training mode"):
        filling.sample_around(
            predictor().train(),
            pictures(1, 6),
            torch.zeros(1, 6, dtype=torch.bool),
            num_particles=2,
            generator=torch.Generator(),
        )


@pytest.mark.parametrize("missing", [[0], [3], [2, 3], [11, 0, 5]])
def test_the_share_that_common_beginnings_leave_is_that_of_counting_them(missing):
    length, picture = 12, pictures(1, 12)[0]
    whole = picture.repeat(2 ** len(missing), 1)
    whole[:, missing] = filling.fillings(len(missing)).double()
    beginnings = {tuple(row[: end + 1]) for row in whole.tolist() for end in range(length)}
    assert filling.share_read(torch.tensor(missing), length) == len(beginnings) / whole.numel()
