"""Energy of the processor package, where the machine tells (RAPL); where it does not, that is said, and why."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EnergyMeter"]

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class EnergyMeter:
    """The package counters of one machine. They count every process: only a quiet block's energy is its own."""

    counters: tuple[Path, ...]
    source: str
    """The word rapl, or why there is no figure."""

    @classmethod
    def find(cls, root: Path = POWERCAP) -> EnergyMeter:
        """Look for readable package counters (powercap's intel-rapl, which AMD's driver serves as well)."""
        packages = [zone for zone in sorted(root.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        if not packages:
            if sys.platform == "darwin":
                return cls((), "powermetrics needs root on macOS")
            return cls((), "this machine has no RAPL counters")
        try:
            for zone in packages:
                (zone / "energy_uj").read_text()
        except PermissionError:
            return cls((), "RAPL counters are readable by root only")
        except OSError as error:
            return cls((), f"RAPL counters cannot be read: {error.strerror or error}")
        return cls(tuple(packages), "rapl")

    def read(self) -> tuple[int, ...]:
        """Microjoules of each package since an arbitrary start; empty without counters."""
        return tuple(int((zone / "energy_uj").read_text()) for zone in self.counters)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float | None:
        """Energy between two readings, all packages together; a counter that wrapped around once is put right."""
        if not self.counters:
            return None
        total = 0
        for zone, first, last in zip(self.counters, before, after, strict=True):
            span = last - first
            if span < 0:
                span += int((zone / "max_energy_range_uj").read_text())
            total += span
        return total / 1e6
