"""What each optimisation buys: every compared setting of a run as one factor of speed, the largest first.

Settings are compared on one text, that on which the most of them were measured; a setting that was measured only on
others is shown on the longest of those, with its name. Whole speech is compared by its total time, a stream by its time
to first audio. A stream is compared with the whole delivery here, because the sweep compares streams only with each
other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.stored_verdicts import StoredVerdict, stored_verdicts
from kokoro_lab.reports.findings.setting_names import differing
from kokoro_lab.reports.findings.statements import CitedRatio
from kokoro_lab.reports.rows.evidence import Evidence, cached_speech
from kokoro_lab.reports.rows.frame_statistics import rows_ratio
from kokoro_lab.store.blocks import records

__all__ = ["DECIDED", "Ladder", "Rung", "ladder"]

DECIDED = ("faster", "slower", "equivalent")
"""Verdicts that say how fast a setting is."""

STREAM_FACTORS = ("state", "delivery", "reference", "repeats", "warmup_cap", "replica")


@dataclass(frozen=True)
class Rung:
    """One setting, compared with the cell that has another level of the same factors."""

    name: str
    """What is different about it: `kernels-int16`, `2 threads`."""
    base: str
    """The same factors of the cell that it is compared with."""
    text_preset: str
    characters: int
    verdict: str
    """faster, slower, equivalent, inconclusive, invalid or placebo."""
    gate: str
    """The result of the audio gate: equivalent, close, different or none."""
    candidate_cell: str
    base_cell: str
    cited: CitedRatio | None
    """None where no blocks could be compared, and for a placebo."""
    reason: str = ""
    cached: bool = False
    """Whether its calls are answered from a cache of speech."""
    state: str = "warm"

    @property
    def decided(self) -> bool:
        """Whether the run decided how fast it is."""
        return self.verdict in DECIDED

    @property
    def usable(self) -> bool:
        """Whether it is proven to synthesise the same speech faster."""
        return self.verdict == "faster" and self.gate == "equivalent" and not self.cached and self.state == "warm"


@dataclass(frozen=True)
class Ladder:
    """The rungs of a run, the largest effect first; placebos and settings without a ratio last."""

    rungs: tuple[Rung, ...]
    text_preset: str
    """The text that the settings are compared on; empty without rungs."""
    characters: int

    @property
    def best(self) -> Rung | None:
        """The fastest proven setting for whole speech of the ladder's text."""
        return next((rung for rung in self.rungs if rung.usable and self._whole(rung)), None)

    @property
    def undecided(self) -> tuple[Rung, ...]:
        """Settings whose effect is still open, the most promising first."""
        return tuple(
            rung
            for rung in self.rungs
            if rung.verdict == "inconclusive" and rung.state == "warm" and not rung.cached and self._whole(rung)
        )

    def _whole(self, rung: Rung) -> bool:
        return rung.text_preset == self.text_preset and (rung.cited is None or rung.cited.metric == "total_ms")


def ladder(evidence: Evidence) -> Ladder:
    """The ladder of a run; without rungs where nothing was compared."""
    cells = {str(row["cell_id"]): row for row in records(evidence.cells)}
    cached = set(evidence.cells.loc[cached_speech(evidence.cells), "cell_id"])
    known = [*_compared(evidence, cells, cached), *_streamed(evidence, cells)]
    counts = Counter((rung.text_preset, rung.characters) for rung in known if rung.cited is not None)
    text, characters = max(counts, key=lambda key: (counts[key], key[1]), default=("", 0))
    chosen: dict[tuple[str, ...], Rung] = {}
    for rung in sorted(known, key=lambda item: (item.text_preset == text, item.characters)):
        chosen[rung.name, rung.base, rung.state, rung.cited.metric if rung.cited else ""] = rung
    placebos = _placebos(evidence, cells)
    named = {(rung.name, rung.base) for rung in placebos}
    ranked = [rung for rung in chosen.values() if (rung.name, rung.base) not in named]
    return Ladder((*sorted(ranked, key=_place), *placebos), text, characters)


def _place(rung: Rung) -> tuple[bool, float, str]:
    return rung.cited is None, 0.0 if rung.cited is None else -rung.cited.speedup.center, rung.name


def _compared(evidence: Evidence, cells: dict[str, dict[str, Any]], cached: set[Any]) -> Iterator[Rung]:
    """The sweep's verdicts: on total time, and for streams on the time to first audio."""
    for verdict in stored_verdicts(evidence, ("cell",)):
        candidate, base = cells[verdict.candidate_cell], cells[verdict.base_cell]
        streamed = candidate["delivery"] == "stream"
        if verdict.metric != ("ttfa_ms" if streamed else "total_ms"):
            continue
        name, base_name = differing(candidate, base)
        state = str(candidate["state"])
        after = (", first sound of a stream" if streamed else "") + ("" if state == "warm" else f", {state} start")
        yield Rung(
            name=name + after,
            base=base_name,
            text_preset=verdict.text_preset,
            characters=verdict.characters,
            verdict=verdict.verdict,
            gate=verdict.gate,
            candidate_cell=verdict.candidate_cell,
            base_cell=verdict.base_cell,
            cited=_cited(verdict),
            reason=verdict.reason,
            cached=verdict.candidate_cell in cached,
            state=state,
        )


def _cited(verdict: StoredVerdict) -> CitedRatio | None:
    if verdict.ratio is None or not _positive(verdict.ratio):
        return None
    return CitedRatio.of_times(verdict.candidate_cell, verdict.base_cell, verdict.metric, verdict.ratio)


def _streamed(evidence: Evidence, cells: dict[str, dict[str, Any]]) -> Iterator[Rung]:
    """Each warm stream whose other settings are those of a reference cell: first sound against whole delivery."""
    warm = {
        cell_id: Cell.from_dict(row["configuration"])
        for cell_id, row in cells.items()
        if row["state"] == "warm" and row["samples"] and not row["arrivals"]
    }
    whole = {_other_than_delivery(cell): cell_id for cell_id, cell in warm.items() if cell.delivery == "whole"}
    values = evidence.values("ttfa_ms")
    values = values[values["counts"]]
    for cell_id, cell in warm.items():
        base_id = whole.get(_other_than_delivery(cell))
        if cell.delivery != "stream" or base_id is None:
            continue
        times = rows_ratio(*(values[values["cell_id"] == name] for name in (cell_id, base_id)))
        if times is None or not _positive(times):
            continue
        yield Rung(
            name="streamed: first sound",
            base="not streamed",
            text_preset=cell.text_preset,
            characters=len(cell.text),
            verdict=_verdict(times),
            gate="none",
            candidate_cell=cell_id,
            base_cell=base_id,
            cited=CitedRatio.of_times(cell_id, base_id, "ttfa_ms", times),
            reason=times.shortfall,
        )


def _other_than_delivery(cell: Cell) -> tuple[tuple[str, Any], ...]:
    settings = {name: value for name, value in cell.as_dict().items() if name not in STREAM_FACTORS}
    return tuple(sorted((name, str(value)) for name, value in settings.items()))


def _positive(times: Interval) -> bool:
    """Whether it is a ratio of times, and can be turned round."""
    ends = (times.center, *(end for end in (times.low, times.high) if end is not None))
    return all(math.isfinite(end) and end > 0 for end in ends)


def _verdict(times: Interval) -> str:
    if not times.known or times.low is None or times.high is None:
        return "inconclusive"
    return "faster" if times.high < 1 else "slower" if times.low > 1 else "inconclusive"


def _placebos(evidence: Evidence, cells: dict[str, dict[str, Any]]) -> Sequence[Rung]:
    """Settings of which two levels have the same effective settings, each once."""
    found: dict[tuple[str, str], Rung] = {}
    for verdict in stored_verdicts(evidence, ("placebo",)):
        base, candidate = cells[verdict.base_cell], cells[verdict.candidate_cell]
        name, base_name = differing(candidate, base)
        rung = Rung(
            name=name,
            base=base_name,
            text_preset=verdict.text_preset,
            characters=verdict.characters,
            verdict="placebo",
            gate="",
            candidate_cell=verdict.candidate_cell,
            base_cell=verdict.base_cell,
            cited=None,
            reason=verdict.reason,
        )
        found.setdefault((name, base_name), rung)
    return tuple(found.values())
