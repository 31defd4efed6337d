"""One measurement at a time on a machine: two runs side by side would each be the other's noise."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from kokoro_lab.errors import BusyError

__all__ = ["lock_path", "measuring_alone"]


def lock_path() -> Path:
    """The lock file: in the machine's temporary directory, the same for every checkout and user.

    KOKORO_LAB_LOCK names another, for tests and for containers that have a machine's cores to themselves.
    """
    return Path(os.environ.get("KOKORO_LAB_LOCK") or Path(tempfile.gettempdir()) / "kokoro-lab-measuring.lock")


@contextlib.contextmanager
def measuring_alone(purpose: str = "", *, path: Path | None = None) -> Iterator[None]:
    """Hold the machine for a measurement. The system releases it when the process ends, however it ends.

    Raises BusyError at once, naming the process that holds it, rather than wait: the caller decides.
    """
    where = path or lock_path()
    holder = where.with_suffix(".holder.json")
    lock = FileLock(where, mode=0o666)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(
            f"Another run is measuring on this machine ({_describe(holder)}); wait until it has ended, or end it."
        ) from None
    try:
        with contextlib.suppress(OSError):
            holder.write_text(json.dumps({"pid": os.getpid(), "purpose": purpose}))
        yield
    finally:
        lock.release()


def _describe(holder: Path) -> str:
    try:
        values = json.loads(holder.read_text())
        purpose = f", {values['purpose']}" if values.get("purpose") else ""
        return f"process {values['pid']}{purpose}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its process is not known"
