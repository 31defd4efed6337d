"""The smallest difference that the run could detect: its noise floor, text by text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.measure.statistics.noise import noise_floor
from kokoro_lab.reports.claims.stored_verdicts import StoredVerdict, stored_verdicts
from kokoro_lab.reports.rows.evidence import Evidence, matching
from kokoro_lab.reports.rows.frame_statistics import rows_ratio

__all__ = ["NoiseLine", "noise_lines"]


@dataclass(frozen=True)
class NoiseLine:
    """The noise of one text's warm cells; fractions: 0.02 is 2 %."""

    text_preset: str
    blocks: int
    """Undisturbed blocks, all cells together."""
    spread: float | None
    """Pooled standard deviation between blocks of one cell; None when no cell has two blocks."""
    floor: float | None
    """Half width of the 95 % interval of a ratio of two identical cells."""
    detectable: float | None
    """Smallest effect that would be detected with 80 % power; None when there are too few blocks."""
    twins: Interval | None
    """A/A ratio: two measurements of one configuration, if the run has them; its interval should include 1."""


def noise_lines(evidence: Evidence, metric: str = "total_ms") -> list[NoiseLine]:
    """One line per text, by length: as stored by the sweep, else computed from the blocks."""
    stored: dict[str, StoredVerdict] = {}
    for verdict in stored_verdicts(
        evidence, ("noise",), metric
    ):  # one per notebook: the row with the most pairs counts
        known = verdict.details.get("floor") is not None and verdict.details["text"] == verdict.text_preset
        if known and verdict.details["pairs"] >= (
            stored[verdict.text_preset].details["pairs"] if verdict.text_preset in stored else 0
        ):
            stored[verdict.text_preset] = verdict
    if stored:
        twins = {verdict.text_preset: verdict.ratio for verdict in stored_verdicts(evidence, ("twin",), metric)}
        blocks = matching(evidence.cells, {"state": "warm", "counts": True})["text_preset"].value_counts()
        return [_stored_line(verdict, int(blocks.get(text, 0)), twins.get(text)) for text, verdict in stored.items()]
    values = matching(evidence.values(metric), {"state": "warm", "counts": True})
    texts = values[["characters", "text_preset"]].drop_duplicates().sort_values("characters")
    return [_line(str(name), values[values["text_preset"] == name]) for name in texts["text_preset"]]


def _stored_line(verdict: StoredVerdict, blocks: int, twins: Interval | None) -> NoiseLine:
    details = verdict.details
    return NoiseLine(verdict.text_preset, blocks, details["sd"], details["floor"], details["detectable"], twins)


def _line(name: str, values: pd.DataFrame) -> NoiseLine:
    medians = values.groupby(["cell_id", "block"], sort=False)["value"].median().groupby("cell_id", sort=False)
    floor = noise_floor({str(cell): list(blocks) for cell, blocks in medians})
    return NoiseLine(
        text_preset=name,
        blocks=int(medians.size().sum()),
        spread=_finite(floor.sd),
        floor=_finite(floor.floor),
        detectable=_finite(floor.detectable),
        twins=_twins(values),
    )


def _twins(values: pd.DataFrame) -> Interval | None:
    """The A/A ratio of the first label with two replicas, second over first."""
    for _, rows in values.groupby("label", sort=True):
        replicas = [group for _, group in rows.groupby("replica", sort=True)]
        if len(replicas) > 1:
            return rows_ratio(replicas[1], replicas[0])
    return None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
