"""Variants of a model: made by recipe, proved against what they came from, verified, searched for and timed."""
