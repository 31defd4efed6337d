"""Made-up blocks, put through the real store: test data, not measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from kokoro_lab.measure.machine.fingerprint import Fingerprint
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
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.store.rows import cell_row, sample_rows
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.table import arrow_rows

RUN = "made-run"
MACHINE = "0123456789abcdef"
SOFTWARE = "fedcba9876543210"
TEXTS = {
    "ultra-short": "Hi",
    "short": "The quick brown fox jumps over the lazy dog near the river.12",
    "medium": "The quick brown fox jumps over the lazy dog near the river bank. " * 2 + "And then home.",
    "long": "The quick brown fox jumps over the lazy dog near the river bank. " * 4,
}
STAGES = ("normalise_ms", "phonemise_ms", "tokenise_ms", "post_process_ms", "other_ms")


def cell(preset: str = "short", *, threads: int = 2, state: str = "warm", **rest: object) -> Cell:
    values = {"model": "stand-in", "text": TEXTS[preset], "text_preset": preset, "intra_op_threads": threads}
    return Cell(**{**values, "state": state, **rest})


def block(
    of: Cell,
    number: int = 0,
    total_ms: Sequence[float] = (100.0, 101.0, 102.0),
    *,
    ttfa_ms: Sequence[float] | None = None,
    gate: str = "equivalent",
    contaminated: bool = False,
    status: str = "ok",
    error: str = "",
    architecture: str = "full",
    weights: str = "stand-in",
    digest: str = "digest",
    rss_mb: float = 900.0,
    share: float = 1.0,
    audio_path: str = "",
    **rest: object,
) -> Block:
    speech_s = 0.065 * len(of.text)
    repeats = tuple(
        Repeat(
            repeat=index,
            total_ms=total,
            ttfa_ms=total if ttfa_ms is None else ttfa_ms[index],
            audio_s=speech_s + 0.1,
            speech_s=speech_s,
            rtf=total / 1000 / speech_s,
            **dict.fromkeys(STAGES, total * 0.01),
            infer_ms=total * 0.95,
            rss_mb=rss_mb,
            steady=True,
        )
        for index, total in enumerate(total_ms)
    )
    failed = status in ("error", "unavailable")
    load = {"spawn": 40.0, "import": 380.0, "model": 60.0, "session": 900.0, "voices": 15.0, "g2p": 800.0}
    other = "CPUExecutionProvider"
    result = BlockResult(
        status=status,
        error=error,
        repeats=() if failed else repeats,
        warmup_ms=(120.0, 101.0),
        became_steady=True,
        load_ms={}
        if failed
        else {**load, "first_call": float(np.median(total_ms)) - (sum(load.values()) if of.state == "cold" else 0.0)},
        cold={"file_cache": "dropped", "process": "fresh"},
        rss_peak_mb=None if failed else rss_mb + 100,
        rss_steady_mb=None if failed else rss_mb,
        provider=ProviderReading(
            requested=of.provider,
            effective="" if failed else "cpu",
            share=share,
            nodes={} if failed else {other: 1500},
        ),
        settings_digest="" if failed else digest,
        model=ModelReading("stand-in", "ab" * 32, weights, architecture, "fp32"),
        versions={"python": "3.11.0", "onnxruntime": "1.31.1", "numpy": "2.4.6", "kokoro_lab": "0.1.0"},
    )
    values = {
        "cell": of,
        "block": number,
        "order": number,
        "round": number,
        "result": result,
        "quiet": QuietReading(contaminated=contaminated, reason="busy" if contaminated else "", other_cpu_share=0.01),
        "gate": None if failed else GateReading(verdict=gate, reference="f" * 12, log_mel_db=0.0),
        "started_at": f"2026-11-20T10:{number % 60:02d}:00+00:00",
        "wall_s": 3.0,
        "audio_path": audio_path,
    }
    return Block(**{**values, **rest})


def stored(folder: Path, blocks: Sequence[Block], run_id: str = RUN) -> Path:
    """The tables under `folder` with these blocks in them."""
    tables = folder / "results" / "tables"
    store = Store(tables)
    facts = {
        "cpu_model": "Test CPU",
        "logical_cores": 2,
        "physical_cores": 1,
        "memory_gib": 8,
        "system": "Linux",
        "distribution": "Test Linux 1",
        "architecture": "x86_64",
    }
    store.append_machine(Fingerprint(facts, MACHINE), Fingerprint({"python": "3.11.0"}, SOFTWARE))
    record = RunRecord(
        run_id=run_id,
        plan="quick",
        notebook="providers",
        machine_id=MACHINE,
        git_commit="c0ffee" * 6,
        run_dir=str(tables.parent / "runs" / run_id),
    )
    for item in blocks:
        store.append_block(record, item)
    return tables


def rows_of(record: RunRecord, blocks: Sequence[Block]) -> dict[str, pa.Table]:
    """The rows of these blocks as a store takes them, in one piece a table."""
    cells = [cell_row(record, item) for item in blocks]
    samples = [row for item in blocks for row in sample_rows(record, item)]
    return {name: arrow_rows(TABLES[name], rows) for name, rows in (("cells", cells), ("samples", samples))}


def evidence_of(blocks: Sequence[Block], *, notebook: str = "made", run_dir: Path | None = None) -> Evidence:
    """The rows of these blocks as a store would give them back, without the files."""
    rows = rows_of(RunRecord(run_id=RUN, notebook=notebook, machine_id=MACHINE), blocks)
    frames = {name: Store.decoded(name, table) for name, table in rows.items()}
    return Evidence.of(RUN, frames["samples"], frames["cells"], machines={}, versions={}, run_dir=run_dir or Path())


def repeated(of: Cell, medians: Sequence[float], **rest: object) -> list[Block]:
    """One block a median, each with three repeats around it."""
    return [
        block(of, number, tuple(median * factor for factor in (0.99, 1.0, 1.01)), **rest)
        for number, median in enumerate(medians)
    ]


def as_reference(of: Cell) -> Cell:
    return dataclasses.replace(of, reference=True)


def quick_run(folder: Path, **rest: object) -> Path:
    """A whole small sweep: four texts, two thread counts, cold starts, an unavailable provider, one disturbed block."""
    random = np.random.default_rng(7)
    blocks: list[Block] = []
    clip = write_clip(folder / "results" / "runs" / RUN / "audio" / "clip.npy")
    for preset, base in (("ultra-short", 260.0), ("short", 1450.0), ("medium", 3350.0), ("long", 5700.0)):
        for threads, factor in ((1, 1.85), (2, 1.0)):
            of = cell(preset, threads=threads, reference=threads == 2)
            medians = base * factor * (1 + 0.02 * random.standard_normal(6))
            blocks += [
                block(
                    of,
                    number,
                    tuple(float(median) * (1 + 0.01 * random.standard_normal(3))),
                    contaminated=preset == "short" and threads == 1 and number == 1,
                    audio_path=str(clip) if number == 0 else "",
                    rss_mb=820.0 + base / 10,
                    **rest,
                )
                for number, median in enumerate(medians)
            ]
    cold = cell("short", state="cold")
    blocks += [block(cold, number, (3600.0 + 40 * number,), **rest) for number in range(3)]
    missing = cell("short", provider="coreml")
    blocks.append(block(missing, 0, status="unavailable", error="CoreML is not part of this onnxruntime.", share=0.0))
    return stored(folder, blocks)


def write_clip(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(24_000 * 1.5)) / 24_000
    np.save(path, (0.2 * np.sin(2 * np.pi * 180 * time)).astype(np.float32))
    return path
