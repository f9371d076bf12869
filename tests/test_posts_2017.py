"""What was measured on the animations of 2017 is told as it was measured."""

import numpy as np
import pytest

from nbutils.data import posts_2017


def test_what_lies_beyond_the_control_is_that_of_all_animations_together():
    """Means and deviations of groups give those of all, as if each animation were there."""
    rng = np.random.default_rng(0)
    groups = [rng.normal(mean, 2, size) for mean, size in ((3, 5), (9, 20), (4, 7))]
    rows = [
        {
            "animations": len(values),
            "change": values.mean() + 1.5,
            "change_outside": 1.5,
            "change_deviation": values.std(ddof=1),
        }
        for values in groups
    ]
    every = np.concatenate(groups)
    expected = every.mean(), every.std(ddof=1), len(every)
    assert posts_2017.beyond(rows, "change") == pytest.approx(expected)


def test_the_rows_are_those_of_the_posts():
    rows = posts_2017.rows()
    assert sum(row["animations"] for row in rows) == 340
    times = [row["written"] for row in rows if row["written"]]
    assert times == sorted(times)
    grid = [row for row in rows if row["eta"] == row["eta"]]
    assert len(grid) == 12
    assert {(row["T"], row["alpha_min"], row["eta"]) for row in grid} == {
        (t, alpha, eta) for t in (1.0, 0.1) for alpha in (0.1, 0.001, 0.00001) for eta in (0.1, 0.001)
    }
    assert posts_2017.rows(T=1.0, alpha_min=0.001, eta=0.1)[0]["animations"] == 5
