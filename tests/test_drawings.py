"""Drawings say in words what they show, and fit the net or the picture that they are given."""

import re

import pytest

from nbutils.data import scenes
from nbutils.nade.inpainter import InpainterConfig
from nbutils.show import drawings, figures


@pytest.fixture
def shown(monkeypatch):
    texts = []
    for module in (drawings, figures):
        monkeypatch.setattr(module, "display", lambda html: texts.append(html.data))
    return texts


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        (dict(layers=3, width=12), "reads no caption"),
        (dict(layers=12, vocabulary_size=9, readout=32), "joins after 1, 3, 5, 7, 9, 11"),
        (dict(layers=2, vocabulary_size=9, merger="concat", merge_layers=(2,)), "joins after 2"),
    ],
)
def test_a_net_is_drawn_as_it_is_configured(shown, choices, told):
    drawings.model(InpainterConfig(**choices))
    (text,) = shown
    assert told in text
    assert 'data-name="model"' in text
    assert len(re.search(r'alt="([^"]*)"', text)[1]) > 80


def texts_of(axis):
    return [one.get_text() for one in axis.texts]


def test_layers_without_a_box_of_their_own_are_said_to_be_there():
    _, axis = figures.chart()
    drawings._layers(axis, InpainterConfig(layers=12))
    assert texts_of(axis) == ["layer 1", "layer 2", "layer 3", "layer 4", "...", "layer 12"]
    _, axis = figures.chart()
    drawings._layers(axis, InpainterConfig(layers=2, vocabulary_size=9))
    assert texts_of(axis)[:2] == ["layer 1", "layer 2"]
    assert any("which words matter" in text for text in texts_of(axis))


def test_the_way_from_masking_to_sampling_is_told_in_steps(shown):
    drawings.storyboard(scenes.draw(5, 0, 16), "A <red> box.")
    (text,) = shown
    assert re.findall(r">(\d)\. ", text) == list("1234567")
    assert "A &lt;red&gt; box." in text
    assert "a hole of 192 values" in text
    assert all(alt for alt in re.findall(r'alt="([^"]*)"', text))
