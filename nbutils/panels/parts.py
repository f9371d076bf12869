"""What panels are made of: boxes that show their own errors, enlarged pictures, controls of a captioned
picture; and where a panel is shown."""

import inspect
import io
import os
import threading
from html import escape

import numpy as np
import torch
from IPython.display import display
from ipywidgets import HTML, Image, IntSlider, Label, Layout, Textarea, VBox
from PIL import Image as Pictures

from ..data.captions import split_words
from ..show.figures import say

PANELS = "NBUTILS_PANELS"  # set by `make lab`; a kernel cannot tell whether somebody sits in front of it


def show_panel(panel, *arguments):
    """Make a panel and show it where a reader can use it; in a batch run a sentence says where that is and
    what it does, and no widget gets into a report.

    Args:
        panel: `inpainting_panel`, `attention_panel` or `digits_panel`; not called in a batch run, where the
            first sentence of its docstring, "A panel ...", is shown.
        arguments: of the panel.
    """
    if os.environ.get(PANELS):
        display(panel(*arguments))
    else:
        what = inspect.getdoc(panel).partition("\n\n")[0].removeprefix("A panel")
        say(f"In JupyterLab (`make lab`) a panel stands here{' '.join(['', *what.split()])}")


def enlarged(picture, width=256):
    """A picture, uint8 (C, H, W), as PNG bytes at least `width` wide: every pixel a square of the same size,
    nothing smoothed."""
    pixels = np.asarray(picture, np.uint8).transpose(1, 2, 0)
    factor = -(-width // pixels.shape[1])
    drawn = Pictures.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels)
    file = io.BytesIO()
    size = (factor * pixels.shape[1], factor * pixels.shape[0])
    drawn.resize(size, Pictures.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def titled(title, picture):
    """A picture of a panel under words that say what it shows; it has no alternative text, and JupyterLab
    fails to draw one with a tooltip."""
    return VBox([Label(title), picture], layout=Layout(align_items="flex-start"))  # not stretched


def wide():
    """Room for a control's name and its value: arguments of a widget."""
    return {"style": {"description_width": "8em"}, "layout": Layout(width="27em")}


def square(height, width, x, y, size):
    """A square hole, bool (height, width), True inside.

    Raises:
        ValueError: it does not lie within the picture.
    """
    if x + size > width or y + size > height:
        where = f"{size} x {size} pixels from ({x}, {y}) on"
        raise ValueError(f"hole: {where} do not fit into a picture of {width} x {height}")
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[y : y + size, x : x + size] = True
    return inside


class Panel(VBox):
    """A box with a line for what goes on and one for what went wrong, both escaped."""

    def __init__(self):
        super().__init__()
        self.said, self.status, self.error = "", HTML(), HTML()
        self.changing = False
        self.lock = threading.RLock()  # held while its reader or a thread of its own changes the panel

    def on(self, action, *controls):
        """Do `action` whenever one of the controls gets another value."""
        for control in controls:
            control.observe(lambda change: self.attempt(action), "value")

    def attempt(self, action):
        """Do it and clear the line of errors, or say there what is wrong."""
        with self.lock:
            if self.changing:  # a control that the panel itself has set
                return
            self.changing = True
            try:
                action()
                self.error.value = ""
            except Exception as error:
                text = " ".join(str(error).split()) or type(error).__name__
                style = 'role="alert" style="color:#d55e00;overflow-wrap:anywhere"'
                self.error.value = f"<span {style}>{escape(text)}</span>"
            finally:
                self.changing = False

    def say(self, text):
        """Show what goes on."""
        self.said, self.status.value = text, f'<span style="overflow-wrap:anywhere">{escape(text)}</span>'


class CaptionedPanel(Panel):
    """A panel with the controls of a captioned picture: its number, a square hole, a caption of one sentence
    a line.

    Args:
        pictures: uint8 (N, C, H, W).
        captions: for each of N pictures a sequence of str.
        vocabulary: captions.Vocabulary.
    Raises:
        ValueError: no pictures, or not as many captions.
    """

    def __init__(self, pictures, captions, vocabulary):
        if not len(pictures) or len(captions) != len(pictures):
            expected = "as many captions as pictures, and at least one"
            raise ValueError(f"pictures, captions: {len(pictures)} and {len(captions)}; expected {expected}")
        super().__init__()
        self.pictures, self.captions, self.vocabulary = pictures, captions, vocabulary
        height, width = pictures.shape[2:]
        side = max(1, min(height, width) // 2)
        self.number = IntSlider(0, 0, len(pictures) - 1, description="picture", **wide())
        self.x = IntSlider((width - side) // 2, 0, width - 1, description="hole x", **wide())
        self.y = IntSlider((height - side) // 2, 0, height - 1, description="hole y", **wide())
        self.size = IntSlider(side, 1, min(height, width), description="hole size", **wide())
        self.caption = Textarea(rows=3, description="caption", **wide())
        self.unknown = HTML()
        self.picture = Image(format="png")

    def take_caption(self):
        """The picture's own caption takes the place of what was written."""
        self.caption.value = "\n".join(self.captions[self.number.value])

    def sentences(self):
        """The lines of the caption that are not empty."""
        return [line for line in self.caption.value.splitlines() if line.strip()]

    def name_unknown_words(self):
        """Say which words of the caption the vocabulary lacks."""
        words = dict.fromkeys(split_words(self.sentences()))
        missing = [word for word in words if word not in self.vocabulary.words]
        self.unknown.value = f"unknown words: {escape(', '.join(missing))}" if missing else ""

    def square(self):
        """The square hole, bool (H, W); raises as `square`."""
        return square(*self.pictures.shape[2:], self.x.value, self.y.value, self.size.value)

    def case(self, hole):
        """What a model takes for the hole, bool (H, W): image (1, C, H, W), known, caption (1, T), its length
        (1,)."""
        image = self.pictures[self.number.value][None].long()
        return image, (~hole).expand_as(image).contiguous(), *self.vocabulary.encode([self.sentences()])
