"""Looks: rounds fixed in advance after which the comparisons that are decided leave the run.

A job with `looks: [9]` and 14 blocks judges its comparisons twice, after 9 rounds and at the end. At each of J looks a
comparison is judged at 1 / J of its level: whichever look its verdict comes from, the probability that any of its looks
says something false is at most the whole level (Bonferroni). Equivalently, J times its p value at the look where it
leaves is again a p value, whatever made it leave, so that Holm's correction for several comparisons holds as before.

Whether the run is still undecided about a cell is judged exactly as its verdicts are in the end (`conclude`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.statistics.verdicts import counterparts
from kokoro_lab.store import Store
from kokoro_lab.store.integrity.attempts import number_attempts
from kokoro_lab.sweeps.conclude import verdict_rows

__all__ = ["DECIDED", "Looks", "decisive_figure"]

DECIDED = frozenset({"faster", "slower", "equivalent", "invalid"})
"""Verdicts that further blocks are not measured for."""


def decisive_figure(cell: Cell) -> str:
    """The figure whose verdict ends the comparison of a cell: of a stream its first audio, otherwise the whole call."""
    return "ttfa_ms" if cell.delivery == "stream" else "total_ms"


class Looks:
    """The looks of a run at its blocks, those of earlier calls included."""

    def __init__(self, store: Store, run_id: str, rounds: Sequence[int], blocks: Iterable[Block] = ()) -> None:
        """rounds: numbers of finished rounds after which it looks; the end of the run is one more look."""
        self._store = store
        self._run_id = run_id
        self._rounds = tuple(rounds)
        self._blocks = list(blocks)

    def add(self, block: Block) -> None:
        """Add a block that is stored."""
        self._blocks.append(block)

    def leaving(self, rounds: int) -> frozenset[str]:
        """The cells that only decided comparisons need, after this many rounds; none where it does not look.

        Cells that are compared with no other stay: their figures are wanted for themselves.
        """
        if rounds not in self._rounds:
            return frozenset()
        seen = [block for block in self._blocks if block.round < rounds]
        compared = counterparts(dict.fromkeys(block.cell for block in seen))
        open_cells = self.undecided(seen)
        needed = {cell.id for pair in compared.items() for cell in pair if pair[0].id in open_cells}
        return frozenset(cell.id for pair in compared.items() for cell in pair) - needed

    def undecided(self, seen: Sequence[Block] | None = None) -> frozenset[str]:
        """The ids of the candidates whose comparison these blocks do not decide; A/A pairs are no comparisons."""
        blocks = self._blocks if seen is None else seen
        cells = {block.cell.id: block.cell for block in blocks}
        pairs = [(base.id, cell.id) for cell, base in counterparts(cells.values()).items()]
        attempts = number_attempts(self._store, self._run_id, pairs)
        rows = verdict_rows(self._run_id, blocks, None, attempts, len(self._rounds) + 1)
        return frozenset(row["candidate_cell"] for row in rows if _is_open(row, cells))


def _is_open(row: dict[str, Any], cells: dict[str, Cell]) -> bool:
    if row["details"]["kind"] != "cell" or row["metric"] != decisive_figure(cells[row["candidate_cell"]]):
        return False
    return row["verdict"] not in DECIDED
