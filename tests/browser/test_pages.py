"""Reports opened as a colleague opens them: a file, no network, on a phone and on a desk, in light and in dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_lab import ROOT
from report_blocks import quick_run

from kokoro_lab.reports.page.render import render

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::ResourceWarning")]

WIDTHS = (390, 1400)  # px: a phone, a desk
PUBLISHED = sorted((ROOT / "results" / "published").glob("*/*.html"))
OUTSIDE = """() => [...document.querySelectorAll("[src], [href], [data], [action]")]
  .flatMap(e => ["src", "href", "data", "action"].map(name => e.getAttribute(name)))
  .filter(value => value && /^(https?:)?\\/\\//.test(value))"""
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNNAMED = """() => [...document.querySelectorAll("svg[role=img], img")]
  .filter(e => !(e.getAttribute("aria-label") || e.getAttribute("alt"))).length"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of made-up rows: what is looked at is the page."""
    tables = quick_run(tmp_path_factory.mktemp("report"))
    return render(tables.parent)


@pytest.fixture(params=["made", *PUBLISHED], ids=lambda path: path if isinstance(path, str) else path.parent.name)
def report(request: pytest.FixtureRequest, made: Path) -> Path:
    return made if request.param == "made" else request.param


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_needs_no_network_and_fits(report: Path, width: int, colours: Any, browser: Any, shots: Path) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours, offline=True)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(report.as_uri())
        page.wait_for_timeout(300)
        page.screenshot(path=shots / f"report-{report.parent.name}-{width}-{colours}.png", full_page=True)
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate(TOO_WIDE) <= 0
        assert page.evaluate(UNNAMED) == 0
    finally:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_player_is_reached_by_the_keyboard(made: Path, browser: Any) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    try:
        page.goto(made.as_uri())
        players = page.evaluate("() => document.querySelectorAll('audio').length")
        reached = set()
        for _ in range(200):
            page.keyboard.press("Tab")
            tag = page.evaluate("() => document.activeElement?.tagName")
            reached.add(tag)
            if tag in ("AUDIO", "BODY"):
                break
    finally:
        context.close()
    assert players
    assert "AUDIO" in reached, reached
