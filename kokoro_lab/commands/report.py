"""`kokoro-lab report`: render a run's report."""

from __future__ import annotations

from kokoro_lab.commands.console import notice, print_json
from kokoro_lab.reports.render import render
from kokoro_lab.store.places import results

__all__ = ["report"]


def report(*, run_id: str | None, as_json: bool) -> None:
    """Render the report of one run, the newest when none is named, and say where it is."""
    place = results()
    notice(f"Rendering the report of {f'run {run_id}' if run_id else 'the newest run'}")
    path = render(place.root, run_id or "")
    latest = place.reports / "latest" / "index.html"
    if as_json:
        print_json({"report": str(path), "latest": str(latest), "run_id": path.parent.name})
    notice(f"Kept as {path}")
    notice(f"The report is {latest}")
