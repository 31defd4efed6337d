"""A process ends with its own exit code, after Python's exit functions and with its output written."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from patience import PATIENCE_S

WAYS = {
    "end_process": "end_process(7)",
    "skip_native_cleanup": "skip_native_cleanup(); sys.exit(7)",
}


@pytest.mark.parametrize("way", WAYS)
def test_exit_functions_run_output_is_written_and_native_cleanup_is_skipped(way: str) -> None:
    code = (
        "import atexit, ctypes, sys\n"
        f"from kokoro_lab.process.exits import {way}\n"
        "atexit.register(lambda: print('at exit'))\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.on_exit(libc.abort, None)\n"  # what a native library does at its worst
        f"print('working')\n{WAYS[way]}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout.split("\n"), done.stderr) == (7, ["working", "at exit", ""], "")


def test_a_closed_stream_does_not_change_the_exit_code() -> None:
    code = "import sys; from kokoro_lab.process.exits import end_process; print('x'); sys.stderr = None; end_process(3)"
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=buffered) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 3
