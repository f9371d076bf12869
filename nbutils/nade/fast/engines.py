"""How the predictions of a sampler or a likelihood are computed: the whole net every time, or what has
changed.

An engine has `predict` and `scores`, to which both give the same answers. Masks are on the CPU, where the
bookkeeping is done; levels and logits are on the device of the model, which nothing here waits for.
"""

import torch

from ..convnet import OneHotConv
from ..devices import on_device
from ..inpainter import Inpainter, predict
from . import wavefronts
from .incremental import IncrementalEngine

ENGINES = ("auto", "incremental", "dense")
MEMORY = 2 << 30  # bytes that kept activations may take; more pictures than fit are filled group by group

_TURN = 1 << 25  # multiplications in the time that a turn takes besides them


class DenseEngine:
    """The whole net, for every picture of which something is wanted."""

    def __init__(self, model, image_shape, caption, caption_length):
        self.model, self.image_shape = model, image_shape
        self.caption, self.caption_length = caption, caption_length

    def predict(self, state, unknown, wanted):
        """See `IncrementalEngine.predict`."""
        index = wanted.flatten().nonzero()[:, 0]
        rows = wanted.any(1)
        if not rows.any():
            return index, torch.zeros(0, 1, device=state.device)
        which = on_device(rows.nonzero()[:, 0], state.device)
        image = state.index_select(0, which).view(-1, *self.image_shape[1:])
        known = on_device(~unknown[rows], state.device).view(image.shape)
        caption, length = self.caption, self.caption_length
        if caption is not None:
            caption, length = caption.index_select(0, which), length.index_select(0, which)
        asked = on_device(wanted[rows].flatten().nonzero()[:, 0], state.device)
        return index, predict(self.model, image, known, caption, length, asked)

    def scores(self, state, unknown, wanted, measure):
        """See `IncrementalEngine.scores`; nothing is kept, so nothing is left out."""
        index, logits = self.predict(state, unknown, wanted)
        return index, measure(logits), lambda chosen: rows_of(index, logits, chosen)


def rows_of(index, logits, chosen):
    """Logits of the variables `chosen` out of those of `index`; both ascending, on the CPU."""
    if len(chosen) == len(index):
        return logits
    return logits.index_select(0, on_device(torch.searchsorted(index, chosen), logits.device))


def _keeps(model):
    """Whether the incremental engine can keep what a model computes: an `Inpainter` that looks levels up."""
    return isinstance(model, Inpainter) and isinstance(model.first, OneHotConv)


def build(name, model, image_shape, hole, caption, caption_length, device):
    """The engine `name` for pictures of which only the variables `hole`, bool (B, V) on the CPU, change.

    "dense" runs the whole net; "incremental" computes what has changed and is needed; "auto" counts both
    before every prediction and takes the cheaper. A model that is not an `Inpainter`, or reads planes instead
    of looking levels up, runs dense.
    """
    dense = DenseEngine(model, image_shape, caption, caption_length)
    if name == "dense" or not _keeps(model):
        return dense
    instead = dense if name == "auto" else None
    return IncrementalEngine(model, image_shape, hole, caption, caption_length, device, instead)


def group_size(name, model, image_shape):
    """How many of the pictures may be filled together, so that what is kept of them fits into `MEMORY`; all
    where nothing is kept."""
    if name == "dense" or not _keeps(model):
        return image_shape[0]
    return max(1, MEMORY // IncrementalEngine.bytes_per_picture(model, image_shape))


def num_segments(name, model, image_shape, variables):
    """Into how many parts, computed side by side, an order of so many variables is cut that is known
    beforehand.

    Every part has to compute all that is kept once more, and a turn takes its time however little is
    computed: as much as `_TURN` multiplications. The parts are as many as make the sum of both smallest, and
    as fit into `MEMORY`.
    """
    if name == "dense" or not _keeps(model) or not variables:
        return 1
    batch, _, height, width = image_shape
    whole = batch * height * width * sum(layer.conv.weight.numel() for layer in model.body)
    room = group_size(name, model, image_shape) // batch
    return max(1, min(round((variables * _TURN / max(1, whole)) ** 0.5), room, variables))


def turns(engine, rank, num_ranked, alone):
    """When each variable of an order is drawn, int64 (B, V), V for those not ranked: one by one, or together
    where the engine knows its field.

    Args:
        rank: int64 (B, V), position in the order, V for those not ranked; num_ranked: int64 (B,).
        alone: bool (B, V), by position: has a turn of its own, see `wavefronts.turns`.
    """
    if isinstance(engine, DenseEngine):
        return rank
    reach, shape = engine.reaches[-1], engine.image_shape[1:]
    return torch.from_numpy(wavefronts.turns(rank.numpy(), num_ranked.numpy(), reach, shape, alone.numpy()))


def by_turn(turn):
    """The variables of every turn, a tuple of ascending flat indices into (B, V)."""
    flat = turn.flatten()
    ranked = (flat < turn.shape[1]).nonzero()[:, 0]
    order = ranked[flat[ranked].argsort(stable=True)]
    return order.split(torch.bincount(flat[ranked]).tolist()) if len(ranked) else ()
