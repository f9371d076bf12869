"""Panels that look into a model: whom every pixel of an `Inpainter` listens to, and what a `PixelPredictor`
holds possible."""

import time
from functools import partial
from html import escape

import numpy as np
import torch
from ipywidgets import HTML, BoundedIntText, Dropdown, HBox, Image, IntSlider, Layout, VBox
from matplotlib import colormaps

from ..data.captions import split_words
from ..pixelrnn import filling
from ..show.figures import contact_sheet, hidden, picture_cell
from .parts import CaptionedPanel, Panel, enlarged, square, titled, wide

_SHOWN = 8  # fillings
_SAMPLES = 5
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


def digits_panel(model, pixels, size):
    """A panel that hides a small square of a digit and shows the exact posterior over its fillings, and
    continues a digit whose end is hidden.

    Args:
        model: PixelPredictor in evaluation mode.
        pixels: float (N, size * size) of 0 and 1.
        size: side of the pictures.
    Returns:
        ipywidgets.VBox; its `probabilities`, float64 (2^k,), are those of all fillings of the k hidden
            pixels.
    Raises:
        ValueError: no pictures, or of another size. What goes wrong later is shown in the panel.
    """
    return _DigitsPanel(model, pixels, size)


class _AttentionPanel(CaptionedPanel):
    """See `attention_panel`."""

    def __init__(self, model, pictures, captions, vocabulary):
        super().__init__(pictures, captions, vocabulary)
        self.model, self.maps, self.weights = model, {}, None
        height, width = pictures.shape[2:]
        layers = [int(layer) for layer in self.model.mergers]
        self.word = Dropdown(description="word", **wide())
        self.layer = Dropdown(
            options=[("mean of all", 0), *((str(layer), layer) for layer in layers)],
            description="layer",
            **wide(),
        )
        self.pixel_x = IntSlider(width // 2, 0, width - 1, description="pixel x", **wide())
        self.pixel_y = IntSlider(height // 2, 0, height - 1, description="pixel y", **wide())
        self.heat, self.bars = Image(format="png"), HTML(layout=Layout(max_height="24em", overflow="auto"))
        for control in (self.number, self.x, self.y, self.size, self.caption):
            control.continuous_update = False  # each is a pass of the net
        self.on(self._other_picture, self.number)
        self.on(self._look, self.x, self.y, self.size, self.caption)
        self.on(self._draw, self.word, self.layer, self.pixel_x, self.pixel_y)
        controls = [
            self.number,
            self.x,
            self.y,
            self.size,
            self.caption,
            self.unknown,
            self.word,
            self.layer,
            self.pixel_x,
            self.pixel_y,
        ]
        maps = HBox(
            [
                titled("The chosen pixel is orange", self.picture),
                titled("Attention to the chosen word", self.heat),
            ]
        )
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
        self.maps = {
            layer: weights[0] for layer, weights in self.model.attention(*self.case(self.square())).items()
        }  # (H, W, T)
        words = split_words(self.sentences())
        if not words:
            raise ValueError("caption: has no words to attend to")
        chosen = min(
            self.word.value or 0, len(words) - 1
        )  # the same place in the caption, whatever stands there
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
        self.say(
            f"word {self.word.label}: from {to_word.min():.3f} (dark) to {to_word.max():.3f} (bright) "
            f"of a pixel's attention; beside it what pixel ({x}, {y}) attends to"
        )

    def _bars(self, shares, chosen):
        """A table of the words with a bar for each share of attention."""
        most = max(shares) or 1
        rows = []
        for (label, place), share in zip(self.word.options, shares):
            bar = f'<div style="background:#0072b2;height:.8em;width:{9 * share / most:.2f}em"></div>'
            weight = "bold" if place == chosen else "normal"
            rows.append(
                "<tr "
                f'style="font-weight:{weight}"><td>{escape(label)}</td><td>{bar}</td><td>{share:.3f}</td></tr>'
            )
        return f"<table>{''.join(rows)}</table>"


class _DigitsPanel(Panel):
    """See `digits_panel`."""

    def __init__(self, model, pixels, size):
        if pixels.dim() != 2 or not len(pixels) or pixels.shape[1] != size**2:
            raise ValueError(
                f"pixels: shape {tuple(pixels.shape)}; expected (N, {size**2}) for pictures of {size} "
                f"x {size}"
            )
        super().__init__()
        self.model, self.pixels, self.side, self.probabilities = model, pixels, size, None
        slider = partial(
            IntSlider, continuous_update=False, **wide()
        )  # each value is a reading of many digits
        self.number = slider(0, 0, len(pixels) - 1, description="picture")
        self.x, self.y = (slider((size - 1) // 2, 0, size - 1, description=f"hole {name}") for name in "xy")
        self.size = slider(min(2, size), 1, min(3, size), description="hole size")
        self.first = slider(size**2 // 2, 0, size**2 - 1, description="hide from pixel")
        self.seed = BoundedIntText(0, min=0, max=2**31 - 1, description="seed", **wide())
        self.picture, self.fillings, self.continued = Image(format="png"), HTML(), Image(format="png")
        self.on(self._other_picture, self.number)
        self.on(self._fill, self.x, self.y, self.size)
        self.on(self._go_on, self.first, self.seed)
        controls = VBox(
            [self.number, self.x, self.y, self.size, self.status, self.error], layout=Layout(width="29em")
        )
        hole = HBox(
            [titled("The hole is grey", self.picture), controls, self.fillings],
            layout=Layout(flex_flow="row wrap"),
        )
        self.children = [
            hole,
            HBox([self.first, self.seed]),
            titled(f"The end is grey; {_SAMPLES} samples of how the digit goes on", self.continued),
        ]
        self.attempt(self._other_picture)

    def _other_picture(self):
        self._go_on()
        self._fill()

    def _drawn(self, sequences):
        """Pixels (N, T) as pictures, uint8 (N, H, W)."""
        return (255 * sequences.view(-1, self.side, self.side)).to(torch.uint8)

    def _fill(self):
        """Show the hole, then all that the model holds of it."""
        digit, self.probabilities, self.fillings.value = self.pixels[self.number.value], None, ""
        missing = (
            square(self.side, self.side, self.x.value, self.y.value, self.size.value)
            .flatten()
            .nonzero()[:, 0]
        )
        self.picture.value = enlarged(self._drawn(digit.index_fill(0, missing, 0.5)), 192)
        began = time.perf_counter()
        self.probabilities = torch.softmax(
            -filling.filling_nlls(self.model, digit[None], missing[None])[0], 0
        )
        options = filling.fillings(len(missing)).to(digit)
        best = self.probabilities.topk(min(_SHOWN, len(options)))
        cells = []
        for probability, option in zip(best.values.tolist(), options[best.indices]):
            label = f"{probability:.1%}" + (", as it was" if torch.equal(option, digit[missing]) else "")
            cells.append(picture_cell(self._drawn(digit.scatter(0, missing, option)), label, "A filling", 72))
        self.fillings.value = (
            f'<div style="display:flex;flex-wrap:wrap;gap:8px;max-width:330px">{"".join(cells)}</div>'
        )
        told = f"all {len(options)} fillings weighed in {time.perf_counter() - began:.2f} s"
        self.say(
            f"{told}; the {len(cells)} most probable have {float(best.values.sum()):.1%} of the probability"
        )

    def _go_on(self):
        """Show samples of the digit's hidden end."""
        digit, first = self.pixels[self.number.value], self.first.value
        generator = torch.Generator().manual_seed(self.seed.value)
        ends = filling.sample_next(
            self.model, digit[None], first, len(digit) - first, num_samples=_SAMPLES, generator=generator
        ).values[:, 0]
        begun = digit[:first].expand(_SAMPLES, -1)
        rows = torch.cat(
            [
                torch.cat([digit[:first], torch.full_like(digit[first:], 0.5)])[None],
                torch.cat([begun, ends], 1),
            ]
        )
        self.continued.value = enlarged(contact_sheet(self._drawn(rows), len(rows)), 600)
