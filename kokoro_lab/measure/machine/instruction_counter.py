"""Counts the instructions that a command retires in user mode: a figure without the noise of a clock.

Two counters are known. The processor's own, through Linux's perf events, is exact and free; many virtual machines and
containers hide it. Valgrind counts the instructions that it translates: a hundred times slower and more, on AVX2 paths
at most (it knows no AVX-512), but anywhere. Counts of different counters are never compared.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kokoro_lab.errors import NothingMeasuredError, WorkerError
from kokoro_lab.files.writing import scratch_folder

__all__ = ["CALLS", "CounterName", "PerfCounter", "available_counter", "counted", "perf_refusal"]

CounterName = Literal["perf events", "valgrind"]

CALLS: Mapping[CounterName, int] = {"perf events": 40, "valgrind": 2}
"""Calls of the longer of two processes; the shorter makes half of them. Under valgrind, which computes every fused
multiplication and addition in software, a second of speech of the tiny model takes 24 s of processor time."""

TIMEOUT_S = 1800.0

SYSTEM_CALL = {"x86_64": 298, "aarch64": 241}
"""Machine -> number of perf_event_open."""

HARDWARE, INSTRUCTIONS = 0, 1  # PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS
INHERIT, EXCLUDE_KERNEL, EXCLUDE_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
ATTRIBUTE_BYTES = 64  # PERF_ATTR_SIZE_VER0

REFERENCES = re.compile(r"I\s+refs:\s+([0-9,]+)")
"""Cachegrind's line with the number of instructions."""

STILL = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Variables without which the same work is done in other ways each time."""


class PerfCounter:
    """A counter of this process and of the threads and processes that it starts from now on."""

    def __init__(self, kind: int = HARDWARE, event: int = INSTRUCTIONS) -> None:
        """Open the counter; raises OSError where the system has no such counter, or does not allow it."""
        number = SYSTEM_CALL.get(platform.machine())
        if sys.platform != "linux" or number is None:
            raise OSError("perf events exist on Linux only, on x86-64 and ARM64")
        flags = INHERIT | EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR
        attribute = struct.pack("IIQQQQQIIQ", kind, ATTRIBUTE_BYTES, event, 0, 0, 0, flags, 0, 0, 0)
        library = ctypes.CDLL(None, use_errno=True)
        this_process, any_processor, no_group, no_flags = 0, -1, -1, 0
        self._file: int = library.syscall(number, attribute, this_process, any_processor, no_group, no_flags)
        if self._file < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def read(self) -> int:
        """The count so far."""
        (count,) = struct.unpack("Q", os.read(self._file, 8))
        return int(count)

    def close(self) -> None:
        """Free the counter."""
        os.close(self._file)


@dataclass(frozen=True)
class CountedRun:
    """A command that ended, and what it retired."""

    instructions: int
    output: str


def perf_refusal() -> str:
    """Why the processor's own counter cannot be read here; empty where it can."""
    try:
        PerfCounter().close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def available_counter() -> CounterName:
    """The counter to use on this machine, the processor's own first. Raises NothingMeasuredError without one."""
    refused = perf_refusal()
    if not refused:
        return "perf events"
    if shutil.which("valgrind"):
        return "valgrind"
    raise NothingMeasuredError(
        f"nothing was measured: this machine does not count instructions (perf events: {refused.lower()}, valgrind: "
        "not installed); install valgrind, or use a machine whose processor counters are open"
    )


def counted(counter: CounterName | None, command: Sequence[str]) -> CountedRun:
    """Run a Python module with its arguments in a process of its own, and count; without a counter, only run it.

    `command`: module and arguments. With perf events the module counts itself, from a `PerfCounter` that it opens
    first, and its last line of output is the count.

    Raises:
        WorkerError: the process failed, hung or gave no count.
    """
    with scratch_folder(None) as folder:
        log = folder / "valgrind.log"
        started = [sys.executable, "-m", *command]
        if counter == "valgrind":
            options = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", f"--log-file={log}")
            started = ["valgrind", *options, *started]
        try:
            done = subprocess.run(
                started, capture_output=True, text=True, timeout=TIMEOUT_S, env={**os.environ, **STILL}
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WorkerError(f"the process whose instructions are counted failed: {error}; try again") from error
        written = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise WorkerError(f"the process whose instructions are counted failed: {last}; remove the cause and try again")
    output = done.stdout.rstrip("\n")
    if counter is None:
        return CountedRun(0, output)
    if counter == "perf events":
        output, _, written = output.rpartition("\n")
        written = f"I refs: {written}"
    found = REFERENCES.search(written)
    if found is None:
        raise WorkerError(f"{counter} gave no count of instructions; check that it works on this machine")
    return CountedRun(int(found[1].replace(",", "")), output)
