"""A run's blocks, judged: every cell against its reference, in lists apart by what the gate said of its audio (rule 5).

Equivalent and close audio are ranked apart; different audio, a provider that did not run, and cells without a gate are
kept and never ranked. With the verdicts come the noise floor of each text and what its A/A pairs showed (rule 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kokoro_lab.measure.cell import Block, Cell
from kokoro_lab.measure.noise import NoiseFloor, noise_floor
from kokoro_lab.measure.statistics import BlockValue, Comparison, Pairing, block_value, compare, compare_all, pair_up

__all__ = [
    "CellVerdict",
    "GateVerdict",
    "RunVerdicts",
    "Twin",
    "counterparts",
    "judge_run",
    "why_invalid",
    "with_twins",
    "worst_gate",
]

GateVerdict = Literal["equivalent", "close", "different", "none"]


@dataclass(frozen=True)
class CellVerdict:
    """One cell against the cell it is compared with."""

    cell: Cell
    base: Cell
    gate: GateVerdict
    """The worst of its blocks; none: not one block was gated."""
    comparison: Comparison

    @property
    def rankable(self) -> bool:
        """Whether it may stand in a list by speed at all."""
        return self.comparison.verdict != "invalid" and self.comparison.ratio is not None


@dataclass(frozen=True)
class Twin:
    """An A/A pair: two measurements of one configuration, which can only differ by noise."""

    cell: Cell
    text: str
    comparison: Comparison

    @property
    def sound(self) -> bool:
        """False when the run took noise for an effect: nothing of the same size in it can be believed."""
        return self.comparison.verdict not in ("faster", "slower")


@dataclass(frozen=True)
class RunVerdicts:
    """Everything a report may say about one figure of one run."""

    figure: str
    cells: tuple[CellVerdict, ...]
    noise: dict[str, NoiseFloor]
    """Text -> noise floor and smallest detectable effect; states other than warm stand apart ("short, cold")."""
    twins: tuple[Twin, ...]

    def ranked(self, gate: Literal["equivalent", "close"] = "equivalent") -> tuple[CellVerdict, ...]:
        """Cells of one gate verdict, lowest ratio first. A default may be taken from the equivalent ones alone."""
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


def judge_run(blocks: Iterable[Block], figure: str = "total_ms") -> RunVerdicts:
    """Judge one figure (a numeric field of Repeat) of a run; the verdicts are corrected for their number.

    A cell is compared with the cell of its gate group that is the reference or, in another state or delivery, has the
    reference's other settings. Cells without such a counterpart get no verdict.
    """
    by_cell: dict[Cell, list[Block]] = {}
    for block in blocks:
        by_cell.setdefault(block.cell, []).append(block)
    values = {cell: _values(found, figure) for cell, found in by_cell.items()}
    pairings: dict[str, Pairing] = {}
    sides: dict[str, tuple[Cell, Cell]] = {}
    twins = []
    for cell, base in counterparts(by_cell).items():
        made = pair_up(values[base], values[cell])
        if _plain(cell) == _plain(base):
            twins.append(Twin(cell, _text(cell), compare(made, invalid=why_invalid(by_cell[cell]))))
        else:
            pairings[cell.id] = made
            sides[cell.id] = (cell, base)
    invalid = {
        name: why
        for name, (cell, base) in sides.items()
        if (why := why_invalid(by_cell[cell]) or why_invalid(by_cell[base]))
    }
    judged = compare_all(pairings, invalid=invalid)
    return RunVerdicts(
        figure,
        tuple(CellVerdict(cell, base, worst_gate(by_cell[cell]), judged[name]) for name, (cell, base) in sides.items()),
        _noise(values),
        tuple(twins),
    )


def _values(blocks: Sequence[Block], figure: str) -> list[BlockValue]:
    return [value for block in blocks if (value := block_value(block, figure)) is not None]


def counterparts(cells: Iterable[Cell]) -> dict[Cell, Cell]:
    """Each cell -> the one it is compared with: its group's reference, in the cell's own state and delivery.

    Repeats and cap are not factors: a cold cell may have been planned with others than the warm reference. Cells that
    are themselves that counterpart, or have none, are left out.
    """
    known = list(dict.fromkeys(cells))
    references = {cell.gate_key: cell for cell in known if cell.reference}
    found = {}
    for cell in known:
        reference = references.get(cell.gate_key)
        if reference is None:
            continue
        wanted = replace(_unscheduled(reference), state=cell.state, delivery=cell.delivery)
        base = next((other for other in known if _unscheduled(other) == wanted), None)
        if base is not None and base != cell:
            found[cell] = base
    return found


def _unscheduled(cell: Cell) -> Cell:
    """The cell without what says how often it is called, and without its role."""
    return replace(cell, reference=False, repeats=1, warmup_cap=1)


def _plain(cell: Cell) -> Cell:
    """The configuration alone: two cells with the same one are an A/A pair."""
    return replace(_unscheduled(cell), replica=0)


def worst_gate(blocks: Sequence[Block]) -> GateVerdict:
    """The worst that the gate said of a cell's blocks; none: not one was gated."""
    found = {block.gate.verdict for block in blocks if block.gate is not None}
    for verdict in ("different", "close", "equivalent"):
        if verdict in found:
            return verdict
    return "none"


def why_invalid(blocks: Sequence[Block]) -> str:
    """Why a cell must not be judged; empty when it may."""
    for status, sentence in (
        ("unavailable", "Its provider did not run."),
        ("partial", "Its provider ran only part of the graph."),
    ):
        if any(block.result.status == status for block in blocks):
            return sentence
    if not any(block.result.repeats for block in blocks):
        return "None of its blocks was measured."
    if any(block.result.foreign_modules for block in blocks):
        return "Its process had modules loaded that are not the engine's."
    verdict = worst_gate(blocks)
    if verdict == "different":
        return "Its audio is different."
    return "Its audio was never gated." if verdict == "none" else ""


def _noise(values: dict[Cell, list[BlockValue]]) -> dict[str, NoiseFloor]:
    """Text (and state, when it is not warm) -> floor, from the clean blocks of every cell measured with it."""
    texts: dict[str, dict[str, list[float]]] = {}
    for cell, found in values.items():
        clean = [value.value for value in found if not value.contaminated]
        if clean:
            kind = "" if cell.state == "warm" else f", {cell.state}"
            texts.setdefault(_text(cell) + kind, {})[cell.id] = clean
    return {text: noise_floor(cells) for text, cells in texts.items()}


def _text(cell: Cell) -> str:
    return cell.text_preset or cell.text
