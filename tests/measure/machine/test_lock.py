"""One measurement at a time: the second is refused at once and told who measures, and a killed holder lets go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import until

from kokoro_lab.errors import BusyError
from kokoro_lab.measure.machine.lock import exclusive_measurement, lock_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "measuring.lock"


def free(path: Path) -> bool:
    try:
        with exclusive_measurement(path=path):
            return True
    except BusyError:
        return False


def test_the_second_is_refused_and_told_who_holds_the_machine(path: Path) -> None:
    with exclusive_measurement("the first run", path=path):
        with pytest.raises(BusyError, match=rf"process {os.getpid()}, the first run"), exclusive_measurement(path=path):
            pass
        path.with_suffix(".holder.json").write_text("{")
        with pytest.raises(BusyError, match="by an unknown process"), exclusive_measurement(path=path):
            pass
    assert free(path)


def test_a_measurement_that_fails_lets_go(path: Path) -> None:
    with pytest.raises(RuntimeError), exclusive_measurement(path=path):
        raise RuntimeError
    assert free(path)


def test_a_holder_that_is_killed_lets_go(path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from kokoro_lab.measure.machine.lock import exclusive_measurement\n"
        f"with exclusive_measurement(path=pathlib.Path({str(path)!r})):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not free(path)
        holder.send_signal(signal.SIGKILL)
    assert until(lambda: free(path))


def test_the_lock_is_the_machines_unless_a_variable_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_LOCK", "/somewhere/else.lock")
    assert lock_path() == Path("/somewhere/else.lock")
    monkeypatch.delenv("KOKORO_LAB_LOCK")
    monkeypatch.setenv("KOKORO_LAB_HOME", "/somewhere")
    here = lock_path()
    monkeypatch.setenv("KOKORO_LAB_HOME", "/elsewhere")
    assert lock_path() == here
