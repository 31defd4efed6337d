"""Charts say what they show, in words too, and can be told apart by every reader on every page."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

import pytest
from report_blocks import as_reference, block, cell, repeated

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.reports.claims.resolution import resolve_all
from kokoro_lab.reports.drawing.plots import stack
from kokoro_lab.reports.drawing.theme import DARK, LIGHT, NARROW, SERIES, WIDE, ChartFigure
from kokoro_lab.reports.figures.cell_charts import (
    LOAD_STAGES,
    cold_start_figure,
    rtf_figure,
    stages_figure,
    ttfa_figure,
)
from kokoro_lab.reports.findings.answer import KEY_CLAIMS, answer
from kokoro_lab.reports.rows.cell_summary import cell_figures
from kokoro_lab.reports.rows.evidence import Evidence

FIGURES = {
    "ttfa": lambda evidence: ttfa_figure(evidence, {"short": 100.0}),
    "rtf": rtf_figure,
    "stages": stages_figure,
    "cold": lambda evidence: cold_start_figure(evidence, 2000.0),
}
TEXT_CONTRAST, GRAPHIC_CONTRAST = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11


@pytest.fixture(scope="module", params=FIGURES, ids=str)
def figure(request: pytest.FixtureRequest, evidence: Evidence) -> ChartFigure:
    return FIGURES[request.param](evidence)


def test_a_chart_has_a_title_with_a_number_words_and_a_unit(figure: ChartFigure) -> None:
    assert re.search(r"\d", figure.title)
    assert "cpu, 2 threads" in figure.alt
    assert re.search(r", ms\b|real-time factor", figure.svg(WIDE))


def test_a_chart_is_one_labelled_image_for_those_who_do_not_see_it(figure: ChartFigure) -> None:
    for width in (WIDE, NARROW):
        svg = figure.svg(width)
        assert svg.count('role="img"') == svg.count("aria-label=") == svg.count("role=") == 1
        size = re.search(r'viewBox="0 0 ([0-9.]+)', svg)
        assert size is not None and float(size[1]) <= width * 1.06


def test_a_chart_needs_no_script_and_nothing_from_elsewhere(figure: ChartFigure) -> None:
    page = figure._repr_html_()
    assert "<script" not in page and "http" not in page


def test_two_charts_share_no_ids(evidence: Evidence) -> None:
    page = "".join(make(evidence)._repr_html_() for make in FIGURES.values())
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_colours_follow_the_page_and_have_one_to_fall_back_on(figure: ChartFigure) -> None:
    used = set(re.findall(r'(?:fill|stroke)="([^"]+)"', figure.svg(WIDE))) - {"none", "transparent"}
    assert used and all(re.fullmatch(r"var\(--kl-[a-z0-9]+, #[0-9a-f]{6}\)", colour) for colour in used), used


def test_the_numbers_behind_a_chart_stand_below_it(evidence: Evidence) -> None:
    rows = ttfa_figure(evidence).rows
    assert len(rows) == 8
    assert any("cpu, 1 thread" in row and "1" in row for row in rows), "one disturbed block is counted"


def test_a_cell_that_is_not_ranked_is_drawn_hollow_and_says_why(
    of_blocks: Callable[[Sequence[Block]], Evidence],
) -> None:
    blocks = [
        *repeated(as_reference(cell()), (100.0, 101.0)),
        *repeated(cell(threads=1), (90.0, 91.0), contaminated=True),
    ]
    figure = ttfa_figure(of_blocks(blocks))
    assert "disturbed" in figure.svg(WIDE) and "Hollow diamonds" in figure.note
    assert f'fill="var(--kl-paper, {LIGHT["paper"]})"' in figure.svg(WIDE)


def test_what_a_cache_answers_is_shown_and_never_stands_at_the_top(
    of_blocks: Callable[[Sequence[Block]], Evidence],
) -> None:
    spoken, kept = cell(delivery="stream"), cell(delivery="stream", engine_settings=(("audio_cache_mb", 64),))
    evidence = of_blocks([block(of, n, [ms] * 3) for n in range(3) for of, ms in ((spoken, 500.0), (kept, 0.2))])
    shown = {figure.label: (figure.ranked, figure.note) for figure in cell_figures(evidence, "rtf")}
    assert sorted(shown.values()) == [("", "answered from a cache"), ("equivalent", "")]
    resolutions = resolve_all(load_claims(), evidence)
    told = answer(evidence, resolutions)
    words = " ".join([told.headline, *told.sentences])
    assert "500 ms" in words and "0.2 ms" not in words and "0.200 ms" not in words
    (tile,) = (tile for tile in told.tiles if tile.name == KEY_CLAIMS["ttfa-short-target"])
    assert (tile.value, tile.cell_id) == ("500 ms", spoken.id)
    assert "0.000" not in rtf_figure(evidence).title


def test_parts_add_up_to_the_whole(evidence: Evidence) -> None:
    for make in (stages_figure, cold_start_figure):
        for row in make(evidence).rows:
            *parts, whole = (float(text.replace("\u202f", "")) for text in row[1:])
            assert sum(parts) == pytest.approx(whole, rel=0.01)


def test_a_chart_without_rows_says_what_is_missing(of_blocks: Callable[[Sequence[Block]], Evidence]) -> None:
    with pytest.raises(NothingMeasuredError, match="cold"):
        cold_start_figure(of_blocks(repeated(as_reference(cell()), (100.0, 101.0))))


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stand_out_from_the_page(colours: dict[str, str]) -> None:
    for name in ("ink", "quiet", "bar"):
        assert contrast(colours[name], colours["paper"]) >= TEXT_CONTRAST, name
    for name in SERIES:
        assert contrast(colours[name], colours["paper"]) >= GRAPHIC_CONTRAST, name


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("vision", ["usual", "deuteranopia", "protanopia"])
def test_neighbouring_parts_of_a_bar_differ_for_colour_blind_readers(colours: dict[str, str], vision: str) -> None:
    for first, second in itertools.pairwise(SERIES):
        assert apart(colours[first], colours[second], vision) >= 0.12, (first, second)


VISION = {  # Machado, Oliveira and Fernandes 2009, severity 1.0, linear RGB
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
}


def linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(first: str, second: str) -> float:
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(first), linear(second))]
    return (max(light) + 0.05) / (min(light) + 0.05)


def apart(first: str, second: str, vision: str) -> float:
    """Distance as seen, in gamma-encoded RGB from 0 to sqrt(3)."""
    seen = [
        [max(sum(a * b for a, b in zip(row, linear(colour), strict=True)), 0.0) ** (1 / 2.2) for row in VISION[vision]]
        for colour in (first, second)
    ]
    return sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5


def test_an_axis_groups_all_digits_of_a_number() -> None:
    svg = stack([("cell", {"stage": 2e7})], ["stage"], "T 1", "time, ms", "stage").svg(WIDE)
    assert "20\u202f000\u202f000" in svg and ",000" not in svg


def test_no_colour_occurs_twice_in_a_legend() -> None:
    names = list(LOAD_STAGES.values())
    svg = stack([("cell", dict.fromkeys(names, 100.0))], names, "T 1", "time, ms", "stage").svg(WIDE)
    bars = re.findall(r'<path aria-[^>]*fill="(var\(--kl-s\d+)|fill="(var\(--kl-s\d+)', svg)
    assert len({first or second for first, second in bars}) == len(names) <= len(SERIES)
