"""The answer at the top of a report: the cell that stands for the machine, the claims that were held, the tiles."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_blocks import as_reference, block, cell, evidence_of, repeated
from report_claims import CLAIM

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.claims import Claim, load_claims
from kokoro_lab.reports.claims.resolution import Resolution, Verdict, resolve_all
from kokoro_lab.reports.findings.answer import ReportAnswer, Tile, answer, gap_words
from kokoro_lab.reports.rows.evidence import Evidence

STEADY = (500.0, 502.0, 498.0, 501.0, 499.0, 500.0)


def told(evidence: Evidence) -> ReportAnswer:
    return answer(evidence, resolve_all(load_claims(), evidence))


def words(of: ReportAnswer) -> str:
    return " ".join([of.headline, *of.sentences])


def tile(of: ReportAnswer, claim_id: str) -> Tile:
    """The tile of a claim: the one with its stated figure."""
    (claim,) = (claim for claim in load_claims().claims if claim.id == claim_id)
    (found,) = (tile for tile in of.tiles if tile.claimed == claim.claimed and "short text" in tile.name)
    return found


def resolution(verdict: Verdict, gap: float | None = None, **changed: object) -> Resolution:
    claim = Claim.model_validate({**CLAIM, **changed})
    interval = None if gap is None else Interval(gap, 0.99 * gap, 1.01 * gap, 6, 0.95)
    return Resolution(claim, verdict, gap=interval)


def test_the_headline_is_about_the_longest_text_and_its_best_cell() -> None:
    blocks = [
        *repeated(as_reference(cell()), STEADY),
        *repeated(as_reference(cell("long")), (5000.0,) * 6),
        *repeated(cell("long", threads=4), (4200.0,) * 6),
        *repeated(cell("long", threads=8), (100.0,) * 6, gate="different"),
    ]
    headline = told(evidence_of(blocks)).headline
    assert "4.20 s" in headline and f"{len(cell('long').text)} " in headline
    assert "5.00 s" not in headline and "100 ms" not in headline


@pytest.mark.parametrize(("ms", "pace"), [(0.5, "2.00"), (3.0, "3.00")], ids=["faster than it plays", "slower"])
def test_the_pace_is_a_factor_above_one_on_either_side(ms: float, pace: str) -> None:
    of = as_reference(cell())
    speech_ms = 65.0 * len(of.text)
    headline = told(evidence_of(repeated(of, (ms * speech_ms,) * 6))).headline
    assert pace in headline and ("slower" in headline) == (ms > 1) and ("faster" in headline) == (ms < 1)


def test_a_tile_has_the_figure_its_interval_and_how_far_it_is_from_the_bar() -> None:
    streamed = evidence_of(repeated(cell(delivery="stream"), STEADY), notebook="providers")
    found = tile(told(streamed), "ttfa-short-target")
    assert found.value == "500 ms" and "498" in found.interval and "502" in found.interval
    assert found.verdict == "missed" and found.gap.startswith("5.00x")


def test_a_tile_of_disturbed_rows_shows_the_figure_and_no_verdict_of_a_claim() -> None:
    disturbed = repeated(cell(delivery="stream"), STEADY, contaminated=True)
    found = tile(told(evidence_of(disturbed, notebook="providers")), "ttfa-short-target")
    assert found.value == "500 ms" and "disturbed" in found.verdict and found.gap == ""


def test_tiny_rows_have_no_tiles_and_no_figure_in_the_headline() -> None:
    of = told(evidence_of(repeated(as_reference(cell()), STEADY, architecture="tiny")))
    assert of.tiles == [] and "tiny" in of.headline and "500" not in of.headline


def test_claims_are_counted_by_verdict() -> None:
    resolutions = [
        *[resolution("met", 0.5)] * 2,
        *[resolution("missed", 3.0)] * 3,
        *[resolution("not measured yet")] * 4,
        *[resolution("not measurable here")] * 5,
    ]
    (line,) = (
        line for line in answer(evidence_of([block(as_reference(cell()))]), resolutions).sentences if "14" in line
    )
    numbers = [int(word.strip(",.:;")) for word in line.split() if word.strip(",.:;").isdigit()]
    assert sorted(numbers) == [2, 3, 4, 5, 5, 14], line


def test_the_nearest_and_the_farthest_missed_target_are_named_and_gains_are_not() -> None:
    gain = replace(resolution("missed", 90.0), claim=Claim.model_validate({**CLAIM, "kind": "after"}))
    resolutions = [
        resolution("missed", 7.0, scenario="middle"),
        resolution("missed", 3.0, scenario="near"),
        resolution("missed", 21.0, scenario="far"),
        resolution("met", 0.1, scenario="held"),
        gain,
    ]
    lines = answer(evidence_of([block(as_reference(cell()))]), resolutions).sentences
    (line,) = (line for line in lines if "3.00x" in line)
    assert line.index("near") < line.index("3.00") < line.index("far)") < line.index("21.0")
    assert "7.00" not in line and "90.0" not in " ".join(lines) and "held" not in line


def test_the_one_missed_target_is_told_once() -> None:
    lines = answer(evidence_of([block(as_reference(cell()))]), [resolution("missed", 3.0)]).sentences
    assert sum(line.count("3.00x") for line in lines) == 1


def test_what_is_absent_disturbed_or_cold_has_a_sentence_only_when_it_is_so() -> None:
    plain = repeated(as_reference(cell()), STEADY)
    assert not any(word in words(told(evidence_of(plain))) for word in ("coreml", "disturbed 1", "3.60 s"))


def test_what_is_absent_disturbed_or_cold_is_said() -> None:
    blocks = [
        *repeated(as_reference(cell()), STEADY),
        block(cell(threads=1), 8, contaminated=True),
        *repeated(cell(state="cold"), (3600.0,) * 6),
        block(cell(provider="coreml"), 20, status="unavailable", error="It is not here.", share=0.0),
    ]
    said = words(told(evidence_of(blocks)))
    assert "coreml" in said and "3.60 s" in said and "1 of 13" in said


@pytest.mark.parametrize(("center", "start"), [(14.5, "14.5x"), (0.34, "0.340x")])
def test_a_gap_is_a_factor_of_the_bar_and_nothing_where_there_is_none(center: float, start: str) -> None:
    assert gap_words(Interval(center, None, None, 1)).startswith(start)
    assert gap_words(None) == ""
