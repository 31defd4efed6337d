"""Every notebook in real JupyterLab: opened, all cells run, no error, and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_lab import ROOT, Lab

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::ResourceWarning")]

LATE = ("gap_report", "history", "index")
"""Those that show what others measured come last."""
NOTEBOOKS = sorted((path.stem for path in (ROOT / "notebooks").glob("*.ipynb")), key=lambda name: (name in LATE, name))
WITHOUT_CHART = {"index", "peers"}
"""The index is words, and no peer is measured here."""
WIDTH = 1400  # px
OPEN_MS, RUN_MS = 240_000, 900_000
DRAWING_MS = 500
TALLEST = 12_000  # px of a screenshot

READY = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  return panel?.context?.isReady && panel.sessionContext?.session?.kernel?.status === "idle";
}"""
RUN = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
OUTPUTS = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells;
  return cells.flatMap(cell => cell.outputs ?? []);
}"""
TO_TOP = "() => document.querySelectorAll('.jp-WindowedPanel-outer').forEach(e => { e.scrollTop = 0; })"
DRAWN = """() => {
  const panel = document.querySelector(".jp-Notebook");
  const reach = [...panel.querySelectorAll("figure svg, figure audio")].map(e => e.getBoundingClientRect().right);
  const height = Math.max(...[panel, ...panel.querySelectorAll(".jp-WindowedPanel-outer")].map(e => e.scrollHeight));
  return {height, charts: panel.querySelectorAll("figure svg[role=img]").length,
          wide: reach.filter(right => right > innerWidth).length};
}"""


def run_all(page: Any, lab: Lab, name: str) -> None:
    """Open a notebook, run all its cells and wait for the last."""
    page.goto(lab.page(f"{name}.ipynb"))
    page.wait_for_function(READY, timeout=OPEN_MS)
    page.set_default_timeout(RUN_MS)
    page.evaluate(RUN)
    page.wait_for_function(READY, timeout=RUN_MS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_to_its_end_without_an_error(name: str, lab: Lab, browser: Any, shots: Path) -> None:
    page = browser.new_page(viewport={"width": WIDTH, "height": 1000})
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        run_all(page, lab, name)
        outputs = page.evaluate(OUTPUTS)
        height = page.evaluate(DRAWN)["height"]
        page.set_viewport_size({"width": WIDTH, "height": min(height + 200, TALLEST)})
        page.evaluate(TO_TOP)
        for _ in range(OPEN_MS // DRAWING_MS):
            page.wait_for_timeout(DRAWING_MS)
            drawn = page.evaluate(DRAWN)
            if drawn["charts"] or name in WITHOUT_CHART:
                break
        page.screenshot(path=shots / f"lab-{name}.png")
    finally:
        page.close()
    errors = [f"{one['ename']}: {one['evalue']}" for one in outputs if one["output_type"] == "error"]
    assert not errors, errors
    assert outputs, "no cell was run"
    assert drawn["charts"] or name in WITHOUT_CHART, "no chart was drawn"
    assert drawn["wide"] == 0, "something reaches beyond the page"
    assert not said, said


def test_the_speak_button_speaks_what_was_typed(lab: Lab, browser: Any, shots: Path) -> None:
    page = browser.new_page(viewport={"width": WIDTH, "height": 1400})
    try:
        run_all(page, lab, "listen")
        page.locator("textarea:visible").first.fill("She sells seashells by the seashore.")
        page.get_by_role("button", name="Speak").click()
        heard = page.locator(".kl-player", has_text="seashells")
        heard.first.wait_for(timeout=OPEN_MS)
        page.wait_for_timeout(DRAWING_MS)
        heard.first.scroll_into_view_if_needed()
        page.screenshot(path=shots / "lab-listen-spoken.png")
        assert page.locator(".kl-player audio").first.is_visible()
    finally:
        page.close()
