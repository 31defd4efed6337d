"""Which variant of a model is the fastest on this machine, by the instrument: what `Engine.load` then takes as default.

The source and its variants run interleaved in fresh processes, gated by the source's audio (see `bench`), each from its
pre-optimised file. After every round each variant is decided or measured on: it is out when its audio differs or when
it is slower at some length, and faster when at every length the lower bound of its speed lies above 1. The bounds hold
at any number of rounds, and for all variants together, so that looking after each round makes no mistake more frequent:
see `sequential_sign`. Of the variants that are faster and verified, the one with the largest geometric mean over the
lengths is chosen.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from kokoro_lab.errors import ModelError
from kokoro_lab.kernels.library import choose
from kokoro_lab.measure.machine.fingerprint import machine
from kokoro_lab.measure.records.readings import SEVERITY
from kokoro_lab.measure.sampling.expected_bytes import expected_parts
from kokoro_lab.models.catalog import ModelFile, installed, resolve
from kokoro_lab.models.files.byte_sums import recorded_sum
from kokoro_lab.models.files.model_record import KERNELS, read_record
from kokoro_lab.models.rewrite.variant_recipes import recipe_names
from kokoro_lab.runtime.tuning_record import Best, Tuned, tuned_key, write_tuned
from kokoro_lab.store.layout import results
from kokoro_lab.sweeps.cell_job import noticed
from kokoro_lab.variants.default_form.sequential_sign import fewest_pairs, sequential_bounds
from kokoro_lab.variants.make import make
from kokoro_lab.variants.make_preoptimized import preoptimized
from kokoro_lab.variants.model_verification import ensure_verified
from kokoro_lab.variants.timing import Row, Timing, bench, timed_cell

__all__ = [
    "BLOCKS",
    "THOROUGH_TOKENS",
    "TOKENS",
    "Tuning",
    "fastest",
    "is_decided",
    "likely_recipes",
    "make_candidates",
    "tune",
    "variants_of",
]

TOKENS = (16, 50)
"""Lengths that decide: variants on compiled kernels gain more at longer texts."""
THOROUGH_TOKENS = (16, 50, 150)
BLOCKS = 12
"""Most pairs per variant and length; 6 decide two variants whose pairs all agree."""
PLAIN_RECIPES = ("optimized", "int8")
"""What may be the fastest where no compiled kernels run; elsewhere only a thorough call measures them."""

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
    thorough: bool = False,
    notice: Notice | None = None,
) -> Tuning:
    """Measure the variants of the model `name` against it and keep the fastest; continues what an earlier call began.

    candidates: names of variants; without any, the installed ones that may be the fastest, or with `thorough` all of
    them. Raises what `bench` raises.
    """
    source = resolve(name, notice=notice)
    files = [resolve(each) for each in candidates] or variants_of(source)
    if not (candidates or thorough):
        files = [file for file in files if _recipe_of(file) in likely_recipes()]
    for file in (source, *files):
        _refuse_unrecorded(file)
        preoptimized(file)
    names = [file.name for file in files]
    verified = {file.name: ensure_verified(file, notice=notice) for file in files}
    timing = Timing(results(), _run_id(source, files), tokens, blocks, budget_s)
    rows = _measured(source.name, names, timing, notice)
    found = Tuned(
        source=source.name,
        source_sha256=source.sha256,
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine_id=machine().sha,
        equivalent=fastest(rows, files, "equivalent", verified),
        close=fastest(rows, files, "close", verified),
        measured=tuple(names),
    )
    write_tuned(source, found)
    undecided = dict.fromkeys(row.model for row in rows if row.low is None and row.gate != "different")
    return Tuning(found, tuple(rows), tuple(undecided))


def _measured(base: str, names: Sequence[str], timing: Timing, notice: Notice | None) -> list[Row]:
    """The rows of all variants, each measured until it is decided, or `timing.blocks` or its budget are used up."""
    began = time.monotonic()
    bounds = partial(sequential_bounds, comparisons=max(1, len(names)))
    rows: dict[str, list[Row]] = {}
    undecided, blocks = list(names), min(fewest_pairs(max(1, len(names))), timing.blocks)
    left = timing.budget_s
    while undecided and blocks <= timing.blocks and (left is None or left > 0.0 or not rows):
        step = replace(timing, blocks=blocks, budget_s=left)
        measured = bench(base, undecided, step, bounds=bounds, listener=noticed(notice))
        rows |= {name: [row for row in measured if row.model == name] for name in undecided}
        undecided = [name for name in undecided if not is_decided(rows[name])]
        blocks += 1
        left = None if timing.budget_s is None else timing.budget_s - (time.monotonic() - began)
    return [row for name in names for row in rows[name]]


def is_decided(rows: Sequence[Row]) -> bool:
    """Whether a variant's rows, one for each length, say that it is faster everywhere, or that it is no choice."""
    out = any(row.gate == "different" or row.verdict == "slower" for row in rows)
    return out or all(row.verdict == "faster" for row in rows)


def likely_recipes() -> tuple[str, ...]:
    """The recipes of the variants that may be the fastest here."""
    kernels = tuple(each for each in recipe_names() if each.startswith(KERNELS))
    return kernels if choose().path is not None else PLAIN_RECIPES


def _recipe_of(file: ModelFile) -> str:
    return str(((read_record(file.path) or {}).get("recipe") or {}).get("name", ""))


def _refuse_unrecorded(file: ModelFile) -> None:
    """Raise ModelError for a file whose bytes are not those of its record, whatever its size and time stamp say."""
    for path in (file.path, *file.back):
        known = (read_record(path) or {}).get("sha256")
        if known not in (None, recorded_sum(path)):
            raise ModelError(f"{path} differs from its record; remove it with `kokoro-lab models remove {file.name}`")


def _run_id(source: ModelFile, files: Sequence[ModelFile]) -> str:
    """One run for these very bytes on this machine, so that another call continues it: those of the files, of the code
    and of the packages that measure them."""
    cells = [timed_cell(file.name, TOKENS[0]) for file in (source, *files)]
    parts = [expected_parts(cell) for cell in cells]
    measured = [tuned_key(source), *sorted(str(sorted(part.items())) for part in parts)]
    return f"tuning-{hashlib.sha256(' '.join(measured).encode()).hexdigest()[:12]}"


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


def make_candidates(name: str = "default", *, thorough: bool = False, notice: Notice | None = None) -> list[ModelFile]:
    """Make the variants of `name` that may be the fastest here and are not installed yet; about a minute at full size.

    With `thorough`, also those that only plain onnxruntime runs.
    """
    source = resolve(name, notice=notice)
    present = {_recipe_of(file) for file in variants_of(source)}
    made = []
    for recipe in dict.fromkeys((*likely_recipes(), *(PLAIN_RECIPES if thorough else ()))):
        if recipe not in present:
            if notice is not None:
                notice(f"making {source.name}-{recipe}")
            made += make(name, recipe, notice=notice)
    return made


def fastest(
    rows: Sequence[Row], files: Sequence[ModelFile], gate: Literal["equivalent", "close"], verified: Mapping[str, str]
) -> Best | None:
    """The fastest variant of which the worst gate is `gate` and which is faster than its source at every length.

    verified: name -> verdict of its verification, "" for none; it counts as one more gate.
    """
    best: Best | None = None
    for file in files:
        mine = [row for row in rows if row.model == file.name]
        lows = [row.low for row in mine if row.low is not None]
        speeds = [row.speed for row in mine if row.speed is not None]
        worst = max((*(row.gate for row in mine), verified[file.name] or "none"), key=SEVERITY.index)
        if worst != gate or not mine or len(lows) < len(mine) or min(lows) <= 1.0:
            continue
        speed = math.exp(math.fsum(map(math.log, speeds)) / len(speeds))
        if best is None or speed > best.speed:
            best = Best(file.name, file.sha256, gate, speed, min(lows))
    return best
