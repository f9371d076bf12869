"""A panel for JupyterLab that looks into an `Inpainter`: whom every pixel listens to."""

from html import escape

import numpy as np
import torch
from ipywidgets import HTML, Dropdown, HBox, Image, IntSlider, Layout, VBox
from matplotlib import colormaps

from ..data.captions import split_words
from ..show.figures import hidden
from .parts import CaptionedPanel, enlarged, titled, wide

_MARK = (213, 94, 0)  # of the chosen pixel


def attention_panel(model, pictures, captions, vocabulary):
    """A panel that shows how much every pixel attends to a word of the caption, and how much a pixel attends
    to every word.

    Args:
        model: Inpainter that merges captions by attention.
        pictures: uint8 (N, C, H, W).
        captions: for each of N pictures a sequence of str.
        vocabulary: captions.Vocabulary of the model.
    Returns:
        ipywidgets.VBox; its `weights`, float (H, W, T), are what it shows, of every pixel over T words.
    Raises:
        ValueError: no pictures, or not as many captions. What goes wrong later is shown in the panel.
    """
    return _AttentionPanel(model, pictures, captions, vocabulary)


class _AttentionPanel(CaptionedPanel):
    """See `attention_panel`."""

    def __init__(self, model, pictures, captions, vocabulary):
        super().__init__(pictures, captions, vocabulary)
        self.model, self.maps, self.weights = model, {}, None
        height, width = pictures.shape[2:]
        layers = [int(layer) for layer in self.model.mergers]
        self.word = Dropdown(description="word", **wide())
        choices = [("mean of all", 0), *((str(layer), layer) for layer in layers)]
        self.layer = Dropdown(options=choices, description="layer", **wide())
        self.pixel_x = IntSlider(width // 2, 0, width - 1, description="pixel x", **wide())
        self.pixel_y = IntSlider(height // 2, 0, height - 1, description="pixel y", **wide())
        self.heat, self.bars = Image(format="png"), HTML(layout=Layout(max_height="24em", overflow="auto"))
        for control in (self.number, self.x, self.y, self.size, self.caption):
            control.continuous_update = False  # each is a pass of the net
        self.on(self._other_picture, self.number)
        self.on(self._look, self.x, self.y, self.size, self.caption)
        self.on(self._draw, self.word, self.layer, self.pixel_x, self.pixel_y)
        controls = [self.number, self.x, self.y, self.size, self.caption, self.unknown]
        controls += [self.word, self.layer, self.pixel_x, self.pixel_y]
        picture = titled("The chosen pixel is orange", self.picture)
        maps = HBox([picture, titled("Attention to the chosen word", self.heat)])
        shown = VBox([maps, self.status, self.error], layout=Layout(flex="0 0 540px", max_width="100%"))
        self.children = [HBox([shown, VBox(controls), self.bars], layout=Layout(flex_flow="row wrap"))]
        self.attempt(self._other_picture)

    def _other_picture(self):
        self.take_caption()
        self._look()

    def _look(self):
        """Let the net read the picture and the caption, and keep whom its pixels attended to."""
        self.maps, self.weights = {}, None
        self.name_unknown_words()
        found = self.model.attention(*self.case(self.square()))
        self.maps = {layer: weights[0] for layer, weights in found.items()}  # (H, W, T)
        words = split_words(self.sentences())
        if not words:
            raise ValueError("caption: has no words to attend to")
        # the same place in the caption, whatever stands there
        chosen = min(self.word.value or 0, len(words) - 1)
        self.word.options = [(f"{place + 1} {word}", place) for place, word in enumerate(words)]
        self.word.value = chosen
        self._draw()

    def _draw(self):
        if not self.maps:
            self._look()  # which raises why there are none
        layer, word, x, y = self.layer.value, self.word.value, self.pixel_x.value, self.pixel_y.value
        self.weights = self.maps[layer] if layer else torch.stack([*self.maps.values()]).mean(0)
        image, known, _, _ = self.case(self.square())
        seen = np.broadcast_to(hidden(image[0], known[0]), (3, *image.shape[2:])).copy()
        to_word = self.weights[:, :, word].numpy()
        colours = 255 * colormaps["viridis"](to_word / max(to_word.max(), 1e-30))[..., :3].transpose(2, 0, 1)
        self.heat.value = enlarged(0.75 * colours + 0.25 * seen.mean(0))
        seen[:, y, x] = _MARK
        self.picture.value = enlarged(seen)
        self.bars.value = self._bars(self.weights[y, x].tolist(), word)
        span = f"from {to_word.min():.3f} (dark) to {to_word.max():.3f} (bright) of a pixel's attention"
        self.say(f"word {self.word.label}: {span}; beside it what pixel ({x}, {y}) attends to")

    def _bars(self, shares, chosen):
        """A table of the words with a bar for each share of attention."""
        most = max(shares) or 1
        rows = []
        for (label, place), share in zip(self.word.options, shares):
            bar = f'<div style="background:#0072b2;height:.8em;width:{9 * share / most:.2f}em"></div>'
            weight = "bold" if place == chosen else "normal"
            cells = f"<td>{escape(label)}</td><td>{bar}</td><td>{share:.3f}</td>"
            rows.append(f'<tr style="font-weight:{weight}">{cells}</tr>')
        return f"<table>{''.join(rows)}</table>"
