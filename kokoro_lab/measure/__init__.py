"""Measurement: every block in a fresh process."""
