"""`kokoro-lab report`: render a run's report."""

from __future__ import annotations

from kokoro_lab.commands.console import notice, print_json
from kokoro_lab.reports.render import render
from kokoro_lab.store.places import results

__all__ = ["report"]


def report(*, run_id: str | None, as_json: bool) -> None:
    """Render the report of one run, the newest when none is named, and say where it is."""
    path = render(results().root, run_id or "")
    if as_json:
        print_json({"report": str(path), "run_id": run_id})
    notice(f"The report is {path}")
