"""The estimator of the hole's likelihood is unbiased, by enumeration."""

import itertools

import numpy as np
import pytest
import torch
from test_losses import exact_nll, tiny_model

from nbutils.nade import likelihood
from nbutils.nade.inpainter import Inpainter, InpainterConfig


def test_the_estimate_agrees_with_the_mean_over_all_orderings_within_its_error():
    model = tiny_model()
    image = torch.tensor([[[[0, 2], [1, 1]]], [[[2, 2], [0, 1]]]])
    with torch.no_grad():
        exact = [np.mean([exact_nll(model, picture[None], order) for order in itertools.permutations(range(4))]) for picture in image]
    estimate, error = likelihood.estimate_nll(model, image, image < 0, num_masks=3000, generator=torch.Generator().manual_seed(0))
    assert ((estimate - torch.tensor(exact)).abs() < 4 * error).all()
    assert (error < 0.1 * estimate).all()


def test_a_hole_of_one_variable_is_exact_whatever_the_mask():
    torch.manual_seed(0)
    model = Inpainter(InpainterConfig(image_size=4, levels=5, width=4, layers=2)).eval()
    image = torch.randint(5, (2, 3, 4, 4))
    known = torch.ones_like(image, dtype=torch.bool)
    known[:, 1, 2, 3] = False
    estimate, error = likelihood.estimate_nll(model, image, known, num_masks=2, generator=torch.Generator().manual_seed(0))
    expected = -model(image, known).log_softmax(-1)[:, 1, 2, 3].gather(1, image[:, 1, 2, 3, None])[:, 0]
    assert torch.allclose(estimate, expected.double(), atol=1e-5)
    assert (error < 1e-6).all()


def test_what_cannot_be_estimated_is_refused():
    model, image = tiny_model(), torch.zeros(1, 1, 2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match="num_masks: 1"):
        likelihood.estimate_nll(model, image, image < 0, num_masks=1, generator=torch.Generator())
    with pytest.raises(ValueError, match="example 0 has no variable"):
        likelihood.estimate_nll(model, image, image == 0, num_masks=2, generator=torch.Generator())
    with pytest.raises(ValueError, match="training mode"):
        likelihood.estimate_nll(model.train(), image, image < 0, num_masks=2, generator=torch.Generator())
