"""Each attack on the audio gate is noticed, and its check fails where the defence is taken away."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kokoro_lab.audio.compare import GateLimits, Limit, gate
from kokoro_lab.benchmarks.attacks import audio_attacks
from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup
from kokoro_lab.measure.sampling import sampler
from kokoro_lab.measure.sampling.audio_gate import judge_renderings

DEAF = Limit(1e9, 1e9)
MEAN_ALONE = GateLimits(Limit(1.0, 4.0), *[DEAF] * 7)
"""What the gate once looked at."""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    (tmp_path / "run").mkdir()
    setup = CheckSetup(tmp_path / "run", budget_s=3600.0)

    def show(name: str) -> CheckOutcome:
        return audio_attacks.CHECKS[name].show(setup)

    return show


def test_no_damage_is_called_equivalent_unless_the_gate_looks_at_the_mean_alone(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check("audio-damages").verdict == "shown"
    monkeypatch.setattr(audio_attacks, "gate", partial(gate, limits=MEAN_ALONE))
    fooled = check("audio-damages")
    assert fooled.verdict == "failed"
    for damage in ("white noise instead of a part", "a click every 100 ms", "polarity inverted", audio_attacks.GRAPH):
        assert damage in fooled.finding


@pytest.mark.slow
def test_a_silent_repeat_is_noticed_unless_only_the_last_is_looked_at(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_alone(reference: Any, expected: Any, renderings: Any, result: Any) -> Any:
        return judge_renderings(reference, expected, renderings[:1], result)

    with monkeypatch.context() as deaf:
        deaf.setattr(sampler, "judge_renderings", last_alone)
        assert check("wrong-repeat").verdict == "failed"


@pytest.mark.slow
def test_a_silent_repeat_is_noticed(check: Any) -> None:
    assert check("wrong-repeat").verdict == "shown"


@pytest.mark.slow
@pytest.mark.parametrize(("trusting", "verdict"), [(False, "shown"), (True, "failed")])
def test_a_model_that_nobody_verified_is_not_its_own_reference(
    check: Any, monkeypatch: pytest.MonkeyPatch, trusting: bool, verdict: str
) -> None:
    if trusting:
        monkeypatch.setattr(sampler, "vouched_reading", lambda cell, reading, model: reading)
    assert check("own-reference").verdict == verdict
