"""How much a hyper-parameter has to do with the loss of a random search: Spearman's rank correlation (1904),
one hyper-parameter at a time.

Ranks, because losses are skewed and their units differ. It sees what rises or falls throughout, no optimum in
the middle and no interactions.
"""

import numpy as np
from scipy.special import stdtrit
from scipy.stats import rankdata


def columns(hyperparameters):
    """The hyper-parameters of trials as numbers that can be ranked.

    Args:
        hyperparameters: list of dicts with the same names, one for each trial.
    Returns:
        dict from name to float array, one value for each trial: numbers under their own name, choices as 1
            and 0 under "name: choice" for
        each choice that was tried, for one of two choices alone. What never varies is left out.
    """
    found = {}
    for name in hyperparameters[0] if hyperparameters else ():
        values = [trial[name] for trial in hyperparameters]
        tried = sorted(set(values))
        if len(tried) > 1 and isinstance(tried[0], str | bool):
            found |= {
                f"{name}: {choice}": np.array([float(value == choice) for value in values])
                for choice in tried[len(tried) == 2 :]
            }
        elif len(tried) > 1:
            found[name] = np.array(values, np.float64)
    return found


def rank_correlations(columns, losses, rng, resamples=2000, shuffles=9999):
    """Rank correlation of each column with the loss, with a bootstrap interval over trials and the p-value of
    a permutation test.

    Args:
        columns: dict from name to array (N,), from `columns`.
        losses: N numbers, N at least 3.
        rng: numpy.random.Generator.
        resamples, shuffles: of the bootstrap and of the test.
    Returns:
        dict from name to dict: `correlation`, the 95% percentile interval `low` to `high`, and `p`, how often
            shuffled losses correlate as much, two-sided.
    Raises:
        ValueError: too few losses, or one that is not finite.
    """
    losses = np.asarray(losses, np.float64)
    if len(losses) < 3 or not np.isfinite(losses).all():
        raise ValueError(f"losses: {losses}; expected at least three finite numbers")
    again = rng.integers(len(losses), size=(resamples, len(losses)))
    shuffled = rng.permuted(np.tile(losses, (shuffles, 1)), axis=1)
    found = {}
    for name, column in columns.items():
        correlation = float(_correlation(column[None], losses[None])[0])
        low, high = np.quantile(_correlation(column[again], losses[again]), (0.025, 0.975))
        as_much = np.abs(_correlation(column[None], shuffled)) >= abs(correlation) - 1e-12
        found[name] = {
            "correlation": correlation,
            "low": float(low),
            "high": float(high),
            "p": float((1 + as_much.sum()) / (1 + shuffles)),
        }
    return found


def _correlation(first, second):
    """Spearman's correlation of rows, ties at their mean rank; 0 where a row is constant. (R, N), (R, N) ->
    (R,)."""
    first, second = (
        ranks - ranks.mean(1, keepdims=True) for ranks in (rankdata(first, axis=1), rankdata(second, axis=1))
    )
    scale = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return np.divide((first * second).sum(1), scale, out=np.zeros_like(scale), where=scale > 0)


def least_seen(num_trials, p):
    """The rank correlation that few trials have to show before chance alone would give it with a probability
    below `p`, two-sided, by Student's t.

    Args:
        num_trials: 3 or more.
    """
    t = stdtrit(num_trials - 2, 1 - p / 2)
    return float(t / np.sqrt(num_trials - 2 + t**2))
