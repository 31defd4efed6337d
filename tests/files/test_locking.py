"""One process at a time, whether the other waits, gives up or cannot write there."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kokoro_lab.errors import BusyError, InputError, ModelError, StoreError
from kokoro_lab.files.locking import locked

HOLDER = """
import sys
from pathlib import Path
from kokoro_lab.files.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until it is written to."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_held_lock_is_an_error_of_the_caller_and_is_free_when_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.lock"
    with holder(path) as other:
        with pytest.raises(BusyError, match="wait until"), locked(path, timeout_s=0):
            pass
        with pytest.raises(InputError, match="mine"), locked(path, timeout_s=0, busy=lambda: InputError("mine; wait")):
            pass
        other.kill()
    with locked(path, timeout_s=PATIENCE_S):
        pass


def test_without_a_limit_it_waits(tmp_path: Path) -> None:
    taken = threading.Event()

    def take() -> None:
        with locked(tmp_path / "a.lock"):
            taken.set()

    with holder(tmp_path / "a.lock") as other:
        waiting = threading.Thread(target=take)
        waiting.start()
        assert not taken.wait(0.2)
        assert other.poll() is None, "it was held all that time"
        other.communicate("\n")
    assert taken.wait(PATIENCE_S)
    waiting.join()


@pytest.mark.parametrize("place", ["file/a.lock", "n" * 256, "null\0"])
def test_a_place_without_locks_is_an_error_that_says_what_to_do(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match=r"cannot lock .*; "), locked(tmp_path / place, error=ModelError):
        pass
    with pytest.raises(StoreError), locked(tmp_path / place):
        pass
