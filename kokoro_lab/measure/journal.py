"""Finished blocks, one JSON line each, for what measures outside the tables: kept at once, there for a resume."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from kokoro_lab.measure.cell import Block

__all__ = ["Journal"]


class Journal:
    """The blocks of one run in a file that only ever grows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, cells: Collection[str] | None = None) -> list[Block]:
        """The blocks so far, of the cells with these ids if any are given; a line that a kill cut short is cut off."""
        if not self._path.exists():
            return []
        whole = self._path.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            os.truncate(self._path, end)
        blocks = [Block.from_dict(json.loads(line)) for line in whole[:end].splitlines()]
        return [block for block in blocks if cells is None or block.cell.id in cells]

    def append(self, block: Block) -> None:
        """Keep one more."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as stream:
            stream.write(json.dumps(block.as_dict()) + "\n")
