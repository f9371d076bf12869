"""Masks follow the distributions that their docstrings name."""

import pytest
import torch
from scipy import stats

from nbutils.nade import masks


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_orderless_masks_have_a_uniform_number_of_known_variables():
    known = masks.orderless((6000, 1, 3, 3), generator=seeded()).flatten(1)
    counts = torch.bincount(known.sum(1), minlength=9)
    assert len(counts) == 9  # 0 to 8: at least one variable is always hidden
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def test_orderless_masks_of_one_size_are_uniform_over_subsets():
    known = masks.orderless((20000, 1, 2, 2), generator=seeded()).flatten(1)
    pairs = known[known.sum(1) == 2].long() @ torch.tensor([1, 2, 4, 8])
    counts = torch.bincount(pairs, minlength=13)[[3, 5, 6, 9, 10, 12]]
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def test_orderless_masks_inside_a_hole_know_everything_outside():
    hole = ~masks.square((500, 3, 8, 8), size=3, generator=seeded())
    known = masks.orderless(hole.shape, hole=hole, generator=seeded(1))
    assert known[~hole].all()
    counts = torch.bincount((known & hole).flatten(1).sum(1), minlength=27)
    assert len(counts) == 27
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def test_an_empty_hole_is_refused():
    with pytest.raises(ValueError, match="example 1 has no variable"):
        masks.orderless(
            (2, 1, 2, 2),
            hole=torch.tensor([True, False])[:, None, None, None].expand(2, 1, 2, 2),
            generator=seeded(),
        )


def test_square_masks_hide_one_square_anywhere():
    known = masks.square((4000, 2, 6, 6), size=4, generator=seeded())
    assert (~known).sum((2, 3)).unique().tolist() == [16]
    assert (known[:, 0] == known[:, 1]).all()
    corners = (~known[:, 0]).flatten(1).float().argmax(1)  # the square's first pixel
    counts = torch.bincount(corners, minlength=15)[[0, 1, 2, 6, 7, 8, 12, 13, 14]]
    assert int(counts.sum()) == 4000
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def test_central_squares_are_central_and_large_ones_refused():
    known = masks.square((1, 1, 6, 6), size=2, central=True)
    assert known[0, 0, 2:4, 2:4].logical_not().all()
    with pytest.raises(ValueError, match=r"size: a hole of 7 x 7 does not fit into a picture of 6 x 6"):
        masks.square((1, 1, 6, 6), size=7, central=True)


def test_contiguish_masks_know_each_variable_with_a_uniform_probability():
    """Given p a variable is known with probability p, so over examples with p ~ U(0, 1) with 1/2, at borders
    as in the middle. Redrawing masks that hide nothing lowers that by at most the share of such masks."""
    known = masks.contiguish((20000, 1, 5, 5), radius=1, generator=seeded()).float()
    rates = known.mean(0)[0]
    assert (rates - rates.mean()).abs().max() < 0.015  # four standard errors
    assert 0.5 - 0.25 < float(rates.mean()) < 0.5


def test_contiguish_masks_given_p_have_the_right_marginals_and_neighbourhoods(monkeypatch):
    """With p fixed at 0.6: known with probability 0.6; two horizontal neighbours, whose windows of 3 x 3
    share 6 places, are both known with probability q^12 = p^(12/9)."""
    real = torch.rand
    monkeypatch.setattr(
        torch,
        "rand",
        lambda *shape, **options: (
            real(*shape, **options) if shape[-1] > 1 else torch.full(shape, 0.6, dtype=torch.float64)
        ),
    )
    known = masks.contiguish((4000, 2, 6, 6), radius=1, generator=seeded())
    assert abs(float(known.float().mean()) - 0.6) < 0.01
    both = (known[..., 1:] & known[..., :-1]).float().mean()
    assert abs(float(both) - 0.6 ** (12 / 9)) < 0.01
    channels = (known[:, 0] & known[:, 1]).float().mean()  # independent given p
    assert abs(float(channels) - 0.36) < 0.015


def test_contiguish_masks_hide_whole_neighbourhoods_and_never_nothing():
    """What is hidden is the union of the windows, cut off at the borders, that hold nothing known."""
    known = masks.contiguish((300, 1, 9, 9), radius=2, generator=seeded())
    assert (~known).flatten(1).any(1).all()
    assert known.any()
    beyond = torch.nn.functional.pad(known.float(), (4, 4, 4, 4))
    windows = (
        torch.nn.functional.max_pool2d(beyond, 5, stride=1) == 0
    )  # (300, 1, 13, 13): those of all places at most 2 outside
    covered = torch.nn.functional.max_pool2d(windows.float(), 5, stride=1) > 0
    assert torch.equal(covered, ~known)
