"""Networks that read a picture pixel by pixel: a classifier, a predictor of the next pixel; and a classifier
that sees it whole.

Pixels are float32 (B, T) between 0 and 1, row by row. The recurrent cells are torch's, run by
`recurrent.run`.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from . import recurrent

CELLS = ("gru", "lstm")
INITIALISATIONS = ("torch", "tensorflow", "chrono")
START = 0.5  # what a predictor reads before the first pixel: neither paper nor ink


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """Stacked recurrent cells over pixels.

    Args:
        cell: one of `CELLS`.
        hidden_size: units per layer.
        num_layers: stacked layers.
        initialisation: one of `INITIALISATIONS`, see `initialise`.
        memory: longest memory, in pixels, that "chrono" begins with.
    Raises:
        ValueError: an impossible value, named.
    """

    cell: str = "gru"
    hidden_size: int = 64
    num_layers: int = 1
    initialisation: str = "torch"
    memory: int = 784

    def __post_init__(self):
        for name, allowed in (("cell", CELLS), ("initialisation", INITIALISATIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: {getattr(self, name)!r}; expected one of {', '.join(allowed)}")
        for name, least in (("hidden_size", 1), ("num_layers", 1), ("memory", 3)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)}; expected at least {least}")

    @property
    def title(self):
        """As the tables name it: "GRU 64", "LSTM 3x32"."""
        return f"{self.cell.upper()} {f'{self.num_layers}x' if self.num_layers > 1 else ''}{self.hidden_size}"


def build_cells(config):
    """nn.GRU or nn.LSTM of a RecurrentConfig over single pixels, initialised."""
    cells = (nn.GRU if config.cell == "gru" else nn.LSTM)(1, config.hidden_size, config.num_layers)
    initialise(cells, config.initialisation, config.memory)
    return cells


@torch.no_grad()
def initialise(cells, kind, memory):
    """Set the weights that recurrent cells begin with, in place.

    Args:
        cells: nn.GRU or nn.LSTM.
        kind: "torch" leaves torch's own; "tensorflow" sets the defaults of 2017: Glorot weights over input
            and state together, gate biases of a GRU and forget bias of an LSTM 1, other biases 0; "chrono"
            (Tallec and Ollivier 2018, equations 16 and 17) sets the bias of the gate that keeps the state to
            log U(1, T - 1) and, in an LSTM, that of the input gate to its negative.
        memory: T.
    """
    if kind == "torch":
        return
    units, lstm = cells.hidden_size, isinstance(cells, nn.LSTM)
    for layer in range(cells.num_layers):
        w, u, b, c = recurrent.weights_of(cells, layer)
        if kind == "tensorflow":
            # one kernel, or gates and candidate apart
            kernels = (slice(None),) if lstm else (slice(0, 2 * units), slice(2 * units, None))
            for rows in kernels:
                bound = math.sqrt(6 / (w.shape[1] + units + len(w[rows])))
                w[rows].uniform_(-bound, bound)
                u[rows].uniform_(-bound, bound)
            b.zero_()
            c.zero_()
            b[units : 2 * units] = 1  # the LSTM's forget gate, the GRU's update gate
            b[:units] = 0 if lstm else 1
        else:
            keep = torch.empty(units).uniform_(1, memory - 1).log_()
            b[units : 2 * units] = keep
            c[units : 2 * units] = 0
            if lstm:
                b[:units], c[:units] = -keep, 0


class PixelClassifier(nn.Module):
    """Reads all pixels and names the digit from the last output: batch normalisation, 100 units with ReLU,
    batch normalisation, 10 classes.

    Args:
        config: RecurrentConfig.
        batch_norm: False leaves both normalisations out.
    """

    def __init__(self, config, batch_norm=True):
        super().__init__()
        self.config = config
        self.cells = build_cells(config)
        self.head = classifier_head(config.hidden_size, batch_norm)

    def features(self, pixels):
        """The last output: pixels (B, T) -> (B, units)."""
        return recurrent.run(self.cells, pixels.t()[..., None])[0][-1]

    def forward(self, pixels):
        """pixels (B, T) -> logits (B, 10)."""
        return self.head(self.features(pixels))


def classifier_head(inputs, batch_norm):
    """(B, inputs) -> logits (B, 10); running averages with decay 0.99, beginning at mean 0 and variance 1."""

    def normalise(size):
        return nn.BatchNorm1d(size, momentum=0.01) if batch_norm else nn.Identity()

    hidden = nn.Linear(inputs, 100), nn.ReLU()
    return nn.Sequential(normalise(inputs), *hidden, normalise(100), nn.Linear(100, 10))


class WholeImageClassifier(nn.Module):
    """The reference that sees all pixels at once: one hidden layer with ReLU, then the same head.

    Args:
        hidden_size: units of the hidden layer.
        num_pixels: T.
    """

    def __init__(self, hidden_size, num_pixels):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(num_pixels, hidden_size), nn.ReLU())
        self.head = classifier_head(hidden_size, True)

    def forward(self, pixels):
        """pixels (B, T) -> logits (B, 10)."""
        return self.head(self.features(pixels))

    @staticmethod
    def hidden_size_for(parameters, num_pixels):
        """The hidden size at which such a network has about so many parameters."""
        return max(
            1, round((parameters - 1310) / (num_pixels + 103))
        )  # head without its first layer 1,310, a unit T + 1, 100 and 2


class PixelPredictor(nn.Module):
    """Gives every pixel's probability of ink given those before it: p(x_t = 1 | x_1 ... x_{t-1}), an affine
    layer and a sigmoid per output.

    The first pixel is predicted from the start input `START`, so that the model is a distribution over whole
    pictures.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.cells = build_cells(config)
        self.readout = nn.Linear(config.hidden_size, 1)

    def forward(self, pixels, state=None):
        """Read pixels and predict the one after each.

        Args:
            pixels: float (B, T), of 0, 1 or `START`.
            state: from an earlier call, whose reading goes on; None begins a picture.
        Returns:
            logits (B, T), entry t for the pixel after pixels[:, t], and the state after the last, batch in
                its second dimension.
        """
        outputs, state = recurrent.run(self.cells, pixels.t()[..., None], state)
        return torch.matmul(outputs, self.readout.weight[0]).t() + self.readout.bias, state

    def steps(self, state):
        """Go on from a state one pixel at a time, which `forward` does more slowly.

        Returns:
            read: a function from pixels (B,) to the logits (B,) of those after them, and the
                `recurrent.Steps` that it moves.
        """
        steps = recurrent.Steps(self.cells, state)
        weight, bias = self.readout.weight.detach(), self.readout.bias.detach()
        return lambda pixels: torch.addmm(bias[:, None], weight, steps(pixels[None]))[0], steps


def pixel_nll(model, pixels):
    """Negative log-likelihood of every pixel given those before it, nats: binary pixels (B, T) -> (B, T)."""
    before = torch.cat([pixels.new_full((len(pixels), 1), START), pixels[:, :-1]], 1)
    return nn.functional.binary_cross_entropy_with_logits(model(before)[0], pixels, reduction="none")
