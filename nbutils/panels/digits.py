"""A panel for JupyterLab that looks into a `PixelPredictor`: what it holds possible."""

import time
from functools import partial

import torch
from ipywidgets import HTML, BoundedIntText, HBox, Image, IntSlider, Layout, VBox

from ..data.digits import drawn
from ..pixelrnn import filling
from ..show.figures import contact_sheet, picture_cell
from .parts import Panel, enlarged, square, titled, wide

_SHOWN = 8  # fillings
_SAMPLES = 5


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


class _DigitsPanel(Panel):
    """See `digits_panel`."""

    def __init__(self, model, pixels, size):
        if pixels.dim() != 2 or not len(pixels) or pixels.shape[1] != size**2:
            expected = f"(N, {size**2}) for pictures of {size} x {size}"
            raise ValueError(f"pixels: shape {tuple(pixels.shape)}; expected {expected}")
        super().__init__()
        self.model, self.pixels, self.side, self.probabilities = model, pixels, size, None
        # each value is a reading of many digits
        slider = partial(IntSlider, continuous_update=False, **wide())
        self.number = slider(0, 0, len(pixels) - 1, description="picture")
        self.x, self.y = (slider((size - 1) // 2, 0, size - 1, description=f"hole {name}") for name in "xy")
        self.size = slider(min(2, size), 1, min(3, size), description="hole size")
        self.first = slider(size**2 // 2, 0, size**2 - 1, description="hide from pixel")
        self.seed = BoundedIntText(0, min=0, max=2**31 - 1, description="seed", **wide())
        self.picture, self.fillings, self.continued = Image(format="png"), HTML(), Image(format="png")
        self.on(self._other_picture, self.number)
        self.on(self._fill, self.x, self.y, self.size)
        self.on(self._go_on, self.first, self.seed)
        shown = [self.number, self.x, self.y, self.size, self.status, self.error]
        controls, picture = VBox(shown, layout=Layout(width="29em")), titled("The hole is grey", self.picture)
        hole = HBox([picture, controls, self.fillings], layout=Layout(flex_flow="row wrap"))
        continued = titled(f"The end is grey; {_SAMPLES} samples of how the digit goes on", self.continued)
        self.children = [hole, HBox([self.first, self.seed]), continued]
        self.attempt(self._other_picture)

    def _other_picture(self):
        self._go_on()
        self._fill()

    def _fill(self):
        """Show the hole, then all that the model holds of it."""
        digit, self.probabilities, self.fillings.value = self.pixels[self.number.value], None, ""
        inside = square(self.side, self.side, self.x.value, self.y.value, self.size.value)
        missing = inside.flatten().nonzero()[:, 0]
        self.picture.value = enlarged(drawn(digit.index_fill(0, missing, 0.5)), 192)
        began = time.perf_counter()
        nats = filling.filling_nlls(self.model, digit[None], missing[None])[0]
        self.probabilities = torch.softmax(-nats, 0)
        options = filling.fillings(len(missing)).to(digit)
        best = self.probabilities.topk(min(_SHOWN, len(options)))
        cells = []
        for probability, option in zip(best.values.tolist(), options[best.indices]):
            label = f"{probability:.1%}" + (", as it was" if torch.equal(option, digit[missing]) else "")
            cells.append(picture_cell(drawn(digit.scatter(0, missing, option)), label, "A filling", 72))
        style = "display:flex;flex-wrap:wrap;gap:8px;max-width:330px"
        self.fillings.value = f'<div style="{style}">{"".join(cells)}</div>'
        told = f"all {len(options)} fillings weighed in {time.perf_counter() - began:.2f} s"
        share = f"{float(best.values.sum()):.1%} of the probability"
        self.say(f"{told}; the {len(cells)} most probable have {share}")

    def _go_on(self):
        """Show samples of the digit's hidden end."""
        digit, first = self.pixels[self.number.value], self.first.value
        generator = torch.Generator().manual_seed(self.seed.value)
        where = (digit[None], first, len(digit) - first)
        ends = filling.sample_next(self.model, *where, num_samples=_SAMPLES, generator=generator)
        begun = digit[:first].expand(_SAMPLES, -1)
        hidden_end = torch.cat([digit[:first], torch.full_like(digit[first:], 0.5)])
        rows = torch.cat([hidden_end[None], torch.cat([begun, ends.values[:, 0]], 1)])
        self.continued.value = enlarged(contact_sheet(drawn(rows), len(rows)), 600)
