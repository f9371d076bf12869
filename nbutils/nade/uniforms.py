"""Uniform random numbers with an address: the same for every engine, batch size and row of a table.

A number is a hash of (seed, purpose, example, step, variable), so any of them can be had at any time without
drawing the others. The hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014), applied once per part
of the address.
"""

import torch

LEVEL, BLOCK, START, ORDER, CHOICE = range(5)  # purposes


def _signed(number):
    return number - (1 << 64) if number >= 1 << 63 else number


_GOLDEN, _FIRST, _SECOND = (_signed(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _shifted(x, bits):
    return (x >> bits) & ((1 << (64 - bits)) - 1)  # a logical shift of signed numbers


def _mixed(x):
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def seed_from(generator):
    """A seed, int64 scalar tensor, drawn from a torch.Generator."""
    return torch.randint(-(1 << 63), (1 << 63) - 1, (), generator=generator, device=generator.device)


def uniform(seed, purpose, example, step, variable):
    """Numbers in [0, 1).

    Args:
        seed: int64 scalar tensor on the device of `variable`; purpose: int; example, step, variable: ints, or
            int64 tensors that broadcast against each other.
    Returns:
        float64, the broadcast shape, on the device of `variable`.
    """
    x = seed
    for part in (purpose, example, step, variable):
        turned = (part + 1) * _GOLDEN
        x = _mixed(x + (_signed(turned % (1 << 64)) if isinstance(part, int) else turned))
    return _shifted(x, 11).double() * 2.0**-53
