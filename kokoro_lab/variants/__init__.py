"""Variants of a model: built by recipe, proved, verified against their source, searched for, and timed."""
