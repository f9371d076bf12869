"""Pictures and charts show what they are given, at its place."""

import numpy as np
import torch

from nbutils.data import digits, sudoku
from nbutils.nade import sampling
from nbutils.show import animation, figures


class Run:
    """Stands for a training with these columns."""

    def __init__(self, **columns):
        self.column = columns.get


def test_a_contact_sheet_holds_every_picture_in_grey_or_in_colour():
    pictures = np.arange(3 * 3 * 2 * 2).reshape(3, 3, 2, 2)
    sheet = figures.contact_sheet(pictures, 2, gap=1, shade=9)
    assert sheet.shape == (3, 5, 5)
    assert np.array_equal(sheet[:, :2, :2], pictures[0])
    assert np.array_equal(sheet[:, :2, 3:], pictures[1])
    assert np.array_equal(sheet[:, 3:, :2], pictures[2])
    assert (sheet[:, 3:, 3:] == 9).all()
    assert np.array_equal(figures.contact_sheet(pictures[:, 0], 2, gap=1, shade=9)[0], sheet[0])


def test_only_a_hole_is_tinted_and_its_ink_and_paper_are_told_apart():
    ink = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    drawn = figures.tinted(ink, torch.tensor([[True, True], [False, False]]))
    assert drawn.shape == (1, 3, 2, 2)
    assert drawn[0, :, 0].tolist() == [[0, 255]] * 3
    paper, filled = drawn[0, :, 1].T.tolist()
    assert paper[2] > paper[0]  # blue
    assert filled[0] > filled[2]  # orange
    half = figures.tinted(ink * 0.5, torch.zeros(2, 2, dtype=torch.bool))[0, :, 0, 1]
    assert np.abs(half - np.mean([paper, filled], 0)).max() <= 1


def test_around_a_hole_is_what_is_near_it_and_nothing_beyond_the_border():
    pictures = np.arange(64).reshape(1, 1, 8, 8)
    known = torch.ones(8, 8, dtype=torch.bool)
    known[3:5, 6] = False
    assert np.array_equal(figures.around(pictures, known, 2), pictures[:, :, 1:7, 4:8])


def test_learning_curves_have_a_colour_for_each_run_and_dashes_for_the_second_column():
    _, axis = figures.chart()
    runs = {name: Run(step=[1, 2], held=[3.0, 1.0], seen=[2.0, 0.0]) for name in ("a", "b")}
    figures.learning_curves(axis, runs, "loss", "held", "seen")
    labelled = [line for line in axis.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in labelled] == ["a", "b"]
    assert [line.get_color() for line in labelled] == list(figures.COLOURS[:2])
    assert [line.get_linestyle() for line in axis.lines].count("--") == 4  # two curves and their shadows


def test_dots_stand_beside_their_names_in_the_order_given():
    _, axis = figures.chart()
    figures.dots(axis, {"first": (1.0, 0.5), "second": (2.0, 0.0)}, "nats", {"second": "black"})
    assert [label.get_text() for label in axis.get_yticklabels()] == ["first", "second"]
    marks = [line for line in axis.lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks] == [(1.0, 0), (2.0, 1)]
    assert [line.get_color() for line in marks] == [figures.COLOURS[0], "black"]
    low, high = axis.get_ylim()
    assert low > high  # the first on top


def test_sequences_are_drawn_as_square_pictures_row_by_row():
    drawn = digits.drawn(torch.tensor([[[0.0, 1.0, 0.5, 0.0]]]))
    assert drawn.tolist() == [[[0, 255], [127, 0]]]


def test_the_last_frame_says_that_a_hole_is_filled_unless_the_way_draws_again():
    blank = torch.zeros(1, 1, 4, 4, dtype=torch.long)

    def told(**how):
        lot = torch.Generator().manual_seed(0)
        result = sampling.inpaint(sudoku.exact, blank, blank > 0, frames=3, generator=lot, **how)
        return animation.facts(result, 0, blank[0] == 0, how.get("schedule"))

    ancestral = told(strategy="orderless")
    assert ancestral[0] == "step 0 of 16, 0 of 16 known"
    assert ancestral[-1] == "step 16 of 16, filled"
    gibbs = told(strategy="independent_gibbs", num_steps=4, schedule=lambda step, steps: 0.5)
    assert "kept" in gibbs[-1]
