"""The estimator of the hole's likelihood is unbiased, by enumeration."""

import itertools

import numpy as np
import pytest
import torch
from test_losses import exact_nll, tiny_model

from nbutils.nade import likelihood
from nbutils.nade.halton import halton
from nbutils.nade.inpainter import Inpainter, InpainterConfig


def test_the_estimate_agrees_with_the_mean_over_all_orderings_within_its_error():
    model = tiny_model()
    image = torch.tensor([[[[0, 2], [1, 1]]], [[[2, 2], [0, 1]]]])
    with torch.no_grad():
        exact = [
            np.mean([exact_nll(model, picture[None], order) for order in itertools.permutations(range(4))])
            for picture in image
        ]
    estimate, error = likelihood.estimate_nll(
        model, image, image < 0, num_masks=3000, generator=torch.Generator().manual_seed(0)
    )
    assert ((estimate - torch.tensor(exact)).abs() < 4 * error).all()
    assert (error < 0.1 * estimate).all()


def test_a_hole_of_one_variable_is_exact_whatever_the_mask():
    torch.manual_seed(0)
    model = Inpainter(InpainterConfig(image_size=4, levels=5, width=4, layers=2)).eval()
    image = torch.randint(5, (2, 3, 4, 4))
    known = torch.ones_like(image, dtype=torch.bool)
    known[:, 1, 2, 3] = False
    estimate, error = likelihood.estimate_nll(
        model, image, known, num_masks=2, generator=torch.Generator().manual_seed(0)
    )
    expected = -model(image, known).log_softmax(-1)[:, 1, 2, 3].gather(1, image[:, 1, 2, 3, None])[:, 0]
    assert torch.allclose(estimate, expected.double(), atol=1e-5)
    assert (error < 1e-6).all()


def case(batch=3):
    torch.manual_seed(1)
    model = (
        Inpainter(
            InpainterConfig(
                image_size=5, levels=6, width=5, layers=3, vocabulary_size=9, embedding_size=4, reader_size=4
            )
        )
        .double()
        .eval()
    )
    generator = torch.Generator().manual_seed(2)
    image = torch.randint(6, (batch, 3, 5, 5), generator=generator)
    known = (
        torch.rand(image.shape, generator=generator) < torch.tensor([0.8, 0.4, 1.1])[:batch, None, None, None]
    )  # the last has no hole
    return (
        model,
        image,
        known,
        torch.tensor([[2, 3], [4, 0], [5, 6]])[:batch],
        torch.tensor([2, 1, 0])[:batch],
    )


def entropies(p):
    return -(p * p.log()).sum(-1)


def lead(p):
    first, second = p.sort(descending=True).values[:, :2].unbind(-1)
    return first - second


FIRST = {  # what is lowest of the variable that comes next
    "greedy": entropies,
    "antigreedy": lambda p: -entropies(p),
    "top_probability": lambda p: -p.amax(-1),
    "margin": lambda p: -lead(p),
    "halton": lambda p: halton((3, 5, 5)),
}


@pytest.mark.parametrize("ordering", likelihood.ORDERINGS)
def test_an_exact_likelihood_is_the_sum_along_its_order_one_evaluation_at_a_time(ordering):
    model, image, known, caption, length = case()
    nats, rank = likelihood.conditional_nlls(
        model, image, known, caption, length, ordering=ordering, generator=torch.Generator().manual_seed(0)
    )
    assert (nats[0][known.flatten(1)] == 0).all()
    for example in range(3):
        shown, size = known[example].flatten().clone(), int((~known[example]).sum())
        assert rank[0, example].sort().values[:size].tolist() == list(range(size))
        for step in range(size):
            with torch.no_grad():
                logits = model(
                    image[[example]], shown.view(1, 3, 5, 5), caption[[example]], length[[example]]
                ).reshape(75, 6)
            (variable,) = (rank[0, example] == step).nonzero()[0].tolist()
            if ordering != "orderless":
                scores = FIRST[ordering](logits.softmax(-1))
                assert float(scores[variable]) == pytest.approx(float(scores[~shown].min()))
            assert float(nats[0, example, variable]) == pytest.approx(
                -float(logits[variable].log_softmax(-1)[image[example].flatten()[variable]])
            )
            shown[variable] = True


def test_the_logits_of_a_hole_are_the_models_given_none_of_it():
    model, image, known, caption, length = case(2)
    index, logits = likelihood.hole_logits(model, image, known, caption, length)
    assert torch.equal(index, (~known).flatten().nonzero()[:, 0])
    whole = model(image, known, caption, length)
    assert torch.allclose(logits, whole.flatten(0, -2)[index], atol=1e-6)


def test_the_same_orders_serve_every_picture_and_the_mean_and_ensemble_are_over_them():
    model, image, known, caption, length = case(2)
    known[1] = known[0]
    arguments = (model, image, known, caption, length)
    _, rank = likelihood.conditional_nlls(
        *arguments, ordering="orderless", num_orders=4, generator=torch.Generator().manual_seed(5)
    )
    assert torch.equal(rank[:, 0], rank[:, 1])
    assert not torch.equal(rank[0], rank[1])
    nats = likelihood.hole_nll_per_order(
        *arguments, ordering="orderless", num_orders=4, generator=torch.Generator().manual_seed(5)
    )
    assert nats.shape == (4, 2)
    assert torch.allclose(
        likelihood.hole_nll(
            *arguments, ordering="orderless", num_orders=4, generator=torch.Generator().manual_seed(5)
        ),
        nats.mean(0),
    )
    ensemble = likelihood.ensemble_nll(nats)
    assert torch.allclose(ensemble, -nats.neg().exp().mean(0).log())
    assert (ensemble <= nats.mean(0)).all()


def test_a_fixed_order_is_followed():
    model, image, known, *_ = case(1)
    order = (~known[0]).flatten().nonzero()[:, 0].flip(0)
    nats, rank = likelihood.conditional_nlls(model, image, known, ordering=order.tolist())
    assert rank[0, 0, order].tolist() == list(range(len(order)))
    assert nats.shape == rank.shape == (1, 1, 75)
    again, _ = likelihood.conditional_nlls(model, image, known, ordering=order.numpy().astype(">i2"))
    assert torch.equal(nats, again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ordering": "raster"}, "ordering: 'raster'"),
        ({"ordering": [0, 1]}, "ordering: 2 indices that are not the"),
        ({"ordering": [[0, 1], [2]]}, "ordering: list of shape"),
        ({"ordering": np.array([0.0, 1.0])}, "ordering: float64 of shape"),
        ({"ordering": [True, False]}, "ordering: list of shape"),
        ({"ordering": "greedy", "num_orders": 2}, "num_orders: 2"),
        ({"ordering": "orderless", "num_orders": 0}, "num_orders: 0"),
        ({"ordering": "greedy", "known": torch.zeros(1)}, "known: "),
    ],
)
def test_orders_that_make_no_sense_are_refused(change, message):
    model, image, known, *_ = case(1)
    with pytest.raises(ValueError, match=message):
        likelihood.hole_nll(**dict(model=model, image=image, known=known) | change)


def test_what_cannot_be_estimated_is_refused():
    model, image = tiny_model(), torch.zeros(1, 1, 2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match="num_masks: 1"):
        likelihood.estimate_nll(model, image, image < 0, num_masks=1, generator=torch.Generator())
    with pytest.raises(ValueError, match="example 0 has no variable"):
        likelihood.estimate_nll(model, image, image == 0, num_masks=2, generator=torch.Generator())
    with pytest.raises(ValueError, match="training mode"):
        likelihood.estimate_nll(model.train(), image, image < 0, num_masks=2, generator=torch.Generator())
