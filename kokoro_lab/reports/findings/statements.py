"""Sentences about figures, each with the figures that it states.

A sentence never takes a loose number: it is made from records that hold the cell, its figure with interval and number
of blocks, and the verdict on that very figure. So a reader, and a test, can trace every number to one cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.resolution import Resolution
from kokoro_lab.reports.rows.cell_summary import CellFigure, number, reach, stated

__all__ = ["CitedFigure", "CitedRatio", "Statement", "cited_claim", "own_resolution"]


@dataclass(frozen=True)
class CitedFigure:
    """A figure of one cell that a sentence states."""

    cell_id: str
    metric: str
    label: str
    characters: int
    measured: Interval
    claim: str = ""
    """The claim that was resolved on this figure; empty without one, and then so are `verdict` and `gap`."""
    verdict: str = ""
    gap: Interval | None = None
    """Measured value relative to the claim's target."""

    @classmethod
    def of(cls, figure: CellFigure, metric: str, resolution: Resolution | None = None) -> CitedFigure:
        """The figure of a cell; `resolution`: of a claim on this very figure, from `own_resolution`."""
        own = (figure.cell_id, metric, figure.label, figure.characters, figure.measured)
        if resolution is None:
            return cls(*own)
        return cls(*own, resolution.claim.id, resolution.verdict, resolution.gap)

    @property
    def duration(self) -> str:
        """A time in milliseconds: `442 ms`, `1.91 s`, with what it lacks."""
        return stated(self.measured, *self._unit)

    @property
    def duration_and_interval(self) -> str:
        """A time with its interval in one unit: `1.91 s (1.35 to 2.70)`."""
        unit, scale = self._unit
        return f"{number(self.measured.center / scale)} {unit} ({reach(self.measured, scale=scale)})"

    @property
    def pace(self) -> str:
        """A real-time factor as a speed: `2.00x faster than real time`, with what it lacks."""
        faster = self.measured.center < 1
        speed = self.measured.mapped(lambda value: 1 / value, falling=True) if faster else self.measured
        words, _, lacking = stated(speed).partition(" (")
        return f"{words}x {'faster' if faster else 'slower'} than real time" + (f" ({lacking}" if lacking else "")

    @property
    def _unit(self) -> tuple[str, float]:
        return ("s", 1000.0) if self.measured.center >= 1000 else ("ms", 1.0)


@dataclass(frozen=True)
class CitedRatio:
    """How many times as fast one cell is as another, as a headline, a chart and a table state it."""

    candidate_cell: str
    base_cell: str
    metric: str
    speedup: Interval
    """Time of the base over time of the candidate: above 1, the candidate is faster."""

    @classmethod
    def of_times(cls, candidate_cell: str, base_cell: str, metric: str, times: Interval) -> CitedRatio:
        """The same comparison given as the candidate's time over that of the base."""
        return cls(candidate_cell, base_cell, metric, times.mapped(lambda value: 1 / value, falling=True))

    @property
    def factor(self) -> str:
        """`4.33x faster`, `1.85x slower`."""
        center = self.speedup.center
        return f"{number(center)}x faster" if center >= 1 else f"{number(1 / center)}x slower"

    @property
    def interval(self) -> str:
        """`[4.10, 4.52]` in the direction of `factor`; what it lacks where it is no interval."""
        shown = self.speedup if self.speedup.center >= 1 else self.speedup.mapped(lambda value: 1 / value, falling=True)
        if shown.low is None or shown.high is None or shown.confidence is None:
            return f"({reach(shown)})"
        return f"[{number(shown.low)}, {number(shown.high)}]"


@dataclass(frozen=True)
class Statement:
    """A sentence and the figures in it; numbers that are no figure (counts of claims, of blocks) have none."""

    text: str
    figures: tuple[CitedFigure, ...] = ()
    ratios: tuple[CitedRatio, ...] = ()


def own_resolution(figure: CellFigure, metric: str, resolutions: Sequence[Resolution]) -> Resolution | None:
    """The target that was resolved on this very figure: the same metric of the same cell, from the same blocks.

    A verdict on another cell, another text or another choice of blocks is not this figure's. Of several targets, one
    that was decided.
    """
    own = [
        resolution
        for resolution in resolutions
        if resolution.claim.metric == metric
        and resolution.claim.kind in ("target", "gate")
        and resolution.cell_id == figure.cell_id
        and resolution.measured == figure.measured
    ]
    decided = [resolution for resolution in own if resolution.verdict in ("met", "missed")]
    return next(iter(decided or own), None)


def cited_claim(resolution: Resolution) -> CitedFigure | None:
    """The figure that a claim was resolved on, with its verdict; None without a measured value."""
    if resolution.measured is None:
        return None
    claim = resolution.claim
    measured, verdict, gap = resolution.measured, resolution.verdict, resolution.gap
    return CitedFigure(resolution.cell_id, claim.metric, resolution.cell, 0, measured, claim.id, verdict, gap)
