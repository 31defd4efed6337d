"""`kokoro-lab bench self-test` and `bench simulation`: exit codes by the worst result, which is stored and printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Cli

from kokoro_lab.benchmarks.self_test_parts import CheckOutcome
from kokoro_lab.benchmarks.simulation import kind_rows
from kokoro_lab.commands.benchmarking import instrument


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [(("shown", "shown"), 0), (("shown", "undecided"), 3), (("failed", "undecided"), 1)],
)
def test_the_self_test_ends_with_its_worst_verdict(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verdicts: tuple[str, ...], code: int
) -> None:
    outcomes = [CheckOutcome(verdict, "So it is.", 3, check=verdict) for verdict in verdicts]  # type: ignore[arg-type]
    (tmp_path / "results" / "runs" / "r").mkdir(parents=True)
    monkeypatch.setattr(instrument, "outcomes", lambda *_, **__: outcomes)
    ended = cli("bench", "self-test", "--run-id", "r", "--json")
    assert ended.code == code
    assert [row["verdict"] for row in ended.document["checks"]] == list(verdicts)
    stored = json.loads((tmp_path / "results" / "runs" / "r" / "self-test.json").read_text(encoding="utf-8"))
    assert stored == ended.document


def test_the_simulation_fails_where_noise_hides_the_effect(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instrument, "kind_rows", lambda trials: kind_rows(trials, ["steps"]))
    noise = tmp_path / "noise.json"
    noise.write_text(json.dumps({"block_sd": 0.02, "block_s": 10.0}))
    good = cli("bench", "simulation", noise, "--trials", "60", "--sd", "0.3", "--json")
    assert (good.code, len(good.document["rows"])) == (0, 2)
    assert [row["blocks"] for row in good.document["kinds"]] == [6, 12, 24, 6, 12, 24, 40]
    noise.write_text(json.dumps({"block_sd": 0.3, "block_s": 10.0}))
    bad = cli("bench", "simulation", noise, "--trials", "60", "--sd", "")
    assert bad.code == 1
    assert "hides an effect of 5%; plan more blocks" in bad.err
    lies = {"kind": "a lie", "honest": False}
    monkeypatch.setattr(instrument, "kind_rows", lambda trials: iter([lies]))
    noise.write_text(json.dumps({"block_sd": 0.02, "block_s": 10.0}))
    wrong = cli("bench", "simulation", noise, "--trials", "60", "--sd", "", "--json")
    assert (wrong.code, "wrong more often than they may be" in wrong.err) == (1, True)
