"""The audio gate's calibration: known damages and harmless changes to real renderings, and what the gate says of each.

Its page is docs/audio-gate.md (`kokoro-lab bench ear --out docs/audio-gate.md`). Damages to samples are those of
`damages`, each with the smallest strength that is caught, by bisection; damages to graphs are models of which
convolutions of the vocoder's last stage were dropped. Stand-ins hardly ever sound voiced to a pitch tracker, so an
artificial voice is damaged, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from kokoro_lab.audio.compare import Gate, gate
from kokoro_lab.audio.signal_differences import Differences
from kokoro_lab.benchmarks.damages import DAMAGES, HARMLESS, Damage
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.measure.records.readings import worst_verdict
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.rewrite.partition import read_whole
from kokoro_lab.sweeps.preset_texts import preset_text

__all__ = [
    "CASES",
    "DROPPED",
    "Case",
    "CaughtDamage",
    "ChangedGraph",
    "Rendering",
    "artificial_voice",
    "calibration_page",
    "caught",
    "changed_graphs",
    "renderings",
    "smallest_caught",
    "without_convolutions",
]

STEPS = 10  # of the bisection: the smallest strength is known within a part in 1,024 of its range
STAGE_BLOCKS = 3  # resblocks of a stage, with three pairs of convolutions each
DROPPED: dict[str, tuple[tuple[int, int], ...]] = {
    "one pair of convolutions dropped (a ninth of the last stage)": ((2, 2),),
    "the last pair of each resblock dropped (a third)": ((0, 2), (1, 2), (2, 2)),
    "the first pair of each resblock dropped (a third)": ((0, 0), (1, 0), (2, 0)),
    "one resblock dropped (a third)": ((2, 0), (2, 1), (2, 2)),
}
"""Damaged graphs -> (resblock of the last stage, pair of convolutions) that no longer add anything."""

Samples = npt.NDArray[np.float32]
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """What is spoken."""

    text: str
    """Name of a preset text."""
    voice: str
    speed: float
    seed: int = 0


CASES = (
    Case("hello", "af_heart", 1.0),
    Case("short", "af_heart", 1.0),
    Case("short", "am_michael", 0.8),
)


@dataclass(frozen=True)
class Rendering:
    """A case as a model spoke it."""

    source: str
    """The model's name and the case."""
    samples: Samples
    durations: tuple[int, ...] | None


@dataclass(frozen=True)
class CaughtDamage:
    """A damage to all renderings."""

    damage: Damage
    verdicts: tuple[str, ...]
    """At full strength, a rendering each."""
    least: float
    most: float
    """Smallest strength that is not equivalent, of the rendering where it is least and where it is most."""
    reason: str
    """First reason there."""


@dataclass(frozen=True)
class ChangedGraph:
    """A graph or a way of running it, compared with the plain model."""

    change: str
    gates: tuple[Gate, ...]
    """A case each."""


def artificial_voice(seconds: float = 4.0) -> Rendering:
    """Harmonics of a moving pitch in syllables, with breath: a voice to a pitch tracker, and nobody's."""
    time = np.arange(round(seconds * 24_000)) / 24_000
    pitch = 150.0 + 30.0 * np.sin(2.0 * np.pi * 0.7 * time)
    phase = 2.0 * np.pi * np.cumsum(pitch) / 24_000
    harmonics = np.sum([np.sin(number * phase) / number for number in range(1, 30)], axis=0)
    syllables = np.maximum(0.0, 0.55 - 0.6 * np.cos(2.0 * np.pi * 3.0 * time))
    breath = np.random.default_rng(1).standard_normal(len(time))
    return Rendering("artificial voice", (0.15 * syllables * harmonics + 0.003 * breath).astype(np.float32), None)


def renderings(
    model: str, cases: Sequence[Case] | None = None, *, seed: int | None = None, **settings: Any
) -> list[Rendering]:
    """The cases as the model speaks them, with these settings of the engine; `seed` replaces the cases'."""
    cases = CASES if cases is None else cases
    voices = tuple(dict.fromkeys(case.voice for case in cases))
    config = EngineConfig(model=model, voices=voices, tuned=False, preoptimized=False, **settings)
    engine = Engine.load(config)
    try:
        return [_spoken(engine, case, case.seed if seed is None else seed) for case in cases]
    finally:
        engine.close()


def _spoken(engine: Engine, case: Case, seed: int) -> Rendering:
    speech = engine.synthesize(preset_text(case.text), voice=case.voice, speed=case.speed, seed=seed)
    durations = None if speech.durations is None else tuple(int(frames) for frames in speech.durations)
    name = f"{engine.model.name}, {case.text}, {case.voice}, speed {case.speed:g}"
    return Rendering(name, speech.samples, durations)


def smallest_caught(damage: Damage, samples: Samples) -> tuple[float, str]:
    """(The smallest strength at which the gate does not say equivalent, its first reason), by bisection.

    Infinite where even the full strength passes.
    """

    def reasons(strength: float) -> tuple[str, ...]:
        return gate(samples, damage.apply(samples, strength)).reasons

    low, high = damage.low, damage.high
    found = reasons(high)
    if not found:
        return float("inf"), ""
    for _ in range(STEPS):
        middle = float(np.sqrt(low * high)) if low > 0.0 else (low + high) / 2.0
        if now := reasons(middle):
            high, found = middle, now
        else:
            low = middle
    return high, found[0]


def caught(damage: Damage, sources: Sequence[Rendering]) -> CaughtDamage:
    """A damage to every rendering: its verdicts at full strength, and the smallest strengths that are caught."""
    verdicts = tuple(gate(item.samples, damage.apply(item.samples, damage.high)).verdict for item in sources)
    smallest = [smallest_caught(damage, item.samples) for item in sources]
    most = max(smallest)
    return CaughtDamage(damage, verdicts, min(smallest)[0], most[0], most[1])


def without_convolutions(model: onnx.ModelProto, dropped: Sequence[tuple[int, int]]) -> onnx.ModelProto:
    """A copy of a graph of ours in which these (resblock, pair) of the vocoder's last stage add nothing."""
    damaged = onnx.ModelProto()
    damaged.CopyFrom(model)
    prefix = "decoder.generator.resblocks."
    names = [item.name for item in model.graph.initializer if item.name.startswith(prefix)]
    first = 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in names) - STAGE_BLOCKS
    silent = tuple(f"{prefix}{first + block}.convs2.{pair}." for block, pair in dropped)
    for item in damaged.graph.initializer:
        if item.name.startswith(silent):
            item.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(item)), item.name))
    return damaged


def changed_graphs(
    model: str, variants: Sequence[str], plain: Sequence[Rendering], folder: Path, *, notice: Notice
) -> Iterator[ChangedGraph]:
    """Harmless ways to run a model, its variants, another seed, and damaged graphs, which are written to `folder`."""
    runs: dict[str, Callable[[], list[Rendering]]] = {
        "one thread instead of two": partial(renderings, model, intra_op_threads=1),
        "no graph optimization": partial(renderings, model, intra_op_threads=2, graph_level="none"),
        "another noise seed": partial(renderings, model, seed=7, intra_op_threads=2),
    }
    runs |= {f"variant {name}": partial(renderings, name, intra_op_threads=2) for name in variants}
    graph = read_whole(resolve(model))
    for change, dropped in DROPPED.items():
        path = folder / f"{model}-{len(runs)}.onnx"
        onnx.save(without_convolutions(graph, dropped), path)
        runs[change] = partial(renderings, str(path), intra_op_threads=2)
    for change, run in runs.items():
        notice(f"{model}: {change}")
        pairs = zip(plain, run(), strict=True)
        gates = [gate(ours.samples, theirs.samples, ours.durations, theirs.durations) for ours, theirs in pairs]
        yield ChangedGraph(change, tuple(gates))


def calibration_page(
    models: Mapping[str, Sequence[str]], folder: Path, *, notice: Notice = lambda message: None
) -> tuple[str, bool]:
    """(The page, whether every damage is caught and no harmless change is) for models and their variants."""
    tables, plain, holds = [], [artificial_voice()], True
    for model, variants in models.items():
        notice(f"{model}: plain")
        spoken = renderings(model, intra_op_threads=2)
        plain += spoken
        graphs = list(changed_graphs(model, variants, spoken, folder, notice=notice))
        holds &= all(item.change not in DROPPED or _worst(item) != "equivalent" for item in graphs)
        tables.append(f"### {model}\n\n{_graph_table(graphs)}")
    notice(f"{len(DAMAGES)} damages to {len(plain)} renderings")
    damages = [caught(damage, plain) for damage in DAMAGES]
    holds &= all("equivalent" not in item.verdicts for item in damages)
    harmless = [caught(change, plain) for change in HARMLESS]
    holds &= all(set(item.verdicts) == {"equivalent"} for item in harmless)
    return PAGE.format(
        damages=_damage_table(damages),
        harmless="\n".join(f"- {item.damage.name}, {_amount(item.damage.high, item.damage)}" for item in harmless),
        graphs="\n\n".join(tables),
        renderings="; ".join(item.source for item in plain),
        count=len(plain),
        cases=len(CASES),
    ), holds


PAGE = """# What the audio gate hears

[Measurement rule 5](measurement-rules.md#rule-5) compares every rendering with a reference. This page shows what the
gate catches. `kokoro-lab bench ear` measures it again; the limits are `GateLimits` in `kokoro_lab/audio/compare.py`.

Limits lie between what reordered arithmetic does and the least that a damaged graph does. A mean over an utterance
hides what befalls a tenth of it, so the gate also looks at the worst 200 ms, the 99th percentile of frames of 12.5 ms,
the level of every 200 ms, lone jumps between samples, the polarity of every 200 ms, pitch and voicing.

## The smallest damage that is caught

The smallest strength at which the gate does not say equivalent was found by bisection, for each of {count} renderings.
The second column is for the rendering in which the damage is hardest to notice, the third for the one in which it is
easiest. A damaged part is the loudest stretch of its length.

{damages}

These changes stay equivalent in every rendering:

{harmless}

The renderings: {renderings}.

## Graphs, settings and variants

The largest figures of {cases} cases, compared with the plain model on two threads.

{graphs}

## What the gate does not hear

- Stand-in weights hardly ever sound voiced. The limits of pitch and voicing were calibrated on the artificial voice
  alone.
- A change of less than the strengths above is equivalent by definition; whether a person would hear it was not tested.
- Speech that is wrong in the reference is wrong in its copies. `kokoro-lab models verify` is for that: it compares a
  variant with its source stage by stage. Without its record, a model is never ranked.
"""


def _damage_table(damages: Sequence[CaughtDamage]) -> str:
    lines = [
        "| damage | smallest caught | at best | at full strength | first reason |",
        "| --- | --- | --- | --- | --- |",
    ]
    for item in damages:
        unit = item.damage.unit
        worst = ", ".join(sorted(set(item.verdicts)))
        lines.append(
            f"| {item.damage.name} | {item.most:.3g} {unit} | {item.least:.3g} | "
            f"{_amount(item.damage.high, item.damage)}: {worst} | {item.reason} |"
        )
    return "\n".join(lines)


def _amount(strength: float, damage: Damage) -> str:
    return f"{strength:g} {damage.unit}"


def _graph_table(graphs: Sequence[ChangedGraph]) -> str:
    head = ("change", "verdict", "mean dB", "worst 200 ms dB", "99 % of frames dB", "level dB", "seam", "correlation")
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for item in graphs:
        found = [each.differences for each in item.gates if each.differences is not None]
        figures = (
            _most(found, "mean_db"),
            *(_most(found, name) for name in ("worst_db", "frame_db", "level_db", "seam")),
        )
        least = min((each.polarity.value for each in found if each.polarity is not None), default=float("nan"))
        lines.append(
            f"| {item.change} | {_worst(item)} | {' | '.join(f'{value:.3f}' for value in (*figures, least))} |"
        )
    return "\n".join(lines)


def _most(found: Sequence[Differences], name: str) -> float:
    values = [getattr(each, name) for each in found]
    return max((abs(getattr(value, "value", value)) for value in values), default=float("nan"))


def _worst(item: ChangedGraph) -> str:
    return worst_verdict(each.verdict for each in item.gates)
