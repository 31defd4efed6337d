"""What the rows recommend: which setting for which goal, what it buys, what to try next, and what is a placebo.

A setting is recommended when the sweep decided that it is better than the cell it was compared with, at equivalent
audio. Where nothing was decided, nothing is recommended, and the line says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kokoro_lab.reports.bound import Bound
from kokoro_lab.reports.evidence import Evidence, kept_speech, matching, recipe_names
from kokoro_lab.reports.intervals import Interval, by_block, interval, ratio
from kokoro_lab.reports.kept import Kept, kept_verdicts
from kokoro_lab.reports.summary import number, spread

__all__ = ["Advice", "advice", "next_steps", "placebo_lines"]

TIMES = {"Fastest first sound": ("ttfa_ms", "ms"), "Fastest throughput": ("rtf", "s for 1 s")}
MOST = 4
"""Lines of what to try next, at most."""


@dataclass(frozen=True)
class Advice:
    """One goal on this machine."""

    goal: str
    setting: str
    """Empty when the rows do not support one."""
    measured: str
    buys: str
    """What it buys over the cell it was compared with, in words, with its interval; or why nothing is recommended."""


def advice(evidence: Evidence) -> list[Advice]:
    """One line a goal and text, the goals in a fixed order; none for the tiny model."""
    if evidence.tiny:
        return []
    lines = [line for goal, (metric, unit) in TIMES.items() for line in _time(evidence, goal, metric, unit)]
    return lines + [line for line in (_memory(evidence), _quality(evidence)) if line is not None]


def next_steps(evidence: Evidence, found: Sequence[Bound]) -> list[str]:
    """What might be worth measuring next, the largest first; each from rows."""
    if evidence.tiny:
        return []
    steps = []
    undecided = [
        one
        for one in _synthesised(evidence, "rtf")
        if one.verdict == "inconclusive" and one.ratio is not None and one.ratio.median < 1
    ]
    for one in sorted(undecided, key=lambda item: item.ratio.median if item.ratio else 1.0)[: MOST - 2]:
        steps.append(
            f"{one.candidate} on the {one.text_preset} text looks like {_times(one.ratio)} the time of {one.base}, and "
            f"is not decided: {one.reason.rstrip('.')}. More blocks would tell."
        )
    if found:
        longest = max(found, key=lambda one: (one.characters, -one.measured.median))
        share = 100 * longest.unexplained_ms / longest.measured.median
        steps.append(
            f"Of the {longest.text_preset} text with {longest.label}, {number(longest.unexplained_ms)} ms "
            f"({number(share)} %) are neither multiplications at this machine's peak nor a stage outside the model: "
            "that is what graph work can win; only fewer or narrower products can win more."
        )
    measured = set(evidence.samples["recipe"]) | {"", "reference"}
    absent = [name for name in recipe_names() if name not in measured]
    if absent:
        steps.append(
            f"Not measured in this run: recipes {', '.join(absent)}; kokoro-lab sweep full measures what is made."
        )
    return steps[:MOST]


def placebo_lines(evidence: Evidence) -> list[str]:
    """Settings of which two levels came to the same effective settings, as the sweep found them."""
    return sorted({one.reason for one in kept_verdicts(evidence, ("placebo",))})


def _synthesised(evidence: Evidence, metric: str) -> list[Kept]:
    """The verdicts on cells whose speech was computed; what a cache saves is no setting of synthesis."""
    answered = set(evidence.cells.loc[kept_speech(evidence.cells), "cell_id"])
    return [one for one in kept_verdicts(evidence, ("cell",), metric) if one.candidate_cell not in answered]


def _time(evidence: Evidence, goal: str, metric: str, unit: str) -> list[Advice]:
    lines = []
    verdicts = [one for one in _synthesised(evidence, metric) if not one.candidate.endswith("cold")]
    values = matching(evidence.values(metric), {"ranked": "equivalent", "state": "warm"})
    texts = dict.fromkeys((one.text_preset, one.characters) for one in verdicts if one.ratio is not None)
    for text, characters in texts:
        mine = [one for one in verdicts if one.text_preset == text and one.ratio is not None]
        faster = [one for one in mine if one.verdict == "faster" and one.gate == "equivalent"]
        best = min(faster, key=lambda one: one.ratio.median if one.ratio else 1.0, default=None)
        where = f"{goal}, {text} ({characters} characters)"
        if best is None:
            decided = sum(one.verdict in ("faster", "slower", "equivalent") for one in mine)
            why = f"none of {len(mine)} compared settings was shown to be faster ({decided} decided)"
            lines.append(Advice(where, "", "", why))
            continue
        rows = values[values["cell_id"] == best.candidate_cell]
        measured = spread(interval(by_block(rows)), unit) if len(rows) else ""
        lines.append(Advice(where, best.candidate, measured, f"{_times(best.ratio)} the time of {best.base}"))
    for text, characters in texts:
        near = [one for one in verdicts if one.text_preset == text and one.gate == "close" and one.verdict == "faster"]
        one = min(near, key=lambda item: item.ratio.median if item.ratio else 1.0, default=None)
        if one is not None:
            where = f"{goal}, {text} ({characters} characters), if close audio will do"
            lines.append(Advice(where, one.candidate, "", f"{_times(one.ratio)} the time of {one.base}"))
    return lines


def _memory(evidence: Evidence) -> Advice | None:
    """The cell with the least peak memory on the longest text that several settings spoke."""
    values = matching(evidence.values("rss_peak_mb"), {"ranked": "equivalent", "state": "warm", "arrivals": ""})
    values = values[values["architecture"] == "full"]
    counts = values.groupby(["characters", "text_preset"])["cell_id"].nunique()
    several = counts[counts > 1]
    if several.empty:
        return None
    characters, text = several.index[-1]
    cells = {str(name): rows for name, rows in values[values["text_preset"] == text].groupby("cell_id")}
    ordered = sorted(cells.values(), key=lambda rows: interval(by_block(rows)).median)
    least, base = ordered[0], _reference(ordered)
    goal = f"Least memory, {text} ({characters} characters)"
    if base is least:
        return Advice(goal, "", "", "no other setting of this run takes less than the reference")
    saved = ratio(by_block(least), by_block(base))
    if saved.high is None or saved.high >= 1:
        return Advice(goal, "", "", f"no setting was shown to take less than {base['label'].iloc[0]}")
    label = str(least["label"].iloc[0])
    words = f"{_times(saved)} the memory of {base['label'].iloc[0]}"
    return Advice(goal, label, spread(interval(by_block(least)), "MB"), words)


def _quality(evidence: Evidence) -> Advice | None:
    """The reference, and how many other settings sound the same."""
    ran = matching(evidence.cells, {"state": "warm", "counts": True, "delivery": "whole", "architecture": "full"})
    ran = ran[ran["gate"] != "none"]
    if ran.empty:
        return None
    reference = ran[ran["reference"].astype(bool)]
    others = ran[~ran["reference"].astype(bool)]
    same = others[others["gate"] == "equivalent"]
    label = str(reference["label"].iloc[0]) if len(reference) else "the reference"
    if others.empty:
        return Advice("Best quality", label, "", "nothing else was compared with it")
    told = f"{same['label'].nunique()} of {others['label'].nunique()} other settings sound equivalent"
    farthest = same["gate_log_mel_db"].max()
    if pd.notna(farthest) and farthest >= LEAST_DB:
        told += f", at most {number(float(farthest))} dB of log-mel distance away"
    return Advice("Best quality", label, "", f"{told}: among those the choice is free")


LEAST_DB = 0.01  # dB, below which a distance is that of rounding


def _reference(ordered: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return next((rows for rows in ordered if bool(rows["reference"].iloc[0])), ordered[-1])


def _times(found: Interval | None) -> str:
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{number(found.median)} of"
    return f"{number(found.median)} ({number(found.low)} to {number(found.high)}) of"
