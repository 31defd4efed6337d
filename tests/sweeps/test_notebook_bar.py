"""The bar of a notebook counts what is kept, says what runs, and keeps what failed."""

from __future__ import annotations

from typing import Any

import pytest

from kokoro_lab.sweeps.notebook_bar import NotebookBar
from kokoro_lab.sweeps.progress import Progress


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
    assert 'max="4" value="1"' in bar._repr_html_() and "1 of 4 blocks: short, cpu" in repr(bar)


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
