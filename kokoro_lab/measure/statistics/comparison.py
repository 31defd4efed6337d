"""The comparison of two cells: faster, slower, equivalent, inconclusive or invalid.

The estimand is the median ratio of pairs: the ratio, candidate over base, that half of all pairs of blocks exceed.
Where it is 1, neither cell is faster, however heavy, one-sided or unequal their noise is; the tests assume nothing else
(`sign_test`).

The unit of inference is a pair of blocks from one round and one text. A block's value is the median of its repeats;
repeats are not independent, because they share a process. Ratios are candidate over base: below 1 is faster when the
figure is a time. Texts are fixed strata, unless a comparison has ten or more: then each text is one unit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from kokoro_lab.measure.records.cell import Block
from kokoro_lab.measure.statistics.intervals import ALPHA, Interval
from kokoro_lab.measure.statistics.sign_test import p_greater, p_two_sided, pairs_needed, shift

__all__ = [
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

MARGIN = 0.03
"""Smallest effect that is reported, and the bound within which cells are equivalent: a ratio of 1.03 or 1 / 1.03."""

RANDOM_TEXTS = 10
"""This many texts or more are a sample of texts, and the text becomes the unit; fewer are fixed strata."""


@dataclass(frozen=True)
class BlockValue:
    """The value of one block, for comparisons."""

    text: str
    round: int
    value: float
    """Median of the repeats, above 0."""
    attempt: int = 0
    contaminated: bool = False
    refused: str = ""
    """Why it must not be pooled with the others, such as "measured other bytes (model)": see `same_bytes`."""

    @property
    def usable(self) -> bool:
        """Whether it may be pooled with the others."""
        return not self.contaminated and not self.refused


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
    """The pairs of two cells, and the reasons why rounds were left out."""

    pairs: tuple[Pair, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> rounds without a pair; nothing is left out silently."""


@dataclass(frozen=True)
class Comparison:
    """A verdict with everything that it is based on."""

    verdict: Verdict
    reason: str
    """One sentence."""
    ratio: float | None
    """Candidate over base, the median of pairs; None without a pair."""
    low: float | None
    high: float | None
    """Interval of the ratio at `confidence`; None when there are too few pairs."""
    confidence: float
    """1 - ALPHA / comparisons: the interval is corrected like the verdict."""
    p: float
    """Two-sided p of "no difference", with Holm's correction."""
    p_equivalence: float
    """p of "differs by at least the margin", with Holm's correction (two one-sided tests)."""
    superiority: float | None
    """Probability that a block of the candidate has the smaller value, ties counting half; 0.5 is no difference."""
    pairs: int
    texts: int
    margin: float
    comparisons: int
    left_out: dict[str, int] = field(default_factory=dict)
    by_text: dict[str, float] = field(default_factory=dict)
    """Text -> its own ratio."""

    @property
    def interval(self) -> Interval | None:
        """The ratio with its interval; None without a pair."""
        if self.ratio is None:
            return None
        return Interval(self.ratio, self.low, self.high, self.pairs, None if self.low is None else self.confidence)


@dataclass(frozen=True)
class _Terms:
    """The criteria for all comparisons of one table."""

    margin: float
    alpha: float
    number: int
    """Number of comparisons."""

    @property
    def bound(self) -> float:
        """The margin as a logarithm."""
        return math.log1p(self.margin)

    @property
    def confidence(self) -> float:
        """Corrected like the verdicts: 1 - alpha / comparisons."""
        return 1.0 - self.alpha / self.number


def block_value(block: Block, figure: str = "total_ms") -> BlockValue | None:
    """The median of one figure (a numeric field of Repeat) over a block's repeats; None for a block without a value."""
    values = block.values(figure)
    if not values or not min(values) > 0.0:
        return None
    text = block.cell.text_preset or block.cell.text
    return BlockValue(text, block.round, float(np.median(values)), block.attempt, block.quiet.contaminated)


def pair_up(base: Iterable[BlockValue], candidate: Iterable[BlockValue], *, use_contaminated: bool = False) -> Pairing:
    """Match the blocks of two cells by text and round; of several attempts the last uncontaminated block counts.

    A round in which either cell has no uncontaminated block of its bytes gives no pair, and is counted in `left_out`.
    """
    sides = [_by_place(blocks, use_contaminated) for blocks in (base, candidate)]
    pairs, left_out = [], Counter[str]()
    for place in sorted(set(sides[0]) | set(sides[1])):
        chosen = [side.get(place) for side in sides]
        if any(side is None for side in chosen):
            left_out["no partner in the round"] += 1
        elif refused := [side for side in chosen if isinstance(side, str)]:
            left_out[refused[0]] += 1
        else:
            pairs.append(Pair(*place, *(side.value for side in chosen if isinstance(side, BlockValue))))
    return Pairing(tuple(pairs), dict(left_out))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): p values that keep the level over all of them together, in the same order."""
    count = len(p_values)
    order = sorted(range(count), key=lambda index: p_values[index])
    adjusted = [1.0] * count
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (count - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def superiority(pairs: Sequence[Pair]) -> float | None:
    """Probability that a block of the candidate is below one of the base (Vargha and Delaney's A), averaged over
    texts."""
    shares = []
    for text in sorted({pair.text for pair in pairs}):
        base = np.array([pair.base for pair in pairs if pair.text == text])
        candidate = np.array([pair.candidate for pair in pairs if pair.text == text])
        below = (candidate[:, None] < base[None, :]).mean()
        shares.append(float(below + 0.5 * (candidate[:, None] == base[None, :]).mean()))
    return float(np.mean(shares)) if shares else None


def compare(pairing: Pairing, *, invalid: str = "", margin: float = MARGIN, alpha: float = ALPHA) -> Comparison:
    """Judge a single comparison; see `compare_all`.

    Examples:
        >>> base = [BlockValue("short", round, 10.0 + 0.1 * round) for round in range(8)]
        >>> candidate = [BlockValue("short", round, 8.0 + 0.1 * round) for round in range(8)]
        >>> judged = compare(pair_up(base, candidate))
        >>> judged.verdict, round(judged.ratio, 3), judged.pairs
        ('faster', 0.807, 8)
        >>> compare(pair_up(base[:5], candidate[:5])).verdict
        'inconclusive'
    """
    return compare_all({"": pairing}, invalid={"": invalid} if invalid else {}, margin=margin, alpha=alpha)[""]


def compare_all(
    pairings: Mapping[str, Pairing],
    *,
    invalid: Mapping[str, str] | None = None,
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> dict[str, Comparison]:
    """Judge several comparisons together, corrected for their number.

    faster or slower: the sign test rejects a median ratio of 1 after Holm's correction, and the estimate is at least
    the margin away. equivalent: both one-sided tests reject a difference of the margin, with the same correction. Both
    need at least 6 pairs, or more for several comparisons (10 for 20); with fewer pairs no test can reject. Otherwise:
    inconclusive.

    `invalid`: name -> why that comparison must not be judged (its audio differs, its provider did not run). Invalid
    comparisons are not counted in the correction.
    """
    refused = dict(invalid or {})
    judged = [name for name in pairings if name not in refused]
    terms = _Terms(margin, alpha, max(1, len(judged)))
    units = {name: _units(pairings[name].pairs) for name in pairings}
    raw_p = [p_two_sided(units[name]) for name in judged]
    raw_equal = [_p_within(units[name], terms.bound) for name in judged]
    p_values = dict(zip(judged, zip(holm(raw_p), holm(raw_equal), strict=True), strict=True))
    result = {}
    for name, pairing in pairings.items():
        p, equal = p_values.get(name, (1.0, 1.0))
        verdict: Verdict = "invalid"
        reason = refused.get(name, "")
        if name not in refused:
            verdict, reason = _verdict(pairing, units[name], p, equal, terms)
        unjudged = _unjudged(pairing, units[name], terms)
        result[name] = replace(unjudged, verdict=verdict, reason=reason, p=p, p_equivalence=equal)
    return result


def narrow_enough(
    pairings: Mapping[str, Pairing], half_width: float = MARGIN / 2, *, alpha: float = ALPHA
) -> str | None:
    """Why sampling may stop: every comparison's interval extends at most `half_width` (a share) to each side; or None.

    Only the width decides, never the verdict: stopping at the first significant difference would give too many of them.
    """
    confidence = 1.0 - alpha / max(1, len(pairings))
    widest = 0.0
    for pairing in pairings.values():
        values = _units(pairing.pairs)
        if len(values) < pairs_needed(len(pairings), alpha):
            return None
        where = shift(values, confidence)
        if where.low is None or where.high is None:
            return None
        widest = max(widest, (where.high - where.low) / 2.0)
    if not pairings or widest > math.log1p(half_width):
        return None
    return f"every confidence interval is within {math.expm1(widest):.1%} of its ratio"


def _by_place(blocks: Iterable[BlockValue], use_contaminated: bool) -> dict[tuple[str, int], BlockValue | str]:
    """(text, round) -> the last attempt that may be pooled, or the reason why none may."""
    chosen: dict[tuple[str, int], BlockValue | str] = {}
    for block in sorted(blocks, key=lambda block: block.attempt):
        if block.refused:
            chosen.setdefault((block.text, block.round), block.refused)
        elif use_contaminated or not block.contaminated:
            chosen[block.text, block.round] = block
        else:
            chosen.setdefault((block.text, block.round), "contaminated")
    return chosen


def _units(pairs: Sequence[Pair]) -> list[float]:
    """Independent log ratios: of pairs, or of texts when there are ten or more."""
    texts: dict[str, list[float]] = {}
    for pair in pairs:
        texts.setdefault(pair.text, []).append(pair.log_ratio)
    if len(texts) >= RANDOM_TEXTS:
        return [float(np.median(values)) for values in texts.values()]
    return [pair.log_ratio for pair in pairs]


def _p_within(values: Sequence[float], bound: float) -> float:
    """p of "the median lies beyond one of the bounds": the larger of two one-sided tests (Schuirmann 1987)."""
    return max(p_greater([value + bound for value in values]), p_greater([bound - value for value in values]))


def _verdict(pairing: Pairing, values: Sequence[float], p: float, equal: float, terms: _Terms) -> tuple[Verdict, str]:
    bound, alpha = terms.bound, terms.alpha
    needed = pairs_needed(terms.number, alpha)
    count = "1 pair" if len(values) == 1 else f"{len(values)} pairs"
    if len(values) < needed:
        return "inconclusive", f"{count}; at least {needed} are required."
    estimate = shift(values).center
    if p <= alpha and abs(estimate) >= bound:
        turned = {
            text: -math.copysign(1.0, estimate) * math.log(ratio) for text, ratio in _by_text(pairing.pairs).items()
        }
        against = [text for text, opposite in turned.items() if opposite > bound]
        if against and len(turned) < RANDOM_TEXTS:
            return "inconclusive", f"The texts disagree ({', '.join(sorted(against))}); judge them separately."
        side: Verdict = "faster" if estimate < 0 else "slower"
        return side, f"The median ratio is {math.exp(estimate):.3f} over {count}."
    if equal <= alpha:
        return "equivalent", f"The ratio is within {math.expm1(bound):.0%} of 1 over {count}."
    if p <= alpha:
        return "inconclusive", f"There is a difference, but it is not shown to reach {math.expm1(bound):.0%}."
    return "inconclusive", f"{count} show neither a difference nor equivalence."


def _by_text(pairs: Sequence[Pair]) -> dict[str, float]:
    texts: dict[str, list[float]] = {}
    for pair in pairs:
        texts.setdefault(pair.text, []).append(pair.log_ratio)
    return {text: math.exp(shift(values).center) for text, values in texts.items()}


def _unjudged(pairing: Pairing, values: Sequence[float], terms: _Terms) -> Comparison:
    """The ratio with its interval and its data, before the verdict."""
    where = shift(values, terms.confidence).mapped(math.exp) if values else None
    low, high = where.bounds if where else (None, None)
    return Comparison(
        verdict="inconclusive",
        reason="",
        ratio=where.center if where else None,
        low=low,
        high=high,
        confidence=terms.confidence,
        p=1.0,
        p_equivalence=1.0,
        superiority=superiority(pairing.pairs),
        pairs=len(pairing.pairs),
        texts=len({pair.text for pair in pairing.pairs}),
        margin=terms.margin,
        comparisons=terms.number,
        left_out=pairing.left_out,
        by_text=_by_text(pairing.pairs),
    )
