"""Prints every benchmark as a table, row by row as it is measured; the sampling runs take some minutes."""

import platform

import torch

from . import pixel_models, preparing, sampling_steps, training_step

print(
    f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch "
    f"{torch.__version__}, float32\n"
)
print(f"{'work':<36}{'plain (ms)':>14}{'fast (ms)':>14}{'ratio':>8}")
for benchmark in (preparing, training_step, pixel_models, sampling_steps):
    for work, plain, fast in benchmark.rows():
        print(f"{work:<36}{plain * 1e3:>14.1f}{fast * 1e3:>14.1f}{plain / fast:>8.1f}", flush=True)
