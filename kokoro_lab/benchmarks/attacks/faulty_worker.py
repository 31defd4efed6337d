"""A worker whose last repeat but one is silent: what a gate that looks at the last repeat alone does not notice.

No setting, variable or option of the engine starts it: a caller of `sample` has to pass this worker's command.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

__all__ = ["command", "main"]


def command(cells: Collection[str]) -> tuple[str, ...]:
    """The worker command with which one repeat is silent, in cells with these ids."""
    return (sys.executable, "-m", "kokoro_lab.benchmarks.attacks.faulty_worker", ",".join(cells))


def main(arguments: list[str]) -> int:
    """The worker's `main`, with the cell ids in front of its arguments."""
    cells, *job = arguments
    from kokoro_lab.measure import worker
    from kokoro_lab.measure.records.cell import Cell

    parts = json.loads(Path(job[0]).read_text())["cells"] if job else []
    if any(Cell.from_dict(part["cell"]).id in cells.split(",") for part in parts):
        _silence_a_repeat()
    return worker.main(job)


def _silence_a_repeat() -> None:
    from kokoro_lab.measure.block import block_runner

    speak, timed = getattr(block_runner, "speak"), block_runner._timed  # noqa: B009
    left: list[int] = []

    def faulty(engine: Any, cell: Any, text: str | None = None) -> Any:
        call = speak(engine, cell, text)
        if left:
            left[0] -= 1
        return dataclasses.replace(call, samples=call.samples * 0) if left == [1] else call

    def counted(cell: Any, block: Any, count: int) -> None:
        left.append(count)
        timed(cell, block, count)

    setattr(block_runner, "speak", faulty)  # noqa: B010, as mypy rejects an assignment to a function
    setattr(block_runner, "_timed", counted)  # noqa: B010


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
