"""The ladder: every optimisation once, sorted by what it buys, with what limits it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from report_blocks import as_reference, cell, evidence_of, repeated
from report_run import SPEED, varied_run

from kokoro_lab.reports.claims.stored_verdicts import stored_verdicts
from kokoro_lab.reports.findings.ladder import Ladder, Rung, ladder
from kokoro_lab.reports.rows.evidence import Evidence


@pytest.fixture(scope="module")
def found(varied_evidence: Evidence) -> Ladder:
    return ladder(varied_evidence)


def rung(of: Ladder, name: str) -> Rung:
    (own,) = (rung for rung in of.rungs if rung.name == name)
    return own


def test_rungs_are_sorted_by_effect_and_those_without_one_come_last(found: Ladder) -> None:
    factors = [rung.cited.speedup.center for rung in found.rungs if rung.cited is not None]
    assert factors == sorted(factors, reverse=True) and len(factors) >= 9
    last = [rung.cited is None for rung in found.rungs]
    assert last == sorted(last)


def test_settings_are_compared_on_the_text_that_most_of_them_share(found: Ladder) -> None:
    assert found.text_preset == "medium"
    assert {rung.text_preset for rung in found.rungs if rung.name in ("kernels-int16", "int8", "1 thread")} == {
        "medium"
    }
    assert rung(found, "streamed: first sound").text_preset == "long"
    assert rung(found, "kernels-int16, cold start").text_preset == "short"


def test_the_best_rung_is_proven_synthesised_and_of_equivalent_audio(found: Ladder) -> None:
    best = found.best
    assert best is not None and best.name == "kernels-int16" and best.base == "plain fp32" and best.cited is not None
    assert best.cited.speedup.center == pytest.approx(SPEED["stand-in-kernels-int16"], rel=0.1)
    cached = rung(found, "audio cache 64 MB")
    assert cached.cached and not cached.usable and found.rungs.index(cached) < found.rungs.index(best)
    assert rung(found, "int8").gate == "close" and not rung(found, "int8").usable


def test_a_rung_is_the_stored_verdict_turned_round(found: Ladder, varied_evidence: Evidence) -> None:
    own = rung(found, "kernels-fp32")
    (stored,) = (
        verdict
        for verdict in stored_verdicts(varied_evidence, ("cell",), "total_ms")
        if verdict.candidate_cell == own.candidate_cell
    )
    assert own.cited is not None and stored.ratio is not None and stored.ratio.low is not None
    assert own.cited.speedup.center == pytest.approx(1 / stored.ratio.center)
    assert own.cited.speedup.high == pytest.approx(1 / stored.ratio.low)
    assert own.verdict == stored.verdict == "faster"


def test_a_placebo_is_named_and_has_no_factor(found: Ladder) -> None:
    own = rung(found, "arena off")
    assert (own.verdict, own.cited) == ("placebo", None) and "same effective settings" in own.reason


def test_a_stream_is_compared_with_the_whole_delivery_of_the_same_settings(found: Ladder) -> None:
    own = rung(found, "streamed: first sound")
    assert own.base == "not streamed" and own.verdict == "faster" and own.cited is not None
    assert own.cited.metric == "ttfa_ms" and own.cited.speedup.center == pytest.approx(5700 / 700, rel=0.2)


def test_too_few_blocks_leave_every_rung_undecided(tmp_path: Path) -> None:
    few = ladder(Evidence.load(varied_run(tmp_path, rounds=2)))
    assert few.best is None
    assert few.undecided[0].name == "kernels-int16" and not any(rung.cached for rung in few.undecided)


def test_a_run_of_one_cell_has_no_rungs() -> None:
    alone = ladder(evidence_of(repeated(as_reference(cell()), (100.0,) * 6)))
    assert alone == Ladder((), "", 0)


def test_a_stored_ratio_that_is_no_ratio_of_times_has_no_factor(varied_evidence: Evidence) -> None:
    broken = varied_evidence.verdicts.assign(ratio_low=0.0)
    rungs = ladder(dataclasses.replace(varied_evidence, verdicts=broken)).rungs
    swept = [rung for rung in rungs if rung.name != "streamed: first sound"]
    assert swept and all(rung.cited is None for rung in swept)
