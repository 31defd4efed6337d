"""`--wait`: a command that measures waits for another one, says for whom, and gives up after that time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml

from kokoro_lab.cli import run
from kokoro_lab.commands import sweep
from kokoro_lab.measure.machine.lock import exclusive_measurement, measured_now
from kokoro_lab.process.signals import Interruption
from kokoro_lab.store import StoreReader


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RESULTS", "LOCK"):
        monkeypatch.setenv(f"KOKORO_LAB_{name}", str(tmp_path / name.lower()))
    group = {"text": "ultra-short", "intra_op_threads": [1], "repeats": 1}
    notebook = {"notebook": "providers", "blocks": 1, "groups": [group]}
    path = tmp_path / "trial.yaml"
    path.write_text(yaml.safe_dump({"name": "trial", "budget_s": 60, "model": "tiny", "notebooks": [notebook]}))
    return path


@pytest.mark.parametrize(
    "command",
    [
        ("sweep", "PLAN", "--run-id", "r2"),
        ("bench", "self-test", "aa", "--run-id", "r2"),
        ("models", "tune", "tiny", "--installed"),
        ("gate", "--witness", "instructions"),
    ],
    ids=lambda command: command[0],
)
def test_who_does_not_wait_is_refused_and_told_who_measures(
    plan: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("kokoro_lab.commands.gate.available_counter", lambda: "perf")
    words = [str(plan) if word == "PLAN" else word for word in command]
    with exclusive_measurement("run r1"):
        assert run([*words, "--wait", "0"]) == 5
        last = capsys.readouterr().err.splitlines()[-1]
        assert "another run is measuring" in last.lower() and "run r1, since " in last
        assert run([*words, "--wait", "0.1"]) == 5
    said = capsys.readouterr().err.splitlines()
    assert any(line.startswith("Waiting for another measurement to end, for at most 0.1 s: process") for line in said)
    assert "wait longer with --wait" in said[-1]
    assert not (plan.parent / "results" / "runs" / "r2" / "plan.json").exists(), "the id can be given again"


def test_a_sweep_that_has_waited_holds_the_machine_for_all_its_notebooks(
    plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held: list[tuple[str, ...]] = []
    began, ends = threading.Event(), threading.Event()

    def hold() -> None:
        with exclusive_measurement("run r1"):
            began.set()
            ends.wait(60)

    def executed(job: object, bar: object) -> None:
        held.append(measured_now())
        with exclusive_measurement("the notebook"):
            held.append(measured_now())
        raise Interruption

    monkeypatch.setattr(sweep, "execute", executed)
    monkeypatch.setattr(sweep, "_check_models", lambda jobs: ends.is_set() or pytest.fail("it did not wait"))
    monkeypatch.setattr("kokoro_lab.commands.waiting.notice", lambda message: ends.set())
    holder = threading.Thread(target=hold)
    holder.start()
    assert began.wait(60)
    assert run(["sweep", str(plan), "--run-id", "r2", "--tag", "nightly", "--note", "a note"]) == 130
    holder.join()
    assert held == [("run r2",), ("run r2", "the notebook")]
    assert measured_now() == ()
    row = StoreReader(plan.parent / "results" / "tables").run_row("r2")
    assert row is not None
    assert (row["tags"], row["note"]) == (["nightly"], "a note")
    assert row["endings"] == {"providers": {"planned": 1, "ended": ""}}, "planned before it is measured"


def test_a_bad_tag_or_text_is_refused_before_anything_is_stored(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option, words in (("--tag=a b", "tag 'a b'"), ("--text=?!", "has nothing to speak")):
        assert run(["sweep", str(plan), "--run-id", "r2", option]) == 2
        assert words in capsys.readouterr().err.splitlines()[-1]
    assert run(["sweep"]) == 2
    assert "no plan is named" in capsys.readouterr().err.lower()
    assert run(["sweep", "--run-id", "r2", "--resume"]) == 2
    assert "no run 'r2'" in capsys.readouterr().err.lower()
    assert not (plan.parent / "results").exists()
