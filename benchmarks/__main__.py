"""Prints every benchmark as a table."""

import platform

import torch

from .training_step import rows

print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
print(f"{'work':<34}{'plain (ms)':>12}{'fast (ms)':>12}{'ratio':>8}")
for work, plain, fast in rows():
    print(f"{work:<34}{plain * 1e3:>12.1f}{fast * 1e3:>12.1f}{plain / fast:>8.1f}")
