"""A panel for JupyterLab: a hole filled in while one watches. Its controls are its attributes; errors are
shown in it as one line."""

import threading
import time
from functools import partial

import torch
from ipywidgets import (
    BoundedIntText,
    Button,
    Dropdown,
    FloatSlider,
    HBox,
    IntSlider,
    Layout,
    ToggleButton,
    VBox,
)

from ..nade import sampling, schedules
from ..show.figures import hidden
from .parts import CaptionedPanel, enlarged, titled, wide

_REDRAW_EVERY = 0.08  # seconds; a browser is not sent every draw


def inpainting_panel(models, pictures, captions, vocabulary):
    """A panel in which a hole is placed or painted, a caption edited, and the picture watched as it fills in.

    Args:
        models: dict from name to Inpainter in evaluation mode.
        pictures: uint8 (N, C, H, W).
        captions: for each of N pictures a sequence of str.
        vocabulary: captions.Vocabulary of the models.
    Returns:
        ipywidgets.VBox.
    Raises:
        ValueError: no pictures, or not as many captions. What goes wrong later is shown in the panel.
    """
    return _InpaintingPanel(models, pictures, captions, vocabulary)


class _Stopped(Exception):
    """Raised in a run that nobody waits for any more."""


class _InpaintingPanel(CaptionedPanel):
    """See `inpainting_panel`. A run lives in a thread of its own and may touch the panel only while its event
    `stopped` is not set."""

    def __init__(self, models, pictures, captions, vocabulary):
        super().__init__(pictures, captions, vocabulary)
        self.models, self.hole, self.result = models, None, None
        self.stopped, self.thread = threading.Event(), None
        self.plain = False  # nothing is greyed, as Gibbs sampling knows something everywhere
        self.model = Dropdown(options=list(models), description="model", **wide())
        self.paint = ToggleButton(
            False, description="Paint", tooltip="While pressed, moving the hole adds to it"
        )
        self.strategy = Dropdown(options=sampling.STRATEGIES, description="strategy", **wide())
        self.temperature = FloatSlider(1, min=0, max=1.5, step=0.05, description="temperature", **wide())
        self.alpha_max = FloatSlider(0.9, min=0, max=1, step=0.01, description="alpha_max", **wide())
        self.alpha_min = FloatSlider(0.02, min=0, max=1, step=0.01, description="alpha_min", **wide())
        self.eta = FloatSlider(0.7, min=0.05, max=1, step=0.05, description="eta", **wide())
        self.steps = BoundedIntText(100, min=1, max=10_000, description="Gibbs steps", **wide())
        self.seed = BoundedIntText(0, min=0, max=2**31 - 1, description="seed", **wide())
        self.fill = Button(description="Fill in", button_style="primary")
        self.stop = Button(description="Stop", disabled=True)
        self.frame = IntSlider(0, 0, 0, description="frame", disabled=True, **wide())
        self.fill.on_click(lambda button: self.attempt(self._begin))
        self.stop.on_click(lambda button: self.attempt(self._stop))
        self.on(self._other_picture, self.number)
        self.on(self._place, self.x, self.y, self.size)
        self.on(self.name_unknown_words, self.caption)
        self.on(self._enable, self.strategy)
        self.on(self._show_frame, self.frame)
        place = VBox([self.number, self.x, self.y, self.size, self.paint, self.caption, self.unknown])
        schedule = [self.alpha_max, self.alpha_min, self.eta, self.steps]
        process = VBox([self.model, self.strategy, self.temperature, *schedule, self.seed])
        picture, buttons = titled("What is hidden is grey", self.picture), HBox([self.fill, self.stop])
        watched = VBox([picture, buttons, self.frame, self.status, self.error], layout=Layout(width="28em"))
        self.children = [HBox([watched, place, process], layout=Layout(flex_flow="row wrap"))]
        self._enable()
        self.attempt(self._other_picture)

    def _other_picture(self):
        self.take_caption()
        self.name_unknown_words()
        self.hole = None
        self._place()

    def _place(self):
        self._end("")
        self.result, self.frame.max, self.frame.disabled = None, 0, True
        self.hole = self.hole if self.paint.value else None
        square = self.square()
        self.hole = square if self.hole is None else self.hole | square
        image, known, _, _ = self.case(self.hole)
        self._draw(image, known)
        self.say(f"{int((~known).sum())} variables are hidden")

    def _enable(self):
        for control in (self.alpha_max, self.alpha_min, self.eta, self.steps):
            control.disabled = not self._gibbs()

    def _gibbs(self):
        return self.strategy.value.endswith("gibbs")

    def _draw(self, image, known):
        """Show the first of pictures (B, C, H, W), what is not known in grey."""
        self.picture.value = enlarged(hidden(image[0], known[0]))

    def _show_frame(self):
        if self.result is not None:
            last = self.frame.value == len(self.result.frames) - 1
            known = self.result.known_frames[self.frame.value]
            shown = torch.ones_like(known) if last or self.plain else known
            self._draw(self.result.frames[self.frame.value], shown)
            step, steps = int(self.result.steps[self.frame.value]), int(self.result.steps[-1])
            self.say(f"step {step} of {steps}, {self.summary}")

    def _end(self, text):
        """End the run, if there is one; what it has drawn stays in the picture."""
        self.stopped.set()
        self.fill.disabled, self.stop.disabled = False, True
        self.say(text)

    def _stop(self):
        self._end(f"stopped; {self.said}")

    def _begin(self):
        if self.model.value is None:
            raise ValueError("models: there is none; expected at least one Inpainter")
        if self.hole is None:
            self.square()  # raises what is wrong with it
        self._end("")
        ends = {"alpha_max": self.alpha_max.value, "alpha_min": self.alpha_min.value}
        schedule = partial(schedules.annealed, **ends, eta=self.eta.value)
        gibbs = {"schedule": schedule, "num_steps": self.steps.value} if self._gibbs() else {}
        choices = {
            "strategy": self.strategy.value,
            "temperature": self.temperature.value,
            "generator": torch.Generator().manual_seed(self.seed.value),
            **gibbs,
        }
        self.plain, self.stopped, self.result = self._gibbs(), threading.Event(), None
        self.fill.disabled, self.stop.disabled, self.frame.disabled = True, False, True
        run = (self.stopped, self.models[self.model.value], self.case(self.hole), self.plain, choices)
        self.thread = threading.Thread(target=self._run, args=run, daemon=True)
        self.thread.start()

    def _run(self, stopped, model, case, plain, choices):
        began = drawn = time.perf_counter()
        hole = ~case[1]

        def watch(step, image, known):
            nonlocal drawn
            if stopped.is_set():
                raise _Stopped
            now = time.perf_counter()
            if now - drawn >= _REDRAW_EVERY:
                drawn = now
                told = (step, image, known, hole, plain, now - began)
                self._while_wanted(stopped, partial(self._progress, *told))

        try:
            result = sampling.inpaint(model, *case, **choices, watch=watch)
            self._while_wanted(stopped, lambda: self._finish(result, hole, time.perf_counter() - began))
        except _Stopped:
            pass  # who stopped it has said so
        except Exception as error:
            self._while_wanted(stopped, partial(self._fail, error))

    def _while_wanted(self, stopped, action):
        with self.lock:
            if not stopped.is_set():
                self.attempt(action)

    def _fail(self, error):
        self._end("")
        raise error

    def _progress(self, step, image, known, hole, plain, seconds):
        self._draw(image, known | plain)
        count = f"{int((known & hole).sum())} of {int(hole.sum())} variables known"
        self.say(f"draw {step}, {count}, {seconds:.1f} s")

    def _finish(self, result, hole, seconds):
        self._end("")
        self.result, last = result, len(result.frames) - 1
        how = f"{int(result.evaluations)} evaluations in {seconds:.2f} s"
        self.summary = f"{int(hole.sum())} variables filled in with {how}"
        self.frame.max, self.frame.disabled, self.frame.value = last, False, last
        self._show_frame()
