"""Hold the machine for a whole command: wait for another measurement, and say for whom."""

from __future__ import annotations

from contextlib import AbstractContextManager

from kokoro_lab.commands.console import notice
from kokoro_lab.measure.machine.lock import machine_held

__all__ = ["measuring"]


def measuring(purpose: str, wait_s: float, *, lasts_s: float | None = None) -> AbstractContextManager[None]:
    """Hold the machine's lock for everything that a command measures, its child processes included.

    Args:
        purpose: what others are told of it, such as "run quick-1".
        wait_s: how long to wait for another holder, s; each is named on standard error.
        lasts_s: the estimated duration, s; None where it is not known.

    Raises BusyError when the machine is not free within that time.
    """
    return machine_held(purpose, wait_s=wait_s, lasts_s=lasts_s, waiting=notice)
