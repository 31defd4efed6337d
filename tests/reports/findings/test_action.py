"""What a report tells its reader to do, and when it tells them that nothing is decided."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from report_blocks import as_reference, cell, evidence_of, repeated
from report_run import varied_run

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.findings.action import Action, action
from kokoro_lab.reports.findings.ladder import Ladder, Rung, ladder
from kokoro_lab.reports.findings.statements import CitedRatio
from kokoro_lab.reports.rows.cell_summary import number
from kokoro_lab.reports.rows.evidence import Evidence

BASE, OTHER = as_reference(cell()), cell(threads=1)


def rung(verdict: str, factor: float, count: int = 8) -> Rung:
    known = count >= 6
    ends = (0.98 * factor, 1.02 * factor) if known else (None, None)
    cited = CitedRatio(OTHER.id, BASE.id, "total_ms", Interval(factor, *ends, count, 0.95 if known else None))
    return Rung("1 thread", "2 threads", "short", 61, verdict, "equivalent", OTHER.id, BASE.id, cited)


def of(*rungs: Rung, blocks: int = 2) -> Action:
    evidence = evidence_of([*repeated(BASE, (100.0,) * blocks), *repeated(OTHER, (101.0,) * blocks)])
    return action(evidence, Ladder(rungs, "short", 61))


def test_a_proven_setting_is_named_with_its_factor_interval_and_command(varied_evidence: Evidence) -> None:
    rungs = ladder(varied_evidence)
    told = action(varied_evidence, rungs)
    assert told.decided and rungs.best is not None and rungs.best.cited is not None
    factor = rungs.best.cited.speedup
    assert factor.low is not None and factor.high is not None
    assert told.statement.text == (
        f"Use kernels-int16: {number(factor.center)}x faster than plain fp32 "
        f"[{number(factor.low)}, {number(factor.high)}], same audio within the gate."
    )
    assert told.statement.ratios == (rungs.best.cited,), "the sentence and the ladder state one figure"
    assert told.commands[0].startswith("kokoro-lab say --model stand-in-kernels-int16 ")
    assert "kokoro-lab models tune" in told.commands


def test_without_a_decision_it_says_what_is_missing_in_minutes() -> None:
    told = of(rung("inconclusive", 1.4, count=2))
    assert not told.decided and told.commands == ("kokoro-lab sweep decide",)
    assert "Nothing is decided: 1 thread looks 1.40x faster than 2 threads, from 2 pairs" in told.statement.text
    # four more pairs of blocks of 3 s each
    assert re.search(r"About 1 more minute decides it\.$", told.statement.text)


def test_the_nearest_open_setting_takes_longer_with_longer_blocks(tmp_path: Path) -> None:
    evidence = Evidence.load(varied_run(tmp_path, rounds=2))
    slow = dataclasses.replace(evidence, cells=evidence.cells.assign(wall_s=60.0))
    minutes = [
        int(match[1])
        for rows in (evidence, slow)
        if (match := re.search(r"About (\d+) more minute", action(rows, ladder(rows)).statement.text))
    ]
    assert len(minutes) == 2 and minutes[1] > minutes[0]


def test_where_nothing_is_faster_the_present_setting_is_kept() -> None:
    told = of(rung("slower", 0.5))
    assert told.decided and told.statement.text.startswith("Keep 2 threads") and not told.commands


def test_nothing_compared_and_the_tiny_model_decide_nothing() -> None:
    assert "no two settings were compared" in of().statement.text
    tiny = evidence_of(repeated(BASE, (100.0,) * 6, architecture="tiny"))
    told = action(tiny, Ladder((rung("faster", 4.0),), "short", 61))
    assert not told.decided and "4.00" not in told.statement.text


@pytest.mark.parametrize(("factor", "words"), [(4.333, "4.33x faster"), (0.54, "1.85x slower")])
def test_a_ratio_is_a_factor_above_one_on_either_side(factor: float, words: str) -> None:
    own = rung("faster", factor).cited
    assert own is not None and own.factor == words
    low, high = (float(end) for end in own.interval.strip("[]").split(", "))
    assert low < float(words.split("x")[0]) < high


def test_a_ratio_without_an_interval_says_so() -> None:
    own = rung("inconclusive", 2.0, count=1).cited
    assert own is not None and own.interval == "(one block, no interval)"
