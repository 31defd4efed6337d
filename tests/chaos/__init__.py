"""Attacks on the program: what comes from outside, and what the machine does to it; run by `make chaos`."""
