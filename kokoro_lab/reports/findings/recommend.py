"""Recommendations from the rows: a setting for each goal and its effect, what to measure next, settings with no effect.

A setting is recommended when the sweep's verdict is that it is better than its reference cell, with equivalent audio.
Without such a verdict nothing is recommended, and the line says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kokoro_lab.reports.claims.stored_verdicts import StoredVerdict, stored_verdicts
from kokoro_lab.reports.findings.bound import Bound
from kokoro_lab.reports.rows.cell_summary import faster, number, reach, spread
from kokoro_lab.reports.rows.evidence import Evidence, cached_speech, matching, recipe_names
from kokoro_lab.reports.rows.frame_statistics import rows_interval, rows_ratio

__all__ = ["Advice", "advice", "next_steps", "no_effect_lines"]

TIMES = {"Shortest time to first audio": ("ttfa_ms", "ms"), "Highest throughput": ("rtf", "")}
MOST = 4
"""Most lines under "What to measure next"."""


@dataclass(frozen=True)
class Advice:
    """The recommendation for one goal on this machine."""

    goal: str
    setting: str
    """Empty when the rows support no recommendation."""
    measured: str
    buys: str
    """Its effect compared with the reference cell, in words, with an interval; or why nothing is recommended."""


def advice(evidence: Evidence) -> list[Advice]:
    """One line per goal and text, the goals in a fixed order; empty for the tiny model."""
    if evidence.tiny:
        return []
    lines = [line for goal, (metric, unit) in TIMES.items() for line in _time(evidence, goal, metric, unit)]
    return lines + [line for line in (_memory(evidence), _quality(evidence)) if line is not None]


def next_steps(evidence: Evidence, cell_bounds: Sequence[Bound]) -> list[str]:
    """What is worth measuring next, each from rows: undecided settings first, the most promising first."""
    if evidence.tiny:
        return []
    steps = []
    undecided = [
        verdict
        for verdict in _synthesised(evidence, "rtf")
        if verdict.verdict == "inconclusive" and verdict.ratio is not None and verdict.ratio.center < 1
    ]
    for verdict in sorted(undecided, key=lambda item: item.ratio.center if item.ratio else 1.0)[: MOST - 2]:
        steps.append(
            f"{verdict.candidate}, {verdict.text_preset} text: {faster(verdict.ratio, verdict.base)}, but inconclusive "
            f"({verdict.reason.rstrip('.')}). Measure more blocks."
        )
    if cell_bounds:
        longest = max(cell_bounds, key=lambda verdict: (verdict.characters, -verdict.measured.center))
        share = 100 * longest.unattributed_ms / longest.measured.center
        steps.append(
            f"{longest.label}, {longest.text_preset} text: of {spread(longest.measured, 'ms')}, "
            f"{number(longest.unattributed_ms)} ms ({number(share)} %) are neither multiplications "
            "at this machine's peak rate nor a stage outside the model. Graph optimisation can save this time; saving "
            "more takes fewer multiplications or a lower precision."
        )
    measured = set(evidence.samples["recipe"]) | {"", "reference"}
    absent = [name for name in recipe_names() if name not in measured]
    if absent:
        steps.append(
            f"Recipes not measured in this run: {', '.join(absent)}. Build the variants and run kokoro-lab sweep full."
        )
    return steps[:MOST]


def no_effect_lines(evidence: Evidence) -> list[str]:
    """Placebos that the sweep detected: settings with two levels that lead to the same effective settings."""
    return sorted({verdict.reason for verdict in stored_verdicts(evidence, ("placebo",))})


def _synthesised(evidence: Evidence, metric: str) -> list[StoredVerdict]:
    """The verdicts on cells whose speech was computed; time saved by a cache is not an effect on synthesis."""
    cached = set(evidence.cells.loc[cached_speech(evidence.cells), "cell_id"])
    return [verdict for verdict in stored_verdicts(evidence, ("cell",), metric) if verdict.candidate_cell not in cached]


def _time(evidence: Evidence, goal: str, metric: str, unit: str) -> list[Advice]:
    lines = []
    verdicts = [verdict for verdict in _synthesised(evidence, metric) if not verdict.candidate.endswith("cold")]
    values = matching(evidence.values(metric), {"ranked": "equivalent", "state": "warm"})
    texts = dict.fromkeys(
        (verdict.text_preset, verdict.characters) for verdict in verdicts if verdict.ratio is not None
    )
    for text, characters in texts:
        of_text = [verdict for verdict in verdicts if verdict.text_preset == text and verdict.ratio is not None]
        proven = [verdict for verdict in of_text if verdict.verdict == "faster" and verdict.gate == "equivalent"]
        best = min(proven, key=lambda verdict: verdict.ratio.center if verdict.ratio else 1.0, default=None)
        where = f"{goal}, {text} ({characters} characters)"
        if best is None:
            decided = sum(verdict.verdict in ("faster", "slower", "equivalent") for verdict in of_text)
            why = f"none of {len(of_text)} compared settings is proven faster ({decided} with a clear verdict)"
            lines.append(Advice(where, "", "", why))
            continue
        rows = values[values["cell_id"] == best.candidate_cell]
        figure = spread(rows_interval(rows), unit) if len(rows) else ""
        measured = f"RTF {figure}" if figure and metric == "rtf" else figure
        lines.append(Advice(where, best.candidate, measured, faster(best.ratio, best.base)))
    for text, characters in texts:
        near = [
            verdict
            for verdict in verdicts
            if verdict.text_preset == text and verdict.gate == "close" and verdict.verdict == "faster"
        ]
        verdict = min(near, key=lambda item: item.ratio.center if item.ratio else 1.0, default=None)
        if verdict is not None:
            where = f"{goal}, {text} ({characters} characters), if close audio is acceptable"
            lines.append(Advice(where, verdict.candidate, "", faster(verdict.ratio, verdict.base)))
    return lines


def _memory(evidence: Evidence) -> Advice | None:
    """The cell with the least peak memory on the longest text that was measured with several settings."""
    values = matching(evidence.values("rss_peak_mb"), {"ranked": "equivalent", "state": "warm", "arrivals": ""})
    values = values[values["architecture"] == "full"]
    counts = values.groupby(["characters", "text_preset"])["cell_id"].nunique()
    several = counts[counts > 1]
    if several.empty:
        return None
    characters, text = several.index[-1]
    cells = {str(name): rows for name, rows in values[values["text_preset"] == text].groupby("cell_id")}
    ordered = sorted(cells.values(), key=lambda rows: rows_interval(rows).center)
    least, base = ordered[0], _reference(ordered)
    goal = f"Least memory, {text} ({characters} characters)"
    if base is least:
        return Advice(goal, "", "", "no other setting of this run takes less memory than the reference")
    saved = rows_ratio(least, base)
    if saved is None or not saved.known or (saved.high or 0) >= 1:
        return Advice(goal, "", "", f"no setting is proven to take less memory than {base['label'].iloc[0]}")
    label = str(least["label"].iloc[0])
    percent = saved.mapped(lambda ratio: 100 * (1 - ratio), falling=True)
    words = f"{number(percent.center)} % less memory than {base['label'].iloc[0]} ({reach(percent, '%')})"
    return Advice(goal, label, spread(rows_interval(least), "MB"), words)


def _quality(evidence: Evidence) -> Advice | None:
    """The reference, and how many other settings have equivalent audio."""
    ran = matching(evidence.cells, {"state": "warm", "counts": True, "delivery": "whole", "architecture": "full"})
    ran = ran[ran["gate"] != "none"]
    if ran.empty:
        return None
    reference = ran[ran["reference"].astype(bool)]
    others = ran[~ran["reference"].astype(bool)]
    same = others[others["gate"] == "equivalent"]
    label = str(reference["label"].iloc[0]) if len(reference) else "the reference"
    if others.empty:
        return Advice("Best quality", label, "", "no other setting was compared with it")
    summary = f"equivalent audio with {same['label'].nunique()} of {others['label'].nunique()} other settings"
    farthest = same["gate_log_mel_db"].max()
    if pd.notna(farthest) and farthest >= LEAST_DB:
        summary += f", at most {number(float(farthest))} dB of log-mel distance away"
    return Advice("Best quality", label, "", f"{summary}; these can be chosen freely")


LEAST_DB = 0.01  # dB; smaller distances are rounding


def _reference(ordered: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return next((rows for rows in ordered if bool(rows["reference"].iloc[0])), ordered[-1])
