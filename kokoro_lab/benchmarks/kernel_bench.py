"""Compare the compiled kernels with the plain fp32 graph, and with kokoro-onnx on upstream's export.

Every contestant uses default session options, so that a difference comes from the kernels alone. The plain graph always
uses the best instruction set that onnxruntime supports: on a processor with AVX-512, KOKORO_KERNELS=v3 compares our
AVX2 kernels with onnxruntime's AVX-512. The numerical loss is measured end to end: nothing before the harmonic source
is rewritten, so the waveforms of a graph and its rewritten form can be subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from onnx import ModelProto

from kokoro_lab.benchmarks.benchmark import Benchmark, BenchmarkRow, Contestant, Target
from kokoro_lab.benchmarks.figures import MEMORY, SPEED, BenchmarkFigure
from kokoro_lab.benchmarks.model_bench import case_of
from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.kernels.library import choose
from kokoro_lab.models.catalog import ModelFile
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.graph.architecture import Architecture, architecture_named
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.importing.importer import recover
from kokoro_lab.models.rewrite.kernel_rewrite import PRECISIONS, Precision, rewrite_for_kernels
from kokoro_lab.variants.landscape import variant
from kokoro_lab.variants.probes import Probe, random_probe
from kokoro_lab.variants.timing import CALLS, PLAIN, timed_cell
from kokoro_lab.variants.verify import verify

__all__ = ["LEAST_DB", "PEER", "TARGET_SPEEDS", "KernelPlan", "kernel_benchmark", "loss", "loss_rows"]

PEER = "kokoro-onnx"
TOKENS = tuple(CALLS)
SEEDS = (2, 3, 4)
LOSS_TOKENS = 50  # length at which the loss is measured

FULL_SPEED = {
    "fp32": dict(zip(TOKENS, (2.3, 2.6, 2.9, 3.0), strict=True)),
    "int16": dict(zip(TOKENS, (3.0, 3.4, 3.7, 3.7), strict=True)),
}
NEVER_SLOWER = dict.fromkeys(TOKENS, 1.0)
TARGET_SPEEDS: Mapping[tuple[str, str], Mapping[int, float]] = {
    **{(name, precision): speeds for name in ("vnni", "v4") for precision, speeds in FULL_SPEED.items()},
    ("v3", "fp32"): {**NEVER_SLOWER, 150: 2.2},
    ("v3", "int16"): {**NEVER_SLOWER, 150: 2.2},
    ("base", "fp32"): NEVER_SLOWER,
    ("base", "int16"): NEVER_SLOWER,
}
"""Instruction set and precision -> tokens -> minimum speed relative to the plain graph."""
LEAST_DB: Mapping[Precision, float] = {"fp32": 95.0, "int16": 26.0}
MOST_MEMORY = 1.1  # times the plain graph's peak
PROCESSOR_TIME = BenchmarkFigure("speed", "cpu_ms")


@dataclass(frozen=True)
class KernelPlan:
    """Options of the benchmark."""

    model: ModelFile
    """A plain graph of ours; missing variants on the kernels are built."""
    export: Path | None = None
    """Upstream's export of the same weights, for kokoro-onnx; None leaves that engine out."""
    precisions: tuple[Precision, ...] = PRECISIONS
    tokens: tuple[int, ...] = TOKENS
    threads: tuple[int, ...] = (1, 2)
    blocks: int = 6
    clock: Literal["wall", "cpu"] = "wall"
    """cpu compares processor time, for a busy machine; use one thread with it."""


def kernel_benchmark(plan: KernelPlan, notice: Callable[[str], None] | None = None) -> Benchmark:
    """The benchmark of the kernels' speed relative to both bases at every length and thread count, and peak memory.

    Raises NothingMeasuredError when no kernel library fits this processor, SettingError for a length without a text.
    """
    chosen = choose()
    if chosen.path is None:
        raise NothingMeasuredError(f"no kernels ({chosen.reason}); see kokoro-lab doctor for what they need")
    variants = {each: variant(plan.model, f"kernels-{each}", notice).name for each in plan.precisions}
    bases = [plan.model.name] + ([PEER] if plan.export else [])
    speed = SPEED if plan.clock == "wall" else PROCESSOR_TIME
    contestants: list[Contestant] = []
    targets: list[Target] = []
    for threads in plan.threads:
        for tokens in plan.tokens:
            case = f"{case_of(tokens)}, {threads} thread{'s' if threads > 1 else ''}"
            contestants += [
                Contestant(name, case, timed_cell(name, tokens, PLAIN, threads=threads))
                for name in (plan.model.name, *variants.values())
            ]
            if plan.export:
                cell = timed_cell(str(plan.export), tokens, (), threads=threads, environment=PEER)
                contestants.append(Contestant(PEER, case, cell))
            for precision, name in variants.items():
                bound = TARGET_SPEEDS.get((chosen.instruction_set or "", precision), NEVER_SLOWER).get(tokens, 1.0)
                targets += [Target(speed, name, (case,), base, bound, speed=True) for base in bases]
                if threads == max(plan.threads):
                    targets.append(Target(MEMORY, name, (case,), plan.model.name, MOST_MEMORY))
    return Benchmark("kernels", tuple(contestants), tuple(targets), reference=plan.model.name, blocks=plan.blocks)


def loss(model: ModelProto, precision: Precision, probe: Probe, arch: Architecture) -> float | None:
    """Signal-to-noise ratio of the kernels after the harmonic source, dB; None when a duration differs."""
    (reading,) = verify(model, rewrite_for_kernels(model, precision), [probe], arch=arch).readings
    return None if reading.moved_tokens else reading.snr_db


def loss_rows(plan: KernelPlan, seeds: Sequence[int] = SEEDS) -> Iterator[BenchmarkRow]:
    """The loss of each precision with the model's weights, with other seeded weights, and with the export's."""
    arch = architecture_named(plan.model.architecture)
    graphs: dict[str, Callable[[], ModelProto]] = {plan.model.name: lambda: read_onnx(plan.model.path)}
    graphs |= {f"seed {seed}": partial(_seeded, arch, seed) for seed in seeds}
    if plan.export:
        graphs["imported"] = partial(_imported, arch, plan.export)
    for name, make in graphs.items():
        model = make()
        for precision in plan.precisions:
            signal_db = loss(model, precision, random_probe(LOSS_TOKENS), arch)
            met = signal_db is not None and signal_db >= LEAST_DB[precision]
            yield BenchmarkRow(
                f"kernels-{precision}",
                name,
                "loss",
                "dB",
                signal_db,
                bound=LEAST_DB[precision],
                state="met" if met else "missed",
                note="" if signal_db is not None else "a duration differs",
            )


def _seeded(arch: Architecture, seed: int) -> ModelProto:
    return build(arch, seeded_state(arch, seed), metadata={})


def _imported(arch: Architecture, export: Path) -> ModelProto:
    return build(arch, recover(export, arch).state, metadata={})
