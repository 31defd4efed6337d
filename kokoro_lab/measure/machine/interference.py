"""Whether the machine was quiet while a block ran: counters before and after, and their difference
(measurement rule 8, docs/measurement-rules.md).

A snapshot costs a few file reads and is taken while no worker runs. Only counters are compared, never a momentary load.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from kokoro_lab.measure.records.cell import QuietReading

__all__ = ["OTHER_CPU_LIMIT", "STEAL_LIMIT", "Snapshot", "own_reading", "reading", "settle", "snapshot", "with_waiting"]

OTHER_CPU_LIMIT = 0.03
"""Share of all CPU time that other processes may use before a block is contaminated (measurement rule 8)."""

STEAL_LIMIT = 0.01
"""Share of all CPU time that the hypervisor may take before a block is contaminated (measurement rule 8)."""

TICK_S = 0.01
"""Resolution of the kernel's CPU accounting (USER_HZ = 100); fewer than two ticks per CPU show nothing."""

PRESSURE = Path("/proc/pressure")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class Snapshot:
    """Counters at one moment, in seconds unless named otherwise."""

    wall: float
    cpus: int
    busy: float
    """User, nice, system and interrupt time of all CPUs."""
    steal: float
    own_self: float
    """CPU time of this process."""
    own_children: float
    """CPU time of this process's finished children and theirs."""
    pressure: dict[str, float]
    """cpu, memory, io: time in which some task stalled (PSI); empty where the kernel does not report it."""
    governor: str | None = None
    frequency_mhz: float | None = None
    temperature_c: float | None = None
    on_battery: bool | None = None


def snapshot() -> Snapshot:
    """Read the counters of the machine and of this process tree."""
    times = psutil.cpu_times()
    busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return Snapshot(
        wall=time.perf_counter(),
        cpus=os.cpu_count() or 1,
        busy=busy,
        steal=float(getattr(times, "steal", 0.0)),
        own_self=mine.ru_utime + mine.ru_stime,
        own_children=children.ru_utime + children.ru_stime,
        pressure={name: total for name in ("cpu", "memory", "io") if (total := _pressure(name)) is not None},
        governor=_first_line(GOVERNOR),
        frequency_mhz=_frequency(),
        temperature_c=_temperature(),
        on_battery=_on_battery(),
    )


def settle(most_s: float = 1.0) -> bool:
    """Sleep until this process uses no CPU time; False when it still does after `most_s` seconds.

    BLAS threads spin for some tens of milliseconds after their last product, such as the audio gate's mel filter bank:
    without this pause they would still spin while the next worker loads.
    """
    step_s = 0.02
    for _ in range(max(1, round(most_s / step_s))):
        used = time.process_time()
        time.sleep(step_s)
        if time.process_time() - used < 0.1 * step_s:
            return True
    return False


def reading(before: Snapshot, after: Snapshot) -> QuietReading:
    """What happened between two snapshots: shares of the total CPU time, and whether they contaminate the block.

    The CPU time of other processes is all busy time less that of the worker (our finished children) and of this
    process. This process is judged too: it must sleep while it waits for a worker.
    """
    waiting_s = after.own_self - before.own_self
    return _reading(before, after, measured_s=after.own_children - before.own_children, waiting_s=waiting_s)


def own_reading(before: Snapshot, after: Snapshot) -> QuietReading:
    """The same between two snapshots of the measured process itself, which does not know the process that waits."""
    own = [taken.own_self + taken.own_children for taken in (before, after)]
    return _reading(before, after, measured_s=own[1] - own[0], waiting_s=None)


def with_waiting(own: QuietReading, whole: QuietReading) -> QuietReading:
    """The reading of one cell of a shared process, completed by that of the process that waited for all its cells.

    own: of the measured process.
    whole: of the process that waited, from before the first cell to after the last.
    """
    share = whole.harness_cpu_share
    if share is None or share <= OTHER_CPU_LIMIT:
        return replace(own, harness_cpu_share=share)
    reason = "; ".join(filter(None, (own.reason, _waited(share))))
    return replace(own, harness_cpu_share=share, contaminated=True, reason=reason)


def _reading(before: Snapshot, after: Snapshot, *, measured_s: float, waiting_s: float | None) -> QuietReading:
    """measured_s, waiting_s: CPU time of the measured process and of the process that waits for it."""
    wall = max(after.wall - before.wall, 1e-9)
    capacity = wall * after.cpus
    resolution = 2 * TICK_S * after.cpus
    mine = waiting_s or 0.0
    other = max(after.busy - before.busy - mine - measured_s, 0.0)
    steal = max(after.steal - before.steal, 0.0)
    reasons = []
    if other / capacity > OTHER_CPU_LIMIT and other > resolution:
        reasons.append(f"other processes used {other / capacity:.1%} of the CPU time")
    if mine / capacity > OTHER_CPU_LIMIT and mine > resolution:
        reasons.append(_waited(mine / capacity))
    if steal / capacity > STEAL_LIMIT and steal > resolution:
        reasons.append(f"the hypervisor took {steal / capacity:.1%} of the CPU time")
    stalls = {
        name: min(max((total - before.pressure[name]) / wall, 0.0), 1.0)
        for name, total in after.pressure.items()
        if name in before.pressure
    }
    return QuietReading(
        contaminated=bool(reasons),
        reason="; ".join(reasons),
        other_cpu_share=other / capacity,
        harness_cpu_share=None if waiting_s is None else mine / capacity,
        steal_share=steal / capacity,
        cpu_pressure=stalls.get("cpu"),
        memory_pressure=stalls.get("memory"),
        io_pressure=stalls.get("io"),
        frequency_mhz=after.frequency_mhz,
        temperature_c=after.temperature_c,
        governor=after.governor,
        on_battery=after.on_battery,
    )


def _waited(share: float) -> str:
    return f"the waiting process used {share:.1%} of the CPU time"


def _pressure(name: str) -> float | None:
    line = _first_line(PRESSURE / name)
    if line is None:
        return None
    fields = dict(part.split("=") for part in line.split()[1:])
    return int(fields["total"]) / 1e6


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return None


def _frequency() -> float | None:
    with contextlib.suppress(OSError, NotImplementedError, AttributeError, RuntimeError):
        frequency = psutil.cpu_freq()
        if frequency is not None and frequency.current > 0:
            return float(frequency.current)
    return None


def _temperature() -> float | None:
    """Hottest sensor of the machine, in degrees Celsius."""
    sensors = getattr(psutil, "sensors_temperatures", None)
    if sensors is None:
        return None
    with contextlib.suppress(OSError, RuntimeError):
        readings = [entry.current for entries in sensors().values() for entry in entries if entry.current]
        return float(max(readings)) if readings else None
    return None


def _on_battery() -> bool | None:
    with contextlib.suppress(OSError, AttributeError, RuntimeError, NotImplementedError):
        battery = psutil.sensors_battery()
        if battery is not None and battery.power_plugged is not None:
            return not battery.power_plugged
    return None
