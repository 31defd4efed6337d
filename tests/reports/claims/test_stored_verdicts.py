"""What a sweep concluded, as reports read it: verdicts with the names of their cells, in the order of a page."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest
from report_blocks import as_reference, block, cell, evidence_of

from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.reports.claims.stored_verdicts import stored_verdicts
from kokoro_lab.reports.rows.evidence import Evidence

BASE, OTHER, LONG_BASE, LONG, COLD = (
    as_reference(cell()),
    cell(threads=1),
    as_reference(cell("long")),
    cell("long", threads=1),
    cell(state="cold"),
)


def row(base: Cell, candidate: Cell, **changed: Any) -> dict[str, Any]:
    told = {"kind": changed.pop("kind", "cell"), "gate": "close", "confidence": 0.99}
    figures = {"ratio": 0.8, "ratio_low": 0.75, "ratio_high": 0.85, "pairs": 8, "reason": "", "verdict": "faster"}
    return {
        "base_cell": base.id,
        "candidate_cell": candidate.id,
        "metric": "total_ms",
        **figures,
        "details": told,
        **changed,
    }


def concluded(*rows: dict[str, Any]) -> Evidence:
    blocks = [block(of, number) for number, of in enumerate((BASE, OTHER, LONG_BASE, LONG, COLD))]
    return dataclasses.replace(evidence_of(blocks), verdicts=pd.DataFrame(list(rows)))


def test_a_run_that_concluded_nothing_has_no_verdicts() -> None:
    assert stored_verdicts(concluded()) == []


def test_a_verdict_has_its_cells_names_its_ratio_and_its_own_confidence() -> None:
    (found,) = stored_verdicts(concluded(row(BASE, COLD)))
    assert (found.base, found.candidate) == ("cpu, 2 threads", "cpu, 2 threads, cold")
    assert (found.text_preset, found.characters, found.gate) == ("short", len(COLD.text), "close")
    assert found.ratio is not None
    assert (found.ratio.center, found.ratio.low, found.ratio.high) == (0.8, 0.75, 0.85)
    assert (found.ratio.count, found.ratio.confidence) == (8, 0.99)


def test_shorter_texts_come_first_whatever_the_order_of_the_table() -> None:
    found = stored_verdicts(concluded(row(LONG_BASE, LONG), row(BASE, OTHER)))
    assert [each.text_preset for each in found] == ["short", "long"]


def test_only_the_kinds_and_the_figure_that_are_asked_for_are_given() -> None:
    evidence = concluded(
        row(BASE, OTHER), row(BASE, OTHER, metric="ttfa_ms"), row(BASE, OTHER, kind="placebo", verdict="placebo")
    )
    assert [each.metric for each in stored_verdicts(evidence)] == ["total_ms", "ttfa_ms"]
    assert [each.metric for each in stored_verdicts(evidence, metric="ttfa_ms")] == ["ttfa_ms"]
    assert [each.verdict for each in stored_verdicts(evidence, ("placebo",))] == ["placebo"]
    assert len(stored_verdicts(evidence, ("cell", "placebo"))) == 3


def test_a_verdict_about_a_cell_that_this_run_does_not_have_is_left_out() -> None:
    foreign = cell(threads=16)
    assert stored_verdicts(concluded(row(BASE, foreign), row(foreign, OTHER))) == []


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_too_few_pairs_leave_a_ratio_without_an_interval_and_no_pairs_leave_none(missing: float | None) -> None:
    few, none = (
        stored_verdicts(concluded(row(BASE, OTHER, **changed)))[0].ratio
        for changed in ({"ratio_low": missing, "ratio_high": missing, "pairs": 2}, {"ratio": missing, "pairs": 0})
    )
    assert few is not None and (few.center, few.low, few.high, few.confidence) == (0.8, None, None, None)
    assert none is None
