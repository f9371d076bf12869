"""Statistics of samples, against plain definitions and independent libraries."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from nbutils.evidence import intervals
from nbutils.nade import masks, statistics


def case(batch=3, size=12):
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(256, (batch, 3, size, size), generator=generator)
    hole = (
        torch.rand(image.shape, generator=generator) < torch.tensor([0.1, 0.5, 0.9])[:batch, None, None, None]
    )
    return image, hole


def test_extremes_are_counted_in_the_hole_alone():
    image, hole = case()
    expected = [np.isin(x[h].numpy(), (0, 255)).mean() for x, h in zip(image, hole)]
    assert statistics.extreme_share(image, hole).tolist() == pytest.approx(expected)


def test_roughness_is_the_mean_over_pairs_that_touch_the_hole():
    image, hole = case(size=5)
    for example in range(3):
        pairs = []
        for channel in range(3):
            for row in range(5):
                for column in range(5):
                    for other in ((row + 1, column), (row, column + 1)):
                        if max(other) < 5 and (
                            hole[example, channel, row, column] or hole[(example, channel, *other)]
                        ):
                            pairs.append(
                                abs(
                                    int(image[example, channel, row, column])
                                    - int(image[(example, channel, *other)])
                                )
                            )
        assert float(statistics.roughness(image, hole)[example]) == pytest.approx(np.mean(pairs))


def test_stray_variables_are_far_from_all_of_their_neighbours():
    image = torch.full((1, 2, 4, 5), 100)
    image[0, 0, 1, 1] = 140
    image[0, 0, 3, 4] = 60  # in a corner
    image[0, 1, 2, 2] = image[0, 1, 2, 3] = 200  # two alike keep each other company
    image[0, 1, 0, 0] = 130  # not far enough
    assert statistics.stray(image).nonzero().tolist() == [[0, 0, 1, 1], [0, 0, 3, 4]]


def test_diversity_is_the_mean_distance_of_pairs():
    image, hole = case()
    samples = torch.stack([image, image + 2, image + 6])
    assert statistics.diversity(samples, hole).tolist() == pytest.approx([(2 + 6 + 4) / 3] * 3)


def test_signal_to_noise_follows_its_definition():
    image, hole = case()
    truth = (image + 7) % 256
    expected = [
        10 * math.log10(255**2 / float(((x - t)[h].double() ** 2).mean()))
        for x, t, h in zip(image, truth, hole)
    ]
    assert statistics.psnr(image, truth, hole).tolist() == pytest.approx(expected)


def test_structural_similarity_is_one_for_equal_pictures_and_less_for_others():
    image, hole = case()
    assert statistics.ssim(image, image, hole).tolist() == pytest.approx([1, 1, 1])
    assert (statistics.ssim((image + 60) % 256, image, hole) < 0.9).all()


def test_the_biharmonic_answer_continues_a_slope_and_touches_nothing_else():
    ramp = (10 * torch.arange(16)[None, None, :, None] + 3 * torch.arange(16)).expand(2, 3, 16, 16)
    known = masks.square(ramp.shape, size=6, central=True)
    known[1, 0] = True  # single channels may be known
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled = statistics.biharmonic(torch.where(known, ramp, 255), known)
    assert (filled - ramp).abs().max() <= 1
    assert torch.equal(filled[known], ramp[known])
    known[0, 1] = False
    with pytest.raises(ValueError, match="nothing of channel 1 of example 0"):
        statistics.biharmonic(ramp, known)


@pytest.mark.parametrize("centre", [0, 3, 7])
def test_the_laplace_probabilities_of_all_levels_sum_to_one(centre):
    levels = torch.arange(8)
    nats = statistics.laplace_nll(torch.full((8,), centre), levels, 1.7, levels=8)
    assert float(nats.neg().exp().sum()) == pytest.approx(1)
    expected = stats.laplace(centre, 1.7).cdf(np.arange(8) + 0.5) - stats.laplace(centre, 1.7).cdf(
        np.arange(8) - 0.5
    )
    assert nats[1:-1].neg().exp().tolist() == pytest.approx(expected[1:-1].tolist())


def test_far_tails_of_the_laplace_are_finite_and_symmetric():
    right = statistics.laplace_nll(torch.tensor([10]), torch.tensor([200]), 0.5)
    left = statistics.laplace_nll(torch.tensor([200]), torch.tensor([10]), 0.5)
    assert float(right) == pytest.approx(float(left))
    assert float(right) == pytest.approx(189.5 / 0.5 + math.log(2) - math.log1p(-math.exp(-2)), rel=1e-6)


def test_the_scale_is_found_again():
    rng = np.random.default_rng(0)
    centre = torch.full((20000,), 128)
    target = torch.from_numpy(np.rint(rng.laplace(128, 9.0, 20000)).clip(0, 255)).long()
    assert statistics.laplace_scale(centre, target) == pytest.approx(9.0, rel=0.04)


def test_intervals_are_those_of_student():
    values = [1.0, 2.0, 4.0, 8.0]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    mean, half = intervals.interval(values)
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_an_interval_that_nearly_touches_zero_is_told_so_that_one_sees_on_which_side_it_ends():
    assert intervals.told({"mean": -0.3534, "half": 0.3467}) == "-0.353 ± 0.347"
    assert intervals.told({"mean": 0.5, "half": 0.2}) == "+0.50 ± 0.20"
    assert intervals.told({"mean": 0.0, "half": 0.0}) == "+0.00 ± 0.00"


def test_what_was_repeated_is_told_by_its_median_and_its_ends():
    assert intervals.ranged([3.0, 1.0, 2.5], ".1f") == "2.5 (1.0 to 3.0)"


def test_an_effect_is_decided_only_where_its_interval_excludes_zero():
    assert intervals.effect([1.0, 1.1, 0.9])["verdict"] == "more"
    assert intervals.effect([-1.0, -1.1, -0.9])["verdict"] == "less"
    assert intervals.effect([-1.0, 1.1, 0.3])["verdict"] == "undecided"
    assert intervals.effect([0.0, 0.0, 0.0])["verdict"] == "undecided"


@pytest.mark.parametrize("values", [[1.0], [], [1.0, math.nan], [1.0, math.inf]])
def test_an_interval_of_too_little_is_refused(values):
    with pytest.raises(ValueError, match="needs at least two finite numbers"):
        intervals.effect(values)
