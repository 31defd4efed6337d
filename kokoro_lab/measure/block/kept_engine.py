"""The engine of a process that measures several cells: loaded once for all cells with one configuration in a row."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from kokoro_lab.measure.block.calls import EmptyEngine, load

if TYPE_CHECKING:
    from kokoro_lab.engine.engine import Engine
    from kokoro_lab.measure.peers.adapters.own_engine import PeerEngine
    from kokoro_lab.measure.records.cell import Cell

__all__ = ["KeptEngine"]


class KeptEngine:
    """At most one loaded engine; closed before another configuration is loaded, so that no cell pays for two."""

    def __init__(self) -> None:
        self._engine: Engine | EmptyEngine | PeerEngine | None = None
        self._configuration: tuple[object, ...] = ()

    def load(self, cell: Cell) -> tuple[Engine | EmptyEngine | PeerEngine, dict[str, float]]:
        """The engine of a cell, and its load stages in milliseconds: none when it was loaded for a cell before."""
        wanted = (cell.visit_key, cell.engine_settings, cell.voice, cell.lang)
        if self._engine is not None and self._configuration == wanted:
            return self._engine, {}
        self.close()
        self._engine, stages = load(cell)
        self._configuration = wanted
        return self._engine, stages

    def close(self) -> None:
        """Close the engine, if one is loaded: after a failed cell nobody knows its state."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
            gc.collect()
