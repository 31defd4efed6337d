"""Retired instructions of a call as a gauge for CI: stored with what they depend on, and held against a baseline.

A row is compared only with the baseline of the same counter, machine kind, model bytes and packages. The baseline stays
until somebody accepts another one: against the count before, small changes would add up unseen.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from kokoro_lab.errors import InconclusiveError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.locking import locked
from kokoro_lab.files.writing import write_text
from kokoro_lab.measure.machine.fingerprint import code, machine
from kokoro_lab.measure.machine.instruction_counter import CALLS, CounterName, counted
from kokoro_lab.store.gauges import Gauge

__all__ = ["LIMIT", "InstructionRow", "WitnessResult", "count_instructions", "judged", "stored_rows", "witnessed"]

LIMIT = 0.02
"""Share by which a count may exceed its baseline."""

TWICE = 2
"""Counts of each process: their difference is the uncertainty of the result."""

PROCESS = "kokoro_lab.measure.block.counted_calls"

WitnessStatus = Literal["passed", "failed", "no baseline", "other speech", "undecided"]


@dataclass(frozen=True)
class InstructionRow:
    """One count and everything that it depends on besides the code."""

    instructions: float
    """Of one call: those of a process with `calls` calls, less those of one with half of them, per call."""
    calls: int
    counter: str
    machine: str
    """Model of the processor and its architecture."""
    model_sha256: str
    packages: str
    """Versions of what does the work: `numpy 2.4.6, onnxruntime 1.31.1, python 3.11.7`."""
    samples: int
    """Length of the speech of one call."""
    audio_sha256: str
    """Of the speech of one call: a count of other audio is compared, and said to be one."""
    commit: str = ""
    dirty: bool = False
    measured_at: str = ""
    baseline: bool = False
    uncertainty: float = 0.0
    """Instructions by which counts of the same process differed, per call."""

    @property
    def kind(self) -> tuple[str, str, str, str]:
        """What must be equal for two counts to be compared."""
        return self.counter, self.machine, self.model_sha256, self.packages


@dataclass(frozen=True)
class WitnessResult:
    """A count against its baseline."""

    status: WitnessStatus
    row: InstructionRow
    baseline: InstructionRow | None
    gauge: Gauge
    """The count over the baseline's, with the limit's reason."""

    @property
    def words(self) -> str:
        """The result in one clause."""
        count = f"{self.row.instructions:,.0f} instructions a call ({self.row.counter})"
        if self.baseline is None or self.gauge.value is None:
            return f"{count}; {self.gauge.reason}"
        words = f"{count}, {self.gauge.value:.4f} times the baseline of commit {self.baseline.commit[:7] or 'unknown'}"
        return words if self.row.audio_sha256 == self.baseline.audio_sha256 else f"{words}, of other audio"


def count_instructions(counter: CounterName) -> InstructionRow:
    """Count the instructions of a call of the tiny model, in fresh processes.

    Raises:
        WorkerError: a process failed.
        InconclusiveError: the start of the process varied by as much as a call takes.
    """
    calls = CALLS[counter]
    # Once without a counter: the tiny model is built and Python's byte code is written, which are no part of a start.
    counted(None, (PROCESS, "1"))
    option = ("--count",) if counter == "perf events" else ()
    shorter, longer = (
        [counted(counter, (PROCESS, str(number), *option)) for _ in range(TWICE)] for number in (calls // 2, calls)
    )
    # What disturbs a start only adds instructions: the lower of two counts is nearer, and they say how far to trust it.
    counts = [sorted(run.instructions for run in runs) for runs in (shorter, longer)]
    difference = calls - calls // 2
    instructions = (counts[1][0] - counts[0][0]) / difference
    uncertainty = sum(high - low for low, high in counts) / difference
    if instructions <= uncertainty:
        raise InconclusiveError(
            f"the start of the process varied by {uncertainty:,.0f} instructions, and a call took {instructions:,.0f}; "
            "count again on a quieter machine"
        )
    about = json.loads(longer[0].output.splitlines()[-1])
    source, cpu = code().facts, machine().facts
    return InstructionRow(
        instructions=instructions,
        uncertainty=uncertainty,
        calls=calls,
        counter=counter,
        machine=f"{cpu['cpu_model']}, {cpu['architecture']}",
        model_sha256=about["model_sha256"],
        packages=", ".join(f"{name} {version}" for name, version in sorted(about["versions"].items())),
        samples=about["samples"],
        audio_sha256=about["audio_sha256"],
        commit=source["commit"] or "",
        dirty=bool(source["dirty"]),
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def judged(row: InstructionRow, rows: Sequence[InstructionRow]) -> WitnessResult:
    """Hold a count against the newest baseline of its kind."""
    baseline = next((known for known in reversed(rows) if known.baseline and known.kind == row.kind), None)
    if baseline is None:
        reason = "there is no baseline of this counter, machine, model and these packages"
        return WitnessResult("no baseline", row, None, Gauge(None, None, None, row.calls, 1, reason=reason))
    if baseline.samples != row.samples:
        reason = f"it speaks {row.samples} samples, and the baseline {baseline.samples}: they did not do the same work"
        return WitnessResult("other speech", row, baseline, Gauge(None, None, None, row.calls, 1, reason=reason))
    ratio = row.instructions / baseline.instructions
    reach = (row.uncertainty + baseline.uncertainty) / baseline.instructions
    low, high = ratio - reach, ratio + reach
    status: WitnessStatus = "failed" if low > 1.0 + LIMIT else "passed" if high <= 1.0 + LIMIT else "undecided"
    reason = f"counts of the same process differ by up to {reach:.1%}"
    return WitnessResult(status, row, baseline, Gauge(ratio, low, high, row.calls, 1, reason=reason))


def stored_rows(root: Path) -> list[InstructionRow]:
    """The stored counts under a results folder, oldest first. Raises InputError where the file is damaged."""
    file = _file(root)
    if not file.exists():
        return []
    document = read_json(file, what="counts of instructions")
    rows = document.get("rows", []) if isinstance(document, dict) else []
    return [as_record(InstructionRow, row, what=f"count of instructions in {file}") for row in rows]


def witnessed(root: Path, row: InstructionRow, *, accept: bool = False) -> WitnessResult:
    """Store a count and hold it against its baseline; it becomes the baseline where there is none, or by `accept`."""
    with locked(_file(root).with_suffix(".lock")):
        rows = stored_rows(root)
        result = judged(row, rows)
        kept = replace(row, baseline=accept or result.status == "no baseline")
        document = {"rows": [asdict(known) for known in (*rows, kept)]}
        write_text(_file(root), json.dumps(document, indent=1) + "\n")
    return replace(result, row=kept)


def _file(root: Path) -> Path:
    return root / "witness" / "instructions.json"
