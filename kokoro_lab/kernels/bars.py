"""What the kernels have to reach, and how a figure is held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

__all__ = ["BARS", "LEAST_DB", "MOST_MEMORY", "NEVER_SLOWER", "TOKENS", "interval", "judged"]

TOKENS = (16, 50, 150, 400)
CONFIDENCE = 0.95
ALLOWANCE = 0.97  # of a bar on speed, which the lower end of the interval must reach

FULL_SPEED = {
    "fp32": dict(zip(TOKENS, (2.3, 2.6, 2.9, 3.0), strict=True)),
    "int16": dict(zip(TOKENS, (3.0, 3.4, 3.7, 3.7), strict=True)),
}
NEVER_SLOWER = dict.fromkeys(TOKENS, 1.0)
BARS: Mapping[tuple[str, str], Mapping[int, float]] = {
    **{(name, precision): bars for name in ("vnni", "v4") for precision, bars in FULL_SPEED.items()},
    ("v3", "fp32"): {**NEVER_SLOWER, 150: 2.2},
    ("v3", "int16"): {**NEVER_SLOWER, 150: 2.2},
    ("base", "fp32"): NEVER_SLOWER,
    ("base", "int16"): NEVER_SLOWER,
}
"""Instruction set and precision -> tokens -> least speed, times the plain graph's."""
LEAST_DB = {"fp32": 95.0, "int16": 26.0}
MOST_MEMORY = 1.1  # times the plain graph's peak


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The narrowest pair of readings that holds the median with CONFIDENCE; None with fewer than six."""
    ordered, count = sorted(values), len(values)
    outside, cut = 0.0, -1
    while outside + 2 * comb(count, cut + 1) / 2**count <= 1 - CONFIDENCE:
        cut += 1
        outside += 2 * comb(count, cut) / 2**count
    return None if cut < 0 else (ordered[cut], ordered[count - 1 - cut])


def judged(found: float | None, bound: float, *, low: float | None = None, most: bool = False) -> str:
    """met, missed, or undecided without a figure; `low` is the lower end of a speed's interval."""
    if found is None:
        return "undecided"
    if most:
        return "met" if found <= bound else "missed"
    if found < bound:
        return "missed"
    return "met" if low is None or low >= ALLOWANCE * bound else "undecided"
