"""Benchmarks: contestants and targets, measured by the same instrument as sweeps."""
