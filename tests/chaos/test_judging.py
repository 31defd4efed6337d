"""What the attacks would call a failure."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S

from chaos import interrupted_run
from chaos.attacks.clocks import Clock
from chaos.driver import REPEATS, Driver, planned_keys
from chaos.file_systems import may_mount, read_only, small_disk
from chaos.interrupted_run import InterruptedRun
from chaos.judging import Ended, complaints
from chaos.lab import Lab


def ended(code: int, stderr: str = "") -> Ended:
    return Ended.of(code, b"", stderr.encode())


@pytest.mark.parametrize(
    ("code", "stderr", "complaint"),
    [
        (1, "kokoro-lab: Slower.\n", "exit code 1, not 2 or 5"),
        (-6, "", "exit code 134"),
        (5, "", "0 error sentences"),
        (5, "kokoro-lab: One.\nkokoro-lab: Two.\n", "2 error sentences"),
        (5, "Traceback (most recent call last):\nkokoro-lab: No space.\n", "'Traceback"),
        (5, "kokoro-lab: Unexpected OSError: no space.\n", "'Unexpected' on standard error"),
        (5, "thread 'main' panicked at src/lib.rs\nkokoro-lab: No.\n", "'panicked'"),
        (5, f"kokoro-lab: {'x' * 1000}\n", "a sentence of 1000 characters"),
    ],
)
def test_the_end_of_a_command_that_breaks_a_rule_is_complained_about(code: int, stderr: str, complaint: str) -> None:
    assert any(complaint in words for words in complaints(ended(code, stderr), {2, 5}))


def test_a_documented_end_is_not_complained_about() -> None:
    notices = "Building the tiny model.\nkokoro-lab: Cannot write x: no space left; free some.\n"
    assert complaints(ended(5, notices), {2, 5}) == []
    assert complaints(ended(0, "Wrote x.\n"), {0}) == []
    assert complaints(ended(-15, "kokoro-lab: Ended by SIGTERM.\n"), {143}) == []
    assert complaints(ended(0, "kokoro-lab: But an error.\n"), {0}) != []


SOUND = ("2026-01-01", "ok", tuple((number, 5.0) for number in range(REPEATS)))
FIRST, SECOND = sorted(planned_keys())[:2]


@pytest.mark.parametrize(
    ("before", "now", "failure"),
    [
        ({FIRST: SOUND}, {}, "was stored and is lost"),
        ({}, {FIRST: [SOUND, SOUND]}, "is stored 2 times"),
        ({FIRST: SOUND}, {FIRST: [("2026-01-02", *SOUND[1:])]}, "has changed since it was stored"),
        ({}, {FIRST: [(*SOUND[:2], SOUND[2][:1])]}, "is ok with samples ((0, 5.0),)"),
        ({}, {FIRST: [(SOUND[0], "error", ())]}, "is error"),
        ({}, {("nosuch", 0): [SOUND]}, "is not in the plan"),
    ],
)
def test_a_lost_changed_doubled_or_incomplete_block_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Any, now: Any, failure: str
) -> None:
    lab = Lab.new(tmp_path / "lab")
    run = InterruptedRun(lab, Driver(lab, tmp_path / "phase"), random.Random(1), stored=before)
    monkeypatch.setattr(interrupted_run, "stored_rows", lambda lab: now)
    run.check()
    assert failure in run.taken()
    run.stored = {FIRST: SOUND}
    monkeypatch.setattr(interrupted_run, "stored_rows", lambda lab: {FIRST: [SOUND], SECOND: [SOUND]})
    run.check()
    assert run.taken() == ""


def test_litter_and_orphans_are_seen(tmp_path: Path) -> None:
    lab = Lab.new(tmp_path / "lab")
    assert lab.litter() == []
    (lab.out / ".speech.wav.abcdefgh.part").touch()
    (lab.results / "runs" / "r" / "block-abc").mkdir(parents=True)
    assert lab.litter() == ["results/runs/r/block-abc was left", "out/.speech.wav.abcdefgh.part was left"][::-1]
    process = lab.start("doctor")
    assert "doctor" in lab.orphans(within_s=0)[0]
    assert process.wait(PATIENCE_S) != 0
    assert lab.orphans() == []
    process.communicate()


@pytest.mark.skipif(not may_mount(), reason="this user may not mount file systems")
def test_a_small_disk_has_the_bytes_that_were_left_and_a_read_only_folder_none(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        disk.leave(8192)
        with pytest.raises(OSError, match="No space left"):
            (disk.place / "file").write_bytes(bytes(20_000))
        disk.free()
        assert (disk.place / "file").write_bytes(bytes(20_000)) == 20_000
    (tmp_path / "locked").mkdir()
    with read_only(tmp_path / "locked"), pytest.raises(OSError, match="Read-only"):
        (tmp_path / "locked" / "file").touch()
    (tmp_path / "locked" / "file").touch()


def test_a_clock_is_set_back_in_a_running_process_and_the_monotonic_clock_is_not(tmp_path: Path) -> None:
    clock = Clock.built(tmp_path)
    if clock is None:
        pytest.skip("there is no C compiler")
    code = (
        "import time; print(time.time(), time.monotonic(), flush=True); input(); print(time.time(), time.monotonic())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **clock.environment},
        text=True,
    )
    assert process.stdout is not None
    before = [float(figure) for figure in process.stdout.readline().split()]
    clock.set(-3600)
    after = [float(figure) for figure in process.communicate("\n")[0].split()]
    assert -3600 <= after[0] - before[0] < -3000
    assert 0 <= after[1] - before[1] < 600
