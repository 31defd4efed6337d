"""How a process ends that has native threads which nobody can stop.

onnxruntime, pyarrow and deltalake start threads of their own when they are imported or used, and never end them. When
the interpreter and the C libraries tear down what these threads use, a process aborts now and then, with its work done
and its message printed: exit code 134 in place of its own. In the child of a fork, where the threads do not exist, the
same clean-up waits for them for ever.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import sys
from typing import NoReturn

__all__ = ["end_process", "skip_native_cleanup"]


def end_process(code: int) -> NoReturn:
    """End this process with an exit code, after Python's exit functions, without tearing anything down."""
    with contextlib.suppress(Exception):  # as at the end of any program; it prints what goes wrong
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        # A reader that has gone, or a closed stream: there is nobody to tell.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)


def skip_native_cleanup() -> None:
    """Let this process end without the exit functions of the C libraries that are loaded now.

    For a process whose end is not ours to write. Python's own exit functions run as ever, and the exit code stays.
    """
    with contextlib.suppress(OSError, AttributeError):  # a C library without on_exit
        libc = ctypes.CDLL(None)
        libc.on_exit(libc._exit, None)  # the last registered function runs first, and is given the exit code
