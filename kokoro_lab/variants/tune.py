"""Which variant of a model is the fastest on this machine, by the instrument: what `Engine.load` then takes as default.

The source and its variants run interleaved in fresh processes, gated by the source's audio (see `bench`), each from its
pre-optimised file. A variant is chosen when at every length its audio passes the gate and the whole interval of its
speed lies above 1; of several, the one with the largest geometric mean over the lengths.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kokoro_lab.kernels.library import choose
from kokoro_lab.measure.fingerprint import machine
from kokoro_lab.models.catalog import ModelFile, installed, resolve
from kokoro_lab.models.recipes import recipe_names
from kokoro_lab.models.records import KERNELS, read_record
from kokoro_lab.paths import home
from kokoro_lab.runtime.tuned import Best, Tuned, tuned_key, write_tuned
from kokoro_lab.variants.bench import OURS, Row, bench
from kokoro_lab.variants.make import make
from kokoro_lab.variants.preoptimized import preoptimized

__all__ = ["BLOCKS", "TOKENS", "Tuning", "fastest", "make_candidates", "tune", "variants_of"]

TOKENS = (16, 50, 150)
BLOCKS = 6  # the fewest pairs that give an interval
RECIPES = ("optimized", "int8")
"""What is made when it is missing, besides everything on compiled kernels that runs here."""

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Tuning:
    """What was measured, and what came of it."""

    tuned: Tuned
    rows: tuple[Row, ...]
    undecided: tuple[str, ...]
    """Variants with too few pairs for an interval at some length: call again to measure on."""


def tune(
    name: str = "default",
    candidates: Sequence[str] = (),
    *,
    tokens: Sequence[int] = TOKENS,
    blocks: int = BLOCKS,
    budget_s: float | None = None,
    notice: Notice | None = None,
) -> Tuning:
    """Measure the variants of the model `name` against it and keep the fastest; continues what an earlier call began.

    candidates: names of variants; all installed ones of this model when there are none. Raises what `bench` raises.
    """
    source = resolve(name, notice=notice)
    files = [resolve(each) for each in candidates] or variants_of(source)
    for file in (source, *files):
        preoptimized(file)
    names = [file.name for file in files]
    rows = bench(
        source.name,
        names,
        home() / "tuning" / tuned_key(source),
        tokens=tokens,
        blocks=blocks,
        budget_s=budget_s,
        base_settings=OURS,
        notice=notice,
    ) if names else []  # fmt: skip
    found = Tuned(
        source=source.name,
        source_sha256=source.sha256,
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine_id=machine().sha,
        equivalent=fastest(rows, files, "equivalent"),
        close=fastest(rows, files, "close"),
        measured=tuple(names),
    )
    write_tuned(source, found)
    undecided = dict.fromkeys(row.model for row in rows if row.low is None and row.gate != "different")
    return Tuning(found, tuple(rows), tuple(undecided))


def variants_of(source: ModelFile) -> list[ModelFile]:
    """The installed variants that were made of these very bytes, in one file and of any length."""
    found = []
    for file in installed():
        record: dict[str, Any] = read_record(file.path) or {}
        recipe = record.get("recipe") or {}
        made_of = (record.get("source") or {}).get("sha256")
        if made_of == source.sha256 and not file.back and not recipe.get("split") and not recipe.get("tokens"):
            found.append(file)
    return found


def make_candidates(name: str = "default", *, notice: Notice | None = None) -> list[ModelFile]:
    """Make the variants of `name` that may be the fastest here and are not installed yet; some minutes at full size."""
    source = resolve(name, notice=notice)
    present = {(read_record(file.path) or {}).get("recipe", {}).get("name") for file in variants_of(source)}
    kernels = [each for each in recipe_names() if each.startswith(KERNELS)] if choose().path is not None else []
    made = []
    for recipe in (*RECIPES, *kernels):
        if recipe not in present:
            if notice is not None:
                notice(f"making {source.name}-{recipe}")
            made += make(name, recipe, notice=notice)
    return made


def fastest(rows: Sequence[Row], files: Sequence[ModelFile], gate: Literal["equivalent", "close"]) -> Best | None:
    """The fastest variant of which the worst gate is `gate` and which is faster than its source at every length."""
    best: Best | None = None
    for file in files:
        mine = [row for row in rows if row.model == file.name]
        lows = [row.low for row in mine if row.low is not None]
        speeds = [row.speed for row in mine if row.speed is not None]
        gates = {row.gate for row in mine}
        worst = "close" if gates == {"close", "equivalent"} else next(iter(gates)) if len(gates) == 1 else "different"
        if worst != gate or len(lows) < len(mine) or min(lows) <= 1.0:
            continue
        speed = math.exp(math.fsum(map(math.log, speeds)) / len(speeds))
        if best is None or speed > best.speed:
            best = Best(file.name, file.sha256, gate, speed, min(lows))
    return best
