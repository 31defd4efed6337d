"""What a block calls, and what it keeps of it: an engine that does nothing, with the times that a test wants."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from kokoro_lab.measure import states
from kokoro_lab.measure.calls import Call, speak
from kokoro_lab.measure.cell import Cell
from kokoro_lab.measure.states import OTHER_TEXT, Measured

TEXT = "What is measured"
Run = Callable[..., Measured]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def run(said: list[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(times: Iterator[float], **factors: object) -> Measured:
        def timed(engine: object, cell: Cell, text: str | None = None) -> Call:
            said.append(text or cell.text)
            return dataclasses.replace(speak(engine, cell, text), total_s=next(times))  # type: ignore[arg-type]

        monkeypatch.setattr(states, "speak", timed)
        return states.measure(Cell.from_dict({"model": "empty", "text": TEXT, **factors}), spawned_ns=0, load_ms={})

    return run


def test_warm_up_is_with_what_is_measured_until_it_is_steady(run: Run, said: list[str]) -> None:
    block = run(iter([5.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, *[1.0] * 9]), repeats=3, warmup_cap=12)
    assert block.became_steady and 4 < len(block.warmup_ms) < 12
    assert said == [TEXT] * (len(block.warmup_ms) + 3)


def test_what_never_becomes_steady_is_labelled_in_every_repeat(run: Run) -> None:
    block = run(iter([float(2**number) for number in range(20)]), repeats=3, warmup_cap=6)
    assert len(block.warmup_ms) == 6 and not block.became_steady
    assert [repeat.steady for repeat in block.repeats] == [False] * 3


def test_a_new_shape_is_the_first_call_with_it(run: Run, said: list[str]) -> None:
    block = run(iter([1.0] * 20), state="cold-shape", warmup_cap=5)
    assert said == [OTHER_TEXT] * len(block.warmup_ms) + [TEXT]


def test_an_outlier_is_labelled_and_kept(run: Run) -> None:
    block = run(iter([1.0] * 4 + [1.0, 1.01, 9.0, 0.99, 1.0]), repeats=5, warmup_cap=4)
    assert [repeat.total_ms for repeat in block.repeats] == [1000.0, 1010.0, 9000.0, 990.0, 1000.0]
    assert [repeat.outlier for repeat in block.repeats] == ["", "", "high", "", ""]
