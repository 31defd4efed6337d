"""The bar of a notebook counts what is kept, says what runs and how long it will, and keeps what failed."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from kokoro_lab.measure.records.identity import PARTS
from kokoro_lab.store import Store
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.notebook.notebook_bar import (
    NotebookBar,
    NotebookInterruption,
    continued_by_the_cell,
    measure_in_notebook,
)
from kokoro_lab.sweeps.progress import Progress

WORKER = (sys.executable, str(Path(__file__).parents[2] / "support" / "sweep_worker.py"))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was displayed, and each time it was redrawn."""
    calls: list[Any] = []

    class Handle:
        def update(self, value: object) -> None:
            calls.append(value)

    def display(value: object, display_id: bool) -> Handle:
        calls.append(value)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    return calls


def test_one_bar_is_redrawn_in_place(shown: list[Any]) -> None:
    bar = NotebookBar()
    bar(Progress("plan", 0, 4))
    bar(Progress("finished", 1, 4, "short, cpu", "ok"))
    assert shown == [bar, bar]
    assert 'max="4" value="1"' in bar._repr_html_() and repr(bar).startswith("1 of 4 blocks: ")
    assert repr(bar).endswith("; short, cpu") and "left, until" in repr(bar)


def test_failures_stay_and_are_escaped(shown: list[Any]) -> None:
    bar = NotebookBar()
    for _ in range(2):
        bar(Progress("finished", 1, 2, "a <b>: it broke", "error"))
    bar(Progress("finished", 2, 2, "short", "ok"))
    assert "<li>error: a &lt;b&gt;: it broke</li>" in bar._repr_html_()
    assert repr(bar).count("error: a <b>") == 1, "a retry fails for the same reason"


def test_a_plan_of_nothing_is_no_division_by_zero(shown: list[Any]) -> None:
    bar = NotebookBar()
    bar(Progress("plan", 0, 0))
    assert 'max="1" value="0"' in bar._repr_html_()


def test_the_remaining_time_comes_from_the_blocks_of_this_call(shown: list[Any]) -> None:
    clock = Clock()
    bar = NotebookBar(clock=clock)
    bar(Progress("plan", 10, 20))
    assert bar.left_s() is None and "left" not in repr(bar)
    clock.now += 30.0
    bar(Progress("finished", 12, 20, "short", "ok"))
    assert bar.left_s() == pytest.approx(8 * 15.0)
    assert re.search(r"12 of 20 blocks: about 2 min 0 s left, until \d\d:\d\d:\d\d; short", repr(bar))
    assert "about 2 min 0 s left" in bar._repr_html_()
    bar(Progress("finished", 20, 20, "short", "ok"))
    assert "left" not in repr(bar)


def test_before_the_first_block_the_history_says_how_long_it_takes(shown: list[Any]) -> None:
    clock = Clock()
    bar = NotebookBar(90.0, clock=clock)
    bar(Progress("plan", 0, 4))
    clock.now += 30.0
    bar(Progress("start", 0, 4))
    assert bar.left_s() == pytest.approx(60.0)
    clock.now += 90.0
    bar(Progress("retry", 0, 4))
    assert bar.left_s() == 0.0


def test_the_budget_is_the_most_that_remains(shown: list[Any]) -> None:
    clock = Clock()
    bar = NotebookBar(budget_s=50.0, clock=clock)
    bar(Progress("plan", 0, 10))
    clock.now += 20.0
    bar(Progress("finished", 1, 10))
    assert bar.left_s() == pytest.approx(30.0)


def test_in_the_end_it_says_what_was_measured(shown: list[Any]) -> None:
    bar = NotebookBar(90.0)
    bar(Progress("finished", 1, 4, "short", "ok"))
    bar.end("Measured 1 block; <done>.")
    assert "left" not in repr(bar) and "Measured 1 block; &lt;done&gt;." in bar._repr_html_()


def test_its_colors_are_those_of_jupyterlabs_theme_with_a_color_for_elsewhere(shown: list[Any]) -> None:
    bar = NotebookBar()
    bar(Progress("finished", 1, 2, "it broke", "error"))
    colors = re.findall(r"color:([^;\"]*)", bar._repr_html_())
    assert len(colors) == 3
    for color in colors:
        assert re.fullmatch(r"var\(--jp-[a-z-]+\d, #[0-9a-f]{6}\)", color)


def test_an_interruption_says_what_is_stored_and_how_to_continue(shown: list[Any]) -> None:
    bar = NotebookBar()
    bar(Progress("finished", 3, 8))
    with pytest.raises(NotebookInterruption) as caught, continued_by_the_cell(bar, "mine"):
        raise KeyboardInterrupt
    (line,) = caught.value._render_traceback_()
    assert line == (
        "Interrupted; 3 blocks are stored; run this cell again to continue, or set run_id = 'mine' in a new kernel."
    )
    assert isinstance(caught.value, KeyboardInterrupt) and str(caught.value) + "." == line.replace("I", "i", 1)


def test_other_errors_pass(shown: list[Any]) -> None:
    with pytest.raises(ValueError, match="as it was"), continued_by_the_cell(NotebookBar(), "mine"):
        raise ValueError("as it was")


@pytest.fixture
def job(places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Four blocks that a stand-in for the worker measures."""
    (tmp_path / "log").touch()
    monkeypatch.setenv("SWEEP_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr("kokoro_lab.sweeps.run.expected_parts", lambda cell: dict.fromkeys(PARTS, "same"))
    monkeypatch.setattr("kokoro_lab.sweeps.run.measure.__kwdefaults__", {"worker_command": WORKER, "lock": None})
    groups = [{"text": "short", "intra_op_threads": [1, 2]}]
    values = {"run_id": "r", "notebook": "trial", "groups": groups, "budget_s": 100, "blocks": 2, "retries": 0}
    return Job(**values, model="tiny", results=places)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_measurement_keeps_its_blocks_and_continues(
    job: Job, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = NotebookBar.__call__

    def interrupted(bar: NotebookBar, event: Progress) -> None:
        original(bar, event)
        if event.kind == "finished":
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(NotebookBar, "__call__", interrupted)
        with pytest.raises(NotebookInterruption, match="1 block is stored; run this cell again to continue"):
            measure_in_notebook(job)
    assert len(Store(job.results / "tables").done("r")) == 1
    summary = measure_in_notebook(job)
    assert (summary.measured, summary.stored, summary.planned) == (3, 4, 4)
    assert len(Store(job.results / "tables").done("r")) == 4
    assert summary.sentence in repr(shown[-1])
