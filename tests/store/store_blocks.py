"""Blocks as the sampler would yield them, with figures that follow from their key."""

from __future__ import annotations

from kokoro_lab.measure.cell import (
    Block,
    BlockResult,
    Cell,
    GateReading,
    ModelReading,
    ProviderReading,
    QuietReading,
    Repeat,
)
from kokoro_lab.store import RunRecord

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
