"""What the machine refuses, wherever it shows: one sentence that says what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S
from store_blocks import RECORD, block

from kokoro_lab.errors import ModelError, StoreError
from kokoro_lab.files.failures import innermost_reason, library_call, machine_failure
from kokoro_lab.store import Store

LIMITED = """
import resource, sys
kind, value = getattr(resource, sys.argv[1]), int(sys.argv[2])
resource.setrlimit(kind, (value, value))
sys.argv[1:] = sys.argv[3:]
from kokoro_lab.cli import main
main()
"""


class PanicException(BaseException):
    """As pyo3 raises it: no Exception, and of a class that cannot be imported."""


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (MemoryError(), "not enough memory; "),
        (RuntimeError("std::bad_alloc"), "not enough memory; "),
        (ImportError("libarrow.so: failed to map segment from shared object"), "not enough memory; "),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "not enough memory; "),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "x"), "ulimit -n"),
        (PanicException('no runtime: Os { code: 24, message: "Too many open files" }'), "ulimit -n"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "ulimit -u"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b"), "/a/b: No space left on device; "),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), b"/a"), "/a: Read-only file system; "),
        (OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "/a"), "choose a shorter name"),
        (OSError("cannot load library 'libsndfile.so'"), "install it again"),
        (PanicException("index out of bounds"), "index out of bounds"),
    ],
)
def test_a_failure_of_the_machine_is_told_with_what_to_do(problem: BaseException, words: str) -> None:
    failure = machine_failure(problem)
    assert failure is not None
    assert failure.exit_code == 5
    assert words in failure.message
    assert failure.message.count("; ") == 1


@pytest.mark.parametrize("problem", [ValueError("x"), KeyError("x"), RuntimeError("x"), KeyboardInterrupt()])
def test_what_is_no_failure_of_the_machine_stays_unexpected(problem: BaseException) -> None:
    assert machine_failure(problem) is None


def test_the_innermost_reason_of_a_chain_is_told() -> None:
    told = "Generic error\n   \x1b[31m↳\x1b[0m Unable to copy\n   \x1b[31m↳\x1b[0m File too large (os error 27)\n"
    assert innermost_reason(OSError(told)) == "File too large"
    assert innermost_reason(ValueError()) == "ValueError"


def test_a_call_of_a_library_raises_only_the_named_error() -> None:
    for problem in (ValueError("bad"), OSError("bad"), PanicException("bad"), MemoryError()):
        with (
            pytest.raises(StoreError, match=r"^the table fails: .*; "),
            library_call("the table fails", error=StoreError, advice="mend it"),
        ):
            raise problem
    for passing in (KeyboardInterrupt(), SystemExit(3), ModelError("mine; do")):
        with pytest.raises(type(passing)), library_call("the table fails", error=StoreError, advice="mend it"):
            raise passing


@pytest.mark.parametrize(
    ("limit", "value", "command"),
    [
        ("RLIMIT_NOFILE", 12, ("results", "list")),
        ("RLIMIT_AS", 1_200_000_000, ("results", "list")),
        ("RLIMIT_AS", 420_000_000, ("results", "list")),
        ("RLIMIT_AS", 200_000_000, ("voices",)),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce a limit of address space")
def test_a_command_within_limits_that_are_too_low_says_which(
    tmp_path: Path, limit: str, value: int, command: tuple[str, ...]
) -> None:
    Store(tmp_path / "tables").append_block(RECORD, block(0))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, limit, str(value), *command],
        env={**os.environ, "KOKORO_LAB_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1, done.stderr
    assert ("ulimit -n" if limit == "RLIMIT_NOFILE" else "ulimit -v") in done.stderr


def test_a_store_works_with_64_open_files(tmp_path: Path) -> None:
    Store(tmp_path / "tables").append_block(RECORD, block(0))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "RLIMIT_NOFILE", "64", "results", "list", "--json"],
        env={**os.environ, "KOKORO_LAB_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
