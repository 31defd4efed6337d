"""Recommendations follow from what the sweep decided: where nothing was decided, nothing is recommended."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from report_blocks import RUN, as_reference, cell, repeated, stored

from kokoro_lab.measure.records.cell import Block
from kokoro_lab.measure.statistics.verdicts import counterparts
from kokoro_lab.reports.findings.recommend import Advice, advice, next_steps, no_effect_lines
from kokoro_lab.reports.rows.evidence import Evidence, recipe_of
from kokoro_lab.store import Store
from kokoro_lab.sweeps.conclude import conclude
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.plan import load_plan

REFERENCE, OTHER, THIRD = as_reference(cell()), cell(threads=1), cell(threads=4)
REFERENCE_LABEL, OTHER_LABEL, THIRD_LABEL = "cpu, 2 threads", "cpu, 1 thread", "cpu, 4 threads"

Concluded = Callable[..., Evidence]


@pytest.fixture
def concluded(tmp_path: Path) -> Concluded:
    """The evidence of a run of its own, with what the sweep concluded from it."""
    number = itertools.count()

    def concluded(*blocks: Block) -> Evidence:
        tables = stored(tmp_path / str(next(number)), blocks)
        conclude(Store(tables), RUN, {block.cell.id for block in blocks})
        return Evidence.load(tables)

    return concluded


def around(ms: float, blocks: int = 8, spread: float = 0.004) -> list[float]:
    rng = np.random.default_rng(round(ms))
    return [float(ms * np.exp(noise)) for noise in rng.normal(0.0, spread, blocks)]


def timed(evidence: Evidence) -> list[Advice]:
    """Advice on times; that on memory and quality comes last."""
    return [line for line in advice(evidence) if line.goal.startswith(("Shortest", "Highest"))]


def test_a_setting_that_was_shown_to_be_faster_is_recommended_with_what_it_buys(concluded: Concluded) -> None:
    evidence = concluded(*repeated(REFERENCE, around(100)), *repeated(OTHER, around(80)))
    lines = timed(evidence)
    assert len(lines) == 2
    for line in lines:
        assert line.setting == OTHER_LABEL and line.measured
        assert f"faster than {REFERENCE_LABEL}" in line.buys and line.buys.startswith(("1.24x", "1.25x", "1.26x"))
    assert lines[0].measured.startswith(("80", "79"))


@pytest.mark.parametrize(
    "other",
    [
        repeated(OTHER, around(120)),
        repeated(OTHER, around(80, blocks=2)),
        repeated(OTHER, around(80), gate="different"),
        repeated(OTHER, around(80), contaminated=True),
    ],
    ids=["slower", "too few blocks", "other audio", "disturbed"],
)
def test_what_was_not_shown_to_be_faster_at_equivalent_audio_is_not_recommended(
    concluded: Concluded, other: list[Block]
) -> None:
    lines = timed(concluded(*repeated(REFERENCE, around(100)), *other))
    assert all(line.setting == "" and line.measured == "" for line in lines)


def test_a_faster_setting_of_close_audio_has_a_line_of_its_own(concluded: Concluded) -> None:
    evidence = concluded(
        *repeated(REFERENCE, around(100)), *repeated(OTHER, around(80)), *repeated(THIRD, around(50), gate="close")
    )
    by_setting = [line.setting for line in timed(evidence)]
    assert by_setting == [OTHER_LABEL, THIRD_LABEL] * 2
    alone = concluded(*repeated(REFERENCE, around(100)), *repeated(THIRD, around(50), gate="close"))
    assert THIRD_LABEL in {line.setting for line in timed(alone)}


def test_the_least_memory_is_recommended_only_below_the_references(concluded: Concluded) -> None:
    def memory(evidence: Evidence) -> Advice:
        (line,) = (line for line in advice(evidence) if "memory" in line.goal)
        return line

    less = memory(concluded(*repeated(REFERENCE, around(100)), *repeated(OTHER, around(100), rss_mb=400.0)))
    assert less.setting == OTHER_LABEL and less.measured.startswith("500")
    assert " % less memory than " in less.buys and less.buys.startswith("5")


def test_memory_of_a_setting_that_takes_more_is_not_recommended(concluded: Concluded) -> None:
    evidence = concluded(*repeated(REFERENCE, around(100)), *repeated(OTHER, around(100), rss_mb=2000.0))
    assert [line.setting for line in advice(evidence) if "memory" in line.goal] == [""]


def test_tiny_rows_recommend_nothing(concluded: Concluded) -> None:
    evidence = concluded(
        *repeated(REFERENCE, around(100), architecture="tiny"), *repeated(OTHER, around(50), architecture="tiny")
    )
    assert advice(evidence) == [] == next_steps(evidence, [])


def test_an_undecided_setting_that_looks_faster_is_what_to_measure_next(concluded: Concluded) -> None:
    evidence = concluded(*repeated(REFERENCE, around(100, blocks=3)), *repeated(OTHER, around(80, blocks=3)))
    assert any(OTHER_LABEL in step for step in next_steps(evidence, []))
    slower = concluded(*repeated(THIRD, around(120, blocks=3)))
    assert not any(THIRD_LABEL in step for step in next_steps(slower, []))


def test_two_levels_with_one_effect_are_named_once(concluded: Concluded) -> None:
    placebo = concluded(*repeated(REFERENCE, around(100), digest="same"), *repeated(OTHER, around(100), digest="same"))
    assert len(no_effect_lines(placebo)) == 1


def test_two_levels_with_effects_of_their_own_are_no_placebo(concluded: Concluded) -> None:
    evidence = concluded(
        *repeated(REFERENCE, around(100), digest="first"), *repeated(OTHER, around(100), digest="second")
    )
    assert no_effect_lines(evidence) == []


def compared_texts(job: Job) -> set[str]:
    """The texts that recommendations name: those at which a warm cell of the job is compared with another."""
    pairs = counterparts(item.cell for item in job.planned())
    return {cell.text_preset for cell in pairs if cell.state == "warm" and not cell.replica}


@pytest.mark.parametrize("plan", ["decide", "full"])
def test_a_plan_measures_every_variant_at_every_text_that_a_recommendation_names(plan: str, tmp_path: Path) -> None:
    """A setting that is called the fastest of a text was compared with every variant there, not with some of them."""
    jobs = load_plan(plan).jobs("r1", tmp_path)
    (job,) = [job for job in jobs if job.notebook == "providers"]
    variants = variants_of(load_plan("full").jobs("r1", tmp_path)) - set(ONE_TEXT)
    assert {"int8", "kernels-fp32", "kernels-int16"} < variants
    texts = compared_texts(job)
    assert {"ultra-short", "short"} <= texts
    for text in texts:
        cells = {item.cell for item in job.planned() if item.cell.text_preset == text and item.cell.state == "warm"}
        here = {recipe_of(cell.model) for cell in cells if cell.delivery == "whole"}
        assert variants <= here, (text, variants - here)


ONE_TEXT = {"tokens-66": "takes texts of one length"}
"""Variants that no plan measures at every text, and why."""


def variants_of(jobs: Sequence[Job]) -> set[str]:
    """The recipes of the models that these jobs measure."""
    return {recipe_of(item.cell.model) for job in jobs for item in job.planned()} - {""}
