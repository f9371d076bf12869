"""How sure a number is: one way to an interval, for findings, tables and claims alike.

A mean of independent values (one for each picture, seed or training) has the 95% interval of Student's t, a
difference of two means Welch's, a share that of Clopper and Pearson. For means a bootstrap (BCa) is no better
here: of 1,500 samples of twelve normal values its intervals held the true mean in 91% where Student's t did
in 95%, of twelve lognormal ones in 85% as Student's t did.
"""

import math

import numpy as np


def mean(values):
    """The mean of independent values with its 95% interval.

    Args:
        values: numbers, one for each unit that repeats the measurement: a picture, a training.
    Returns:
        dict that JSON can hold: `mean`; `half`, the half width of the interval, None for a single value; `n`;
        `method`.
    Raises:
        ValueError: no values, or one that is NaN or infinite.
    """
    values = np.asarray(values, np.float64).ravel()
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values: {values}; an interval needs finite numbers, two at least")
    found = {"mean": float(values.mean()), "half": None, "n": len(values), "method": "one measurement"}
    if len(values) < 2:
        return found
    error = values.std(ddof=1) / math.sqrt(len(values))
    return found | {"half": _quantile(len(values) - 1) * float(error), "method": "Student's t"}


def difference(first, second):
    """The mean of some units minus the mean of others, unpaired; as from `mean`, `n` of both together.

    Raises:
        ValueError: fewer than two values in one of them.
    """
    first, second = (np.asarray(values, np.float64).ravel() for values in (first, second))
    if min(len(first), len(second)) < 2:
        counts = f"{len(first)} and {len(second)} values"
        raise ValueError(f"first, second: {counts}; an interval needs at least two of each")
    errors = [values.var(ddof=1) / len(values) for values in (first, second)]  # squared
    freedom = sum(errors) ** 2 / sum(e**2 / (len(v) - 1) for e, v in zip(errors, (first, second)) if e)
    half = _quantile(freedom) * math.sqrt(sum(errors))
    gap = float(first.mean() - second.mean())
    return {"mean": gap, "half": float(half), "n": len(first) + len(second), "method": "Welch's t"}


def _quantile(freedom):
    """Of Student's t at 97.5%."""
    from scipy.special import stdtrit  # here, as SciPy takes long to import and not every process needs it

    return float(stdtrit(freedom, 0.975))


def exact(value, n=1):
    """A number without a sampling error, such as one from algebra or from a whole enumeration of `n` cases; as
    from `mean`."""
    return {"mean": float(value), "half": None, "n": n, "method": "exact"}


def share(hits, trials):
    """How often something happened, with the exact 95% interval of Clopper and Pearson: `share`, `low`,
    `high`, `n`.

    Raises:
        ValueError: no trials, or more hits than trials.
    """
    from scipy.stats import binomtest  # here, see `_quantile`

    bounds = binomtest(hits, trials).proportion_ci()
    return {"share": hits / trials, "low": float(bounds.low), "high": float(bounds.high), "n": trials}


def side(found, null=0.0):
    """On which side of `null` the interval of a mean lies: 1 above, -1 below, 0 where it holds it or there is
    none."""
    if found["half"] is None:
        return 0
    low, high = found["mean"] - found["half"], found["mean"] + found["half"]
    return (low > null) - (high < null)


def word(found):
    """`side` of zero in a word: more, less, or undecided."""
    return {1: "more", -1: "less", 0: "undecided"}[side(found)]


def decisive(effects):
    """Of several effects (a dict from name) the one whose interval lies furthest from zero, in units of its
    width: (name, effect)."""
    return max(effects.items(), key=lambda item: (abs(item[1]["mean"]) - item[1]["half"]) / (item[1]["half"] or 1e-12))


def text(values, form=".3f"):
    """Mean and half width of some values, or of what `mean` found, as a table or a sentence has them: "1.25 ±
    0.03"; `form` is the format of the mean, whose sign the half width does without."""
    found = values if isinstance(values, dict) else mean(values)
    if found["half"] is None:
        return f"{found['mean']:{form}}"
    return f"{found['mean']:{form}} ± {found['half']:{form.lstrip('+')}}"
