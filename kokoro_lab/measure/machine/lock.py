"""A lock that allows one measurement at a time on a machine: two runs at once would disturb each other.

A sweep, a benchmark or a tuning holds it from its first block to its last (`machine_held`), and the processes that it
starts inherit the right to measure: a variable in their environment names the holder. They believe it only while that
process is one of their ancestors, and take turns among themselves. Anything else that measures, such as a notebook in
JupyterLab, takes the lock for itself (`exclusive_measurement`). The system releases a lock when its holder dies,
however it dies.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from kokoro_lab.errors import BusyError, InputError, KokoroLabError, StoreError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.locking import locked
from kokoro_lab.files.writing import write_text

__all__ = ["HOLDER_VARIABLE", "exclusive_measurement", "lock_path", "machine_held", "measured_now"]

ADVICE = "set TMPDIR to a folder that can be written, or KOKORO_LAB_LOCK to a file"
MOST_HOLDER_BYTES = 1 << 16
LARGEST_PID = 2**31 - 1
POLL_S = 1.0  # between two looks at a lock that another process holds

HOLDER_VARIABLE = "KOKORO_LAB_LOCK_HOLDER"
"""Names the process that holds the lock, and the lock, for the processes that it starts: PID:PATH."""


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
    """Hold the machine's lock for a measurement, or use the right of the process that holds it for this one.

    Does not wait: raises BusyError at once, naming the process that holds the lock.
    """
    where = path or lock_path()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_taken(where, purpose))
        except BusyError:
            if not _inherited(where):
                raise
            stack.enter_context(_held(_turns(where), purpose))
        yield


@contextlib.contextmanager
def machine_held(
    purpose: str,
    *,
    wait_s: float = 0.0,
    lasts_s: float | None = None,
    waiting: Callable[[str], None] | None = None,
    path: Path | None = None,
) -> Iterator[None]:
    """Hold the machine's lock for all measurements of this process and of those that it starts.

    Args:
        purpose: what is measured, such as "run quick-1".
        wait_s: how long to wait for another holder, s.
        lasts_s: the estimated duration, s; None where it is not known.
        waiting: called with a message that names the holder, before the wait and whenever the holder changes.
        path: another lock file than the machine's.

    Raises:
        BusyError: another process has held the lock for all that time.
    """
    where = path or lock_path()
    with contextlib.ExitStack() as stack:
        if not (_inherited(where) and _busy(where)):
            _wait_for(where, wait_s, waiting, lambda: stack.enter_context(_taken(where, purpose, lasts_s)))
            stack.enter_context(_bequeathed(where))
        yield


def measured_now(*, path: Path | None = None) -> tuple[str, ...]:
    """What is being measured on this machine, such as "run quick-1"; empty when nothing is."""
    where = path or lock_path()
    return tuple(_purpose(lock) or "a run" for lock in (where, _turns(where)) if _busy(lock))


@dataclass(frozen=True)
class _Holder:
    pid: int
    purpose: str
    since: str = ""
    """UTC, ISO 8601; empty where it is not known, like `until`."""
    until: str = ""

    @property
    def words(self) -> str:
        parts = [f"process {self.pid}", self.purpose]
        parts += [f"{word} {_clock(moment)}" for word, moment in (("since", self.since), ("until about", self.until))]
        return ", ".join(part for part in parts if part and not part.endswith(" "))


@contextlib.contextmanager
def _taken(where: Path, purpose: str, lasts_s: float | None = None) -> Iterator[None]:
    """Hold the machine's lock, unless a process still measures whose holder was killed; BusyError at once."""
    with _held(where, purpose, lasts_s):
        if _busy(_turns(where)):
            raise _refusal(_turns(where))
        yield


@contextlib.contextmanager
def _held(where: Path, purpose: str, lasts_s: float | None = None) -> Iterator[None]:
    """Hold one lock file, with a file beside it that names this process for as long; BusyError at once."""
    beside = _beside(where)
    with locked(where, timeout_s=0, busy=lambda: _refusal(where), error=KokoroLabError, advice=ADVICE, mode=0o666):
        now = datetime.datetime.now(datetime.UTC)
        until = "" if lasts_s is None else (now + datetime.timedelta(seconds=lasts_s)).isoformat(timespec="seconds")
        holder = _Holder(os.getpid(), purpose, now.isoformat(timespec="seconds"), until)
        with contextlib.suppress(StoreError):
            write_text(beside, json.dumps(asdict(holder)), durable=False)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)


def _wait_for(where: Path, wait_s: float, waiting: Callable[[str], None] | None, take: Callable[[], object]) -> None:
    """Take a lock as soon as it is free; BusyError when it is not within `wait_s` seconds."""
    ends, told = time.monotonic() + wait_s, ""
    while True:
        try:
            take()
            return
        except BusyError as error:
            left_s = ends - time.monotonic()
            if left_s <= 0:
                raise BusyError(_refusal(where, waited_s=wait_s).message) from error
        words = _described(where)
        if waiting is not None and words != told:
            waiting(f"waiting for another measurement to end, for at most {wait_s:g} s: {words}")
        told = words
        time.sleep(min(POLL_S, left_s))


@contextlib.contextmanager
def _bequeathed(where: Path) -> Iterator[None]:
    """Name this process as the holder to the processes that it starts."""
    earlier = os.environ.get(HOLDER_VARIABLE)
    os.environ[HOLDER_VARIABLE] = f"{os.getpid()}:{where}"
    try:
        yield
    finally:
        if earlier is None:
            os.environ.pop(HOLDER_VARIABLE, None)
        else:
            os.environ[HOLDER_VARIABLE] = earlier


def _inherited(where: Path) -> bool:
    """Whether the lock is held for this process: by itself or by an ancestor, as the variable and the lock say."""
    named, _, lock = os.environ.get(HOLDER_VARIABLE, "").partition(":")
    if not named.isdecimal() or lock != str(where):
        return False
    family = {os.getpid()}
    with contextlib.suppress(psutil.Error):
        family |= {parent.pid for parent in psutil.Process().parents()}
    holder = _holder(where)
    return int(named) in family and (holder is None or holder.pid == int(named))


def _busy(where: Path) -> bool:
    try:
        with locked(where, timeout_s=0, error=KokoroLabError, advice=ADVICE, mode=0o666):
            return False
    except BusyError:
        return True


def _turns(where: Path) -> Path:
    """The lock that those who have inherited the right take among themselves."""
    return where.with_suffix(".turn.lock")


def _beside(where: Path) -> Path:
    return where.with_suffix(".holder.json")


def _refusal(where: Path, *, waited_s: float = 0.0) -> BusyError:
    advice = "wait longer with --wait, or end it" if waited_s else "wait until it has ended, or end it"
    return BusyError(f"another run is measuring on this machine ({_described(where)}); {advice}")


def _described(where: Path) -> str:
    holder = _holder(where) or _holder(_turns(where))
    return "an unknown process" if holder is None else holder.words


def _purpose(where: Path) -> str:
    holder = _holder(where)
    return "" if holder is None else holder.purpose


def _holder(where: Path) -> _Holder | None:
    """Who holds a lock, as far as the file beside it says; a process that has ended holds none."""
    try:
        values = read_json(_beside(where), what="lock's holder", most=MOST_HOLDER_BYTES)
        holder = as_record(_Holder, values, what="lock's holder")
    except InputError:
        return None
    return holder if 0 < holder.pid <= LARGEST_PID and psutil.pid_exists(holder.pid) else None


def _clock(moment: str) -> str:
    """A stored moment as local time, with the date where it is another day's; empty for what is no moment."""
    try:
        local = datetime.datetime.fromisoformat(moment).astimezone()
    except (ValueError, OverflowError):  # the latter for a moment at the end of the calendar
        return ""
    today = datetime.datetime.now().astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"
