"""Sampling: which block is measured next, each in a fresh process, until the comparisons are decided."""
