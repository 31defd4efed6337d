"""Which runs are complete: every planned block has an answer, or the measurement ended decided or with its budget.

`sweeps.run` stores with each notebook how many blocks it plans, before the first of them, and how its measurement ended
(table `runs`). A run from before that table is judged by what it has: its plan, and how its notebooks ended.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kokoro_lab.errors import InputError
from kokoro_lab.files.documents import read_json
from kokoro_lab.measure.machine.lock import measured_now

__all__ = ["Ending", "NotebookEnding", "complete", "continuing", "tell_incomplete"]

LOGGER = logging.getLogger(__name__)

Ending = Literal["complete", "budget", "decided"]
"""Why a measurement ended: plan complete, budget spent, or every comparison decided."""


@dataclass(frozen=True)
class NotebookEnding:
    """How the measurement of one notebook of a run ended."""

    planned: int
    """Blocks of the notebook's plan."""
    ended: Ending | Literal[""] = ""
    """Why it ended; empty while it is measured, and where it was interrupted."""


def complete(
    endings: Mapping[str, Mapping[str, Any]], executions: Iterable[Mapping[str, Any]], plan: Path | None
) -> bool:
    """Whether a run is complete.

    Args:
        endings: notebook -> its ending, as stored; empty for a run from before they were stored.
        executions: the run's rows in table `notebooks`, in their order.
        plan: the file of its plan, which may be missing.
    """
    if endings:
        return all(ending["ended"] for ending in endings.values())
    last = {str(row["notebook"]): str(row["status"]) for row in executions}
    planned = _planned(plan) if plan is not None else set()
    return planned <= last.keys() and all(status == "ok" for status in last.values())


def _planned(plan: Path) -> set[str]:
    """The notebooks of a stored plan; none where it is missing or damaged, which `results check` tells."""
    try:
        document = read_json(plan, what="plan of a run")
    except InputError:
        return set()
    parts = document.get("notebooks") if isinstance(document, dict) else None
    return {str(part.get("notebook")) for part in parts if isinstance(part, dict)} if isinstance(parts, list) else set()


def continuing(run_id: str, plan: Path) -> str:
    """The command that continues a run, in words."""
    if plan.is_file():
        return f"continue {run_id} with `{shlex.join(['kokoro-lab', 'sweep', '--run-id', run_id, '--resume'])}`"
    return f"continue {run_id} by the command that started it, with --run-id {run_id}"


_TOLD: set[tuple[str, str]] = set()
"""Results folder and incomplete run of which this process has been told."""


def tell_incomplete(run_id: str, plan: Path, chosen: str) -> None:
    """Say once per process that the newest run is incomplete, how to continue it, and which run is used."""
    if (str(plan), chosen) in _TOLD:
        return
    _TOLD.add((str(plan), chosen))
    measuring = f"run {run_id}" in measured_now()
    state = "still being measured" if measuring else "incomplete"
    advice = "" if measuring else f"; {continuing(run_id, plan)}"
    if chosen == run_id:
        LOGGER.warning(f"run {run_id} is used although it is {state}, because no run is complete{advice}")
    else:
        LOGGER.warning(f"run {chosen} is used, because the newer run {run_id} is {state}{advice}")
