"""The fastest variant on this machine: which rows make a choice, and that tuning measures, keeps and resumes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import typer

from kokoro_lab.commands.models import app
from kokoro_lab.errors import InconclusiveError
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.measure.records.readings import GateVerdict
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.runtime.tuning_record import read_tuned, tuned_path
from kokoro_lab.store.layout import Results
from kokoro_lab.variants import fastest_variant as room
from kokoro_lab.variants.make import make
from kokoro_lab.variants.timing import Row, Timing


def row(model: str, tokens: int, speed: float, low: float | None, gate: GateVerdict = "equivalent") -> Row:
    return Row(model, tokens, speed, low, speed + 0.1, "faster", gate, 6, 1.0, 100.0, 0.6, 500.0)


def files(*names: str) -> list[ModelFile]:
    return [ModelFile(name, Path(name), f"sum of {name}", 1, "stand-in", "tiny", "fp32") for name in names]


VERIFIED = {"slow": "equivalent", "quick": "equivalent", "rough": "equivalent", "wrong": "equivalent"}


@pytest.mark.parametrize(
    ("gate", "name", "speed", "low"), [("equivalent", "quick", 3.0, 2.1), ("close", "rough", 5.0, 3.9)]
)
def test_the_fastest_of_each_class_is_chosen(
    gate: Literal["equivalent", "close"], name: str, speed: float, low: float
) -> None:
    rows = [
        *(row("slow", 16, 1.2, 1.1), row("slow", 50, 1.2, 1.1)),
        *(row("quick", 16, 2.25, 2.1), row("quick", 50, 4.0, 3.5)),
        *(row("rough", 16, 5.0, 4.0), row("rough", 50, 5.0, 3.9, "close")),
        *(row("wrong", 16, 9.0, 8.0), row("wrong", 50, 9.0, 8.0, "different")),
    ]
    best = room.fastest(rows, files("slow", "quick", "rough", "wrong"), gate, VERIFIED)
    assert best is not None
    assert (best.name, best.sha256, best.gate) == (name, f"sum of {name}", gate)
    assert best.speed == pytest.approx(speed)
    assert best.low == low


@pytest.mark.parametrize("low", [1.0, 0.99, None])
def test_what_is_not_shown_to_be_faster_at_every_length_is_no_choice(low: float | None) -> None:
    rows = [row("quick", 16, 1.5, low), row("quick", 50, 3.0, 2.9)]
    assert room.fastest(rows, files("quick"), "equivalent", VERIFIED) is None
    assert room.fastest([], files("quick"), "equivalent", VERIFIED) is None


@pytest.mark.parametrize(
    ("verdict", "equivalent", "close"), [("", None, None), ("close", None, "quick"), ("different", None, None)]
)
def test_a_variant_without_an_equivalent_verification_never_becomes_the_default(
    verdict: str, equivalent: str | None, close: str | None
) -> None:
    rows = [row("quick", 16, 2.0, 1.9), row("quick", 50, 2.0, 1.9)]
    chosen = [room.fastest(rows, files("quick"), gate, {"quick": verdict}) for gate in ("equivalent", "close")]
    assert [best and best.name for best in chosen] == [equivalent, close]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    with pytest.raises(InconclusiveError, match="undecided variants: tiny-optimized; repeat the command to continue"):
        typer.main.get_command(app)(["tune", "tiny", *words, "--json"], standalone_mode=False)
    return json.loads(capsys.readouterr().out)


def test_tuning_measures_what_is_installed_keeps_what_it_found_and_goes_on_where_it_ended(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(home))
    source = resolve("tiny")
    make("tiny", "optimized")
    make("tiny", "tokens-16")
    assert [file.name for file in room.variants_of(source)] == ["tiny-optimized"]
    words = ("--installed", "--thorough", "--tokens", "16", "--blocks", "1")
    found = told(capsys, *words)
    (measured,) = found["rows"]
    assert (measured["model"], measured["gate"], measured["pairs"]) == ("tiny-optimized", "equivalent", 1)
    assert (found["equivalent"], found["close"]) == (None, None)
    kept = read_tuned(source)
    assert kept is not None
    assert (kept.source, kept.measured) == ("tiny", ("tiny-optimized",))
    before = tuned_path().stat().st_mtime_ns
    monkeypatch.setattr(
        "kokoro_lab.measure.sampling.sampler.launch_visit", lambda *_, **__: pytest.fail("measured again")
    )
    assert told(capsys, *words)["rows"] == found["rows"]
    assert tuned_path().stat().st_mtime_ns > before


def test_candidates_that_are_missing_are_made_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve("tiny")
    monkeypatch.setattr(room, "PLAIN_RECIPES", ("optimized",))
    likely = {f"tiny-{recipe}" for recipe in room.likely_recipes()}
    assert {file.name for file in room.make_candidates("tiny")} == likely
    assert {file.name for file in room.make_candidates("tiny", thorough=True)} == {"tiny-optimized"} - likely
    assert room.make_candidates("tiny", thorough=True) == []


def test_where_no_kernels_run_the_plain_variants_are_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KERNELS_VARIABLE, "off")
    assert room.likely_recipes() == ("optimized", "int8")
    monkeypatch.delenv(KERNELS_VARIABLE)
    if choose().path is not None:
        assert room.likely_recipes() == ("kernels-fp32", "kernels-int16")


SCRIPT = {"quick": ("faster", "faster"), "wrong": ("different", ""), "slow": ("", "slower"), "even": ("", "")}
"""Variant -> its verdict at 16 and 50 tokens from the eighth pair on; before that, nothing is decided."""


Asked = list[tuple[tuple[str, ...], int]]
"""Names and blocks of each call."""


def scripted_bench(asked: Asked, base: str, names: Sequence[str], timing: Timing) -> list[Row]:
    asked.append((tuple(names), timing.blocks))
    rows = []
    for name in names:
        for tokens, word in zip(timing.tokens, SCRIPT[name], strict=True):
            gate = "different" if word == "different" else "equivalent"
            verdict = word if timing.blocks >= 8 and word in ("faster", "slower") else "inconclusive"
            rows.append(replace(row(name, tokens, 2.0, 1.5 if verdict == "faster" else None, gate), verdict=verdict))
    return rows


def test_each_variant_is_measured_until_it_is_decided_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Asked = []
    monkeypatch.setattr(room, "bench", lambda *args, **_: scripted_bench(asked, *args))
    timing = Timing(Results(Path("results")), "r", (16, 50), 10)
    rows = room._measured("tiny", list(SCRIPT), timing, None)
    everything, without_wrong = tuple(SCRIPT), ("quick", "slow", "even")
    assert asked == [(everything, 7), (without_wrong, 8), (("even",), 9), (("even",), 10)]
    assert [(each.model, each.tokens) for each in rows] == [(name, length) for name in SCRIPT for length in (16, 50)]
    assert {each.model for each in rows if each.verdict == "faster"} == {"quick"}
    asked.clear()
    room._measured("tiny", ["even"], replace(timing, blocks=1, budget_s=0.0), None)
    assert asked == [(("even",), 1)], "no longer than the plan and the time limit say"
    assert room._measured("tiny", [], timing, None) == []
