"""Rows of a run, read from the store and arranged."""
