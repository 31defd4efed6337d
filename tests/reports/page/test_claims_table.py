"""Claims on a page: by topic, counted by verdict, with a gap only where something was measured."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from report_claims import CLAIM

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.claims import Claim, Claims
from kokoro_lab.reports.claims.resolution import VERDICTS, Resolution
from kokoro_lab.reports.findings.bound import Bound
from kokoro_lab.reports.page.claims_table import SIGNS, claims_table, measured_words

HALF = Interval(50.0, 48.0, 52.0, 8, 0.95)


def claim(name: str = "one", **changed: object) -> Claim:
    return Claim.model_validate({**CLAIM, "id": name, **changed})


def file_of(*claims: Claim) -> Claims:
    sources = {"a": {"title": "Document A", "machine": "M1"}}
    return Claims.model_validate({"sources": sources, "claims": [each.model_dump() for each in claims]})


def shown(*resolutions: Resolution, bounds: tuple[Bound, ...] = ()) -> str:
    return claims_table(file_of(*(each.claim for each in resolutions)), resolutions, bounds).text


def met(of: Claim, **changed: Any) -> Resolution:
    known = Resolution(of, "met", "", HALF, HALF.scaled(1 / 100), "cpu, 2 threads", "c1")
    return dataclasses.replace(known, **changed)


def test_every_verdict_has_a_sign_of_its_own() -> None:
    assert set(SIGNS) == set(VERDICTS) and len(set(SIGNS.values())) == len(VERDICTS)


def test_a_line_has_the_claim_the_measurement_and_how_far_apart_they_are() -> None:
    text = shown(met(claim()))
    line = text[text.index('id="claim-one"') :]
    for part in ("Fast.", "Document A", "M1", "≤ 100 ms", "50.0 ms", "48", "52", "cpu, 2 threads", "0.500"):
        assert part in line, part
    assert 'data-verdict="met"' in line


def test_verdicts_are_counted_once_each_in_their_fixed_order() -> None:
    resolutions = [
        Resolution(claim("a"), "not measured yet"),
        met(claim("b")),
        met(claim("c")),
        Resolution(claim("d"), "missed", measured=HALF, gap=HALF),
    ]
    summary = shown(*resolutions).partition("</p>")[0]
    counts = re.findall(r"data-verdict=\"([^\"]+)\">.*?</span> (\d+) ", summary)
    assert counts == [("met", "2"), ("missed", "1"), ("not measured yet", "1")]


def test_claims_stand_under_their_topic_and_a_topic_without_claims_is_left_out() -> None:
    first, second, third = claim("a"), claim("b", topic="Memory"), claim("c")
    text = shown(met(first), met(second), met(third))
    order = re.findall(r'id="claim-(\w)"|scope="rowgroup">(\w+)<', text)
    assert ["".join(each) for each in order] == ["Speed", "a", "c", "Memory", "b"]
    alone = claims_table(file_of(first, second), [met(first)]).text
    assert "Memory" not in alone


def test_without_any_measurement_there_are_no_columns_for_one() -> None:
    nothing = shown(Resolution(claim(), "not measured yet", "It says why."))
    assert nothing.count('<th scope="col"') == 3 and "It says why." in nothing
    assert shown(met(claim())).count('<th scope="col"') == 5


@pytest.mark.parametrize(("metric", "told"), [("total_ms", True), ("rss_mb", False)])
def test_only_a_time_of_the_bounds_own_cell_is_held_against_its_bound(metric: str, told: bool) -> None:
    bound = Bound("short", 61, "cpu, 2 threads", "stand-in", "c1", {}, 20.0, {}, HALF, 45.0)
    assert ("2.50" in shown(met(claim(metric=metric)), bounds=(bound,))) == told
    assert "2.50" not in shown(met(claim(metric=metric), cell_id="c2"), bounds=(bound,))


def test_a_range_of_too_few_blocks_and_a_missing_end_are_no_interval() -> None:
    assert measured_words(met(claim(), measured=None)) == ("", "")
    words, interval = measured_words(met(claim(), measured=Interval(50.0, None, None, 1)))
    assert (words, interval) == ("50.0 ms", "one block, no interval")


def test_a_state_is_measured_as_a_part_of_its_baseline_and_work_in_seconds() -> None:
    sides = {"baseline": {"text_preset": "short"}, "candidate": {"engine_settings": {"spinning": False}}}
    way = {"compare": sides, "notebook": "compute_units"}
    state = claim(kind="state", value="implemented", metric="total_ms", resolve=way)
    words, _ = measured_words(met(state, measured=Interval(0.9, 0.8, 0.95, 8)))
    assert words.startswith("0.900 ") and not words.endswith(" ms")
    work, _ = measured_words(met(claim(metric="rtf", unit="s/s"), measured=Interval(0.25, 0.2, 0.3, 8)))
    assert work.startswith("0.250") and "s/s" not in work
