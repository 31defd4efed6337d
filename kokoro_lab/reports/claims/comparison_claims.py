"""Claims about a gain or an effect: two cells that differ only in the claimed feature are compared.

The ratio is computed from the pairs of blocks of exactly these two cells, at 95 % for the one comparison that the claim
named before. A verdict of the sweep is corrected for all comparisons of its notebook, and may be of another text: it is
never taken over. Only its finding that a setting changed nothing is, and only between the same two cells.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from kokoro_lab.measure.records.cell import PROCESSES
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.measure.statistics.percentiles import percentile, percentile_interval
from kokoro_lab.measure.statistics.ratios import ratio_of_intervals
from kokoro_lab.measure.statistics.selection import lowest
from kokoro_lab.reports.claims.claim_reading import (
    Candidates,
    ClaimReading,
    candidate_cells,
    not_measured,
    why_unranked,
)
from kokoro_lab.reports.claims.claims import Claim, Compare
from kokoro_lab.reports.claims.stored_verdicts import stored_verdicts
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.frame_statistics import by_block, rows_ratio, share_a_round

__all__ = ["comparison_reading"]

PAIRING = (
    *("provider", "intra_op_threads", "graph_level", "precision", "text_preset", "voice", "speed", "lang", "state"),
    *("arrivals", "clients", "model", "process"),
)
"""Factors in which two compared cells must agree, except those that the claim varies."""

COMPARED = ("recipe", "engine_settings", "delivery", *PAIRING)
"""Factors that a claim may vary."""

OUTSIDE_THE_SESSION = frozenset({"delivery", "arrivals", "clients", "state", "text_preset", "engine_settings"})
"""Factors that the digest of a session does not fully cover: equal digests do not make them placebos."""

TAIL = 0.95


def comparison_reading(claim: Claim, between: Compare, evidence: Evidence) -> ClaimReading:
    """The candidate compared with the baseline cell that differs from it only in the claim's factors; of several
    candidates, the best, corrected for the choice. Both sides had processes of their own or, in a run that lacks such
    cells of one side, shared ones."""
    notebook = claim.resolve.notebook
    for process in PROCESSES:
        filters = {"candidate": between.candidate, "baseline": between.baseline}
        sides = {
            name: candidate_cells(evidence, claim.metric, {"process": process, **levels}, notebook)
            for name, levels in filters.items()
        }
        if not any(side.rows.empty for side in sides.values()):
            break
    else:
        return not_measured(claim)
    candidates = sides["candidate"]
    ranked = {name: list(side.each(claim.metric)) for name, side in sides.items()}
    for name, cells in ranked.items():
        if not cells:
            return ClaimReading(settled="inconclusive", note=f"{name}: {why_unranked(sides[name].rows)}")
    varied = {column for column in COMPARED if between.candidate.get(column) != between.baseline.get(column)}
    pairs = _matched(ranked["candidate"], ranked["baseline"], varied)
    if isinstance(pairs, str):
        return ClaimReading(settled="inconclusive", note=pairs)
    return _read_pairs(claim, evidence, candidates, pairs, varied)


Pairs = list[tuple[pd.DataFrame, pd.DataFrame]]
"""The rows of each candidate cell and of its baseline."""


def _matched(candidates: list[pd.DataFrame], baselines: list[pd.DataFrame], varied: set[str]) -> Pairs | str:
    """Each candidate with its one baseline, or why there is no such pair."""
    free = varied | ({"precision", "model"} if "recipe" in varied else set())
    shared = [column for column in PAIRING if column not in free]

    def key(cell: pd.DataFrame) -> tuple[object, ...]:
        return tuple(cell[column].iloc[0] for column in shared)

    pairs: Pairs = []
    for candidate in candidates:
        own = [base for base in baselines if key(base) == key(candidate)]
        if len(own) > 1:
            return f"{len(own)} cells match the baseline; the claim names one"
        pairs += [(candidate, base) for base in own]
    return pairs or "no two cells differ only in this feature"


def _read_pairs(
    claim: Claim, evidence: Evidence, candidates: Candidates, pairs: Pairs, varied: set[str]
) -> ClaimReading:
    """The lowest ratio of candidate to baseline, in the unit of the claim."""
    real = [(candidate, base) for candidate, base in pairs if not _placebo(evidence, base, candidate, varied)]
    label, cell_id = str(pairs[0][0]["label"].iloc[0]), _id(pairs[0][0])
    if not real:
        words = "both cells ran with the same settings and the same graph"
        return ClaimReading(settled="placebo", note=words, cell=label, cell_id=cell_id)
    read = _tail_ratio if claim.statistic == "p95" else _level_ratio
    ratios = [(*read(base, candidate, candidates.confidence), candidate) for candidate, base in real]
    known = [(ratio, words, candidate) for ratio, words, candidate in ratios if ratio is not None]
    if not known:
        return ClaimReading(settled="inconclusive", note=ratios[0][1], cell=label, cell_id=cell_id)
    times = lowest([ratio for ratio, _, _ in known])
    _, words, best = min(known, key=lambda item: item[0].center)
    reading = ClaimReading(
        measured=times,
        shortfall=candidates.shortfall(times) or words,
        note=candidates.choice,
        cell=str(best["label"].iloc[0]),
        cell_id=_id(best),
    )
    if claim.kind == "state":
        return reading
    return replace(reading, measured=_gain(times, claim.unit), gap=times.scaled(1 / _claimed_ratio(claim)))


def _placebo(evidence: Evidence, base: pd.DataFrame, candidate: pd.DataFrame, varied: set[str]) -> bool:
    """Whether both cells had the same effective settings, by their digests or by the sweep's verdict."""
    digests = [_digests(evidence, side) for side in (candidate, base)]
    if digests[0] and digests[0] == digests[1] and not varied & OUTSIDE_THE_SESSION:
        return True
    ids = {_id(base), _id(candidate)}
    return any({row.base_cell, row.candidate_cell} == ids for row in stored_verdicts(evidence, ("placebo",)))


def _level_ratio(base: pd.DataFrame, candidate: pd.DataFrame, confidence: float) -> tuple[Interval | None, str]:
    """Candidate over base from the shared rounds, and why it has no interval."""
    if not share_a_round(base, candidate):
        return None, "no round has an undisturbed block of both cells"
    ratio = rows_ratio(candidate, base, confidence=confidence)
    return ratio, "no ratio with a value of 0" if ratio is None else ratio.shortfall


def _tail_ratio(base: pd.DataFrame, candidate: pd.DataFrame, confidence: float) -> tuple[Interval | None, str]:
    """Candidate over base of the p95, from both bounds of each side; None when a side has too few samples for them."""
    tails = []
    for side in (candidate, base):
        blocks = by_block(side)
        tail = percentile_interval(blocks, TAIL, confidence=confidence)
        if tail is None:
            needed = percentile(blocks, TAIL, confidence=(1.0 + confidence) / 2.0)
            return None, f"{needed.samples} samples; a p95 with both bounds needs at least {needed.needed}"
        tails.append(tail)
    return ratio_of_intervals(*tails), ""


def _claimed_ratio(claim: Claim) -> float:
    """Candidate over baseline at exactly the claimed gain."""
    return {"% less": 1 - claim.target / 100, "% more": 1 / (1 + claim.target / 100), "times": 1 / claim.target}[
        claim.unit
    ]


def _gain(times: Interval, unit: str) -> Interval:
    """The ratio converted to a gain in the claim's unit."""

    def gain(ratio: float) -> float:
        return {"times": 1 / ratio, "% more": 100 * (1 / ratio - 1), "% less": 100 * (1 - ratio)}[unit]

    return times.mapped(gain, falling=True)


def _id(rows: pd.DataFrame) -> str:
    return str(rows["cell_id"].iloc[0])


def _digests(evidence: Evidence, rows: pd.DataFrame) -> set[str]:
    own = evidence.cells[evidence.cells["cell_id"].isin(rows["cell_id"])]
    return set(own["settings_digest"]) - {""}
