"""A run as the plan `quick` makes one, made up: variants, threads, streams, caches, cold starts, and a setting without
effect. Test data, not measurements."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from report_blocks import MACHINE, RUN, TEXTS, block, cell, rows_of, stored, write_clip

from kokoro_lab.measure.ceiling.operation_count import OperationCount
from kokoro_lab.measure.records.cell import Block, Cell, ModelReading
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.sweeps.conclude import conclude
from kokoro_lab.sweeps.machine_ceiling import ceiling_rows

__all__ = ["varied_run"]

ROUNDS = 10
PLAIN_MS = {"short": 1450.0, "medium": 3350.0, "long": 5700.0}
SPEED = {"stand-in": 1.0, "stand-in-kernels-fp32": 3.3, "stand-in-kernels-int16": 4.9, "stand-in-int8": 1.8}
PRECISIONS = {"stand-in-kernels-int16": "int16", "stand-in-int8": "int8"}
RATES = {"1": {"fp32": 100e9, "int8": 300e9}, "2": {"fp32": 200e9, "int8": 600e9}}
WORK = {"fp32": OperationCount(1e8, 5e7, 5.0, 2e8)}


def varied_run(folder: Path, *, rounds: int = ROUNDS, run_id: str = RUN, quicker: float = 1.0, **rest: object) -> Path:
    """The tables of the run, judged; its audio is beside them.

    `rounds`: blocks of each cell; five or fewer decide nothing. `quicker`: divides every time. `rest`: as for `block`.
    """
    random = np.random.default_rng(11)
    clip = write_clip(folder / "results" / "runs" / run_id / "audio" / "clip.npy")
    blocks = [
        made
        for of, ms, gate in _cells()
        for made in _blocks(of, ms / quicker, gate, rounds, random, audio_path=str(clip), **rest)
    ]
    blocks.append(block(cell("short", provider="coreml"), 0, status="unavailable", error="not built in", share=0.0))
    tables = stored(folder, [], run_id)
    store = Store(tables)
    record = RunRecord(
        run_id=run_id,
        plan="quick",
        notebook="providers",
        machine_id=MACHINE,
        git_commit="c0ffee" * 6,
        run_dir=str(tables.parent / "runs" / run_id),
    )
    store.merge(rows_of(record, blocks))
    conclude(store, run_id, {item.cell.id for item in blocks})
    work = {kind: terms.as_dict() for kind, terms in WORK.items()}
    known = {_sha(name): {"model": name, "work": work} for name in SPEED}
    store.store_verdicts(run_id, list(ceiling_rows(run_id, {"peaks": RATES, "work": known})))
    return tables


def _cells() -> list[tuple[Cell, float, str]]:
    """Every cell, the time of its first sound in ms, and the result of its audio gate."""
    cells: list[tuple[Cell, float, str]] = []
    for preset, plain in PLAIN_MS.items():
        cells.append((dataclasses.replace(cell(preset), reference=True), plain, "equivalent"))
        for model, speed in list(SPEED.items())[1:]:
            gate = "close" if model.endswith("int8") else "equivalent"
            cells.append((cell(preset, model=model), plain / speed, gate))
    medium = PLAIN_MS["medium"]
    for settings, factor in (
        ({"spinning": False}, 1.08),
        ({"arena": False}, 1.0),
        ({"phoneme_cache": 1000}, 0.998),
        ({"audio_cache_mb": 64}, 0.002),
    ):
        cells.append((cell("medium", engine_settings=tuple(settings.items())), medium * factor, "equivalent"))
    cells.append((cell("medium", threads=1), medium * 1.9, "equivalent"))
    for preset in ("short", "long"):
        cells.append((cell(preset, delivery="stream"), 700.0, "different"))
        cells.append((cell(preset, delivery="stream", model="stand-in-kernels-int16"), 160.0, "different"))
    cells.append((cell("short", state="cold"), 3600.0, "equivalent"))
    cells.append((cell("short", state="cold", model="stand-in-kernels-int16"), 2500.0, "equivalent"))
    return cells


def _blocks(
    of: Cell, ms: float, gate: str, rounds: int, random: np.random.Generator, *, audio_path: str, **rest: object
) -> list[Block]:
    cold, streamed = of.state == "cold", of.delivery == "stream"
    whole = PLAIN_MS[of.text_preset] / SPEED[of.model] if streamed else ms
    made = []
    for number in range(rounds):
        noise = 1 + 0.012 * random.standard_normal()
        repeats = 1 if cold else 3
        totals = tuple(float(whole * noise * (1 + 0.004 * random.standard_normal())) for _ in range(repeats))
        item = block(
            of,
            number,
            totals,
            ttfa_ms=tuple(ms * noise for _ in range(repeats)) if streamed else None,
            gate=gate,
            audio_path=audio_path if number == 0 and of.delivery == "whole" else "",
            rss_mb=990.0 if "kernels" in of.model else 1240.0,
            digest=_digest(of),
            **rest,
        )
        model = ModelReading(
            of.model, _sha(of.model), "stand-in", item.result.model.architecture, PRECISIONS.get(of.model, "fp32")
        )
        durations = (3,) * (len(TEXTS[of.text_preset]) + 2)
        made.append(
            dataclasses.replace(item, result=dataclasses.replace(item.result, model=model, durations=durations))
        )
    return made


def _digest(of: Cell) -> str:
    """What the session took of the settings: the memory arena's switch changes nothing."""
    settings = [pair for pair in of.engine_settings if pair[0] != "arena"]
    return hashlib.sha256(repr((of.model, of.intra_op_threads, settings)).encode()).hexdigest()[:16]


def _sha(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()
