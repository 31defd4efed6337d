"""The answer in plain words, made from the rows: what a reader should know who reads nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kokoro_lab.reports.claims import Claim
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.intervals import Interval
from kokoro_lab.reports.resolve import Resolution, Verdict
from kokoro_lab.reports.summary import CellFigure, best, cell_figures, number

__all__ = ["HELD", "Answer", "Tile", "answer", "gap_words"]

KEY_CLAIMS = {
    "ttfa-short-target": "First audio, short text",
    "ttfa-half-second-target": "First audio, medium text",
    "ttfa-long-target": "First audio, long text",
    "rtf-near-real-time": "Work for 1 s of speech",
    "cold-start-target": "Cold start, short text",
    "memory-target": "Memory, warm",
}
"""Claims that stand at the top, and what they are called there."""

METRIC_NAMES = {
    "ttfa_ms": "first audio",
    "total_ms": "whole call",
    "rtf": "real-time factor",
    "rss_mb": "memory",
    "rss_peak_mb": "peak memory",
    "startup_ms": "start-up",
    "error_share": "failures",
}

HELD: tuple[Verdict, ...] = ("met", "missed", "inconclusive", "placebo")
"""Verdicts of claims that were held against rows."""


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page."""

    name: str
    value: str
    interval: str
    stated: str
    verdict: str
    gap: str
    """How far from the bar, in words; empty when there is no gap."""


@dataclass(frozen=True)
class Answer:
    """Sentences, the first of them the headline, and the key figures."""

    headline: str
    sentences: Sequence[str]
    tiles: Sequence[Tile]


def answer(evidence: Evidence, resolutions: Sequence[Resolution]) -> Answer:
    """What the rows of the run say, the most important first."""
    sentences = [
        _whether_tiny(evidence),
        _speed(evidence),
        _cold(evidence),
        _stated(resolutions),
        _nearest(resolutions),
        _absent(evidence),
        _disturbed(evidence),
    ]
    tiles = [] if evidence.tiny else _tiles(evidence, resolutions)
    return Answer(_headline(evidence, resolutions), [text for text in sentences if text], tiles)


def gap_words(gap: Interval | None) -> str:
    """A gap as a factor: `14.5 times the bar`, `0.34 of the bar`."""
    if gap is None:
        return ""
    return f"{number(gap.median)} times the bar" if gap.median > 1 else f"{number(gap.median)} of the bar"


def _headline(evidence: Evidence, resolutions: Sequence[Resolution]) -> str:
    if evidence.tiny:
        return "The chain works. Speed was not measured: the tiny model ran."
    figures = [figure for figure in cell_figures(evidence, "ttfa_ms") if figure.ranked == "equivalent"]
    if not figures:
        disturbed = bool(evidence.samples["contaminated"].all())
        why = "other processes disturbed every block" if disturbed else "no undisturbed warm cell has equivalent audio"
        return f"Nothing can be ranked: {why}." + (" Measure again on a quiet machine." if disturbed else "")
    last = best(figures, figures[-1].text_preset) or figures[-1]
    heard = f"a text of {last.characters} characters is heard after {_duration(last.measured.median)}"
    rtf = best(cell_figures(evidence, "rtf"), last.text_preset)
    if rtf is None:
        return f"On this machine {heard}{_against(resolutions)}."
    pace = _pace(rtf.measured.median)
    return f"This machine makes speech {pace}, and {heard}{_against(resolutions)}."


def _against(resolutions: Sequence[Resolution]) -> str:
    """How the target for long texts came out, as the end of a sentence."""
    for resolution in resolutions:
        if resolution.claim.id == "ttfa-long-target" and resolution.gap is not None:
            factor = number(resolution.gap.median)
            endings = {"met": ", within the stated target", "missed": f", {factor} times the stated target"}
            return endings.get(resolution.verdict, "")
    return ""


def _pace(rtf: float) -> str:
    faster = rtf < 1
    return f"{number(1 / rtf if faster else rtf)} times {'faster' if faster else 'slower'} than it plays"


def _duration(ms: float) -> str:
    return f"{number(ms / 1000)} s" if ms >= 1000 else f"{number(ms)} ms"


def _span(measured: Interval) -> str:
    """A median with its interval, in one unit: `1.91 s (1.35 to 2.70)`."""
    if measured.low is None or measured.high is None:
        return f"{_duration(measured.median)} (one block)"
    scale = 1000 if measured.median >= 1000 else 1
    return f"{_duration(measured.median)} ({number(measured.low / scale)} to {number(measured.high / scale)})"


def _whether_tiny(evidence: Evidence) -> str:
    if evidence.tiny:
        return "The tiny architecture tests the chain in seconds; its figures say nothing of Kokoro."
    return ""


def _speed(evidence: Evidence) -> str:
    figures = cell_figures(evidence, "ttfa_ms")
    texts = dict.fromkeys(figure.text_preset for figure in figures)
    chosen = [found for preset in texts if (found := best(figures, preset)) is not None]
    if not chosen:
        return ""
    parts = [f"{_span(item.measured)} for {item.characters} ({item.label})" for item in chosen]
    return f"The best undisturbed cells take, to first audio by characters of text: {'; '.join(parts)}."


def _cold(evidence: Evidence) -> str:
    figures = cell_figures(evidence, "total_ms", state="cold")
    chosen = [found for preset in {f.text_preset for f in figures} if (found := best(figures, preset)) is not None]
    if not chosen:
        return ""
    first = min(chosen, key=lambda figure: (figure.characters, figure.label))
    said = f"From nothing (new process, model not in memory) the {first.text_preset} text is spoken"
    return f"{said} after {_span(first.measured)}."


def _stated(resolutions: Sequence[Resolution]) -> str:
    counts = Counter(resolution.verdict for resolution in resolutions)
    held = sum(counts[verdict] for verdict in HELD)
    waiting, never = counts["not measured yet"], counts["not measurable here"]
    rest = f"{waiting} are not measured yet, and {never} cannot be measured here"
    if not held:
        return f"None of the {len(resolutions)} stated numbers could be held against these rows: {rest}."
    parts = [f"{counts[verdict]} {verdict}" for verdict in HELD if counts[verdict]]
    return f"Of {len(resolutions)} stated numbers, {held} were held against these rows: {', '.join(parts)}. {rest}."


def _nearest(resolutions: Sequence[Resolution]) -> str:
    missed = [
        (resolution.gap.median, resolution)
        for resolution in resolutions
        if resolution.verdict == "missed" and resolution.gap is not None and resolution.claim.kind in ("target", "gate")
    ]
    if not missed:
        return ""
    gap, nearest = min(missed, key=lambda item: item[0])
    worst, farthest = max(missed, key=lambda item: item[0])
    text = f"The nearest missed target is {_claim_name(nearest)}, {number(gap)} times its bar"
    if farthest is not nearest:
        text += f"; the farthest is {_claim_name(farthest)}, {number(worst)} times"
    return f"{text}."


def _claim_name(resolution: Resolution) -> str:
    claim = resolution.claim
    return f"{METRIC_NAMES.get(claim.metric, claim.metric)} {claim.stated} ({claim.scenario})"


def _absent(evidence: Evidence) -> str:
    missing = sorted(set(evidence.cells.loc[evidence.cells["status"] == "unavailable", "provider"]))
    if not missing:
        return ""
    return f"Asked for and not there, so without a figure: {', '.join(missing)}."


def _disturbed(evidence: Evidence) -> str:
    blocks = evidence.cells[evidence.cells["samples"] > 0]
    count = int(blocks["contaminated"].sum())
    if not count:
        return ""
    return f"Other processes disturbed {count} of {len(blocks)} blocks; those are shown and never ranked."


def _tiles(evidence: Evidence, resolutions: Sequence[Resolution]) -> list[Tile]:
    by_id = {resolution.claim.id: resolution for resolution in resolutions}
    tiles = []
    for claim_id, name in KEY_CLAIMS.items():
        resolution = by_id.get(claim_id)
        if resolution is None:
            continue
        claim, measured, verdict = resolution.claim, resolution.measured, str(resolution.verdict)
        if measured is None:
            lowest = _lowest(evidence, claim)
            if lowest is None:
                continue
            measured, verdict = lowest.measured, f"not ranked: {lowest.note}" if lowest.note else verdict
        unit = "s" if claim.unit == "s/s" else claim.unit
        reach = "one block, no interval"
        if measured.low is not None and measured.high is not None:
            reach = f"{number(measured.low)} to {number(measured.high)} {unit}"
        tiles.append(
            Tile(
                name=name,
                value=f"{number(measured.median)} {unit}",
                interval=reach,
                stated=claim.stated,
                verdict=verdict,
                gap=gap_words(resolution.gap),
            )
        )
    return tiles


def _lowest(evidence: Evidence, claim: Claim) -> CellFigure | None:
    """Of a claim that no row may stand for, the lowest cell with its text and state, and what is the matter with it."""
    filters = claim.resolve.rows or {}
    figures = [
        figure
        for figure in cell_figures(evidence, claim.metric, state=str(filters.get("state", "warm")))
        if figure.text_preset == filters.get("text_preset", figure.text_preset)
    ]
    return min(figures, key=lambda figure: (figure.measured.median, figure.label), default=None)
