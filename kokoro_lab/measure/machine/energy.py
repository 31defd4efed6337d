"""Energy of the processor package from RAPL counters or powermetrics, or the reason why there is no figure.

Both count every process: the energy is the block's own only when the machine was quiet.
"""

from __future__ import annotations

import plistlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import Protocol, cast
from xml.parsers.expat import ExpatError

__all__ = ["EnergyMeter", "find_meter", "mean_watts"]

POWERCAP = Path("/sys/class/powercap")

POWERMETRICS = ("sudo", "-n", "powermetrics", "--samplers", "cpu_power", "--format", "plist", "--sample-rate", "250")
"""A sample every 250 ms: short enough for a block of a second, at 1/400 of a core's time."""


class EnergyMeter(Protocol):
    """Measures the energy between the calls of `begin` and `end`."""

    @property
    def source(self) -> str:
        """Either "rapl" or "powermetrics", or why there is no figure."""

    def begin(self) -> None:
        """Start counting."""

    def end(self) -> float | None:
        """Joules since `begin`, all packages together; None without a figure."""


def find_meter(
    root: Path = POWERCAP, *, platform: str = sys.platform, command: Sequence[str] = POWERMETRICS
) -> EnergyMeter:
    """The meter of this machine: powercap's intel-rapl, which AMD's driver provides too; powermetrics on macOS."""
    if platform == "darwin":
        return _PowerMetrics(command)
    packages = [zone for zone in sorted(root.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    if not packages:
        return _NoMeter("this machine has no RAPL counters")
    try:
        for zone in packages:
            (zone / "energy_uj").read_text()
    except PermissionError:
        return _NoMeter("RAPL counters are readable by root only")
    except OSError as error:
        return _NoMeter(f"RAPL counters cannot be read: {error.strerror or error}")
    return _Rapl(packages)


def mean_watts(output: bytes) -> float | None:
    """Mean power of the processor over the complete samples in the output of powermetrics; None without any.

    Samples are property lists separated by NUL bytes; the last may be truncated. Apple's processors are reported as
    `combined_power` (mW, with their GPU and neural engine), Intel's as `package_watts`.
    """
    joules = seconds = 0.0
    for document in output.split(b"\0"):
        try:
            values = plistlib.loads(document.strip())
            lasted = values["elapsed_ns"] / 1e9
            processor = values["processor"]
            watts = processor["package_watts"] if "package_watts" in processor else processor["combined_power"] / 1e3
        except (ExpatError, ValueError, KeyError, TypeError):
            continue
        joules += watts * lasted
        seconds += lasted
    return joules / seconds if seconds else None


class _NoMeter:
    def __init__(self, why: str) -> None:
        self.source = why

    def begin(self) -> None:
        pass

    def end(self) -> float | None:
        return None


class _Rapl:
    source = "rapl"

    def __init__(self, packages: Sequence[Path]) -> None:
        self._packages = packages
        self._first: list[int] = []

    def begin(self) -> None:
        self._first = self._read("energy_uj")

    def end(self) -> float | None:
        spans = [last - first for first, last in zip(self._first, self._read("energy_uj"), strict=True)]
        if min(spans) < 0:  # a counter has wrapped around
            ranges = self._read("max_energy_range_uj")
            spans = [span + whole if span < 0 else span for span, whole in zip(spans, ranges, strict=True)]
        return sum(spans) / 1e6

    def _read(self, name: str) -> list[int]:
        return [int((zone / name).read_text()) for zone in self._packages]


class _PowerMetrics:
    """Reports power, sample by sample: energy is the mean power times the elapsed time."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._output = b""
        self._over = threading.Event()
        self.source = "powermetrics"

    def begin(self) -> None:
        self._began = time.monotonic()
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            self.source = f"powermetrics cannot be started: {error.strerror or error}"
            return
        threading.Thread(target=self._drain, args=(self._process,), daemon=True).start()

    def end(self) -> float | None:
        if self._process is None:
            return None
        lasted = time.monotonic() - self._began
        self._over.set()
        watts = mean_watts(self._output)
        if watts is not None:
            return watts * lasted
        exit_code = self._process.poll()
        self.source = "powermetrics gave no figure: " + (
            "sudo would ask for a password" if exit_code else "the calls ended before its first sample"
        )
        return None

    def _drain(self, process: subprocess.Popen[bytes]) -> None:
        """Read until the measurement is over, then close: we cannot signal root's process, but it ends without
        a reader."""
        with cast(BufferedReader, process.stdout) as output:
            while (piece := output.read1()) and not self._over.is_set():
                self._output += piece
        process.wait()
