"""The process whose instructions are counted: it says what spoke, and its own count last."""

from __future__ import annotations

import json

import pytest

from kokoro_lab.measure.block import counted_calls


class Counter:
    def read(self) -> int:
        return 4711


def test_it_tells_the_model_the_speech_and_the_packages_and_then_its_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counted_calls, "PerfCounter", Counter)
    assert counted_calls.main(["2", "--count"]) == 0
    about, count = capsys.readouterr().out.splitlines()
    told = json.loads(about)
    assert count == "4711" and len(told["model_sha256"]) == 64 and {"onnxruntime", "python"} <= set(told["versions"])
    assert counted_calls.main(["1"]) == 0
    (again,) = capsys.readouterr().out.splitlines()
    assert json.loads(again) == told, "each call speaks the same, and one line is told without a counter"
