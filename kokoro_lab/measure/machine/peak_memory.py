"""Memory of the measured process: current and peak."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from kokoro_lab.units import MB

__all__ = ["peak_rss_mb", "rss_mb"]

STATUS = Path("/proc/self/status")


def rss_mb() -> float:
    """Resident set of this process, in megabytes (10^6 bytes)."""
    import psutil  # here, so that a cold start is timed without it

    return float(psutil.Process().memory_info().rss) / MB


def peak_rss_mb() -> float:
    """Largest resident set of this process since it began, in megabytes (10^6 bytes).

    On Linux it is VmHWM: there getrusage's ru_maxrss survives exec, so that a worker would report the peak of a large
    parent. Elsewhere it is ru_maxrss, which macOS gives in bytes and other systems in kibibytes.
    """
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak * 1024 / MB
