"""Drawings of how things work: the net, and the way from a hidden picture to a filled hole.

They are sketches: sizes are those of what they are given, but no model computes anything here.
"""

import numpy as np
import torch
from IPython.display import HTML, display
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..nade import masks
from . import figures

_INK = "#1d2126"
_OF_PICTURE, _OF_CAPTION = "#cfe4f2", "#fbe3cf"
_LAYERS_SHOWN = 6


def model(config, name="model"):
    """Show the net from top to bottom, picture on the left, caption on the right.

    Args:
        config: InpainterConfig.
        name: for references to the figure, see `figures.show`.
    """
    figure, axis = figures.chart(size=(5.6, 6.4))
    axis.set(xlim=(0, 100), ylim=(0, 118))
    axis.axis("off")
    planes = config.channels * config.levels
    _box(
        axis,
        (2, 100, 52, 16),
        f"picture with a hole\n{planes} planes of 0 and 1,\nknown or not: {config.channels}",
    )
    bottom = _layers(axis, config)
    if config.readout:
        _step(axis, bottom, 10, f"each pixel alone\n{config.readout} planes")
        bottom -= 16
    _step(
        axis, bottom, 14, f"for each of {config.channels} values of a pixel:\n{config.levels} probabilities"
    )
    axis.set_ylim(bottom - 22, 118)
    reads = "The caption is read by a recurrent net over its words. " if config.vocabulary_size else ""
    merged = ", ".join(map(str, config.merge_layers))
    size = f"{config.kernel_size} x {config.kernel_size}"
    told = f"The net. {reads}The picture passes through {config.layers} layers, convolutions of {size} with "
    told += f"{config.width} planes each, which keep its size"
    told += f"; the caption joins after {merged}." if config.vocabulary_size else "; it reads no caption."
    spoken = "From top to bottom: the picture with its hole and the mask, the layers, and for "
    spoken += "each value of a pixel a distribution over its levels. "
    how = {"attention": "attention", "concat": "one summary"}[config.merger]
    of_caption = f"On the right: words, their vectors, a quasi-recurrent net, {how} that reaches the layers."
    spoken += of_caption if config.vocabulary_size else ""
    figures.show(figure, told, spoken, name)


def _step(axis, bottom, height, text):
    """A box under what ends at `bottom`, and the arrow to it."""
    _arrow(axis, (28, bottom), (28, bottom - 6))
    _box(axis, (2, bottom - 6 - height, 52, height), text)


def _layers(axis, config):
    """The layers as slabs, with the caption's way into them; where the last one ends."""
    shown = min(config.layers, _LAYERS_SHOWN)
    tops = [94 - 9 * number for number in range(shown)]
    numbers = [(number,) for number in range(1, shown + 1)]
    if shown < config.layers:  # the last but one stands for all that have no box of their own
        numbers[-2:] = [tuple(range(shown - 1, config.layers)), (config.layers,)]
    for meant, top in zip(numbers, tops):
        _box(axis, (2, top - 6, 52, 6), f"layer {meant[0]}" if len(meant) == 1 else "...")
        _arrow(axis, (28, top + (6 if top == tops[0] else 3)), (28, top))
        if config.vocabulary_size and set(meant) & set(config.merge_layers):
            _arrow(axis, (62, 58), (54, top - 3), _OF_CAPTION)
    if config.vocabulary_size:
        both = ", both ways" if config.bidirectional else ""
        _box(axis, (62, 104, 36, 12), "caption,\nword by word", _OF_CAPTION)
        _box(axis, (62, 88, 36, 10), f"a vector a word\n{config.embedding_size}", _OF_CAPTION)
        _box(axis, (62, 70, 36, 12), f"quasi-RNN{both}\n{config.reader_size}", _OF_CAPTION)
        how = (
            "each pixel asks\nwhich words matter"
            if config.merger == "attention"
            else "one summary\nfor every pixel"
        )
        _box(axis, (62, 52, 36, 12), f"{config.merger}:\n{how}", _OF_CAPTION)
        for start, end in ((104, 98), (88, 82), (70, 64)):
            _arrow(axis, (80, start), (80, end))
    return tops[-1] - 6


def _box(axis, place, text, colour=_OF_PICTURE):
    left, low, width, height = place
    style = "round,pad=0,rounding_size=1.5"
    axis.add_patch(FancyBboxPatch((left, low), width, height, style, facecolor=colour, edgecolor=_INK))
    middle = (left + width / 2, low + height / 2)
    axis.annotate(text, middle, ha="center", va="center", fontsize=11, color=_INK, linespacing=1.25)


def _arrow(axis, start, end, colour=_INK):
    shade = "#b45a1b" if colour == _OF_CAPTION else colour
    axis.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, color=shade, linewidth=1.3)
    )


def storyboard(image, caption):
    """Show the way from masking to sampling on one picture, panel by panel.

    Args:
        image: uint8 (3, H, W), H at least 8.
        caption: what it shows, a sentence.
    """
    image = torch.as_tensor(np.asarray(image))
    generator = torch.Generator().manual_seed(0)
    place = torch.rand(image.shape, generator=generator)
    seen = place < 0.4  # what a training example shows, a good part of it
    hole = ~masks.square((1, *image.shape), size=image.shape[-1] // 2, central=True)[0]
    total = int(hole.sum())
    panels = [
        (image, f"1. A picture and a sentence about it: {caption}"),
        (
            figures.hidden(image, seen),
            "2. Training: hide a random part, here 60 %. Grey is what the net cannot see.",
        ),
        (None, "3. The net says for every hidden value how probable each of its 256 levels is."),
        (
            figures.hidden(image, ~seen),
            "4. What was hidden is shown. Each value costs more the less probable it was held, and the net "
            "changes a little so that it costs less.",
        ),
        (figures.hidden(image, ~hole), f"5. Filling: a hole of {total:,} values, and the sentence."),
        (
            figures.hidden(image, ~hole | (place < 0.25)),
            "6. Ask for one value, draw it by its probabilities, keep it, and ask for the next, which now "
            "knows it.",
        ),
        (image, "7. At the end nothing is missing. (Here the picture's own values stand for those drawn.)"),
    ]
    cells = [_panel(picture, label) for picture, label in panels]
    body = f'<div class="gallery" style="display:flex;flex-wrap:wrap;gap:16px">{"".join(cells)}</div>'
    told = "<figcaption>From masking to sampling, a sketch: training hides parts of pictures that are known; "
    told += "filling asks the same net about a part that is not.</figcaption>"
    display(HTML(f'<figure class="pictures"{figures.named("storyboard")}>{body}{told}</figure>'))


def _panel(picture, label):
    spoken = label.partition(". ")[2]
    if picture is not None:
        return figures.picture_cell(picture, label, spoken, 176)
    figure, axis = figures.chart(size=(1.76, 1.76))
    levels = np.arange(256)
    weights = np.exp(-((levels - 170) ** 2) / 900) + 0.5 * np.exp(-((levels - 70) ** 2) / 300)
    axis.fill_between(levels, weights / weights.sum(), color=figures.COLOURS[0])
    axis.set(xticks=[0, 255], yticks=[], xlabel="level")
    axis.grid(False)
    image = f'<img class="chart" style="width:100%" src="{figures.address(figure)}" alt="{spoken}">'
    text = f'<span style="display:block;font-size:.8em">{label}</span>'
    return f'<div style="width:176px;max-width:100%">{image}{text}</div>'
