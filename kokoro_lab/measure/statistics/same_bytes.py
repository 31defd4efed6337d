"""Which blocks may be pooled: those that measured the same bytes (measurement rule 8, docs/measurement-rules.md).

The first block that measured something defines it for all later ones: a model for the blocks of that model, a voice for
those of that voice, code and packages for all blocks of one environment. Sampling refuses a block that differs; a
comparison leaves it out and says so. A block from before blocks had identities is unverified: of it only the recorded
sum of the model file is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from kokoro_lab.measure.records.cell import Block, BlockResult, Cell
from kokoro_lab.measure.records.identity import PARTS, BlockIdentity
from kokoro_lab.measure.records.readings import stayed_cached
from kokoro_lab.measure.statistics.comparison import BlockValue, block_value

__all__ = [
    "UNVERIFIED",
    "SameBytes",
    "differences",
    "parts_of",
    "parts_of_block",
    "poolable",
    "scopes",
    "values_by_cell",
    "was_not_cold",
]

UNVERIFIED = "unverified"
"""In place of the sums of a block that has no identity."""


def parts_of(identity: BlockIdentity | None, model_sha256: str) -> dict[str, str]:
    """Part of the identity -> sum of what a block measured; model_sha256: the sum in the record of its model."""
    if identity is None:
        return {**dict.fromkeys(PARTS, UNVERIFIED), "model": f"{UNVERIFIED} {model_sha256}"}
    return {part: getattr(identity, part) for part in PARTS}


def parts_of_block(result: BlockResult) -> dict[str, str]:
    """`parts_of` what a block measured."""
    return parts_of(result.identity, result.model.sha256 if result.model else "")


def differences(first: Mapping[str, str], second: Mapping[str, str]) -> tuple[str, ...]:
    """The parts in which two blocks of different runs are known to differ: of an unverified one only its model is
    known, to another unverified one."""
    return tuple(
        part
        for part in PARTS
        if first[part] != second[part] and first[part].startswith(UNVERIFIED) == second[part].startswith(UNVERIFIED)
    )


class SameBytes:
    """What the blocks of a run have measured so far."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        """blocks: in the order in which they were measured; those without repeats have measured nothing."""
        self._known: dict[tuple[object, ...], str] = {}
        for block in blocks:
            if block.result.repeats:
                self.take(block.cell, parts_of_block(block.result))

    def take(self, cell: Cell, parts: Mapping[str, str]) -> tuple[str, ...]:
        """The parts in which a block of the cell differs from the blocks before it; without any, it is one of them."""
        wrong = self.differing(cell, parts)
        if not wrong:
            for part, found in parts.items():
                if found:  # the harness alone has neither a model nor a voice
                    self._known.setdefault((part, *scope(part, cell)), found)
        return wrong

    def takes(self, block: Block) -> tuple[str, ...]:
        """`take` of a block."""
        return self.take(block.cell, parts_of_block(block.result))

    def differing(self, cell: Cell, parts: Mapping[str, str]) -> tuple[str, ...]:
        """The parts in which such a block would differ from the blocks before it."""
        known = {part: self._known.get((part, *scope(part, cell)), parts[part]) for part in parts}
        return tuple(part for part in PARTS if parts.get(part) and known[part] != parts[part])


def scope(part: str, cell: Cell) -> tuple[object, ...]:
    """What two cells have in common that must have measured the same bytes as this part."""
    if part == "model":
        quick = bool(dict(cell.engine_settings).get("preoptimized"))
        return (cell.model, cell.environment, quick, cell.provider, cell.graph_level)
    if part in ("text", "voice"):
        return (getattr(cell, part),)
    return (cell.environment,)


def scopes(cell: Cell) -> tuple[object, ...]:
    """Equal for two cells whose blocks must all measure the same bytes, but for the text."""
    return tuple(scope(part, cell) for part in PARTS if part != "text")


def poolable(blocks: Iterable[Block]) -> list[Block]:
    """The blocks of a run without those that measured other bytes than the blocks before them."""
    seen = SameBytes()
    return [block for block in blocks if not (block.result.repeats and seen.takes(block))]


def was_not_cold(block: Block) -> bool:
    """Whether the block was to be a cold start, and its files were in the page cache."""
    return block.cell.state == "cold" and stayed_cached(block.result.cold)


def values_by_cell(blocks: Iterable[Block], figure: str = "total_ms") -> dict[Cell, list[BlockValue]]:
    """The value of every block of a run that has one, by cell, in the order of the blocks; cells without any have none.

    A block that measured other bytes than the blocks before it, or a cold one whose files were in the page cache, is
    marked: `pair_up` leaves it out.
    """
    seen = SameBytes()
    values: dict[Cell, list[BlockValue]] = {}
    for block in blocks:
        mine = values.setdefault(block.cell, [])
        refused = _why_refused(block, seen)  # a block without a value is one of the earlier blocks, as in `poolable`
        if (value := block_value(block, figure)) is not None:
            mine.append(replace(value, refused=refused))
    return values


def _why_refused(block: Block, seen: SameBytes) -> str:
    if block.result.repeats and (wrong := seen.takes(block)):
        return f"measured other bytes ({', '.join(wrong)})"
    return "not a cold start" if was_not_cold(block) else ""
