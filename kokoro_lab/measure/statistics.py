"""What may be said of two cells: faster, slower, equivalent, inconclusive or invalid.

The unit of inference is a pair of blocks from one round and one text. A block's value is the median of its repeats;
repeats are never evidence of their own, for they share a process. Ratios are candidate over base: below 1 is faster
when the figure is a time. Texts are fixed strata, unless ten or more share a comparison: then each text is one unit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from kokoro_lab.measure.cell import Block
from kokoro_lab.measure.signflip import p_greater, p_two_sided, pairs_needed, shift

__all__ = [
    "ALPHA",
    "MARGIN",
    "BlockValue",
    "Comparison",
    "Pair",
    "Pairing",
    "Verdict",
    "block_value",
    "compare",
    "compare_all",
    "holm",
    "narrow_enough",
    "pair_up",
    "superiority",
]

Verdict = Literal["faster", "slower", "equivalent", "inconclusive", "invalid"]

ALPHA = 0.05
"""Probability of a wrong "faster", "slower" or "equivalent" that is accepted, over all comparisons of one table."""

MARGIN = 0.03
"""Smallest effect that is called one, and the bound within which cells are equivalent: a ratio of 1.03 or 1 / 1.03."""

RANDOM_TEXTS = 10
"""From this many texts on they are a sample of texts, and the text becomes the unit; fewer are fixed strata."""


@dataclass(frozen=True)
class BlockValue:
    """One block, reduced to what a comparison needs."""

    text: str
    round: int
    value: float
    """Median of the repeats, above 0."""
    attempt: int = 0
    contaminated: bool = False


@dataclass(frozen=True)
class Pair:
    """Two blocks of one round and one text."""

    text: str
    round: int
    base: float
    candidate: float

    @property
    def log_ratio(self) -> float:
        """Logarithm of candidate over base."""
        return math.log(self.candidate / self.base)


@dataclass(frozen=True)
class Pairing:
    """The pairs of two cells, and what was left out of them and why."""

    pairs: tuple[Pair, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> rounds without a pair; nothing is left out silently."""


@dataclass(frozen=True)
class Comparison:
    """A verdict with everything it rests on."""

    verdict: Verdict
    reason: str
    """One sentence."""
    ratio: float | None
    """Candidate over base, Hodges-Lehmann; None without a pair."""
    low: float | None
    high: float | None
    """Interval of the ratio at `confidence`; None when there are too few pairs for one."""
    confidence: float
    """1 - ALPHA / comparisons: the interval is as careful as the verdict."""
    p: float
    """Two-sided p of "no difference", Holm's correction included."""
    p_equivalence: float
    """p of "differs by at least the margin", Holm's correction included (two one-sided tests)."""
    superiority: float | None
    """Probability that a block of the candidate has the smaller value, ties half; 0.5 is no difference."""
    pairs: int
    texts: int
    margin: float
    comparisons: int
    left_out: dict[str, int] = field(default_factory=dict)
    by_text: dict[str, float] = field(default_factory=dict)
    """Text -> its own ratio."""


def block_value(block: Block, figure: str = "total_ms") -> BlockValue | None:
    """The median of one figure (a numeric field of Repeat) over a block's repeats; None for a block without a value."""
    values = [float(getattr(repeat, figure)) for repeat in block.result.repeats]
    if not values or not min(values) > 0.0:
        return None
    text = block.cell.text_preset or block.cell.text
    return BlockValue(text, block.round, float(np.median(values)), block.attempt, block.quiet.contaminated)


def pair_up(base: Iterable[BlockValue], candidate: Iterable[BlockValue], *, use_contaminated: bool = False) -> Pairing:
    """Match the blocks of two cells by text and round; of several attempts the last clean one counts.

    A round in which one of the two has no clean block makes no pair, and is counted under `left_out`.
    """
    sides = [_by_place(blocks, use_contaminated) for blocks in (base, candidate)]
    pairs, left_out = [], Counter[str]()
    for place in sorted(set(sides[0]) | set(sides[1])):
        chosen = [side.get(place) for side in sides]
        if any(side is None for side in chosen):
            left_out["no partner in the round"] += 1
        elif any(side == "contaminated" for side in chosen):
            left_out["contaminated"] += 1
        else:
            pairs.append(Pair(*place, *(side.value for side in chosen if isinstance(side, BlockValue))))
    return Pairing(tuple(pairs), dict(left_out))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): p values that hold the level over all of them together, in the same order."""
    count = len(p_values)
    order = sorted(range(count), key=lambda index: p_values[index])
    adjusted = [1.0] * count
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (count - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def superiority(pairs: Sequence[Pair]) -> float | None:
    """Probability that a candidate's block is below a base's (Vargha and Delaney's A), by text, then averaged."""
    shares = []
    for text in sorted({pair.text for pair in pairs}):
        base = np.array([pair.base for pair in pairs if pair.text == text])
        candidate = np.array([pair.candidate for pair in pairs if pair.text == text])
        below = (candidate[:, None] < base[None, :]).mean()
        shares.append(float(below + 0.5 * (candidate[:, None] == base[None, :]).mean()))
    return float(np.mean(shares)) if shares else None


def compare(pairing: Pairing, *, invalid: str = "", margin: float = MARGIN, alpha: float = ALPHA) -> Comparison:
    """Judge one comparison alone; see `compare_all`."""
    return compare_all({"": pairing}, invalid={"": invalid} if invalid else {}, margin=margin, alpha=alpha)[""]


def compare_all(
    pairings: Mapping[str, Pairing],
    *,
    invalid: Mapping[str, str] | None = None,
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> dict[str, Comparison]:
    """Judge several comparisons together, corrected for their number.

    faster or slower: the sign-flip test rejects "no difference" after Holm's correction, and the estimate is at least
    the margin away. equivalent: both one-sided tests reject a difference of the margin, corrected alike. Either needs
    6 pairs, more for several comparisons (10 for 20), for with fewer no test can reject; else inconclusive.

    `invalid`: name -> why that comparison must not be judged at all (its audio is different, its provider did not run).
    Such comparisons are not counted in the correction.
    """
    refused = dict(invalid or {})
    judged = [name for name in pairings if name not in refused]
    number = max(1, len(judged))
    bound = math.log1p(margin)
    units = {name: _units(pairings[name].pairs) for name in pairings}
    raw_p = [p_two_sided(units[name]) for name in judged]
    raw_equal = [max(p_greater(_plus(units[name], bound)), p_greater(_minus(units[name], bound))) for name in judged]
    p = dict(zip(judged, holm(raw_p), strict=True))
    equal = dict(zip(judged, holm(raw_equal), strict=True))
    result = {}
    for name, pairing in pairings.items():
        verdict: Verdict = "invalid"
        reason = refused.get(name, "")
        if name not in refused:
            verdict, reason = _verdict(pairing, units[name], p[name], equal[name], bound, alpha, number)
        result[name] = _comparison(
            pairing, units[name], verdict, reason, p.get(name, 1.0), equal.get(name, 1.0), margin, alpha, number
        )
    return result


def narrow_enough(
    pairings: Mapping[str, Pairing], half_width: float = MARGIN / 2, *, alpha: float = ALPHA
) -> str | None:
    """Why sampling may stop: every comparison's interval is at most `half_width` (a share) to each side; else None.

    The width decides, never the verdict: stopping when a difference first looks significant would find too many.
    """
    confidence = 1.0 - alpha / max(1, len(pairings))
    widest = 0.0
    for pairing in pairings.values():
        values = _units(pairing.pairs)
        if len(values) < pairs_needed(len(pairings), alpha):
            return None
        where = shift(values, confidence)
        widest = max(widest, (where.high - where.low) / 2.0)
    if not pairings or widest > math.log1p(half_width):
        return None
    return f"Every interval is within {math.expm1(widest):.1%} of its ratio."


def _by_place(blocks: Iterable[BlockValue], use_contaminated: bool) -> dict[tuple[str, int], BlockValue | str]:
    """(text, round) -> the last clean attempt, or the word contaminated."""
    chosen: dict[tuple[str, int], BlockValue | str] = {}
    for block in sorted(blocks, key=lambda block: block.attempt):
        if use_contaminated or not block.contaminated:
            chosen[block.text, block.round] = block
        else:
            chosen.setdefault((block.text, block.round), "contaminated")
    return chosen


def _units(pairs: Sequence[Pair]) -> list[float]:
    """Log ratios that are independent of one another: of pairs, or of texts when there are ten or more."""
    texts: dict[str, list[float]] = {}
    for pair in pairs:
        texts.setdefault(pair.text, []).append(pair.log_ratio)
    if len(texts) >= RANDOM_TEXTS:
        return [float(np.median(values)) for values in texts.values()]
    return [pair.log_ratio for pair in pairs]


def _plus(values: Sequence[float], bound: float) -> list[float]:
    return [value + bound for value in values]


def _minus(values: Sequence[float], bound: float) -> list[float]:
    return [bound - value for value in values]


def _verdict(
    pairing: Pairing, values: Sequence[float], p: float, equal: float, bound: float, alpha: float, number: int
) -> tuple[Verdict, str]:
    needed = pairs_needed(number, alpha)
    if len(values) < needed:
        return "inconclusive", f"{len(values)} pairs cannot decide, {needed} are needed."
    estimate = shift(values).estimate
    if p <= alpha and abs(estimate) >= bound:
        turned = {
            text: -math.copysign(1.0, estimate) * math.log(ratio) for text, ratio in _by_text(pairing.pairs).items()
        }
        against = [text for text, opposite in turned.items() if opposite > bound]
        if against and len(turned) < RANDOM_TEXTS:
            return "inconclusive", f"The texts disagree ({', '.join(sorted(against))}); judge them apart."
        side: Verdict = "faster" if estimate < 0 else "slower"
        return side, f"The median ratio is {math.exp(estimate):.3f} over {len(values)} pairs."
    if equal <= alpha:
        return "equivalent", f"The ratio lies within {math.expm1(bound):.0%} of 1 over {len(values)} pairs."
    if p <= alpha:
        return "inconclusive", f"There is a difference, but not shown to be as large as {math.expm1(bound):.0%}."
    return "inconclusive", f"{len(values)} pairs show neither a difference nor that there is none."


def _by_text(pairs: Sequence[Pair]) -> dict[str, float]:
    texts: dict[str, list[float]] = {}
    for pair in pairs:
        texts.setdefault(pair.text, []).append(pair.log_ratio)
    return {text: math.exp(shift(values).estimate) for text, values in texts.items()}


def _comparison(
    pairing: Pairing,
    values: Sequence[float],
    verdict: Verdict,
    reason: str,
    p: float,
    equal: float,
    margin: float,
    alpha: float,
    number: int,
) -> Comparison:
    confidence = 1.0 - alpha / number
    where = shift(values, confidence) if values else None
    bounded = where is not None and math.isfinite(where.low)
    return Comparison(
        verdict=verdict,
        reason=reason,
        ratio=math.exp(where.estimate) if where else None,
        low=math.exp(where.low) if where and bounded else None,
        high=math.exp(where.high) if where and bounded else None,
        confidence=confidence,
        p=p,
        p_equivalence=equal,
        superiority=superiority(pairing.pairs),
        pairs=len(pairing.pairs),
        texts=len({pair.text for pair in pairing.pairs}),
        margin=margin,
        comparisons=number,
        left_out=pairing.left_out,
        by_text=_by_text(pairing.pairs),
    )
