"""One measurement at a time: others wait or are refused and told who measures, children inherit, the dead let go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from patience import until

from kokoro_lab.errors import BusyError
from kokoro_lab.measure.machine.lock import (
    HOLDER_VARIABLE,
    exclusive_measurement,
    lock_path,
    machine_held,
    measured_now,
)


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
        with pytest.raises(BusyError, match="an unknown process"), exclusive_measurement(path=path):
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


MEASURES = (
    "import pathlib, sys\n"
    "from kokoro_lab.errors import BusyError\n"
    "from kokoro_lab.measure.machine.lock import exclusive_measurement\n"
    "try:\n"
    "    with exclusive_measurement('child', path=pathlib.Path(sys.argv[1])):\n"
    "        print('measured')\n"
    "except BusyError as error:\n"
    "    print(error.message)\n"
)


def in_a_child(path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", MEASURES, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_the_holder_starts_measures_under_its_lock_and_nobody_else_does(path: Path, tmp_path: Path) -> None:
    with machine_held("run r1", path=path):
        assert in_a_child(path) == "measured"
        with exclusive_measurement("a notebook of r1", path=path):
            assert measured_now(path=path) == ("run r1", "a notebook of r1")
            assert "a notebook of r1" in in_a_child(path), "two heirs take turns"
        with exclusive_measurement(path=tmp_path / "another.lock"):
            assert "measuring" in in_a_child(tmp_path / "another.lock"), "the right is to one lock"
    assert measured_now(path=path) == () and in_a_child(path) == "measured"


def test_the_right_to_measure_is_an_ancestor_s_not_whoever_names_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exclusive_measurement("run r1", path=path):
        monkeypatch.setenv(HOLDER_VARIABLE, f"1:{path}")
        assert "run r1" in in_a_child(path), "process 1 is an ancestor, but does not hold this lock"
        with subprocess.Popen(["sleep", "60"]) as stranger:
            monkeypatch.setenv(HOLDER_VARIABLE, f"{stranger.pid}:{path}")
            path.with_suffix(".holder.json").unlink()
            assert "an unknown process" in in_a_child(path)
            stranger.kill()


def test_what_a_killed_holder_has_started_is_waited_for(path: Path) -> None:
    measure = (
        "import pathlib, sys, time\n"
        "from kokoro_lab.measure.machine.lock import exclusive_measurement\n"
        "with exclusive_measurement('the orphan', path=pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    hold = (
        "import pathlib, subprocess, sys, time\n"
        "from kokoro_lab.measure.machine.lock import machine_held\n"
        "with machine_held('run r1', path=pathlib.Path(sys.argv[1])):\n"
        "    subprocess.run([sys.executable, '-c', sys.argv[2], sys.argv[1]])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path), measure], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        holder.wait()
        with pytest.raises(BusyError, match="the orphan"), machine_held("run r2", wait_s=0.1, path=path):
            pass
        assert not free(path)
        holder.stdin.close()
        assert until(lambda: free(path))


def test_a_holder_inside_a_holder_uses_its_lock(path: Path) -> None:
    with machine_held("the outer run", path=path), machine_held("the inner run", path=path):
        assert measured_now(path=path) == ("the outer run",)
        assert in_a_child(path) == "measured"


def test_another_run_waits_until_the_machine_is_free(path: Path) -> None:
    began, ends, told = threading.Event(), threading.Event(), []

    def hold() -> None:
        with exclusive_measurement("run r1", path=path):
            began.set()
            ends.wait(60)

    def waiting(message: str) -> None:
        told.append(message)
        ends.set()

    holder = threading.Thread(target=hold)
    holder.start()
    assert began.wait(60)
    with machine_held("run r2", wait_s=60, waiting=waiting, path=path):
        assert measured_now(path=path) == ("run r2",)
    holder.join()
    (message,) = told
    assert f"process {os.getpid()}, run r1, since " in message and "at most 60 s" in message


def test_a_wait_has_an_end_and_names_the_end_that_the_holder_expects(path: Path) -> None:
    with machine_held("run r1", lasts_s=120, path=path):
        monkey = pytest.MonkeyPatch()
        monkey.delenv(HOLDER_VARIABLE)
        began = time.monotonic()
        with (
            pytest.raises(BusyError, match=r"run r1, since .*, until about \d.*--wait"),
            machine_held("run r2", wait_s=0.2, path=path),
        ):
            pass
        assert time.monotonic() - began >= 0.2
        with pytest.raises(BusyError, match="wait until it has ended"), machine_held("run r2", path=path):
            pass
        monkey.undo()


def test_a_file_of_an_earlier_version_still_names_the_holder(path: Path) -> None:
    with exclusive_measurement("run r1", path=path):
        path.with_suffix(".holder.json").write_text(f'{{"pid": {os.getpid()}, "purpose": "run old"}}')
        with pytest.raises(BusyError, match=rf"\(process {os.getpid()}, run old\)"), exclusive_measurement(path=path):
            pass


@pytest.mark.parametrize(("pid", "since"), [(10**30, ""), (-1, ""), (1, "9999-12-31T23:59:59-12:00")])
def test_a_holder_that_cannot_be_is_no_reason_to_fail(path: Path, pid: int, since: str) -> None:
    with exclusive_measurement("run r1", path=path):
        path.with_suffix(".holder.json").write_text(json.dumps({"pid": pid, "purpose": "run r1", "since": since}))
        with pytest.raises(BusyError, match="another run is measuring"), exclusive_measurement(path=path):
            pass
