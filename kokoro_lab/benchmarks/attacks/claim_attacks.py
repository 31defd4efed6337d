"""Attacks on the resolution of claims: rows from which a claim would follow that is not true.

Each attack measures a block of the tiny model, passes it off as many blocks of the full one with figures of the
attacker's choice, stores them, and asks what the claim says.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup, SelfTestCheck
from kokoro_lab.files.writing import scratch_folder
from kokoro_lab.measure.records.cell import Block, Cell, GateReading
from kokoro_lab.measure.statistics import selection
from kokoro_lab.measure.statistics.intervals import median_interval
from kokoro_lab.reports.claims.claims import Claim
from kokoro_lab.reports.claims.resolution import Resolution, resolve
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.store.rows import cell_row, sample_rows
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.table import arrow_rows

__all__ = ["CHECKS"]

NOTEBOOK, RUN = "self_test", "attack"
BAR_MS = 100.0
CELLS, BLOCKS, NOISE = 40, 12, 0.05
TRIALS = 1_000
ALLOWED = 0.025 + 3.29 * (0.025 * 0.975 / TRIALS) ** 0.5
"""One-sided error of a 95 % interval, and the sampling error of the trials at 99.9 %."""
PLAYED_S = 60.0
SPEED_UP = 0.5


def _template(setup: CheckSetup) -> Block:
    """A really measured block of the tiny model."""
    return setup.measure("template", [{"text": "hello"}], blocks=1, retries=0).blocks[0]


def _forged(template: Block, cell: Cell, number: int, total_ms: float, **figures: float) -> Block:
    """The template as an undisturbed, equivalent block of the full model, in which every call took `total_ms`."""
    model = template.result.model
    result = dataclasses.replace(
        template.result,
        repeats=tuple(
            dataclasses.replace(repeat, total_ms=total_ms, ttfa_ms=total_ms) for repeat in template.result.repeats
        ),
        model=None if model is None else dataclasses.replace(model, name=cell.model, architecture="full"),
        settings_digest=cell.id,
        figures={**template.result.figures, **figures},
    )
    return dataclasses.replace(
        template,
        cell=cell,
        block=number,
        order=number,
        round=number,
        result=result,
        gate=GateReading(verdict="equivalent", reference="f" * 12, log_mel_db=0.0),
        quiet=dataclasses.replace(template.quiet, contaminated=False, reason=""),
        audio_path="",
    )


def _cell(template: Block, **changed: Any) -> Cell:
    return dataclasses.replace(template.cell, **{"model": "stand-in", "reference": False, **changed})


def _claim(resolve_by: Mapping[str, Any], **changed: Any) -> Claim:
    usual = {
        "topic": "Attack",
        "kind": "target",
        "sources": ["attack"],
        "words": "A claim that is not true.",
        "metric": "total_ms",
        "scenario": "attack",
        "unit": "ms",
        "direction": "at most",
        "value": BAR_MS,
    }
    way = {**resolve_by, "notebook": NOTEBOOK}
    return Claim.model_validate({"id": "attack", **usual, "resolve": way, **changed})


def _stored(
    setup: CheckSetup, blocks: Sequence[Block], claim: Claim, verdicts: Sequence[Mapping[str, Any]] = ()
) -> Resolution:
    """What the claim says of these blocks, stored and read as those of a run."""
    with scratch_folder(setup.folder) as work:
        store = Store(work / "tables")
        record = RunRecord(run_id=RUN, plan="attack", notebook=NOTEBOOK)
        for block in blocks:
            store.append_block(record, block)
        if verdicts:
            store.store_verdicts(RUN, list(verdicts))
        return resolve(claim, Evidence.load(work / "tables", RUN))


def _at_once(blocks: Sequence[Block], claim: Claim) -> Resolution:
    """What the claim says of these blocks, as rows in memory: hundreds of commits would take minutes."""
    record = RunRecord(run_id=RUN, plan="attack", notebook=NOTEBOOK)
    rows: dict[str, list[dict[str, Any]]] = {
        "cells": [cell_row(record, block) for block in blocks],
        "samples": [row for block in blocks for row in sample_rows(record, block)],
    }
    frames = {name: Store.decoded(name, arrow_rows(TABLES[name], own)) for name, own in rows.items()}
    rest: dict[str, Any] = {"machines": {}, "versions": {}, "run_dir": Path()}
    return resolve(claim, Evidence.of(RUN, frames["samples"], frames["cells"], **rest))


def _told(resolution: Resolution, blocks: int, words: str) -> CheckOutcome:
    """Fooled when the claim is met."""
    said = f"the claim is {resolution.verdict}" + (f" ({resolution.reason})" if resolution.reason else "")
    return CheckOutcome("failed" if resolution.verdict == "met" else "shown", f"{words}: {said}.", blocks)


def _luckiest(setup: CheckSetup) -> CheckOutcome:
    rng = np.random.default_rng(7)
    confidence = selection.confidence_each(CELLS)
    below, lucky = 0, None
    for values in BAR_MS * rng.lognormal(0.0, NOISE, (TRIALS, CELLS, BLOCKS)):
        judged = selection.lowest([median_interval(list(row), confidence=confidence) for row in values])
        below += judged.known and (judged.high or 0.0) < BAR_MS
        own = median_interval(list(values[np.argmin(np.median(values, axis=1))]))
        if lucky is None and own.high is not None and own.high < BAR_MS:
            lucky = values
    if lucky is None:
        return CheckOutcome("undecided", "No trial had a lucky cell.", 0)
    template = _template(setup)
    settings = [{"breaker_cooldown_s": 61.0 + number} for number in range(CELLS)]
    blocks = _lucky_blocks(template, settings, lucky)
    filters = {"text_preset": "hello", "engine_settings": settings}
    found = _at_once(blocks, _claim({"rows": filters}))
    share = below / TRIALS
    words = (
        f"With every truth on the bar, the best of {CELLS} cells lies wholly below it in {share:.1%} of {TRIALS} runs; "
        "of a run chosen for its lucky cell"
    )
    outcome = _told(found, 1, words)
    return dataclasses.replace(outcome, verdict="failed") if share > ALLOWED else outcome


def _lucky_blocks(
    template: Block, settings: Sequence[Mapping[str, float]], values: npt.NDArray[np.float64]
) -> list[Block]:
    blocks = []
    for own, row in zip(settings, values, strict=True):
        cell = _cell(template, engine_settings=tuple(own.items()))
        blocks += [_forged(template, cell, number, float(value)) for number, value in enumerate(row)]
    return blocks


def _twin(setup: CheckSetup) -> CheckOutcome:
    template = _template(setup)
    blocks = [
        _forged(template, _cell(template, replica=replica), number, level)
        for replica, level in ((0, 1.2 * BAR_MS), (1, SPEED_UP * BAR_MS))
        for number in range(8)
    ]
    found = _stored(setup, blocks, _claim({"rows": {"text_preset": "hello"}}))
    return _told(found, 1, "The second cell of an A/A pair is below the bar, and the cell itself above it")


def _no_events(setup: CheckSetup) -> CheckOutcome:
    template = _template(setup)
    cell = _cell(template, delivery="stream")
    figures = {"underruns": 0.0, "streamed_s": PLAYED_S / 6}
    blocks = [_forged(template, cell, number, BAR_MS, **figures) for number in range(6)]
    claim = _claim({"rows": {"text_preset": "hello", "delivery": "stream"}}, metric="underruns", unit="gaps", value=1)
    words = f"No gap in {PLAYED_S:.0f} s of playback is offered for at most one in ten minutes"
    return _told(_stored(setup, blocks, claim), 1, words)


def _other_text(setup: CheckSetup) -> CheckOutcome:
    template = _template(setup)
    setting = (("spinning", False),)
    made, ids = [], {}
    for preset, effect in (("short", SPEED_UP), ("hello", 1.0)):
        for name, settings, level in (("base", (), BAR_MS), ("candidate", setting, effect * BAR_MS)):
            cell = _cell(template, text_preset=preset, text=f"{preset}.", engine_settings=settings)
            ids[preset, name] = cell.id
            made += [_forged(template, cell, number, level) for number in range(6)]
    told = {"metric": "total_ms", "verdict": "faster", "ratio": SPEED_UP, "ratio_low": 0.45, "ratio_high": 0.55}
    row = {
        "run_id": RUN,
        **{f"{name}_cell": ids["short", name] for name in ("base", "candidate")},
        **told,
        "minimum_effect": 0.03,
        "margin": 0.03,
        "pairs": 6,
        "reason": "",
        "made_at": datetime.datetime.now(datetime.UTC),
        "details": {"kind": "cell", "gate": "equivalent", "evidence": "attack"},
    }
    hello = {"text_preset": "hello"}
    sides = {"baseline": hello, "candidate": {**hello, "engine_settings": dict(setting)}}
    claim = _claim({"compare": sides}, kind="gain", unit="% less", direction="at least", value=30)
    words = "A setting that halves the time of another text, as the sweep's verdict says, does nothing for the claim's"
    return _told(_stored(setup, made, claim, [row]), 1, words)


CHECKS: Mapping[str, SelfTestCheck] = {
    "claim-luckiest": SelfTestCheck("the luckiest of forty cells meets no claim", 1, _luckiest),
    "claim-twin": SelfTestCheck("the second cell of an A/A pair stands for no claim", 1, _twin),
    "claim-no-events": SelfTestCheck("no gap in a minute is not no gap in ten", 1, _no_events),
    "claim-other-text": SelfTestCheck("a claim takes no verdict of another text", 1, _other_text),
}
