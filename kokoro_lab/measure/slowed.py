"""A worker whose engine is slower than it is, on purpose: what proves that a slow-down of known size is found.

No setting, variable or option of the engine leads here: a caller of `sample` has to name this worker's command.
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
    """The worker command under which the engine sleeps `share` of each call's time more, in cells with these ids."""
    return (sys.executable, "-m", "kokoro_lab.measure.slowed", str(share), ",".join(cells))


def main(arguments: list[str]) -> int:
    """As the worker's, with the share and the cells in front."""
    share, cells, *job = arguments
    from kokoro_lab.measure import worker
    from kokoro_lab.measure.cell import Cell

    if job and Cell.from_dict(json.loads(Path(job[0]).read_text())["cell"]).id in cells.split(","):
        _slow_down(float(share))
    return worker.main(job)


def _slow_down(share: float) -> None:
    from kokoro_lab.engine.engine import Engine

    honest = Engine.synthesize

    @functools.wraps(honest)
    def slowed(self: Engine, *given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        speech = honest(self, *given, **named)
        time.sleep(share * (time.perf_counter() - began))
        return speech

    setattr(Engine, "synthesize", slowed)  # noqa: B010, as mypy will not have a method assigned to


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
