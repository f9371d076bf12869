"""The panel of cells: one unit of a GRU or an LSTM, its gates by hand."""

import numpy as np

from ...show import figures
from . import parts

_STEPS = 100
_BIASES = (2, 5, 10)


def live_cells(name="live"):
    """Show the panel of cells, which needs no model.

    Args:
        name: of the figure.
    """
    figure, axis = figures.chart(size=(7.0, 2.6))
    inputs = np.random.default_rng(0).uniform(-1, 1, _STEPS)
    for bias in _BIASES:
        axis.plot(held(inputs, bias), label=f"bias {bias}")
    axis.set(xlabel="step", ylabel="output", ylim=(-1, 1))
    axis.legend()
    alt = "Curves of the output of a unit that begins at one half, for three biases of its update gate"
    still = (
        f'<img class="chart" style="max-width:100%" width="700" src="{figures.address(figure)}" alt="{alt}">'
    )
    parts.show(
        {"panel": "cells"},
        [still],
        "One unit: move the biases of its gates and its input, and see what it remembers. At first a GRU "
        "whose update gate is to keep one half.",
        name,
    )


def held(inputs, bias):
    """The outputs of a GRU of one unit that begins at one half, when its update gate has this bias and its
    candidate is tanh of the input: (T,) -> (T,)."""
    outputs, state, keeps = [], 0.5, 1 / (1 + np.exp(-bias))
    for x in inputs:
        state = (1 - keeps) * np.tanh(x) + keeps * state
        outputs.append(state)
    return np.array(outputs)
