"""The panel of in-painting: draw a hole, change the words, watch it fill."""

import base64

import numpy as np
import torch

from ...data import sources
from ...nade import masks, sampling
from ...show import figures
from ...training import job
from .. import publications
from . import parts

SIZE = 32  # side of the pictures that a page fills in time
_LARGEST = 1_250_000  # numbers of a net, two bytes each
_OFFERED = 6
_ROUNDS = 24  # of the still picture


def live_holes(checkpoint, held_out, name="live", size=SIZE):
    """Show the panel of an in-painting net.

    Args:
        checkpoint: path of a trained `Inpainter`. Where its pictures are not of the `size` that is wanted, or
            it has more than 1.25 million numbers, a published net and scenes of 32 x 32 take their places.
        held_out: `sources.CaptionedPictures`, of which the first six are offered.
        name: of the figure.
        size: side of the pictures, pixels; those of more than 32 are filled in rounds, if one does not say
            otherwise.
    Raises:
        FileNotFoundError: nothing is published where it is needed.
    """
    net, vocabulary = job.load(checkpoint, "cpu")
    smaller = ""
    if held_out.images.shape[-1] != size or sum(p.numel() for p in net.parameters()) > _LARGEST:
        (folder, saved), size = _published(), SIZE
        checkpoint = folder / saved["checkpoints"]["cross_entropy"]
        net, vocabulary = job.load(checkpoint, "cpu")
        sizes = dict(image_size=SIZE, num_train=1, num_valid=_OFFERED)
        held_out = sources.load("scenes", seed=saved["choices"]["seed"], **sizes).valid
        smaller = f", a smaller one for {SIZE} x {SIZE} pixels, so that a browser is fast enough"
    offered = held_out[:_OFFERED]
    captions = [list(sentences) for sentences in offered.captions]
    model = parts.place(checkpoint)
    given = {
        "panel": "pictures",
        "model": model,
        "size": size,
        "pictures": [base64.b64encode(np.asarray(one).tobytes()).decode() for one in offered.images],
        "captions": captions,
    }
    parts.show(
        given,
        _still(net, offered.images[:1].long(), vocabulary.encode(captions[:1])),
        f"Draw a hole, change the words, and watch it fill. The net, {parts.origin(model)}{smaller}, runs in "
        f"this page. At first: {' '.join(captions[0])}",
        name,
    )


def _published():
    found = publications.fitting("05_sampling_orderings", image_size=SIZE, data="scenes")
    if not found:
        raise FileNotFoundError(
            f"{publications.folder()}: no net for scenes of {SIZE} x {SIZE} pixels is published there; "
            "`nbutils publish --models` does it with a run at profile quick"
        )
    return found


def _still(net, image, caption):
    """The first picture with its hole, and filled."""
    known = masks.square(image.shape, size=image.shape[-1] // 2, central=True)
    blocks = [int((~known).sum()) // _ROUNDS] * _ROUNDS
    lot = torch.Generator().manual_seed(0)
    filled = sampling.inpaint(net, image, known, *caption, strategy="halton", blocks=blocks, generator=lot)
    hidden = figures.hidden(image[0], known[0])
    return [
        figures.picture_cell(hidden, "with a hole", "A picture with a hole in its middle", 190),
        figures.picture_cell(filled.image[0], "filled by the net", "The same picture, filled", 190),
    ]
