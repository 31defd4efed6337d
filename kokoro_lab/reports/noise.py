"""How small a difference the run could have seen: its noise floor, text by text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from kokoro_lab.measure.noise import noise_floor
from kokoro_lab.reports.evidence import Evidence, matching
from kokoro_lab.reports.intervals import Interval, by_block, ratio
from kokoro_lab.reports.kept import Kept, kept_verdicts

__all__ = ["NoiseLine", "noise_lines"]


@dataclass(frozen=True)
class NoiseLine:
    """The noise of one text's warm cells; shares, 0.02 is 2 %."""

    text_preset: str
    blocks: int
    """Undisturbed blocks, all cells together."""
    spread: float | None
    """Pooled standard deviation between blocks of one cell; None when no cell has two."""
    floor: float | None
    """Half width of the 95 % interval of a ratio: what chance alone looks like."""
    detectable: float | None
    """Smallest effect that would be found with 80 % power; None when there are too few blocks to find any."""
    twins: Interval | None
    """Ratio of two measurements of one configuration, where the run has such a pair; it should hold 1."""


def noise_lines(evidence: Evidence, metric: str = "total_ms") -> list[NoiseLine]:
    """One line a text, by length: as the sweep kept it, else from the blocks."""
    kept: dict[str, Kept] = {}
    for one in kept_verdicts(evidence, ("noise",), metric):  # one a notebook: the surest counts
        known = one.details.get("floor") is not None and one.details["text"] == one.text_preset
        if known and one.details["pairs"] >= (kept[one.text_preset].details["pairs"] if one.text_preset in kept else 0):
            kept[one.text_preset] = one
    if kept:
        twins = {one.text_preset: one.ratio for one in kept_verdicts(evidence, ("twin",), metric)}
        blocks = matching(evidence.cells, {"state": "warm", "counts": True})["text_preset"].value_counts()
        return [_kept_line(one, int(blocks.get(text, 0)), twins.get(text)) for text, one in kept.items()]
    values = matching(evidence.values(metric), {"state": "warm", "counts": True})
    texts = values[["characters", "text_preset"]].drop_duplicates().sort_values("characters")
    return [_line(str(name), values[values["text_preset"] == name]) for name in texts["text_preset"]]


def _kept_line(one: Kept, blocks: int, twins: Interval | None) -> NoiseLine:
    told = one.details
    return NoiseLine(one.text_preset, blocks, told["sd"], told["floor"], told["detectable"], twins)


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
    """The first label that was measured as two replicas, second over first."""
    for _, rows in values.groupby("label", sort=True):
        replicas = [by_block(group) for _, group in rows.groupby("replica", sort=True)]
        if len(replicas) > 1:
            return ratio(replicas[1], replicas[0])
    return None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
