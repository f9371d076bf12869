"""Panels do what their controls say, show what the models say, and keep their errors to themselves."""

import io
import threading

import numpy as np
import pytest
import torch
from ipywidgets import HTML
from PIL import Image
from test_pixel_models import predictor

from nbutils.data.captions import Vocabulary
from nbutils.nade import sampling, schedules
from nbutils.nade.inpainter import Inpainter, InpainterConfig
from nbutils.panels import attention, holes, parts
from nbutils.panels import digits as panel_of_digits
from nbutils.pixelrnn import filling
from nbutils.show import figures

CAPTIONS = (("A red ball.", "Snow below."), ("A blue <b>ball</b>.",), ())
VOCABULARY = Vocabulary(
    ("<padding>", "<unknown>", "<separator>", "A", "red", "blue", "ball", ".", "Snow", "below")
)
SIZE = 8


def small_model(**settings):
    torch.manual_seed(0)
    config = dict(
        image_size=SIZE,
        levels=256,
        width=5,
        layers=3,
        vocabulary_size=len(VOCABULARY),
        embedding_size=4,
        reader_size=4,
    )
    return Inpainter(InpainterConfig(**config | settings)).eval()


def pictures():
    return torch.randint(
        256, (3, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def filling_panel(models=None):
    return holes.inpainting_panel(
        {"small": small_model()} if models is None else models, pictures(), CAPTIONS, VOCABULARY
    )


def looking_panel(**settings):
    return attention.attention_panel(small_model(**settings), pictures(), CAPTIONS, VOCABULARY)


def digits():
    return (torch.rand(4, 36, generator=torch.Generator().manual_seed(2)) > 0.6).float()


def reading_panel():
    return panel_of_digits.digits_panel(digit_model(), digits(), 6)


def digit_model():
    return predictor(cell="gru", hidden_size=5).float()


PANELS = (filling_panel, looking_panel, reading_panel)


def shown(image):
    """The pixels (3, H, W) of a panel's picture, of which each must be a square of one colour."""
    pixels = np.asarray(Image.open(io.BytesIO(image.value)).convert("RGB"))
    factor = pixels.shape[1] // SIZE
    small = pixels[::factor, ::factor]
    assert np.array_equal(small.repeat(factor, 0).repeat(factor, 1), pixels)
    return small.transpose(2, 0, 1)


def grey(panel):
    """Where the picture of a panel is grey all over, bool (H, W)."""
    return (shown(panel.picture) == 128).all(0)


def filled(panel):
    """Press the button and wait."""
    panel.fill.click()
    panel.thread.join(60)
    assert not panel.thread.is_alive()
    return panel.result


def by_hand(panel, **choices):
    """What the panel should find, from its controls."""
    image = panel.pictures[panel.number.value][None].long()
    known = torch.ones_like(image, dtype=torch.bool)
    known[
        :,
        :,
        panel.y.value : panel.y.value + panel.size.value,
        panel.x.value : panel.x.value + panel.size.value,
    ] = False
    words = VOCABULARY.encode([panel.caption.value.splitlines()])
    return sampling.inpaint(
        small_model(),
        image,
        known,
        *words,
        generator=torch.Generator().manual_seed(panel.seed.value),
        **choices,
    )


def test_moving_the_hole_changes_the_picture_at_once():
    panel = filling_panel()
    expected = np.zeros((SIZE, SIZE), bool)
    expected[2:6, 2:6] = True
    assert np.array_equal(grey(panel), expected)
    panel.x.value, panel.size.value = 4, 3
    expected[:] = False
    expected[2:5, 4:7] = True
    assert np.array_equal(grey(panel), expected)
    panel.number.value = 1
    assert np.array_equal(grey(panel), expected)
    assert np.array_equal(shown(panel.picture)[:, ~expected], pictures()[1].numpy()[:, ~expected])
    assert panel.caption.value == CAPTIONS[1][0]


def test_a_hole_can_be_painted():
    panel = filling_panel()
    panel.size.value = 1
    panel.paint.value = True
    panel.x.value = 3
    panel.y.value = 3
    assert np.argwhere(grey(panel)).tolist() == [[2, 2], [2, 3], [3, 3]]
    assert int((filled(panel).frames[0] != filled(panel).image).any(1).sum()) <= 3
    panel.paint.value = False
    panel.x.value = 7
    assert np.argwhere(grey(panel)).tolist() == [[3, 7]]


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_filling_in_gives_what_the_sampler_gives(strategy):
    panel = filling_panel()
    (
        panel.strategy.value,
        panel.temperature.value,
        panel.seed.value,
        panel.steps.value,
        panel.alpha_min.value,
    ) = strategy, 0.8, 7, 5, 0.3
    panel.caption.value = "A blue ball."
    gibbs = strategy.endswith("gibbs")
    more = (
        {"num_steps": 5, "schedule": lambda step, steps: schedules.annealed(step, steps, 0.9, 0.3, 0.7)}
        if gibbs
        else {}
    )
    expected = by_hand(panel, strategy=strategy, temperature=0.8, **more)
    assert [control.disabled for control in (panel.alpha_max, panel.alpha_min, panel.eta, panel.steps)] == [
        not gibbs
    ] * 4
    assert torch.equal(filled(panel).image, expected.image)
    assert np.array_equal(shown(panel.picture), expected.image[0].numpy())
    assert panel.error.value == ""
    panel.frame.value = 3
    greyed = expected.frames[3] if gibbs else torch.where(expected.known_frames[3], expected.frames[3], 128)
    assert np.array_equal(shown(panel.picture), greyed[0].numpy())


def test_the_picture_is_watched_as_it_fills_in(monkeypatch):
    monkeypatch.setattr(holes, "_REDRAW_EVERY", 0)
    panel = filling_panel()
    states = []
    panel.picture.observe(lambda change: states.append(grey(panel).sum()), "value")
    filled(panel)
    assert len(states) > 3
    assert states == sorted(states, reverse=True)
    assert states[0] > 0
    assert states[-1] == 0


class Gated(torch.nn.Module):
    """An inpainter that waits before every prediction until it is let on."""

    def __init__(self):
        super().__init__()
        self.inner, self.reached, self.gate = small_model(), threading.Semaphore(0), threading.Semaphore(0)

    @property
    def config(self):
        return self.inner.config

    def forward(self, *arguments):
        self.reached.release()
        assert self.gate.acquire(timeout=60)
        return self.inner(*arguments)


def test_stop_ends_early_and_leaves_the_panel_usable():
    slow = Gated().eval()
    panel = filling_panel({"slow": slow, "small": small_model()})
    panel.fill.click()
    assert slow.reached.acquire(timeout=60)
    assert (panel.fill.disabled, panel.stop.disabled) == (True, False)
    run = panel.thread
    panel.stop.click()
    assert "stopped" in panel.status.value
    assert (panel.fill.disabled, panel.stop.disabled) == (False, True)
    slow.gate.release()
    run.join(60)
    assert not run.is_alive()
    assert not slow.reached.acquire(blocking=False)  # of 48 predictions it made the one that was under way
    assert panel.result is None
    panel.model.value = "small"
    assert torch.equal(filled(panel).image, by_hand(panel, strategy="orderless").image)


def test_moving_the_hole_ends_the_run_and_what_comes_late_changes_nothing():
    slow = Gated().eval()
    panel = filling_panel({"slow": slow})
    panel.fill.click()
    assert slow.reached.acquire(timeout=60)
    panel.x.value = 0
    picture, status = panel.picture.value, panel.status.value
    slow.gate.release(100)
    panel.thread.join(60)
    assert not panel.thread.is_alive()
    assert (panel.picture.value, panel.status.value, panel.result) == (picture, status, None)


def test_words_that_the_model_does_not_know_are_named_and_escaped():
    for panel in (filling_panel(), looking_panel()):
        assert panel.unknown.value == ""
        panel.caption.value = "A red <script>alert(1)</script>"
        assert "script, &gt;, alert" in panel.unknown.value
        panel.number.value = 1
        assert "&lt;, b" in panel.unknown.value
        assert not any("<script" in part.value or "<b>" in part.value for part in every(panel, HTML))
        assert panel.error.value == ""


def every(part, kind):
    """All parts of a panel that are of a kind."""
    return [part] * isinstance(part, kind) + [
        found for child in getattr(part, "children", ()) for found in every(child, kind)
    ]


def hostile(*arguments):
    raise ValueError("<script>\nalert(1)</script>")


@pytest.mark.parametrize("build", PANELS)
def test_an_impossible_hole_is_one_line_of_the_panel(build):
    panel = build()
    before = panel.picture.value
    panel.x.value = panel.x.max
    panel.size.value = 2
    assert "do not fit into a picture" in panel.error.value
    assert "\n" not in panel.error.value
    panel.x.value = 0
    assert panel.error.value == ""
    assert panel.picture.value != before


def test_errors_of_a_run_are_lines_of_the_panel():
    panel = filling_panel({})
    panel.fill.click()
    assert "models: there is none" in panel.error.value
    panel = filling_panel(
        {"<i>training</i>": small_model().train(), "broken": lambda *arguments: 1 / 0, "hostile": hostile}
    )
    for name, message in (
        ("<i>training</i>", "training mode"),
        ("broken", "division by zero"),
        ("hostile", ">&lt;script&gt; alert(1)&lt;/script&gt;<"),
    ):
        panel.model.value = name
        assert filled(panel) is None
        assert message in panel.error.value
        assert (panel.fill.disabled, panel.stop.disabled) == (False, True)
    panel.x.value = 7
    panel.fill.click()
    assert "do not fit" in panel.error.value
    panel = filling_panel()
    panel.strategy.value, panel.alpha_min.value = "independent_gibbs", 0.95
    assert filled(panel) is None
    assert "alpha_min &lt;= alpha_max" in panel.error.value
    panel.alpha_min.value = 0.1
    assert filled(panel) is not None
    assert panel.error.value == ""


def test_the_attention_shown_is_that_of_the_model():
    panel = looking_panel()
    assert panel.weights.shape == (SIZE, SIZE, 8)  # A red ball. <separator> Snow below.
    assert torch.allclose(panel.weights.sum(-1), torch.ones(SIZE, SIZE))
    assert panel.layer.options == (("mean of all", 0), ("1", 1), ("3", 3))
    image, known, caption, length = panel.case(panel.square())
    model = small_model()
    with torch.no_grad():
        first = torch.relu(model.first_norm(model.first(image, known))).flatten(2).transpose(1, 2)
        states, valid = model.reader(caption, length)
        expected = (
            model.mergers["1"]
            .weights(first, model.mergers["1"].metric(states), valid)[0]
            .view(SIZE, SIZE, -1)
        )
    mean = panel.weights
    panel.layer.value = 1
    assert torch.equal(panel.weights, expected)
    panel.layer.value = 3
    assert torch.allclose((panel.weights + expected) / 2, mean)
    panel.pixel_x.value, panel.pixel_y.value = 6, 1
    for share in panel.weights[1, 6].tolist():
        assert f"<td>{share:.3f}</td>" in panel.bars.value
    assert shown(panel.picture)[:, 1, 6].tolist() == [213, 94, 0]


def test_word_and_hole_change_the_map_and_other_use_of_the_model_does_not():
    model = small_model()
    panel = attention.attention_panel(model, pictures(), CAPTIONS, VOCABULARY)
    maps = [panel.heat.value]
    panel.word.value = 1
    maps.append(panel.heat.value)
    panel.x.value = 0
    maps.append(panel.heat.value)
    assert len(set(maps)) == 3
    before = panel.weights
    model.features(pictures()[:1].long(), torch.zeros(1, 3, SIZE, SIZE, dtype=torch.bool))
    panel.word.value = 2
    assert torch.equal(panel.weights, before)


def test_captions_without_words_and_models_without_attention_are_errors_of_the_panel():
    panel = looking_panel()
    panel.number.value = 2
    assert "caption: has no words" in panel.error.value
    panel.caption.value = "ball"
    assert panel.error.value == ""
    assert torch.equal(panel.weights, torch.ones(SIZE, SIZE, 1))
    for settings in ({"merger": "concat"}, {"vocabulary_size": 0}):
        panel = looking_panel(**settings)
        assert "by attention" in panel.error.value
        panel.pixel_x.value = 1
        assert "by attention" in panel.error.value


@pytest.mark.parametrize("side", [1, 2, 3])
def test_the_probabilities_of_fillings_are_the_exact_posterior(side):
    panel = reading_panel()
    panel.number.value, panel.size.value, panel.x.value, panel.y.value = 2, side, 3, 1
    missing = torch.tensor(
        [[6 * row + column for row in range(1, 1 + side) for column in range(3, 3 + side)]]
    )
    expected = torch.softmax(-filling.filling_nlls(digit_model(), digits()[2:3], missing)[0], 0)
    assert torch.equal(panel.probabilities, expected)
    assert float(panel.probabilities.sum()) == pytest.approx(1)
    best = expected.sort(descending=True).values[:8]
    assert panel.fillings.value.count("<img") == len(best)
    assert all(f">{float(p):.1%}" in panel.fillings.value for p in best)
    hidden = np.asarray(Image.open(io.BytesIO(panel.picture.value)))[::32, ::32] == 127
    assert sorted(hidden.flatten().nonzero()[0].tolist()) == missing[0].tolist()


def test_the_hidden_end_of_a_digit_is_sampled():
    panel = reading_panel()
    before = panel.continued.value
    panel.first.value = 30
    assert panel.continued.value != before
    ends = filling.sample_next(
        digit_model(), digits()[:1], 30, 6, num_samples=5, generator=torch.Generator().manual_seed(0)
    ).values[:, 0]
    expected = torch.cat([digits()[:1, :30].expand(5, -1), ends], 1).view(5, 6, 6)
    pixels = np.asarray(Image.open(io.BytesIO(panel.continued.value)))
    factor = pixels.shape[0] // 6
    sheet = pixels[::factor, ::factor]
    for number, picture in enumerate(expected, start=1):
        assert np.array_equal(sheet[:, 8 * number : 8 * number + 6], 255 * picture.numpy())
    panel.seed.value = 1
    assert panel.continued.value != before
    for first in (0, 35):
        panel.first.value = first
        assert panel.error.value == ""


def test_panels_of_nothing_are_refused():
    for arguments in ((pictures()[:0], ()), (pictures(), CAPTIONS[:2])):
        with pytest.raises(ValueError, match="as many captions as pictures"):
            holes.inpainting_panel({}, *arguments, VOCABULARY)
    with pytest.raises(ValueError, match="expected \\(N, 49\\)"):
        panel_of_digits.digits_panel(digit_model(), digits(), 7)


def test_batch_runs_get_a_sentence_and_no_widget(monkeypatch):
    made, said, displayed = [], [], []
    monkeypatch.setattr(parts, "say", said.append)
    monkeypatch.setattr(parts, "display", displayed.append)
    monkeypatch.delenv("NBUTILS_PANELS", raising=False)

    def panel(*arguments):
        """A panel that is
        never made.

        Args: none.
        """
        made.append(arguments)

    parts.show_panel(panel, 1)
    assert (made, displayed) == ([], [])
    assert said == ["In JupyterLab (`make lab`) a panel stands here that is never made."]
    for kind in (holes.inpainting_panel, attention.attention_panel, panel_of_digits.digits_panel):
        parts.show_panel(kind)
    assert len({text.partition("stands here ")[2] for text in said} - {""}) == len(said) == 4
    monkeypatch.setenv("NBUTILS_PANELS", "1")
    parts.show_panel(filling_panel)
    assert type(displayed[0]).__name__ == "_InpaintingPanel"
    assert len(said) == 4


def test_little_pictures_are_enlarged_without_smoothing():
    picture = figures.contact_sheet(np.arange(4).reshape(1, 2, 2) * 80, 1)
    pixels = np.asarray(Image.open(io.BytesIO(parts.enlarged(picture, 5))))
    assert pixels.tolist() == np.kron(picture[0], np.ones((3, 3))).tolist()
