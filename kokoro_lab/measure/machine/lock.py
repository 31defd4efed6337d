"""A lock that allows one measurement at a time on a machine: two runs at once would disturb each other."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from kokoro_lab.errors import BusyError, InputError, KokoroLabError, StoreError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.locking import locked
from kokoro_lab.files.writing import write_text

__all__ = ["exclusive_measurement", "lock_path", "measured_now"]

ADVICE = "set TMPDIR to a folder that can be written, or KOKORO_LAB_LOCK to a file"
MOST_HOLDER_BYTES = 1 << 16


def lock_path() -> Path:
    """The lock file: in the machine's temporary directory, the same for every checkout and user.

    KOKORO_LAB_LOCK names another file, for tests and for containers with cores of their own.
    """
    if named := os.environ.get("KOKORO_LAB_LOCK"):
        return Path(named)
    try:
        return Path(tempfile.gettempdir()) / "kokoro-lab-measuring.lock"
    except OSError as error:
        raise KokoroLabError(f"there is no temporary directory that can be written; {ADVICE}") from error


@contextlib.contextmanager
def exclusive_measurement(purpose: str = "", *, path: Path | None = None) -> Iterator[None]:
    """Hold the machine's lock for a measurement. The system releases it when the process ends, however it ends.

    Does not wait: raises BusyError at once, naming the process that holds the lock.
    """
    where = path or lock_path()
    holder = where.with_suffix(".holder.json")

    def busy() -> BusyError:
        return BusyError(
            f"another run is measuring on this machine ({_describe(holder)}); wait until it has ended, or end it"
        )

    with locked(where, timeout_s=0, busy=busy, error=KokoroLabError, advice=ADVICE, mode=0o666):
        with contextlib.suppress(StoreError):
            write_text(holder, json.dumps(asdict(_Holder(os.getpid(), purpose))), durable=False)
        yield


def measured_now(*, path: Path | None = None) -> str:
    """What is being measured on this machine, such as "run quick-1"; empty when nothing is."""
    try:
        with exclusive_measurement(path=path):
            return ""
    except BusyError:
        named = _holder((path or lock_path()).with_suffix(".holder.json"))
        return (named.purpose if named else "") or "a run"


@dataclass(frozen=True)
class _Holder:
    pid: int
    purpose: str


def _describe(holder: Path) -> str:
    named = _holder(holder)
    if named is None:
        return "by an unknown process"
    return f"process {named.pid}" + (f", {named.purpose}" if named.purpose else "")


def _holder(path: Path) -> _Holder | None:
    """Who holds the lock, as far as the file says."""
    try:
        values = read_json(path, what="lock's holder", most=MOST_HOLDER_BYTES)
        return as_record(_Holder, values, what="lock's holder")
    except InputError:
        return None
