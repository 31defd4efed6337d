"""A worker whose engine is altered deliberately, to check that the alteration is found: slower calls, a silent repeat.

No setting, variable or option of the engine starts it: a caller of `sample` has to pass this worker's command.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from kokoro_lab.process.exits import end_process

if TYPE_CHECKING:
    from kokoro_lab.engine.engine import Engine
    from kokoro_lab.measure.block.calls import Call

__all__ = ["main", "silent_repeat", "slowed"]

SILENT = "silent-repeat"
"""The alteration that is not a share of a call's time."""


def slowed(share: float, cells: Collection[str]) -> tuple[str, ...]:
    """The worker command with which the engine sleeps an extra `share` of each call's time, in cells with these ids."""
    return _command(str(share), cells)


def silent_repeat(cells: Collection[str]) -> tuple[str, ...]:
    """The worker command with which the last repeat but one is silent, in cells with these ids.

    A gate that looks at the last repeat alone does not notice it.
    """
    return _command(SILENT, cells)


def _command(alteration: str, cells: Collection[str]) -> tuple[str, ...]:
    return (sys.executable, "-m", "kokoro_lab.benchmarks.altered_worker", alteration, ",".join(cells))


def main(arguments: list[str]) -> int:
    """The worker's `main`, with the alteration and the cell ids in front of its arguments."""
    alteration, cells, *job = arguments
    from kokoro_lab.measure import worker
    from kokoro_lab.measure.records.cell import Cell

    altered: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    parts = json.loads(Path(job[0]).read_text())["cells"] if job else []
    if any(Cell.from_dict(part["cell"]).id in cells.split(",") for part in parts):
        altered = _silenced() if alteration == SILENT else _slowed(float(alteration))
    with altered:
        return worker.main(job)


def _slowed(share: float) -> contextlib.AbstractContextManager[object]:
    from kokoro_lab.engine.engine import Engine

    synthesize = Engine.synthesize

    @functools.wraps(synthesize)
    def slow(self: Engine, *arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        speech = synthesize(self, *arguments, **options)
        time.sleep(share * (time.perf_counter() - began))
        return speech

    return patch.object(Engine, "synthesize", slow)


def _silenced() -> contextlib.AbstractContextManager[object]:
    from kokoro_lab.measure.block import block_runner
    from kokoro_lab.measure.block.calls import speak

    timed = block_runner._timed

    def with_a_silent_call(cell: Any, block: Any, count: int) -> None:
        numbers = itertools.count()

        def speak_or_not(*arguments: Any) -> Call:
            call = speak(*arguments)
            return dataclasses.replace(call, samples=call.samples * 0) if next(numbers) == count - 2 else call

        with patch.object(block_runner, "speak", speak_or_not):
            timed(cell, block, count)

    return patch.object(block_runner, "_timed", with_a_silent_call)


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
