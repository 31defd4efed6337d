"""The table of peer engines: its cells, and the figures of each peer that are compared with our engine's.

The figures are the cold start (from process start to the first audible sample, with nothing of the model in the page
cache), time to first audio of a stream, real-time factor at four lengths, and memory. Every ratio is the peer's figure
over ours, from pairs of blocks of one round: above 1, the peer is slower or needs more memory. Our times include the
conversion to phonemes; the peers' do not, as they are given the phonemes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kokoro_lab.benchmarks.benchmark import Benchmark, Contestant, Target
from kokoro_lab.benchmarks.figures import BenchmarkFigure
from kokoro_lab.measure.peers.adapters import ADAPTERS
from kokoro_lab.measure.records.cell import Cell

__all__ = ["ALL", "ENGINES", "OURS", "TEXTS", "PeerPlan", "peer_benchmark"]

OURS = "kokoro-lab"
ENGINES = (*ADAPTERS, "openvino")
"""The peer engines; openvino is our engine on the OpenVINO provider of another onnxruntime build."""

TEXTS = ("hello", "short", "medium", "long")
"""Text presets, from 1 to 18 s of speech: the shortest for the cold start, the longest for the stream and memory."""

ALL = "all lengths"

COLD_START = BenchmarkFigure("cold start", "ttfa_ms")
FIRST_AUDIO = BenchmarkFigure("first audio", "ttfa_ms")
RTF = BenchmarkFigure("RTF", "rtf", "")
STEADY = BenchmarkFigure("memory steady", "rss_steady_mb", "MB", is_time=False)
PEAK = BenchmarkFigure("memory peak", "rss_peak_mb", "MB", is_time=False)


@dataclass(frozen=True)
class PeerPlan:
    """Options of the comparison.

    Few repeats suffice, as the pair of blocks is the unit of evidence. Two warm-up calls settle the memory arena;
    blocks that are not steady by then are labeled.
    """

    model: str
    texts: Mapping[str, str] = field(hash=False)
    """Name -> text, from the shortest to the longest."""
    engines: tuple[str, ...]
    threads: int
    blocks: int = 8
    """Fresh processes per cell; an interval needs eight of them with four peers."""
    repeats: int = 2
    warmup_cap: int = 2
    use_contaminated: bool = False


def peer_benchmark(plan: PeerPlan) -> Benchmark:
    """The benchmark of our engine and the peers; verdicts of a figure are corrected for the number of peers."""
    return Benchmark(
        "peers",
        tuple(contestant for engine in ("", *plan.engines) for contestant in _contestants(plan, engine)),
        tuple(_targets(plan)),
        reference=OURS,
        blocks=plan.blocks,
        retries=0 if plan.use_contaminated else 1,
        use_contaminated=plan.use_contaminated,
        corrected=True,
    )


def _contestants(plan: PeerPlan, engine: str) -> Iterator[Contestant]:
    """The cells of one engine; warm cells come first, as ours are the references."""
    names = list(plan.texts)

    def contestant(case: str, text: str, **factors: object) -> Contestant:
        cell = {
            "model": plan.model,
            "text": plan.texts[text],
            "text_preset": text,
            "provider": "openvino" if engine == "openvino" else "cpu",
            "environment": engine,
            "intra_op_threads": plan.threads,
            "repeats": plan.repeats,
            "warmup_cap": plan.warmup_cap,
            **factors,
        }
        return Contestant(engine or OURS, case, Cell.from_dict(cell))

    yield from (contestant(name, name) for name in names)
    yield contestant(f"{names[0]}, cold", names[0], state="cold")
    yield contestant(f"{names[-1]}, stream", names[-1], delivery="stream")


def _targets(plan: PeerPlan) -> Iterator[Target]:
    names = tuple(plan.texts)
    first, last = names[0], names[-1]
    read: list[tuple[BenchmarkFigure, tuple[str, ...], str]] = [
        (COLD_START, (f"{first}, cold",), first),
        (FIRST_AUDIO, (f"{last}, stream",), last),
        *((RTF, (name,), name) for name in names),
        *([(RTF, names, ALL)] if len(names) > 1 else []),
        (STEADY, (last,), last),
        (PEAK, (last,), last),
    ]
    for figure, cases, label in read:
        yield Target(figure, OURS, cases, label=label)
        for engine in sorted(plan.engines):
            yield Target(figure, engine, cases, OURS, label=label)
