"""Progress in a notebook: a bar that is redrawn in place and stays in the output as a record, and what an interruption
of the cell says.

The bar is redrawn only when a block begins or ends, because between them a process is measured; it therefore also says
until when the measurement will last.
"""

from __future__ import annotations

import contextlib
import datetime
import html
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from kokoro_lab.measure.machine import fingerprint
from kokoro_lab.process.signals import Interruption, interruption_of
from kokoro_lab.store import StoreReader
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.estimate import DurationHistory, in_minutes
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.progress import Progress
from kokoro_lab.sweeps.run import RunSummary, measure

__all__ = ["NotebookBar", "NotebookInterruption", "continued_by_the_cell", "measure_in_notebook"]

ACCENT = "var(--jp-brand-color1, #0067a8)"
QUIET = "var(--jp-content-font-color2, #59626f)"
FAILED = "var(--jp-error-color1, #b3261e)"
"""Colors of JupyterLab's theme; elsewhere those of a light page."""


class NotebookInterruption(Interruption):
    """Somebody interrupted a measuring cell. A notebook shows the sentence without the way to it."""

    def __str__(self) -> str:
        return self.message

    def _render_traceback_(self) -> list[str]:
        return [f"{self.message[:1].upper()}{self.message[1:]}."]


class NotebookBar:
    """A listener for `run.measure`: stored and planned blocks, remaining time, the current cell, and failures.

    Args:
        expected_s: estimated seconds until the end, for as long as no block is finished; None: unknown.
        budget_s: most seconds until the end.
        clock: seconds from any start.
    """

    def __init__(
        self,
        expected_s: float | None = None,
        *,
        budget_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handle: Any = None
        self._last = Progress("plan", 0, 0)
        self._failed: list[str] = []
        self._expected_s = expected_s
        self._budget_s = budget_s
        self._clock = clock
        self._began = (clock(), 0)
        self._seen = (clock(), datetime.datetime.now().astimezone())
        self._ended = ""

    @property
    def done(self) -> int:
        """Blocks that are stored."""
        return self._last.done

    def __call__(self, event: Progress) -> None:
        """Redraw after one event."""
        self._seen = (self._clock(), datetime.datetime.now().astimezone())
        if event.kind == "plan":
            self._began = (self._seen[0], event.done)
        self._last = event
        if event.kind == "finished" and event.status in ("error", "unavailable", "partial"):
            line = f"{event.status}: {event.message}"
            if line not in self._failed:  # a retry fails for the same reason
                self._failed.append(line)
        self._draw()

    def end(self, sentence: str) -> None:
        """Redraw with what the measurement came to, in place of the remaining time."""
        self._ended = sentence
        self._draw()

    def left_s(self) -> float | None:
        """Estimated seconds from the last event to the end, from the blocks of this call; None where none is finished
        and no time was expected."""
        since, already = self._began
        passed, measured = self._seen[0] - since, self._last.done - already
        if measured > 0:
            left_s = passed / measured * (self._last.total - self._last.done)
        elif self._expected_s is not None:
            left_s = self._expected_s - passed
        else:
            return None
        return max(0.0, min(left_s, self._budget_s - passed))

    def _draw(self) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(self, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(self)

    def _words(self) -> str:
        """What stands beside the bar: the end, or the remaining time and the current cell."""
        if self._ended:
            return self._ended
        left_s = self.left_s() if self._last.done < self._last.total else None
        if left_s is None:
            return self._last.message
        until = self._seen[1] + datetime.timedelta(seconds=left_s)
        words = f"about {in_minutes(left_s)} left, until {until:%H:%M:%S}"
        return f"{words}; {self._last.message}" if self._last.message else words

    def __repr__(self) -> str:
        count = f"{self._last.done} of {self._last.total} blocks"
        return "\n".join([": ".join(filter(None, (count, self._words()))), *self._failed])

    def _repr_html_(self) -> str:
        event = self._last
        failed = "".join(f"<li>{html.escape(line)}</li>" for line in self._failed)
        return (
            f'<progress max="{max(event.total, 1)}" value="{event.done}" '
            f'style="width:24em;accent-color:{ACCENT}"></progress> '
            f"{event.done} of {event.total} blocks "
            f'<small style="color:{QUIET}">{html.escape(self._words())}</small>'
            + (f'<ul style="color:{FAILED}">{failed}</ul>' if failed else "")
        )


def measure_in_notebook(job: Job) -> RunSummary:
    """Measure a job with a bar; blocks that its run has stored already are not measured again.

    Raises:
        NotebookInterruption: the cell was interrupted; what is stored stays, and the cell can be run again.
        PlanError, BusyError, StoreError: as `run.measure`.
    """
    bar = NotebookBar(_expected_s(job), budget_s=job.budget_s)
    with continued_by_the_cell(bar, job.run_id):
        summary = measure(job, bar)
    bar.end(summary.sentence)
    return summary


@contextlib.contextmanager
def continued_by_the_cell(bar: NotebookBar, run_id: str) -> Iterator[None]:
    """Say of an interruption of the block how many blocks are stored, and how to continue.

    Raises NotebookInterruption for a KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        stored = "1 block is" if bar.done == 1 else f"{bar.done} blocks are"
        advice = f"{stored} stored; run this cell again to continue, or set run_id = {run_id!r} in a new kernel"
        number = (interruption_of(error) or Interruption()).number
        raise NotebookInterruption(number, advice) from error


def _expected_s(job: Job) -> float | None:
    """Estimated seconds of the job, from the earlier blocks of this machine."""
    past = DurationHistory.of(StoreReader(Results(job.results).tables), fingerprint.machine().sha)
    estimate = past.estimate(job)
    return None if estimate.guessed else estimate.seconds
