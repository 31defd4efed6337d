"""How the system schedules our threads: their nice value, -20 (first) to 19 (last).

Linux keeps it by thread, and a thread begins with that of the one that made it. It is set before the sessions are
made, so that onnxruntime's threads have it, and those that loading makes; other threads of the caller keep their own.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from kokoro_lab.errors import SettingError

__all__ = ["FIRST", "LOWEST", "set_priority", "threads_by_priority"]

FIRST, LOWEST = -20, 19
NICE_FIELD = 16  # of /proc/<pid>/stat after the command's closing bracket, see proc(5)


def set_priority(nice: int) -> None:
    """Give the calling thread (elsewhere than on Linux: the process) a nice value.

    Raises SettingError when the system refuses it: values below the present one need a right of their own.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except AttributeError:
        raise SettingError(f"priority is {nice}, and this system has no such values; leave it at 0") from None
    except OSError as error:
        raise SettingError(
            f"priority is {nice}, and the system refuses it ({error.strerror}); use the present value or a higher one, "
            "or grant CAP_SYS_NICE"
        ) from error


def threads_by_priority() -> Mapping[int, int] | None:
    """Nice value -> threads of this process that have it, as the system reports it; None where it does not."""
    found: Counter[int] = Counter()
    try:
        tasks = list(Path("/proc/self/task").iterdir())
    except OSError:
        return None
    for task in tasks:
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # the thread ended meanwhile
            continue
        found[int(fields[NICE_FIELD])] += 1
    return dict(sorted(found.items()))
