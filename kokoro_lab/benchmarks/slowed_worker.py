"""A worker whose engine is slowed down deliberately, to check that a slow-down of known size is detected.

No setting, variable or option of the engine starts it: a caller of `sample` has to pass this worker's command.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

__all__ = ["command", "main"]


def command(share: float, cells: Collection[str]) -> tuple[str, ...]:
    """The worker command with which the engine sleeps an extra `share` of each call's time, in cells with these ids."""
    return (sys.executable, "-m", "kokoro_lab.benchmarks.slowed_worker", str(share), ",".join(cells))


def main(arguments: list[str]) -> int:
    """The worker's `main`, with the share and the cell ids in front of its arguments."""
    share, cells, *job = arguments
    from kokoro_lab.measure import worker
    from kokoro_lab.measure.records.cell import Cell

    parts = json.loads(Path(job[0]).read_text())["cells"] if job else []
    if any(Cell.from_dict(part["cell"]).id in cells.split(",") for part in parts):
        _slow_down(float(share))
    return worker.main(job)


def _slow_down(share: float) -> None:
    from kokoro_lab.engine.engine import Engine

    original = Engine.synthesize

    @functools.wraps(original)
    def slowed(self: Engine, *arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        speech = original(self, *arguments, **options)
        time.sleep(share * (time.perf_counter() - began))
        return speech

    setattr(Engine, "synthesize", slowed)  # noqa: B010, as mypy rejects an assignment to a method


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
