"""Attacks on the instrument: each tries to make it say something false, and the self-test tells what it said."""
