"""Peaks of this machine: every precision has one, the best run counts, and more threads never do less."""

from __future__ import annotations

import json

import pytest

from kokoro_lab.errors import ProviderError
from kokoro_lab.measure.ceiling import peak
from kokoro_lab.measure.ceiling.peak import main, peaks


def test_every_precision_of_plain_onnxruntime_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "SECONDS", 0.2)
    monkeypatch.setattr(peak, "ROUNDS", 1)
    monkeypatch.setattr(peak, "SIDE", 128)
    monkeypatch.setattr(peak, "ROWS", 256)
    found = peaks(1)
    assert {"fp32", "int8"} <= set(found) <= {"fp32", "int8", "int16"}
    assert all(1e7 < rate < 1e14 for rate in found.values())


def test_the_best_of_the_rounds_counts_for_each_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([{"fp32": 5.0, "int8": 1.0}, {"fp32": 3.0, "int8": 9.0, "int16": 2.0}])
    monkeypatch.setattr(peak, "_once", lambda threads: next(rounds))
    assert peaks(2) == {"fp32": 5.0, "int8": 9.0, "int16": 2.0}


def test_without_compiled_operators_the_others_have_their_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def rate(*_: object, compiled: bool = False) -> float:
        if compiled:
            raise ProviderError("there are no compiled operators")
        return 1.0

    monkeypatch.setattr(peak, "_rate", rate)
    assert peaks(1) == {"fp32": 1.0, "int8": 1.0}


def test_the_compiled_operators_raise_the_peak_of_fp32_and_bring_int16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_rate", lambda *_, compiled=False: 7.0 if compiled else 1.0)
    assert peaks(1) == {"fp32": 7.0, "int8": 1.0, "int16": 7.0}


def test_more_threads_never_do_less_and_a_model_that_is_gone_has_no_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = {1: {"fp32": 4.0, "int8": 8.0}, 2: {"fp32": 3.0, "int8": 16.0}}
    monkeypatch.setattr(peak, "peaks", rates.__getitem__)
    assert main(["2,1", "nowhere.onnx"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document == {"peaks": {"1": rates[1], "2": {"fp32": 4.0, "int8": 16.0}}, "work": {}}
    assert "nowhere.onnx" in said.err
