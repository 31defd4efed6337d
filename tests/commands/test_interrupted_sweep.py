"""An interrupted sweep says what is stored, and the command that continues it."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

import pytest
import yaml

from kokoro_lab import cli
from kokoro_lab.commands import sweep
from kokoro_lab.process.signals import Interruption


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    path = tmp_path / "a plan's file.yaml"
    group = {"text": "ultra-short", "intra_op_threads": [1], "repeats": 1}
    notebook = {"notebook": "providers", "blocks": 1, "groups": [group]}
    path.write_text(
        yaml.safe_dump({"name": "trial", "about": "a test", "budget_s": 60, "model": "tiny", "notebooks": [notebook]})
    )
    return path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_command_that_continues_it_names_the_run_and_nothing_that_could_change(
    plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    def stop(*_: object) -> None:
        raise Interruption(number)

    monkeypatch.setattr(sweep, "_check_models", lambda *_, **__: None)
    monkeypatch.setattr(sweep, "execute", stop)
    assert cli.run(["sweep", str(plan), "--model", "tiny", "--json"]) == code
    last = capsys.readouterr().err.splitlines()[-1]
    stored, _, command = last.partition(", continue with ")
    assert stored.endswith("; 0 blocks are stored")
    words = shlex.split(command.removesuffix("."))
    run_id = words[words.index("--run-id") + 1]
    assert (plan.parent / "results" / "runs" / run_id / "plan.json").is_file()
    assert words == ["kokoro-lab", "sweep", "--run-id", run_id, "--resume", "--json"]
    plan.unlink()
    assert cli.run(words[1:]) == code, "it is accepted as it stands"
    capsys.readouterr()
