"""What `kokoro-lab compare` raises for the comparisons it has shown: the worst of them decides the exit code."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_blocks import REFERENCE, SLOWER, keep, rounds

from kokoro_lab.commands.compare import compare, conclude
from kokoro_lab.errors import InconclusiveError, InputError, KokoroLabError, NothingMeasuredError, RegressedError
from kokoro_lab.measure.statistics.comparison import Comparison
from kokoro_lab.store import Store
from kokoro_lab.store.run_comparison import ComparisonLine, ComparisonReport

SAME = Comparison(
    verdict="equivalent",
    reason="They are alike.",
    ratio=1.0,
    low=0.99,
    high=1.01,
    confidence=0.95,
    p=0.9,
    p_equivalence=0.001,
    superiority=0.5,
    pairs=8,
    texts=1,
    margin=0.03,
    comparisons=1,
)
HOW: dict[str, Any] = {
    "run_id": None,
    "figure": "total_ms",
    "only": None,
    "use_contaminated": False,
    "as_json": False,
    "as_markdown": False,
}


def line(verdict: Any = "equivalent", *, gate: Any = "equivalent", **changed: Any) -> ComparisonLine:
    return ComparisonLine("base", "candidate", ("short",), gate, replace(SAME, verdict=verdict, **changed))


def compared(*lines: ComparisonLine) -> ComparisonReport:
    return ComparisonReport("total_ms", lines, True, "base", "candidate")


UNDECIDED = line("inconclusive")
SLOW = line("slower")
OTHER_AUDIO = line("faster", gate="different")
NO_PAIRS = line("inconclusive", ratio=None, low=None, high=None, pairs=0, reason="No round has both.")


@pytest.mark.parametrize(
    ("lines", "error", "numbers"),
    [
        ((line("faster"), SLOW, UNDECIDED), RegressedError, {"3", "1"}),
        ((SLOW, SLOW, OTHER_AUDIO, line()), RegressedError, {"4", "2", "1"}),
        ((OTHER_AUDIO,), RegressedError, {"1"}),
        ((line(), UNDECIDED, line("invalid"), NO_PAIRS), InconclusiveError, {"4", "3"}),
    ],
    ids=["slower beats undecided", "slower and different audio", "faster with different audio", "undecided"],
)
def test_the_worst_line_decides_and_lines_are_counted(
    lines: tuple[ComparisonLine, ...], error: type[KokoroLabError], numbers: set[str]
) -> None:
    with pytest.raises(error) as caught:
        conclude(compared(*lines))
    assert set(re.findall(r"\d+", caught.value.message)) == numbers


def test_lines_without_any_pair_are_nothing_measured_with_the_reasons() -> None:
    with pytest.raises(NothingMeasuredError, match="No round has both") as caught:
        conclude(compared(NO_PAIRS, NO_PAIRS))
    assert caught.value.exit_code == 4 and str(caught.value).count("No round has both") == 1


def test_faster_and_equivalent_lines_raise_nothing_and_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(compared(line("faster"), line()))
    told = capsys.readouterr()
    assert told.out == "" and "faster" in told.err and "equivalent" in told.err


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_without_a_run_the_newest_is_taken_and_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(results / "tables")
    keep(store, "older", *rounds(REFERENCE, 10.0), *rounds(SLOWER, 12.0))
    later = [
        replace(block, started_at="2026-11-21T10:00:00+00:00")
        for block in (*rounds(REFERENCE, 10.0), *rounds(SLOWER, 9.0))
    ]
    keep(store, "newer", *later)
    compare("reference", SLOWER.id, **HOW)
    assert "newer" in capsys.readouterr().err
    with pytest.raises(RegressedError):
        compare("reference", SLOWER.id, **{**HOW, "run_id": "older"})


def test_an_empty_store_has_nothing_to_compare_in_and_is_not_created(results: Path) -> None:
    with pytest.raises(NothingMeasuredError):
        compare("reference", SLOWER.id, **HOW)
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"figure": "speed"}, {"as_json": True, "as_markdown": True}, {"only": "text=short"}])
def test_what_cannot_be_asked_for_is_refused_before_anything_is_shown(
    results: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any]
) -> None:
    keep(Store(results / "tables"), "r1", *rounds(REFERENCE, 10.0), *rounds(SLOWER, 10.0))
    with pytest.raises(InputError):
        compare("reference", SLOWER.id, **{**HOW, **wrong})
    assert capsys.readouterr().out == ""
