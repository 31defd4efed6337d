"""Honest measurement: one fresh process a block."""
