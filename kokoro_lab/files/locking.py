"""Locks between processes, as files: the kernel releases a lock when its holder dies, however it dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kokoro_lab.errors import BusyError, KokoroLabError, StoreError
from kokoro_lab.files.reading import reason
from kokoro_lab.files.writing import ADVICE, remedy

__all__ = ["locked"]


@contextmanager
def locked(
    path: Path,
    *,
    timeout_s: float = -1,
    busy: Callable[[], KokoroLabError] | None = None,
    error: type[KokoroLabError] = StoreError,
    advice: str = ADVICE,
    mode: int = 0o644,
) -> Iterator[None]:
    """Hold the lock file `path`, whose folder is created.

    Args:
        path: the lock file; it stays.
        timeout_s: how long to wait for another holder; without end when negative.
        busy: gives what is raised when another process holds the lock longer.
        error: raised when the lock file cannot be created.
        advice: what to do then.
        mode: permissions of a lock file that is created here.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, mode=mode)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout_s)
    except Timeout:
        raise (busy() if busy else BusyError(f"another process holds {path}; wait until it has ended")) from None
    except (OSError, ValueError, NotImplementedError) as problem:  # the last: a file system without locks
        raise error(f"cannot lock {path}: {reason(problem)}; {remedy(problem, advice)}") from problem
    try:
        yield
    finally:
        lock.release()
