"""The proofs' own judgement: they fail when what they prove does not hold, and say when they cannot tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kokoro_lab.commands import proofs, proving
from kokoro_lab.commands.proving import Outcome, Proof, Stage, contradictions

FLOORS = (0.02, 0.02, 0.02)


def test_a_ranking_that_turns_round_is_a_contradiction_when_the_difference_is_over_twice_the_floor() -> None:
    same = [{"a": 1.0, "b": 1.2, "c": 1.01}, {"a": 1.0, "b": 1.1, "c": 0.99}, {"a": 1.0, "b": 1.3, "c": 1.0}]
    assert contradictions(same, FLOORS) == (2, [])  # a and c are too near to each other to be ranked
    turned = [*same[:2], {"a": 1.0, "b": 0.9, "c": 1.0}]
    assert contradictions(turned, FLOORS) == (2, [("a", "b"), ("b", "c")])
    assert contradictions(turned, (0.2, 0.2, 0.2)) == (0, [])


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [(("shown", "shown"), 0), (("shown", "undecided"), 3), (("failed", "undecided"), 1)],
)
def test_the_exit_code_is_the_worst_verdict_and_only_what_is_open_is_done_again(
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verdicts: tuple[proving.Verdict, ...],
    code: int,
) -> None:
    done: list[str] = []

    def proof(number: int, verdict: proving.Verdict) -> Proof:
        def show(stage: Stage) -> Outcome:
            done.append(f"p{number}")
            return Outcome(verdict, "So it is.", 3)

        return Proof("a claim", 10, show)

    monkeypatch.setattr(proving, "PROOFS", {f"p{n}": proof(n, verdict) for n, verdict in enumerate(verdicts)})
    assert proofs.main(["--run-id", "r", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in document["proofs"]] == list(verdicts)
    assert proofs.main(["--run-id", "r"]) == code
    assert done == ["p0", "p1"] + [f"p{n}" for n, verdict in enumerate(verdicts) if verdict == "undecided"]


def test_an_unknown_proof_is_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        proofs.main(["faith"])
    assert end.value.code == 2
    assert "faith" in capsys.readouterr().err


@pytest.mark.slow
def test_a_real_placebo_is_seen_through(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    assert proofs.main(["placebo", "--run-id", "r"]) == 0
