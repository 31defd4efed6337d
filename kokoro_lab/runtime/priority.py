"""Scheduling priority of our threads: their nice value, -20 (first) to 19 (last).

Linux has a nice value per thread, and a thread inherits that of the thread that created it. It is set before the
sessions are created, so that onnxruntime's threads and those created while loading inherit it; the caller's other
threads keep theirs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from kokoro_lab.errors import SettingError

__all__ = ["FIRST", "LOWEST", "set_priority", "threads_by_priority"]

FIRST, LOWEST = -20, 19
NICE_FIELD = 16  # index in /proc/<pid>/stat, counted after the command's closing bracket, see proc(5)


def set_priority(nice: int) -> None:
    """Set the nice value of the calling thread (outside Linux: of the process).

    Raises SettingError when the system refuses it: values below the current nice value need a privilege.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except AttributeError:
        raise SettingError(f"priority is {nice}, but this system has no nice values; leave it at 0") from None
    except OSError as error:
        raise SettingError(
            f"the system refuses priority {nice} ({error.strerror}); use the current or a higher value,  "
            "or grant CAP_SYS_NICE"
        ) from error


def threads_by_priority() -> Mapping[int, int] | None:
    """Nice value -> number of threads of this process, as the system reports it; None where it does not."""
    threads: Counter[int] = Counter()
    try:
        tasks = list(Path("/proc/self/task").iterdir())
    except OSError:
        return None
    for task in tasks:
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # the thread ended meanwhile
            continue
        threads[int(fields[NICE_FIELD])] += 1
    return dict(sorted(threads.items()))
