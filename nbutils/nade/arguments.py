"""Checks of what is handed to the samplers and likelihoods, before any work is done."""

import numpy as np
import torch

from .fast.engines import ENGINES
from .inpainter import Inpainter


def check_pictures(model, image, known, caption, caption_length):
    """Check what every sampler and likelihood takes.

    Raises:
        ValueError: an argument of the wrong shape or type, a level that the model does not have, or a model
            in training mode.
    """
    if getattr(model, "training", False):
        raise ValueError(
            "model: is in training mode, where its batch statistics would mix examples; call "
            "model.eval() first"
        )
    if image.dim() != 4 or image.dtype != torch.int64:
        raise ValueError(f"image: {image.dtype} of shape {tuple(image.shape)}; expected int64 (B, C, H, W)")
    if image.numel() == 0:
        raise ValueError(f"image: shape {tuple(image.shape)} holds no picture; expected at least one")
    config = getattr(model, "config", None)
    if config is not None and image.shape[1] != config.channels:
        raise ValueError(f"image: {image.shape[1]} channels; the model was made for {config.channels}")
    levels = getattr(config, "levels", None)
    if image.min() < 0 or (levels and image.max() >= levels):
        raise ValueError(
            f"image: levels from {int(image.min())} to {int(image.max())}; expected 0 to "
            f"{levels - 1 if levels else 'levels - 1'}"
        )
    if known.shape != image.shape or known.dtype != torch.bool:
        raise ValueError(
            f"known: {known.dtype} of shape {tuple(known.shape)}; expected bool {tuple(image.shape)}, "
            "True where observed"
        )
    if (caption is None) != (caption_length is None):
        raise ValueError(
            "caption and caption_length: one is given and the other is not; give both or neither"
        )
    if caption is not None and (
        caption.dim() != 2 or len(caption) != len(image) or caption_length.shape != (len(image),)
    ):
        raise ValueError(
            f"caption: shapes {tuple(caption.shape)} and {tuple(caption_length.shape)}; expected "
            f"({len(image)}, T) and ({len(image)},)"
        )
    if caption is not None and (caption_length.min() < 0 or caption_length.max() > caption.shape[1]):
        raise ValueError(
            f"caption_length: from {int(caption_length.min())} to {int(caption_length.max())}; "
            f"expected 0 to {caption.shape[1]}, the width of caption"
        )


def check_engine(engine, model):
    """Check the choice of an engine for a model.

    Raises:
        ValueError: no such engine, or one that needs an `Inpainter` where the model is something else.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine: {engine!r}; expected one of {', '.join(ENGINES)}")
    if engine == "incremental" and not isinstance(model, Inpainter):
        raise ValueError(
            "engine: 'incremental' needs an Inpainter, whose layers it can look into; the model is a "
            f"{type(model).__name__}"
        )


def fixed_order(name, order, known):
    """An order given as flat indices into (C, H, W), the same for every picture, as a tensor.

    Args:
        name: what the argument is called, for the message.
        order: (D,), whole numbers of any width, as a tensor, an array, a list or a tuple.
        known: bool (B, C, H, W).
    Returns:
        int64 (D,), on the device of `known`.
    Raises:
        ValueError: it does not name every hole variable of every picture once.
    """
    try:
        found = np.asarray(order.tolist() if isinstance(order, torch.Tensor) else order)
    except ValueError:  # lists of several lengths
        found = np.asarray(None)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        kind = f"{getattr(order, 'dtype', type(order).__name__)} of shape {found.shape}"
        raise ValueError(
            f"{name}: {kind}; expected a name or the flat indices of the hole variables, whole numbers (D,)"
        )
    order = torch.from_numpy(found.astype(np.int64)).to(known.device)
    for example, hole in enumerate(~known.flatten(1)):
        if not torch.equal(order.sort().values, hole.nonzero()[:, 0]):
            raise ValueError(
                f"{name}: {len(order)} indices that are not the {int(hole.sum())} hole variables of "
                f"example {example}, each of them once"
            )
    return order


def to_rank(order, size):
    """Position of each of `size` variables in an order of some of them; the others get `size`. (..., D) ->
    (..., size)."""
    rank = order.new_full((*order.shape[:-1], size), size)
    return rank.scatter_(-1, order, torch.arange(order.shape[-1], device=order.device).expand_as(order))
