"""Random searches as figures: scatter plots, learning curves, and which hyper-parameters matter."""

from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import NullLocator, ScalarFormatter

from ..training.search import NUMBERS
from .figures import COLOURS, chart

_MARKS = {"finished": ("o", COLOURS[0]), "unfinished": ("^", COLOURS[4]), "failed": ("x", COLOURS[1])}


def scatter(trials, ranges):
    """A panel for each hyper-parameter, a point for each trial.

    Circles finished, triangles stand unfinished at the loss they had reached, crosses failed; what has no
    loss stands on the upper edge.

    Args:
        trials: list of `journal.Trial` of one loss.
        ranges: of the `search.Search`.
    Returns:
        matplotlib figure.
    """
    rows = -(-len(ranges) // 3)
    figure, axes = chart(rows, 3, size=(7, 1.75 * rows), squeeze=False)
    for axis, name in zip(axes.flat, ranges):
        _points(axis, name, trials, ranges[name])
        axis.set(xlabel=name.replace("_", " "), yscale="log")
        _scale(axis, name, ranges[name])
        _plain_ticks(axis)
    for axis in axes[:, 0]:
        axis.set_ylabel("loss")
    for axis in axes.flat[len(ranges) :]:
        axis.axis("off")
    return figure


def _points(axis, name, trials, values):
    for status, (marker, colour) in _MARKS.items():
        style = dict(marker=marker, color=colour, s=22, alpha=0.8, clip_on=False)
        found = [trial for trial in trials if trial.status == status]
        measured = [trial for trial in found if trial.value is not None]
        others = [trial for trial in found if trial.value is None]
        axis.scatter(_places(name, measured, values), [trial.value for trial in measured], **style)
        edge = dict(transform=axis.get_xaxis_transform(), **style)
        axis.scatter(_places(name, others, values), [1.0] * len(others), **edge)


def _places(name, trials, values):
    """Where trials stand along a panel: their value, or the number of their choice, spread a little."""
    if name in NUMBERS:
        return [trial.hyperparameters[name] for trial in trials]
    spread = [0.3 * (trial.number * 0.618 % 1 - 0.5) for trial in trials]
    return [values.index(trial.hyperparameters[name]) + aside for trial, aside in zip(trials, spread)]


def _scale(axis, name, values):
    """The axis of a hyper-parameter, with few ticks that can be read."""
    low, high = values[0], values[-1]
    if name not in NUMBERS:
        axis.set_xticks(range(len(values)), [choice.replace("_", "\n") for choice in values])
    elif NUMBERS[name][1] == "log":
        middle = (low * high) ** 0.5
        ticks = [low, float(f"{middle:.1g}") if name == "learning_rate" else round(middle), high]
        axis.set(xscale="log", xlim=(low / 1.2, high * 1.2))
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.xaxis.set_minor_locator(NullLocator())
    else:
        axis.set_xticks([low, (low + high) // 2, high])


def _plain_ticks(axis):
    axis.yaxis.set_minor_formatter(ScalarFormatter())
    axis.tick_params(which="both", labelsize=7)


def learning_curves(trials, layers):
    """Held-out loss against examples, a panel for each loss and a curve for each trial, coloured by depth,
    dotted where it was cut off.

    Args:
        trials: dict from loss to list of `journal.Trial`.
        layers: the least and the largest number of layers.
    Returns:
        matplotlib figure.
    """
    low, high = layers
    shade = ScalarMappable(LogNorm(low, high if high > low else low + 1), "viridis")
    figure, axes = chart(1, len(trials), size=(7, 2.7), squeeze=False)
    for axis, (loss, found) in zip(axes[0], trials.items()):
        for trial in found:
            examples = [row["examples"] for row in trial.metrics]
            values = [row["valid_loss"] for row in trial.metrics]
            style = "-" if trial.status == "finished" else ":"
            colour = shade.to_rgba(trial.hyperparameters["layers"])
            axis.plot(examples, values, style, color=colour, linewidth=1)
        axis.set(title=loss.replace("_", "-"), xlabel="examples", yscale="log")
        _plain_ticks(axis)
    bar = figure.colorbar(shade, ax=axes[0], label="layers", ticks=[low, high], format="%d")
    bar.minorticks_off()
    return figure


def importances(found, seen):
    """Rank correlations with their intervals, a panel for each loss.

    Args:
        found: dict from loss to what `importance.rank_correlations` gives.
        seen: names of the rows of each loss that are drawn as diamonds in another colour.
    Returns:
        matplotlib figure.
    """
    names = list(dict.fromkeys(name for rows in found.values() for name in rows))
    size = (7, 0.6 + 0.25 * max(4, len(names)))
    figure, axes = chart(1, max(1, len(found)), size=size, sharey=True, squeeze=False)
    for axis, (loss, rows) in zip(axes[0], found.items()):
        for name, row in rows.items():
            colour, mark = (COLOURS[1], "D") if name in seen[loss] else (COLOURS[5], "o")
            place = names.index(name)
            axis.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2)
            axis.plot(row["correlation"], place, mark, color=colour)
        axis.axvline(0, color="0.5", linewidth=1)
        axis.set(title=loss.replace("_", "-"), xlim=(-1, 1), xlabel="rank correlation")
        axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes[0, 0].invert_yaxis()
    return figure
