"""The report as it is shared: its length on a desk, a phone and paper, its accessibility, its layout, its tools."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_run import varied_run

from kokoro_lab.reports.page.render import MOST_PAGE_BYTES, render

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::ResourceWarning")]

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SCREENS = ((DESK, 3), (PHONE, 6))
SHEETS = 5  # of A4
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
HEIGHT = "() => document.documentElement.scrollHeight"
WIDTH = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
OPEN = "() => document.querySelectorAll('details').forEach(each => { each.open = true; })"
VIOLATIONS = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
DANGLING = """() => [...document.querySelectorAll("a[href^='#'], label[for], [aria-labelledby], [aria-describedby]")]
  .flatMap(each => [each.getAttribute("href")?.slice(1), each.htmlFor, each.getAttribute("aria-labelledby"),
                    each.getAttribute("aria-describedby")])
  .filter(name => name && !document.getElementById(name))"""
EMPTY = """() => [...document.querySelectorAll("th, caption, h1, h2, h3, label, button, summary")]
  .filter(each => !each.textContent.trim() && !each.getAttribute("aria-label")).length"""
CHARTS = """() => [...document.querySelectorAll(".kl-chart")].filter(each => each.checkVisibility()).map(chart => {
  const box = each => { const b = each.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; };
  return {
    ticks: [...chart.querySelectorAll(".kl-ticks span")].map(box),
    rows: [...chart.querySelectorAll("tbody tr")].map(row => ({
      cells: [...row.cells].map(box),
      plot: box(row.querySelector(".kl-plot div")),
      dots: [...row.querySelectorAll(".kl-dot")].map(box),
    })),
  };
})"""
Box = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(varied_run(tmp_path_factory.mktemp("varied")).parent)


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, report: Path, browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport=DESK, color_scheme=request.param, offline=True, accept_downloads=True)
    opened = context.new_page()
    opened.goto(report.as_uri())
    yield opened
    context.close()


@pytest.mark.parametrize(("screen", "most"), SCREENS, ids=["desk", "phone"])
def test_a_reader_scrolls_a_few_screens(
    screen: dict[str, int], most: int, report: Path, browser: Any, shots: Path
) -> None:
    context = browser.new_context(viewport=screen)
    opened = context.new_page()
    try:
        opened.goto(report.as_uri())
        opened.screenshot(path=shots / f"shared-{screen['width']}.png", full_page=True)
        assert opened.evaluate(HEIGHT) <= most * screen["height"]
        assert opened.evaluate(WIDTH) <= 0
        assert_laid_out(opened.evaluate(CHARTS))
    finally:
        context.close()


def assert_laid_out(charts: list[dict[str, Any]]) -> None:
    """No cell of a row covers another, dots are in their plot, and ticks do not run into each other."""
    assert len(charts) == 3
    for chart in charts:
        ticks = sorted(chart["ticks"])
        assert all(left[2] <= right[0] + 1 for left, right in itertools.pairwise(ticks)), ticks
        for row in chart["rows"]:
            for at, first in enumerate(row["cells"]):
                assert not any(overlap(first, other) for other in row["cells"][at + 1 :]), row["cells"]
            left, top, right, bottom = row["plot"]
            for dot in row["dots"]:
                assert left - 8 <= dot[0] and dot[2] <= right + 8 and top - 1 <= dot[1] and dot[3] <= bottom + 1


def overlap(first: Box, second: Box) -> bool:
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    return across > 1 and down > 1


def test_on_paper_it_takes_a_few_sheets(report: Path, browser: Any, shots: Path) -> None:
    context = browser.new_context()
    opened = context.new_page()
    try:
        opened.goto(report.as_uri())
        printed = opened.pdf(path=shots / "shared.pdf", prefer_css_page_size=True)
    finally:
        context.close()
    assert 1 <= len(re.findall(rb"/Type\s*/Page[^s]", printed)) <= SHEETS
    assert report.stat().st_size <= MOST_PAGE_BYTES


@pytest.mark.parametrize("opened", [False, True], ids=["folded", "open"])
def test_no_rule_of_accessibility_is_broken_seriously(page: Any, opened: bool) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: run `make check`")
    if opened:
        page.evaluate(OPEN)
    page.add_script_tag(path=AXE)
    found = page.evaluate(VIOLATIONS)
    serious = [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]
    assert serious == []


def test_every_link_and_label_leads_somewhere(page: Any) -> None:
    assert page.evaluate(DANGLING) == []
    assert page.evaluate(EMPTY) == 0


def test_a_dot_leads_to_the_rows_of_its_cell(page: Any) -> None:
    link = page.locator(".kl-chart tbody th a", has_text="kernels-fp32").first
    link.focus()
    page.keyboard.press("Enter")
    row = page.locator(link.get_attribute("href"))
    row.wait_for(state="visible")
    assert "stand-in-kernels-fp32" in row.inner_text()


def test_the_table_of_cells_sorts_filters_and_downloads(page: Any) -> None:
    page.evaluate(OPEN)
    table = page.locator("table.kl-cells")
    heading = table.locator("thead th", has_text="Total, ms")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    values = table.locator("tbody tr td:nth-child(8)")
    figures = [float(value) for value in values.evaluate_all("all => all.map(e => e.dataset.sort).filter(Boolean)")]
    assert len(figures) > 10 and figures == sorted(figures)
    page.get_by_label("Filter: Every cell of this run").fill("int16 medium")
    assert table.locator("tbody tr:visible").count() == 1
    with page.expect_download() as waiting:
        page.get_by_label("Download as CSV: Every cell of this run").click()
    rows = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(rows) == 2 and rows[0].startswith("Cell,Text,State")
    assert "kernels-int16" in rows[1] and "\u202f" not in rows[1].split("equivalent")[1].split(",")[3]


def test_a_command_can_be_copied(page: Any) -> None:
    assert page.locator(".kl-copy:visible").count() == page.locator(".kl-command").count() >= 1
