"""Every number of a sentence is a figure of one cell, and a verdict beside it is that figure's own."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_blocks import as_reference, cell, evidence_of, repeated
from report_claims import CLAIM

from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.statistics.intervals import FEWEST, Interval
from kokoro_lab.reports.claims.claims import Claim, load_claims
from kokoro_lab.reports.claims.resolution import Resolution, resolve
from kokoro_lab.reports.findings.answer import KEY_CLAIMS, ReportAnswer, answer
from kokoro_lab.reports.findings.statements import CitedFigure, Statement, cited_claim, own_resolution
from kokoro_lab.reports.rows.cell_summary import cell_figures, number, reach
from kokoro_lab.reports.rows.evidence import Evidence, matching
from kokoro_lab.reports.rows.frame_statistics import rows_interval

NUMBER = re.compile(r"\d+(?:[.,\u202f]\d+)*")


@functools.cache
def stated_claims() -> list[Claim]:
    """The claims that the answer shows, and one more on the same cells."""
    return [claim for claim in load_claims().claims if claim.id in (*KEY_CLAIMS, "ttfa-short-target-wide")]


def told(blocks: Sequence[Block]) -> tuple[ReportAnswer, Evidence, Sequence[Resolution]]:
    evidence = evidence_of(blocks, notebook="providers")
    resolutions = [resolve(claim, evidence) for claim in stated_claims()]
    return answer(evidence, resolutions), evidence, resolutions


CELLS: list[Cell] = [
    *[as_reference(cell(preset)) for preset in ("short", "medium", "long")],
    *[cell(preset, threads=threads) for preset in ("short", "medium", "long") for threads in (1, 4)],
    as_reference(cell("short", state="cold")),
]
TIMES = st.floats(20.0, 4000.0).map(lambda value: round(value, 1))
MEASURED = st.dictionaries(
    st.sampled_from(range(len(CELLS))),
    st.tuples(
        st.integers(1, 8),
        TIMES,
        st.sampled_from(["equivalent", "equivalent", "close", "different"]),
        st.integers(0, 9).map(lambda draw: draw == 0),
    ),
    min_size=1,
    max_size=6,
)


def blocks_of(measured: dict[int, tuple[int, float, str, bool]]) -> list[Block]:
    blocks: list[Block] = []
    for at, (count, ms, gate, contaminated) in measured.items():
        times = [round(ms * (1 + 0.013 * place), 1) for place in range(count)]
        blocks += repeated(CELLS[at], times, gate=gate, contaminated=contaminated)
    return blocks


@settings(max_examples=15)
@given(MEASURED)
def test_every_number_is_a_figure_of_one_cell_and_its_verdict_that_of_its_own_claim(
    measured: dict[int, tuple[int, float, str, bool]],
) -> None:
    said, evidence, resolutions = told(blocks_of(measured))
    by_claim = {resolution.claim.id: resolution for resolution in resolutions}
    for statement in said.statements:
        for figure in statement.figures:
            assert_of_one_cell(figure, evidence)
            assert_own_verdict(figure, by_claim)
            assert_its_blocks_are_told(figure, statement.text)
        if statement.figures:
            assert_no_other_number(statement, by_claim)
    for tile in said.tiles:
        (own,) = [resolution for resolution in resolutions if KEY_CLAIMS.get(resolution.claim.id) == tile.name]
        if own.measured is None:
            assert tile.verdict.startswith("not ") and not tile.gap
        else:
            assert (tile.cell_id, tile.verdict) == (own.cell_id, own.verdict)
            assert number(own.measured.center) in tile.value and tile.interval.startswith(reach(own.measured)[:5])


def assert_of_one_cell(figure: CitedFigure, evidence: Evidence) -> None:
    rows = evidence.values(figure.metric)
    rows = matching(rows[rows["cell_id"] == figure.cell_id], {"contaminated": False})
    assert figure.measured == rows_interval(rows), figure


def assert_own_verdict(figure: CitedFigure, by_claim: dict[str, Resolution]) -> None:
    if figure.claim:
        own = by_claim[figure.claim]
        assert (own.cell_id, own.verdict, own.gap) == (figure.cell_id, figure.verdict, figure.gap)
        assert own.measured == figure.measured
    else:
        assert not figure.verdict and figure.gap is None


def assert_its_blocks_are_told(figure: CitedFigure, text: str) -> None:
    count = figure.measured.count
    if count == 1:
        assert "one block" in text
    elif count < FEWEST:
        assert f"range of {count}" in text


def assert_no_other_number(statement: Statement, by_claim: dict[str, Resolution]) -> None:
    known = []
    for figure in statement.figures:
        gap = "" if figure.gap is None else f"{number(figure.gap.center)} ({reach(figure.gap)})"
        parts = (figure.duration_and_interval, figure.duration, figure.pace, figure.label, str(figure.characters), gap)
        known += [*parts, by_claim[figure.claim].claim.claimed if figure.claim else ""]
        known += [by_claim[figure.claim].claim.scenario] if figure.claim else []
    allowed = {number for part in known for number in NUMBER.findall(part)}
    assert set(NUMBER.findall(statement.text)) <= allowed, statement.text


def test_a_headline_never_joins_a_long_text_of_one_block_to_the_target_of_a_shorter_one() -> None:
    long_once = repeated(as_reference(cell("long")), (90.0,))
    streamed = cell("short", delivery="stream")
    short_often = repeated(streamed, (80.0, 81.0, 79.0, 80.5, 80.0, 79.5, 80.2, 80.1))
    said, _, resolutions = told([*long_once, *short_often])
    short = next(resolution for resolution in resolutions if resolution.claim.id == "ttfa-short-target")
    assert short.verdict == "met" and short.cell_id == streamed.id
    assert f"{len(cell('short').text)} characters" in said.headline and "within the claimed target" in said.headline
    assert f"{len(cell('long').text)} characters" not in said.headline and "90.0" not in said.headline
    assert any("90.0 ms (one block, no interval)" in sentence for sentence in said.sentences)


def test_a_long_text_of_one_block_alone_is_said_to_be_of_one_block_and_within_no_target() -> None:
    said, _, _ = told(repeated(as_reference(cell("long")), (90.0,)))
    assert said.headline.count("one block") == 2 and "target" not in said.headline


def test_pace_and_first_audio_of_the_headline_are_of_one_cell() -> None:
    early = repeated(as_reference(cell("long")), (6000.0,) * 6, ttfa_ms=(900.0,) * 3)
    fast = repeated(cell("long", threads=4), (3000.0,) * 6, ttfa_ms=(2000.0,) * 3)
    said, evidence, _ = told([*early, *fast])
    pace, first = said.statements[0].figures
    assert pace.cell_id == first.cell_id == as_reference(cell("long")).id and pace.metric == "rtf"
    (own,) = [figure for figure in cell_figures(evidence, "rtf") if figure.cell_id == first.cell_id]
    assert pace.measured == own.measured and pace.pace in said.headline


def test_a_verdict_is_a_figures_own_only_for_the_same_cell_metric_and_blocks() -> None:
    (figure,) = cell_figures(evidence_of(repeated(as_reference(cell()), (90.0,) * 6)), "ttfa_ms")
    claim = Claim.model_validate(CLAIM)
    own = Resolution(claim, "met", measured=figure.measured, gap=figure.measured, cell_id=figure.cell_id)
    others = [
        Resolution(claim, "met", measured=figure.measured, cell_id="other"),
        Resolution(claim, "met", measured=Interval(90.0, 89.0, 91.0, 6), cell_id=figure.cell_id),
        Resolution(
            Claim.model_validate({**CLAIM, "metric": "rtf"}), "met", measured=figure.measured, cell_id=figure.cell_id
        ),
    ]
    assert own_resolution(figure, "ttfa_ms", others) is None
    assert own_resolution(figure, "ttfa_ms", [*others, own]) is own
    assert CitedFigure.of(figure, "ttfa_ms").verdict == "" and cited_claim(own) is not None


@pytest.mark.parametrize(
    ("rtf", "words"),
    [(Interval(0.5, 0.4, 0.6, 8), "2.00x faster than real time"), (Interval(3.0, None, None, 1, None), "one block")],
)
def test_a_pace_says_what_it_lacks(rtf: Interval, words: str) -> None:
    pace = CitedFigure("c", "rtf", "cpu", 60, rtf).pace
    assert words in pace and ("(" in pace) == (not rtf.known)
