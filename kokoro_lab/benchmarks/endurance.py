"""Endurance: over many calls of mixed lengths in one session, memory stays flat and the samples stay the same."""

from __future__ import annotations

from kokoro_lab.benchmarks.benchmark import Benchmark, Contestant, Target
from kokoro_lab.benchmarks.figures import BenchmarkFigure
from kokoro_lab.measure.records.cell import REQUEST_SEPARATOR, Cell
from kokoro_lab.sweeps.preset_texts import preset_text
from kokoro_lab.variants.timing import OURS, bench_texts

__all__ = ["CALLS", "GROWTH", "SAMPLES", "endurance_benchmark"]

CALLS = 1000
"""Calls per process: about five minutes at full size on two quiet cores; a process is ended after fifteen."""
PRESETS = ("ultra-short", "hello", "short")
LENGTHS = (16, 50, 150)  # tokens
MOST_GROWTH = 0.02  # of the resident memory, from its steady state to the end
GROWTH = BenchmarkFigure("memory growth", "rss_growth", "", is_time=False)
SAMPLES = BenchmarkFigure("calls with different samples", "differing", "", is_time=False)


def endurance_benchmark(model: str, *, calls: int = CALLS, threads: int = 2, blocks: int = 2) -> Benchmark:
    """The benchmark of `calls` calls of six lengths in turn, in each of `blocks` processes."""
    texts = bench_texts()
    requests = [preset_text(name) for name in PRESETS] + [texts[tokens] for tokens in LENGTHS]
    case = f"{calls} calls"
    cell = Cell(
        model=model,
        text=REQUEST_SEPARATOR.join(requests),
        text_preset="mixed",
        intra_op_threads=threads,
        repeats=calls,
        warmup_cap=len(requests),
        engine_settings=OURS,
    )
    targets = (
        Target(GROWTH, model, (case,), bound=MOST_GROWTH),
        Target(SAMPLES, model, (case,), bound=0.0),
        Target(BenchmarkFigure("memory at the end", "rss_last_mb", "MB", is_time=False), model, (case,)),
    )
    return Benchmark("endurance", (Contestant(model, case, cell),), targets, reference=model, blocks=blocks)
