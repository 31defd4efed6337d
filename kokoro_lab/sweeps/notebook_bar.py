"""Progress in a notebook: a bar that is redrawn in place, and stays in the output as a record."""

from __future__ import annotations

import html
from typing import Any

from kokoro_lab.sweeps.progress import Progress

__all__ = ["NotebookBar"]


class NotebookBar:
    """A listener for `run.measure`: stored and planned blocks, the current cell, and failures."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._last = Progress("plan", 0, 0)
        self._failed: list[str] = []

    def __call__(self, event: Progress) -> None:
        """Redraw after one event."""
        from IPython.display import display

        self._last = event
        if event.kind == "finished" and event.status in ("error", "unavailable", "partial"):
            line = f"{event.status}: {event.message}"
            if line not in self._failed:  # a retry fails for the same reason
                self._failed.append(line)
        if self._handle is None:
            self._handle = display(self, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(self)

    def __repr__(self) -> str:
        event = self._last
        lines = [f"{event.done} of {event.total} blocks" + (f": {event.message}" if event.message else "")]
        return "\n".join(lines + self._failed)

    def _repr_html_(self) -> str:
        event = self._last
        failed = "".join(f"<li>{html.escape(line)}</li>" for line in self._failed)
        return (
            f'<progress max="{max(event.total, 1)}" value="{event.done}" style="width:24em"></progress> '
            f"{event.done} of {event.total} blocks <small>{html.escape(event.message)}</small>"
            + (f"<ul>{failed}</ul>" if failed else "")
        )
