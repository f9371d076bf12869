"""Exact likelihoods of several orders, side by side."""

import pickle

import torch

from nbutils.data import digits
from nbutils.nade import likelihood, orders
from nbutils.nade.inpainter import Inpainter, InpainterConfig
from nbutils.training.inpainting import pictures_of

CONFIG = InpainterConfig(image_size=4, channels=1, levels=2, width=5, layers=3)


def test_likelihoods_of_several_orders_are_those_of_one_after_the_other(monkeypatch):
    torch.manual_seed(0)
    model = Inpainter(CONFIG).eval()
    pictures = pictures_of(digits.load("embedded", image_size=4, num_test=5).test).long()
    wanted = [torch.arange(16), torch.randperm(16), torch.randperm(16)]
    monkeypatch.setattr(orders, "_AT_ONCE", 2)
    found = orders.nll_by_order(model, pictures, wanted)
    one_by_one = [
        torch.stack(
            [
                likelihood.hole_nll(model, picture[None], picture[None] < 0, ordering=order)[0]
                for picture in pictures
            ]
        )
        for order in wanted
    ]
    assert torch.allclose(found, torch.stack(one_by_one), atol=1e-5)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_a_worker_is_sent_the_pictures_that_it_reads_and_no_others(monkeypatch):
    model = Inpainter(CONFIG).eval()
    sizes = []

    def here(function, calls, *_):
        sizes.extend(len(pickle.dumps(call[1])) for call in calls.values())
        return {key: function(*call) for key, call in calls.items()}

    monkeypatch.setattr(orders, "by_key", here)
    monkeypatch.setattr(orders, "_AT_ONCE", 2)
    found = orders.nll_by_order(model, torch.zeros(100, 1, 4, 4, dtype=torch.int64), [torch.arange(16)])
    assert found.shape == (1, 100)
    assert (
        max(sizes) < 100 * 16 * 8 / 10
    )  # a tenth of what all pictures take; a call reads a fiftieth of them
