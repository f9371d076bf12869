"""Losses equal independent implementations, and the weighting is unbiased, by enumeration."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from nbutils.nade import losses
from nbutils.nade.inpainter import Inpainter, InpainterConfig
from nbutils.nade.objective import choose


def random_case(levels=7, n=12):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(n, levels, generator=generator, dtype=torch.float64)
    return logits, torch.randint(levels, (n,), generator=generator)


def test_emd1_is_the_wasserstein_distance():
    logits, target = random_case()
    expected = [
        stats.wasserstein_distance(np.arange(7), [t], p.numpy())
        for p, t in zip(logits.softmax(-1), target.tolist())
    ]
    assert np.allclose(losses.emd(logits, target, 1), expected, atol=1e-12)


def test_emd2_is_the_sum_of_squared_differences_of_distribution_functions():
    logits, target = random_case()
    expected = [
        sum((float(p[: v + 1].sum()) - (v >= t)) ** 2 for v in range(7))
        for p, t in zip(logits.softmax(-1), target.tolist())
    ]
    assert np.allclose(losses.emd(logits, target, 2), expected, atol=1e-12)


def test_cross_entropy_is_minus_the_log_probability():
    logits, target = random_case()
    expected = -torch.stack([p[t].log() for p, t in zip(logits.softmax(-1), target)])
    assert torch.allclose(losses.cross_entropy(logits, target), expected)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_gradients_are_right(name):
    logits, target = random_case(levels=5, n=4)
    assert torch.autograd.gradcheck(lambda x: losses.LOSSES[name](x, target), logits.requires_grad_())


def test_losses_keep_the_shape_of_the_target():
    target = torch.zeros(2, 3, 4, dtype=torch.long)
    for loss in losses.LOSSES.values():
        assert loss(torch.zeros(2, 3, 4, 6), target).shape == target.shape


def test_another_power_is_refused():
    with pytest.raises(ValueError, match="power: 3"):
        losses.emd(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), 3)


def tiny_model():
    torch.manual_seed(3)
    return Inpainter(InpainterConfig(image_size=2, channels=1, levels=3, width=6, layers=2)).double().eval()


def exact_nll(model, image, order):
    known, total = torch.zeros_like(image, dtype=torch.bool), 0.0
    for variable in order:
        logits = model(image, known).flatten(1, 3)[0, variable]
        total -= float(logits.log_softmax(-1)[image.flatten()[variable]])
        known.view(-1)[variable] = True
    return total


def test_ordering_weighted_loss_is_unbiased_for_the_mean_over_orderings():
    """The expectation over the 15 masks of a 2 x 2 picture, with d uniform, equals the mean of the exact NLL
    over all 24 orderings."""
    model, image = tiny_model(), torch.tensor([[[[0, 2], [1, 1]]]])
    hole = torch.ones_like(image, dtype=torch.bool)
    with torch.no_grad():
        mean = np.mean([exact_nll(model, image, order) for order in itertools.permutations(range(4))])
        expectation = 0.0
        for d in range(4):
            subsets = list(itertools.combinations(range(4), d))
            for subset in subsets:
                known = torch.zeros_like(hole)
                known.view(-1)[list(subset)] = True
                weight = losses.weights(known, hole, "ordering_weighted")
                loss = (weight * losses.cross_entropy(model(image, known), image)).sum()
                expectation += float(loss) / 4 / len(subsets)
    assert abs(mean - expectation) < 1e-6 * mean


def test_mean_unknown_is_the_plain_mean_and_optimize_given_adds_the_known():
    known = torch.tensor([[[[True, False], [False, False]]], [[[True, True], [True, False]]]])
    hole = torch.ones_like(known)
    weight = losses.weights(known, hole, "mean_unknown")
    assert torch.equal(weight, (~known).float() / 4)
    assert torch.allclose(
        losses.weights(known, hole, "mean_unknown", optimize_given=True), torch.full(known.shape, 1 / 8)
    )
    given = losses.weights(known, hole, "ordering_weighted", optimize_given=True) - losses.weights(
        known, hole, "ordering_weighted"
    )
    assert torch.allclose(given, known / 2)


def test_bad_weightings_and_empty_masks_are_refused():
    known = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="weighting: 'mean'"):
        losses.weights(~known, known, "mean")
    with pytest.raises(ValueError, match="example 0 hides nothing"):
        losses.weights(known, known, "mean_unknown")


def test_scoring_a_random_subset_is_unbiased_and_scores_all_where_few_are_hidden():
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(3, 1, 4, 4, generator=generator) * (torch.rand(3, 1, 4, 4, generator=generator) < 0.6)
    weight[2] = 0
    weight[2, 0, 0, :3] = 0.5
    values = torch.randn(weight.numel(), generator=generator)
    index, everything = choose(weight, None, generator)
    assert torch.equal(everything, weight.flatten()[weight.flatten() > 0])
    sums = []
    for _ in range(4000):
        index, chosen = choose(weight, 4, generator)
        assert len(index) == 4 + 4 + 3
        sums.append(float((chosen * values[index]).sum()))
    exact = float((weight.flatten() * values).sum())
    assert abs(np.mean(sums) - exact) < 4 * np.std(sums) / len(sums) ** 0.5
