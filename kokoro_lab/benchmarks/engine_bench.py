"""Compare our engine, as a user gets it by default, with kokoro-onnx on the same weights and voice: latency and memory.

The peer reads the model's file; our engine runs its exact form on compiled kernels, or the same file without kernels.

Every figure comes from interleaved fresh processes: the time from process start to first audio, "Hello world!" warm, a
paragraph streamed by a process that has only spoken another text, and memory after mixed requests and in the idle time
after them. The peer receives the phonemes that our engine speaks, so its times include no G2P, while ours do. Ratios
are ours over the peer's; lower is better. `best` adds a variant of ours with its own targets, which count as long as
its speech is equivalent or close.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kokoro_lab.benchmarks.benchmark import Benchmark, Contestant, Target
from kokoro_lab.benchmarks.figures import BenchmarkFigure
from kokoro_lab.measure.records.cell import REQUEST_SEPARATOR, Cell
from kokoro_lab.sweeps.preset_texts import preset_text
from kokoro_lab.variants.timing import OURS, Settings

__all__ = ["MIXED", "PEER", "EnginePlan", "engine_benchmark", "paragraph"]

PEER = "kokoro-onnx"
PARAGRAPH_CHARS = 827
MIXED = (*("ultra-short",) * 9, *("hello",) * 3, "short", *("ultra-short",) * 8, *("hello",) * 3, "medium")
"""A cycle of requests; they are mostly short, so that six rounds of 200 requests take less than half an hour."""
HITS = 100  # a p95 needs 59 samples
PRIMER_HITS = 60
PROCESSES = 6  # needed to judge a p95, as repeats of one process are not independent

COLD, HELLO, PARAGRAPH, REQUESTS = "hello, new process", "hello", "paragraph", "mixed requests"
CACHED, PRIMED = "hello, cached", "short, first segment cached"

FIRST_SOUND = BenchmarkFigure("first sound of the paragraph", "ttfa_ms")
WHOLE = BenchmarkFigure("whole paragraph", "total_ms")
WARM = BenchmarkFigure("hello, warm", "total_ms")
START = BenchmarkFigure("process to first sound", "ttfa_ms")
MEMORY = BenchmarkFigure("memory after mixed requests", "rss_last_mb", "MB", is_time=False)
IDLE_MEMORY = BenchmarkFigure("memory when idle after them", "rss_idle_mb", "MB", is_time=False)
CASES: Mapping[BenchmarkFigure, str] = {
    FIRST_SOUND: PARAGRAPH,
    WHOLE: PARAGRAPH,
    WARM: HELLO,
    START: COLD,
    MEMORY: REQUESTS,
    IDLE_MEMORY: REQUESTS,
}

TARGET_RATIOS: Mapping[BenchmarkFigure, float] = {
    FIRST_SOUND: 0.05,
    WHOLE: 0.4,
    WARM: 0.4,
    START: 0.85,
    MEMORY: 0.6,
    IDLE_MEMORY: 0.6,
}
"""BenchmarkFigure -> maximum ratio of ours to the peer's, with the same weights."""
BEST_TARGET_RATIOS: Mapping[BenchmarkFigure, float] = {FIRST_SOUND: 0.05, WHOLE: 0.4, WARM: 0.4, START: 0.75}
"""The same for the variant `best`."""

UNDERRUNS = BenchmarkFigure("underruns", "underruns", "", is_time=False)
FIRST_WORDS = BenchmarkFigure("words of the first segment", "first_segment_words", "", is_time=False)
LEAST_WORDS = 3.0
OWN_TARGETS: Mapping[BenchmarkFigure, tuple[str, float]] = {
    BenchmarkFigure("cache hit, p95", "total_ms p95", processes=PROCESSES): (CACHED, 10.0),
    BenchmarkFigure("primer hit, p95", "ttfa_ms p95", processes=PROCESSES): (PRIMED, 25.0),
    BenchmarkFigure("memory growth", "rss_growth", "", is_time=False): (REQUESTS, 0.02),
}
"""BenchmarkFigure -> its case, and its maximum in every process."""


@dataclass(frozen=True)
class EnginePlan:
    """Options of the benchmark."""

    model: str = "stand-in"
    """Name or path of the model file that the peer reads."""
    ours: str = ""
    """The form of it that our engine runs by default; empty: the same file."""
    best: str = ""
    """Another model for our engine; empty: none."""
    warm: int = 10
    """Timed warm calls per process."""
    requests: int = 200
    """Mixed requests per process."""
    threads: int = 0
    """Threads of each engine; 0: one per physical core."""
    blocks: int = 6
    """Fresh processes per engine and case."""


def paragraph() -> str:
    """The streamed text: the whole sentences in the first 827 characters of the article."""
    text = " ".join(preset_text("article").split())[:PARAGRAPH_CHARS]
    return text[: text.rindex(".") + 1]


def engine_benchmark(plan: EnginePlan) -> Benchmark:
    """The benchmark of our engine, the variant `best` if there is one, and the peer."""
    sides = {"ours": _own_cells(plan), PEER: _cells(plan, plan.model, (), PEER)}
    if plan.best:
        sides["best"] = {case: cell for case, cell in _cells(plan, plan.best, OURS).items() if case != REQUESTS}
    contestants = [Contestant(name, case, cell) for name, cells in sides.items() for case, cell in cells.items()]
    targets = [*_targets("ours", TARGET_RATIOS), *(_targets("best", BEST_TARGET_RATIOS) if plan.best else ())]
    targets += [Target(figure, "ours", (case,), bound=bound) for figure, (case, bound) in OWN_TARGETS.items()]
    return Benchmark("engine", tuple(contestants), tuple(targets), reference="ours", blocks=plan.blocks)


def _targets(name: str, ratios: Mapping[BenchmarkFigure, float]) -> Iterator[Target]:
    for figure, bound in ratios.items():
        yield Target(figure, name, (CASES[figure],), PEER, bound)
    yield Target(UNDERRUNS, name, (PARAGRAPH,), bound=0.0)
    yield Target(FIRST_WORDS, name, (PARAGRAPH,), bound=LEAST_WORDS, least=True)


def _cells(plan: EnginePlan, model: str, settings: Settings, environment: str = "") -> dict[str, Cell]:
    """Case -> cell of one engine; warm cells come first, as they are the references of the audio gate."""

    def cell(text: str, preset: str, **factors: object) -> Cell:
        shared = {"model": model, "environment": environment, "intra_op_threads": plan.threads, "warmup_cap": 3}
        pairs = [list(pair) for pair in settings]
        return Cell.from_dict({**shared, "engine_settings": pairs, "text": text, "text_preset": preset, **factors})

    hello = preset_text("hello")
    requests = REQUEST_SEPARATOR.join(preset_text(name) for name in MIXED)
    return {
        HELLO: cell(hello, "hello", repeats=plan.warm),
        COLD: cell(hello, "hello", state="cold-process", delivery="stream", repeats=1),
        PARAGRAPH: cell(paragraph(), "paragraph", state="cold-shape", delivery="stream", repeats=1),
        REQUESTS: cell(requests, "mixed", repeats=plan.requests),
    }


def _own_cells(plan: EnginePlan) -> dict[str, Cell]:
    """Case -> cell of our engine: the common cases, and the cases with its caches."""
    caches: Settings = (("audio_cache_mb", 50), ("primer_cache", 64))
    model = plan.ours or plan.model
    cached = _cells(replace(plan, warm=HITS), model, (*OURS, *caches))[HELLO]
    short = {"text": preset_text("short"), "text_preset": "short", "delivery": "stream", "repeats": PRIMER_HITS}
    primed = Cell.from_dict({**cached.as_dict(), **short, "engine_settings": [*map(list, (*OURS, caches[1]))]})
    return {**_cells(plan, model, OURS), CACHED: cached, PRIMED: primed}
