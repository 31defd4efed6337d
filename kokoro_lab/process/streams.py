"""What a command needs of its process: three standard streams that take any text, and enough open files."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["OPEN_FILES", "close_streams", "open_streams", "raise_file_limit", "silence", "tell"]

OPEN_FILES = 1024
"""Open files that are plenty for a sweep; a library that runs out of them panics instead of raising."""

OUTPUT_FAILED = 5


def open_streams() -> None:
    """Open the null device in the place of closed standard streams, and let the others replace what they cannot encode.

    A closed stream's number would go to the next file that is opened, and a library that prints would write into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number: the streams before this one are open already.
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY), True)
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open until the process ends
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        elif mode == "w" and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def close_streams() -> int:
    """Write what is left in the standard streams; returns 0, or an exit code when their reader cannot take it."""
    code = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            silence(stream)
        except (OSError, ValueError):
            code = OUTPUT_FAILED
            silence(stream)
    return code


def tell(line: str) -> None:
    """Print a line to standard error at once; where nobody can read it, that is no reason to stop."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Send the rest of a stream to the null device, so that nothing fails when the interpreter flushes it at exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def raise_file_limit() -> None:
    """Raise this process's limit of open files to OPEN_FILES, as far as the system allows; its children inherit it."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
