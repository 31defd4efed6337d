"""The verdicts of a run: every cell compared with its reference, ranked in separate lists by the audio gate.

Cells with equivalent and with close audio are ranked separately; cells with different audio, without a gate, or whose
provider did not run are listed and never ranked. Besides the verdicts there are the noise floor of each text and the
results of its A/A pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.records.readings import GateVerdict, worst_verdict
from kokoro_lab.measure.statistics.comparison import (
    BlockValue,
    Comparison,
    Pairing,
    compare,
    compare_all,
    pair_up,
)
from kokoro_lab.measure.statistics.intervals import ALPHA
from kokoro_lab.measure.statistics.noise import NoiseFloor, noise_floor
from kokoro_lab.measure.statistics.same_bytes import values_by_cell

__all__ = [
    "CellVerdict",
    "RunVerdicts",
    "Twin",
    "counterparts",
    "judge_run",
    "noise_labels",
    "why_invalid",
    "with_twins",
    "worst_gate",
]


@dataclass(frozen=True)
class CellVerdict:
    """A cell, compared with its base cell."""

    cell: Cell
    base: Cell
    gate: GateVerdict
    """The worst gate verdict of its blocks; none: no block was gated."""
    comparison: Comparison

    @property
    def rankable(self) -> bool:
        """Whether it may be ranked by speed."""
        return self.comparison.verdict != "invalid" and self.comparison.ratio is not None


@dataclass(frozen=True)
class Twin:
    """An A/A pair: two measurements of one configuration, which differ only by noise."""

    cell: Cell
    text: str
    comparison: Comparison

    @property
    def sound(self) -> bool:
        """False when noise was judged an effect: then no effect of this size in the run can be trusted."""
        return self.comparison.verdict not in ("faster", "slower")


@dataclass(frozen=True)
class RunVerdicts:
    """Everything that a report may state about one figure of one run."""

    figure: str
    cells: tuple[CellVerdict, ...]
    noise: dict[str, NoiseFloor]
    """Text -> noise floor and smallest detectable effect; states other than warm are separate ("short, cold"), and so
    are shared processes where a text has both kinds."""
    twins: tuple[Twin, ...]

    def ranked(self, gate: Literal["equivalent", "close"] = "equivalent") -> tuple[CellVerdict, ...]:
        """Cells of one gate verdict, lowest ratio first. Defaults come from equivalent cells only."""
        chosen = [item for item in self.cells if item.gate == gate and item.rankable]
        return tuple(sorted(chosen, key=lambda item: item.comparison.ratio or 0.0))


def with_twins(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells and an A/A twin of the reference cells of the shortest and of the longest text."""
    references = sorted(
        (cell for cell in cells if cell.reference and cell.replica == 0), key=lambda cell: len(cell.text)
    )
    chosen = {cell.id: cell for cell in (references[:1] + references[-1:])}
    present = {cell.id for cell in cells}
    twins = [replace(cell, replica=1, reference=False) for cell in chosen.values()]
    return (*cells, *(twin for twin in twins if twin.id not in present))


def judge_run(blocks: Iterable[Block], figure: str = "total_ms", *, alpha: float = ALPHA) -> RunVerdicts:
    """Judge one figure (a numeric field of Repeat) of a run; the verdicts are corrected for their number.

    `alpha` is the level of the comparisons; A/A pairs are always judged at ALPHA.

    A cell is compared with the reference of its gate group or, in another state or delivery, with the cell that has the
    reference's other settings. Cells without such a counterpart get no verdict.
    """
    known = list(blocks)
    by_cell: dict[Cell, list[Block]] = {}
    for block in known:
        by_cell.setdefault(block.cell, []).append(block)
    values = values_by_cell(known, figure)
    pairings: dict[str, Pairing] = {}
    sides: dict[str, tuple[Cell, Cell]] = {}
    twins = []
    for cell, base in counterparts(by_cell).items():
        pairing = pair_up(values[base], values[cell])
        if _plain(cell) == _plain(base):
            twins.append(Twin(cell, _text(cell), compare(pairing, invalid=why_invalid(by_cell[cell]))))
        else:
            pairings[cell.id] = pairing
            sides[cell.id] = (cell, base)
    invalid = {
        name: why
        for name, (cell, base) in sides.items()
        if (why := why_invalid(by_cell[cell]) or why_invalid(by_cell[base]))
    }
    judged = compare_all(pairings, invalid=invalid, alpha=alpha)
    return RunVerdicts(
        figure,
        tuple(CellVerdict(cell, base, worst_gate(by_cell[cell]), judged[name]) for name, (cell, base) in sides.items()),
        _noise(values),
        tuple(twins),
    )


def counterparts(cells: Iterable[Cell]) -> dict[Cell, Cell]:
    """Each cell -> the cell it is compared with: its group's reference, in the cell's own state, delivery and process.

    Repeats and warm-up cap are not factors: a cold cell may have been planned with other numbers than the warm
    reference. Cells that are themselves the counterpart, or have none, are left out.
    """
    known = list(dict.fromkeys(cells))
    references = {cell.gate_key: cell for cell in known if cell.reference}
    bases = {}
    for cell in known:
        reference = references.get(cell.gate_key)
        if reference is None:
            continue
        wanted = replace(_unscheduled(reference), state=cell.state, delivery=cell.delivery, process=cell.process)
        base = next((other for other in known if _unscheduled(other) == wanted), None)
        if base is not None and base != cell:
            bases[cell] = base
    return bases


def _unscheduled(cell: Cell) -> Cell:
    """The cell without its numbers of calls and without its role as a reference."""
    return replace(cell, reference=False, repeats=1, warmup_cap=1)


def _plain(cell: Cell) -> Cell:
    """Only the configuration: two cells with the same configuration are an A/A pair."""
    return replace(_unscheduled(cell), replica=0)


def worst_gate(blocks: Sequence[Block]) -> GateVerdict:
    """The worst gate verdict of a cell's blocks; none: no block was gated, or nothing says that its model is right."""
    return worst_verdict(block.gate.verdict for block in blocks if block.gate is not None)


def why_invalid(blocks: Sequence[Block]) -> str:
    """Why a cell must not be judged; empty when it may."""
    for status, sentence in (
        ("unavailable", "Its provider did not run."),
        ("partial", "Its provider ran only part of the graph."),
    ):
        if any(block.result.status == status for block in blocks):
            return sentence
    if not any(block.result.repeats for block in blocks):
        return "None of its blocks has measured repeats."
    if any(block.result.foreign_modules for block in blocks):
        return "Its process loaded modules that do not belong to the engine."
    verdict = worst_gate(blocks)
    if verdict == "different":
        return "Its audio differs from the reference."
    doubts = [block.gate.reasons[-1] for block in blocks if block.gate and block.gate.verdict == "none"]
    if doubts:
        return f"Its audio is not known to be right: {doubts[0]}."
    return "Its audio was never compared with the reference." if verdict == "none" else ""


def _noise(values: dict[Cell, list[BlockValue]]) -> dict[str, NoiseFloor]:
    """Label -> noise floor, from the uncontaminated blocks of all cells with that label."""
    texts: dict[str, dict[str, list[float]]] = {}
    labels = noise_labels(values)
    for cell, measured in values.items():
        clean = [value.value for value in measured if value.usable]
        if clean:
            texts.setdefault(labels[cell], {})[cell.id] = clean
    return {text: noise_floor(cells) for text, cells in texts.items()}


def noise_labels(cells: Iterable[Cell]) -> dict[Cell, str]:
    """Cell -> the name of the noise that it shares with others: its text, its state when that is not warm, and where a
    text has cells of own and of shared processes, which of them it is."""
    known = list(cells)
    kinds = {(_text(cell), cell.state, cell.process) for cell in known}
    labels = {}
    for cell in known:
        label = _text(cell) + ("" if cell.state == "warm" else f", {cell.state}")
        both = cell.process == "shared" and (_text(cell), cell.state, "own") in kinds
        labels[cell] = label + (", shared process" if both else "")
    return labels


def _text(cell: Cell) -> str:
    return cell.text_preset or cell.text
