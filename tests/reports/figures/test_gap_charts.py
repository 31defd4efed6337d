"""The charts of the report: sorted, in factors, with the limits of each row beside it."""

from __future__ import annotations

import pytest
from report_claims import CLAIM

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.claims import Claim
from kokoro_lab.reports.claims.resolution import Resolution, Verdict
from kokoro_lab.reports.figures.gap_charts import bound_chart, claims_chart, claims_rows, ladder_chart, ladder_rows
from kokoro_lab.reports.findings.bound import bounds
from kokoro_lab.reports.findings.ladder import Ladder, ladder
from kokoro_lab.reports.rows.evidence import Evidence


@pytest.fixture(scope="module")
def found(varied_evidence: Evidence) -> Ladder:
    return ladder(varied_evidence)


def resolution(name: str, gap: float, verdict: Verdict) -> Resolution:
    interval = Interval(gap, 0.9 * gap, 1.1 * gap, 8, 0.95)
    return Resolution(Claim.model_validate({**CLAIM, "id": name}), verdict, "", interval.scaled(100), interval)


def test_the_ladder_says_faster_or_slower_and_never_a_share_of_the_time(found: Ladder) -> None:
    rows = ladder_rows(found)
    drawn = [row for row in rows if row.value is not None]
    assert all(row.words.endswith(("x faster", "x slower")) for row in drawn)
    assert [row.name for row in rows if row.verdict == "placebo"] == ["arena off"]
    text = ladder_chart(found).text
    assert "of the time" not in text and "medium text" in text and "coreml" not in text


def test_undecided_cached_and_unranked_rungs_are_grey_and_proven_ones_are_not(found: Ladder) -> None:
    tones = {row.name: row.tone for row in ladder_rows(found)}
    assert tones["kernels-int16"] == "good" and tones["1 thread"] == "bad"
    assert tones["phoneme cache 1000"] == "unsure" and tones["audio cache 64 MB"] == "quiet"
    notes = {row.name: row.note for row in ladder_rows(found)}
    assert notes["int8"] == "close audio" and notes["1 thread"] == "than 2 threads"


def test_every_rung_leads_to_the_rows_of_its_cell(found: Ladder) -> None:
    cells = {f"#cell-{rung.candidate_cell}" for rung in found.rungs}
    assert {row.href for row in ladder_rows(found)} <= cells


def test_a_run_without_comparisons_has_a_sentence_for_a_ladder() -> None:
    assert "kl-note" in ladder_chart(Ladder((), "", 0)).text


def test_claims_are_sorted_by_their_gap_and_lead_to_their_line() -> None:
    rows = claims_rows(
        [
            resolution("near", 1.2, "missed"),
            resolution("far", 7.0, "missed"),
            resolution("held", 0.5, "met"),
            resolution("open", 0.9, "inconclusive"),
            Resolution(Claim.model_validate(CLAIM), "not measured yet"),
        ]
    )
    assert [row.href for row in rows] == ["#claim-far", "#claim-near", "#claim-open", "#claim-held"]
    assert [row.verdict for row in rows] == ["missed", "missed", "undecided", "met"]
    assert "measured over target" in claims_chart(rows, "Claims").text
    assert "kl-note" in claims_chart([], "Claims").text


def test_the_bound_chart_shows_the_longest_text_by_short_names(varied_evidence: Evidence) -> None:
    known = bounds(varied_evidence)
    names = {bound.cell_id: f"name {at}" for at, bound in enumerate(known)}
    text = bound_chart(known, names, 2).text
    assert text.count("<tr data-tone") == 2 and "long text" in text and "name " in text
