"""Failures of the machine that surface anywhere, in one sentence: no memory, files or threads, a place that refuses.

A writer or reader that knows its path says it better; what it did not foresee ends here.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.files.reading import reason
from kokoro_lab.files.writing import ADVICE, remedy

__all__ = ["exhaustion", "innermost_reason", "is_panic", "library_call", "machine_failure", "spare_address_space"]

SPARE_FILES = 16
"""Files that a Rust library opens before it does anything; with fewer it panics, and prints that by itself."""

SPARE_BYTES = 2 << 30
"""Address space that Delta and Arrow reserve for their threads and pools at their first call, measured with two
processors; they touch less than a tenth of it. Under a smaller limit (ulimit -v) Arrow waits for ever."""

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_DECORATION = re.compile(r"\x1b\[[0-9;]*m|^\s*↳\s*|^\s*\d+:\s")
_NO_MEMORY = re.compile(
    r"bad_alloc|failed to map segment|cannot allocate memory|failed to allocate memory|out of memory", re.IGNORECASE
)
_NO_THREAD = re.compile(r"can't start new thread|Resource temporarily unavailable|thread constructor failed")
_NO_FILES = re.compile(r"Too many open files|os error 24\b|code: 24\b|Error 24\b")


def machine_failure(problem: BaseException) -> KokoroLabError | None:
    """The failure of the machine behind an exception as an error that says what to do; None where there is none."""
    if (exhausted := exhaustion(problem)) is not None:
        what, advice = exhausted
        return KokoroLabError(f"{what}; {advice}")
    if isinstance(problem, ImportError) or "cannot load library" in str(problem):
        return KokoroLabError(f"a library cannot be loaded: {reason(problem)}; free some memory, or install it again")
    if isinstance(problem, OSError):
        place = problem.filename2 or problem.filename
        named = f"{os.fsdecode(place)}: " if isinstance(place, str | bytes) else ""
        return KokoroLabError(f"the system refused a file: {named}{reason(problem)}; {remedy(problem, ADVICE)}")
    if is_panic(problem):
        return KokoroLabError(f"a library failed ({reason(problem)}); try again, with fewer programs beside it")
    return None


def exhaustion(problem: BaseException) -> tuple[str, str] | None:
    """What the process has run out of (memory, open files, threads), and what to do; None for other failures."""
    text = str(problem)
    if isinstance(problem, MemoryError) or _NO_MEMORY.search(text) or _number(problem) == errno.ENOMEM:
        return "there is not enough memory", "close other programs, or raise the limit with ulimit -v"
    if _NO_FILES.search(text) or _number(problem) in (errno.EMFILE, errno.ENFILE):
        return "there are too many open files", "raise the limit of open files with ulimit -n"
    if _NO_THREAD.search(text) or _number(problem) == errno.EAGAIN:
        return "no more threads or processes can be started", "raise the limits with ulimit -u and ulimit -v"
    return None


@contextmanager
def library_call(doing: str, *, error: type[KokoroLabError], advice: str) -> Iterator[None]:
    """Turn whatever a library written in Rust raises in the block, its panics included, into `error`.

    Args:
        doing: what failed, as in "table cells cannot be read".
        error: the error to raise.
        advice: what to do, unless the cause has a remedy of its own.
    """
    try:
        _require_files()
        _require_address_space()
        yield
    except KokoroLabError:
        raise
    except BaseException as problem:
        if not isinstance(problem, Exception) and not is_panic(problem):
            raise
        why, todo = exhaustion(problem) or (innermost_reason(problem), advice)
        raise error(f"{doing}: {why}; {todo}") from problem


def spare_address_space() -> float:
    """Bytes of memory that this process may still reserve under its limit (ulimit -v); infinite without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # no Linux
        return float("inf")
    return limit - pages * resource.getpagesize()


def innermost_reason(problem: BaseException) -> str:
    """The cause at the end of a message of several lines, as Rust libraries write them: "File too large"."""
    lines = [_DECORATION.sub("", _DECORATION.sub("", line)).strip() for line in str(problem).splitlines()]
    known = [line for line in lines if line]
    return _OS_ERROR.sub("", known[-1]).strip().rstrip(".") if known else type(problem).__name__


def is_panic(problem: BaseException) -> bool:
    """Whether a Rust library panicked; its exception is no Exception, and its class cannot be imported."""
    return type(problem).__name__ == "PanicException"


def _number(problem: BaseException) -> int | None:
    return problem.errno if isinstance(problem, OSError) else None


@functools.cache
def _require_address_space() -> None:
    """MemoryError when a limit leaves less than SPARE_BYTES; asked once, because later the space is reserved."""
    if spare_address_space() < SPARE_BYTES:
        raise MemoryError


def _require_files() -> None:
    """OSError when fewer than SPARE_FILES files can be opened."""
    handles = []
    try:
        for _ in range(SPARE_FILES):
            handles.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for handle in handles:
            with suppress(OSError):
                os.close(handle)
