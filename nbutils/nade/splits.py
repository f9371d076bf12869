"""How many variables are drawn at once: a hole of D variables split into rounds of one block each.

Within a block every variable is drawn given what was known before the block, blind to the others. What that
costs can be foretold from the information profile h, the mean cost of a variable with d others known
(Hoogeboom et al. 2021, arXiv 2110.02037, section 3.1): a block of m from d known costs m h(d) where one at a
time costs h(d) + ... + h(d + m - 1).
"""

import math
import numbers
import operator

import numpy as np


def uniform(variables, rounds):
    """Blocks of equal size, or larger by one at the end.

    Args:
        variables: D; rounds: from 1 to D.
    Returns:
        list of `rounds` ints that add up to D.
    Raises:
        ValueError: a number of rounds that leaves a block empty.
    """
    _check(variables, rounds)
    ends = [variables * number // rounds for number in range(rounds + 1)]
    return np.diff(ends).tolist()


def cosine(variables, rounds):
    """Small blocks first: after a share s of the rounds cos(pi s / 2) of the variables are still hidden
    (Chang et al. 2022, arXiv 2202.04200, section 3.3); as `uniform`, no block empty."""
    _check(variables, rounds)
    ends = [0]
    for number in range(1, rounds + 1):
        hidden = math.cos(math.pi / 2 * number / rounds)
        least, most = ends[-1] + 1, variables - (rounds - number)  # room for one in every later block
        ends.append(min(max(round(variables * (1 - hidden)), least), most))
    return np.diff(ends).tolist()


def optimal(profile, rounds):
    """The split that the information profile foretells to lose least, by dynamic programming; as `uniform`.

    Args:
        profile: h, (D,), the mean cost of a hidden variable with d = 0 .. D - 1 of them known.
        rounds: from 1 to D.
    Raises:
        ValueError: as `uniform`, or a profile that is not finite.
    """
    profile = np.asarray(profile, np.float64)
    count = len(profile)
    _check(count, rounds)
    if not np.isfinite(profile).all():
        wrong = int(np.argmin(np.isfinite(profile)))
        raise ValueError(f"profile: {profile[wrong]} at {wrong}; expected the mean cost of a hidden variable")
    known = np.arange(count)
    best = np.full(count + 1, np.inf)  # the least cost of all from d on, in the rounds that are left
    best[count] = 0.0
    choices = []
    for _ in range(rounds):
        after, best = best, np.full(count + 1, np.inf)
        chosen = np.zeros(count + 1, np.int64)
        for first in range(count):
            costs = (known[first:] + 1 - first) * profile[first] + after[first + 1 :]
            size = int(costs.argmin())
            best[first], chosen[first] = costs[size], size + 1
        choices.append(chosen)
    sizes, first = [], 0
    for chosen in reversed(choices):
        sizes.append(int(chosen[first]))
        first += sizes[-1]
    return sizes


def loss(profile, sizes):
    """What a split costs more than one variable at a time, foretold from the profile, in its units.

    Args:
        profile: as `optimal` takes it.
        sizes: ints that add up to D.
    """
    profile = np.asarray(profile, np.float64)
    first = np.cumsum([0, *sizes[:-1]])
    return float(np.dot(sizes, profile[first]) - profile.sum())


def checked(sizes, variables):
    """The sizes of blocks as a list of ints.

    Raises:
        ValueError: sizes that are no whole numbers, an empty block, or sizes that do not add up to the hole's
            `variables`, int64 (B,).
    """
    given = sizes
    try:
        sizes = [operator.index(size) for size in sizes]
    except TypeError:
        raise ValueError(
            f"blocks: {given!r}; expected how many variables each block has, whole numbers, as "
            "`splits.uniform(variables, rounds)` gives; which variables they are is for the order to say"
        ) from None
    if not sizes or min(sizes) < 1:
        raise ValueError(f"blocks: {sizes}; expected at least one variable in every block")
    for example, count in enumerate(variables.tolist()):
        if count != sum(sizes):
            hole = f"the {count} hole variables of example {example}"
            raise ValueError(f"blocks: {sum(sizes)} variables in {len(sizes)} blocks are not {hole}")
    return sizes


def _check(variables, rounds):
    if not isinstance(rounds, numbers.Integral) or not 1 <= rounds <= variables:
        raise ValueError(f"rounds: {rounds}; expected 1 to {variables}, one variable in every block at least")
