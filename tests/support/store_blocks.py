"""Blocks as the sampler would yield them, with figures that follow from their key."""

from __future__ import annotations

import dataclasses

import numpy as np

from kokoro_lab.measure.records.cell import (
    Block,
    BlockResult,
    Cell,
    GateReading,
    ModelReading,
    ProviderReading,
    QuietReading,
    Repeat,
)
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.store.rows import cell_row, sample_rows
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.table import arrow_rows

MODEL = ModelReading(name="tiny", sha256="ab" * 32, weights="stand-in", architecture="tiny", precision="fp32")
RECORD = RunRecord(
    run_id="r1", plan="test", notebook="providers", machine_id="m", software_id="s", models={"tiny": MODEL}
)


def cell(threads: int = 1, **factors: object) -> Cell:
    values = {"model": "tiny", "text": "Hello world!", "text_preset": "short", "intra_op_threads": threads, **factors}
    return Cell.from_dict(values)


def repeat(number: int, total_ms: float) -> Repeat:
    return Repeat(
        repeat=number,
        total_ms=total_ms,
        ttfa_ms=total_ms,
        audio_s=1.0,
        speech_s=1.0,
        rtf=total_ms / 1000,
        normalise_ms=0.0,
        phonemise_ms=1.0,
        tokenise_ms=0.0,
        infer_ms=total_ms - 1.0,
        post_process_ms=0.0,
        other_ms=0.0,
        rss_mb=100.0,
        steady=True,
    )


def block(number: int = 0, *, of: Cell | None = None, repeats: int = 3, total_ms: float = 10.0) -> Block:
    return Block(
        cell=of or cell(),
        block=number,
        order=number,
        round=number,
        result=BlockResult(
            status="ok",
            repeats=tuple(repeat(index, total_ms) for index in range(repeats)),
            became_steady=True,
            load_ms={"import": 100.0},
            provider=ProviderReading(requested="cpu", effective="cpu", share=1.0, nodes={"cpu": 7}),
            model=MODEL,
            durations=(1, 2, 3),
        ),
        quiet=QuietReading(contaminated=False, other_cpu_share=0.01),
        gate=GateReading(verdict="equivalent", reference="ffff", log_mel_db=0.0, durations_equal=True),
        started_at=f"2026-11-20T10:00:{number % 60:02d}+00:00",
        wall_s=1.0,
    )


def failed(number: int = 0, *, of: Cell | None = None, status: str = "error") -> Block:
    result = BlockResult.from_dict({"status": status, "error": "The provider is not in this build."})
    return Block(
        cell=of or cell(provider="cuda"),
        block=number,
        order=number,
        round=number,
        result=result,
        quiet=QuietReading(contaminated=False),
        started_at="2026-11-20T10:00:00+00:00",
    )


REFERENCE = cell(2, reference=True)
SLOWER = cell(1)


def rounds(of: Cell, total_ms: float, count: int = 12, *, spread: float = 0.004, **changed: object) -> list[Block]:
    """One block a round, around `total_ms`; the noise follows from the cell and the figure."""
    rng = np.random.default_rng([int(of.id, 16) % 2**32, round(total_ms * 1000)])
    made = []
    for number in range(count):
        made.append(block(number, of=of, total_ms=total_ms * float(np.exp(rng.normal(0.0, spread)))))
    return [dataclasses.replace(item, **changed) for item in made]


def keep(store: Store, run_id: str, *blocks: Block, **record: object) -> None:
    """Put blocks into the store as a run of its own, all in one commit a table."""
    shared = dataclasses.replace(RECORD, run_id=run_id, **record)
    cells = arrow_rows(TABLES["cells"], [cell_row(shared, item) for item in blocks])
    samples = arrow_rows(TABLES["samples"], [row for item in blocks for row in sample_rows(shared, item)])
    store.merge({"cells": cells, "samples": samples})


def judged(verdict: str) -> GateReading:
    return GateReading.from_dict({"verdict": verdict, "reference": REFERENCE.id})
