"""Attacks on what is told: a headline from two cells, a figure of one block, a history of reruns.

The blocks are of the tiny model, about which a report says nothing: for the attack their rows are read as if they were
of the full one, and as if no other process had disturbed them, which is another check's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup, SelfTestCheck
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.reports.claims.claims import Claim
from kokoro_lab.reports.claims.resolution import resolve
from kokoro_lab.reports.findings.answer import ReportAnswer, answer
from kokoro_lab.reports.findings.change_history import ChangeHistory, change_history
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import StoreReader
from kokoro_lab.store.layout import Results
from kokoro_lab.store.sides import history as stored_runs

__all__ = ["CHECKS"]

OFTEN, ONCE, RERUNS = 6, 1, 4
SHORT, LONG = "hello", "short"
"""Two texts, the second several times as long as the first."""

TARGET = {
    "id": "first-audio-of-the-short-text",
    "topic": "Time to first audio",
    "kind": "target",
    "sources": ["self-test"],
    "words": "The short text starts within a minute.",
    "metric": "ttfa_ms",
    "scenario": "short text",
    "unit": "ms",
    "direction": "at most",
    "value": 60_000,
    "resolve": {"rows": {"text_preset": SHORT, "state": "warm"}, "notebook": "self_test"},
}


def _joined(setup: CheckSetup) -> CheckOutcome:
    """A long text of one block, beside a short one whose target is met."""
    short = setup.measure("headline", [{"text": SHORT}], blocks=OFTEN, retries=0)
    long = setup.measure("headline", [{"text": LONG}], blocks=ONCE, retries=0)
    blocks = len(long.blocks)
    said, evidence = _told(setup, "headline")
    sizes = dict(zip(evidence.cells["text_preset"], evidence.cells["characters"], strict=True))
    words = (
        f"One block of a longer text beside {OFTEN} of a short one that meets its target; the headline: {said.headline}"
    )
    if not (short.whole and long.whole):
        return CheckOutcome("undecided", words, blocks)
    of_long = f"{sizes[LONG]} characters" in said.headline
    fooled = of_long and "within the claimed target" in said.headline
    return CheckOutcome("failed" if fooled else "shown", words, blocks, details={"headline": said.headline})


def _one_block(setup: CheckSetup) -> CheckOutcome:
    """A run with nothing but one block."""
    run = setup.measure("one-block", [{"text": LONG}], blocks=ONCE, retries=0)
    said, _ = _told(setup, "one-block")
    words = f"A run of one block; the headline: {said.headline}"
    if not run.whole:
        return CheckOutcome("undecided", words, len(run.blocks))
    bare = [line.text for line in said.statements if line.figures and "one block" not in line.text]
    bare += [tile.value for tile in said.tiles if "one block" not in tile.interval]
    return CheckOutcome("failed" if bare else "shown", words, len(run.blocks), details={"bare": bare})


def _reruns(setup: CheckSetup) -> CheckOutcome:
    """Runs of one code, told to the history as they are, and as if they were of two commits."""
    groups = [{"text": SHORT, "intra_op_threads": [1, 2]}]
    runs = [setup.measure(f"rerun-{number}", groups, blocks=2, retries=0) for number in range(RERUNS)]
    blocks = sum(len(run.blocks) for run in runs)
    stored = stored_runs(StoreReader(Results(setup.folder).tables))
    half = RERUNS // 2
    stored = [replace(run, blocks=tuple(_quiet(block) for block in run.blocks)) for run in stored]
    labelled = [replace(run, commit=("a" if at < half else "b") * 40) for at, run in enumerate(stored)]
    as_they_are, relabelled = change_history(stored), change_history(labelled)
    words = (
        f"{len(stored)} runs of one code have {_points(as_they_are)}; with half of them labelled as another commit, "
        f"{_points(relabelled)} in {relabelled.series} series."
    )
    if not relabelled.series or relabelled.undecided:
        return CheckOutcome("undecided", words, blocks)
    fooled = as_they_are.changes or relabelled.changes
    return CheckOutcome("failed" if fooled else "shown", words, blocks)


def _quiet(block: Block) -> Block:
    return replace(block, quiet=replace(block.quiet, contaminated=False))


def _points(found: ChangeHistory) -> str:
    return f"{len(found.changes)} change points"


def _told(setup: CheckSetup, run_id: str) -> tuple[ReportAnswer, Evidence]:
    """What a report says of the run, read as a run of the full model."""
    tiny = Evidence.load(Results(setup.folder).tables, run_id)
    samples, cells = (frame.assign(architecture="full", contaminated=False) for frame in (tiny.samples, tiny.cells))
    evidence = Evidence.of(run_id, samples, cells, machines={}, versions=tiny.versions, run_dir=tiny.run_dir)
    return answer(evidence, [resolve(Claim.model_validate(TARGET), evidence)]), evidence


CHECKS: Mapping[str, SelfTestCheck] = {
    "joined-headline": SelfTestCheck(
        "a headline joins no figure of one text to the verdict on another", OFTEN + ONCE, _joined
    ),
    "one-block-figure": SelfTestCheck("a figure of one block is never told without saying so", ONCE, _one_block),
    "rerun-history": SelfTestCheck("reruns of one code give no change point in the history", 4 * RERUNS, _reruns),
}
