"""A check of the self-test fails when its claim is false, and is undecided when the evidence is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.benchmarks import self_test, self_test_parts
from kokoro_lab.benchmarks.self_test import SelfTest, check_names, outcomes
from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup, SelfTestCheck, contradictions
from kokoro_lab.errors import InputError

FLOORS = (0.02, 0.02, 0.02)


def nothing(*_: object) -> None:
    """Nobody listens."""


def test_a_ranking_that_turns_round_is_a_contradiction_when_the_difference_is_over_twice_the_floor() -> None:
    same = [{"a": 1.0, "b": 1.2, "c": 1.01}, {"a": 1.0, "b": 1.1, "c": 0.99}, {"a": 1.0, "b": 1.3, "c": 1.0}]
    assert contradictions(same, FLOORS) == (2, [])  # a and c are too near to each other to be ranked
    turned = [*same[:2], {"a": 1.0, "b": 0.9, "c": 1.0}]
    assert contradictions(turned, FLOORS) == (2, [("a", "b"), ("b", "c")])
    assert contradictions(turned, (0.2, 0.2, 0.2)) == (0, [])


def test_only_what_is_open_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts: tuple[self_test_parts.Verdict, ...] = ("shown", "undecided", "failed")
    done: list[str] = []

    def check(number: int, verdict: self_test_parts.Verdict) -> SelfTestCheck:
        def show(setup: CheckSetup) -> CheckOutcome:
            done.append(f"c{number}")
            return CheckOutcome(verdict, "So it is.", 3)

        return SelfTestCheck("a claim", 10, show)

    checks = {f"c{number}": check(number, verdict) for number, verdict in enumerate(verdicts)}
    monkeypatch.setattr(self_test_parts, "CHECKS", checks)
    monkeypatch.setattr(self_test, "PARTS", (self_test_parts,))
    for _ in range(2):
        found = outcomes(check_names(), SelfTest(tmp_path), notice=nothing, progress=nothing)
        assert [(each.check, each.verdict) for each in found] == list(zip(checks, verdicts, strict=True))
    assert done == ["c0", "c1", "c2", "c1"]


def test_an_unknown_check_is_named() -> None:
    with pytest.raises(InputError, match="unknown check faith; choose from own-cost"):
        check_names(["faith"])
    assert check_names(["aa", "own-cost"]) == ["own-cost", "aa"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own-cost", "placebo"])
def test_a_real_check_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    (outcome,) = outcomes([name], SelfTest(tmp_path / "run"), notice=nothing, progress=nothing)
    assert outcome.verdict == "shown", outcome.finding
