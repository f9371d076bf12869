"""Benchmarks: both sides of a comparison in one run, printed as a ratio. `python -m benchmarks` runs them
all."""
