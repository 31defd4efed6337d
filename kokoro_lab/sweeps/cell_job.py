"""Jobs with explicit cells, measured into the store without a notebook.

Benchmarks and the tuning of variants list their cells; `sweeps.run` measures them like those of a sweep, so that their
rows are in the same tables and are judged alike, and a run with the same id is continued.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field

from kokoro_lab.measure.records.cell import Block
from kokoro_lab.measure.records.identity import CONTENT
from kokoro_lab.measure.sampling.launch import WORKER_COMMAND
from kokoro_lab.store import Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.job import Group, Job, PlannedCell
from kokoro_lab.sweeps.progress import Listener, Progress
from kokoro_lab.sweeps.run import measure, refuse_other_bytes

__all__ = ["CellJob", "measure_cells", "noticed"]


class CellJob(Job):
    """A job of these cells; each gate group among them has exactly one reference cell."""

    groups: list[Group] = Field(default_factory=list)
    cells: tuple[PlannedCell, ...]

    def planned(self) -> list[PlannedCell]:
        """The cells as given."""
        return list(self.cells)


def measure_cells(
    job: CellJob, listener: Listener | None = None, *, worker_command: Sequence[str] = WORKER_COMMAND
) -> list[Block]:
    """Measure the missing blocks of a job, and return all its blocks, including those of earlier calls.

    The job's budget is for this call only: the time of earlier calls is added to it.

    Even when no block is missing, the blocks must be those of the files that are here now: their figures are reported
    under the names of these.

    Raises PlanError, BusyError and StoreError, as `sweeps.run.measure`.
    """
    store = Store(Results(job.results).tables)
    ids = {item.cell.id for item in job.cells}
    earlier = stored_blocks(store, job.run_id, ids)
    refuse_other_bytes(job, [block for block in earlier if block.result.repeats], CONTENT)
    budget_s = job.budget_s + sum(block.wall_s for block in earlier)
    measure(job.model_copy(update={"budget_s": budget_s}), listener, worker_command=worker_command)
    return stored_blocks(store, job.run_id, ids)


def noticed(notice: Callable[[str], None] | None) -> Listener | None:
    """A listener that reports finished blocks as messages."""

    def show(event: Progress) -> None:
        if notice is not None and event.kind in ("finished", "retry", "budget"):
            notice(f"{event.done} of {event.total} blocks; {event.message}")

    return show if notice else None
