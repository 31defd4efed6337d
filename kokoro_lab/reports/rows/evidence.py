"""The rows of one run, and what each of them may be used for.

Every row stays in the store; a report only decides how to use it. A block counts when its provider ran the whole graph,
it was not replaced by a retry, and no other process disturbed it. It is ranked when its audio also passed the
equivalence gate (as equivalent, or as close in a separate list). A disturbed block is shown but never ranked; one that
measured other bytes than the blocks before it is in no figure. A cold start whose files were in the page cache is shown
as what it was, `cold-process`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.records.identity import BlockIdentity
from kokoro_lab.measure.records.readings import stayed_cached
from kokoro_lab.measure.statistics.same_bytes import SameBytes, parts_of
from kokoro_lab.paths import data_folder
from kokoro_lab.reports.rows.derived_metrics import OF_THE_PROCESS, SOUND, derived, stored_audio
from kokoro_lab.store.blocks import records
from kokoro_lab.store.integrity.seals import RunSeal
from kokoro_lab.store.layout import Results
from kokoro_lab.store.run_facts.run_labels import chosen_run
from kokoro_lab.store.store import Store
from kokoro_lab.store.store_reader import nothing_measured
from kokoro_lab.sweeps.current_verdicts import of_run

__all__ = ["Evidence", "cached_speech", "cell_label", "matching", "other_bytes", "plain"]

DEFAULTS = {
    "graph_level": "all",
    "environment": "",
    "delivery": "whole",
    "arrivals": "",
    "voice": "af_heart",
    "speed": 1.0,
    "lang": "en-us",
    "process": "own",
}
"""Default levels; a label names only factors at other levels."""

GATE_OF_REFERENCE = "equivalent"
"""The reference cell is equivalent to itself."""


@dataclass(frozen=True)
class Evidence:
    """The data of a report: the rows of one run at fixed table versions."""

    run_id: str
    samples: pd.DataFrame
    """One row per repeat, with `counts` (may be used), `ranked` ("equivalent", "close" or "") and `label`."""
    cells: pd.DataFrame
    """One row per block, with the same three columns and `startup_ms`."""
    machines: Mapping[str, Mapping[str, Any]]
    """Fingerprint of each machine of the run, by its hash."""
    versions: Mapping[str, int | None]
    """Version of each table that was read."""
    run_dir: Path
    notebooks: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    other_bytes: int = 0
    """Blocks that measured other bytes than the blocks before them: no figure includes them."""
    verdicts: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The sweeps' verdicts on these rows, with the peak rates and operation counts that bounds are computed from."""
    seal: RunSeal | None = None
    """What seals the run's blocks; None for rows that come from no store."""
    notes: Sequence[str] = ()
    """Sentences on stored rows that do not hold: altered blocks that were left out, verdicts that were judged again."""
    sounds: Mapping[str, Mapping[tuple[str, int], float]] | None = None
    """Figures of the stored audio by metric, cell and block, where the audio itself is not at hand."""
    _values: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Cached results of `values`, by metric; a copy with other rows starts with an empty cache."""

    @classmethod
    def load(cls, tables: str | Path, run_id: str = "", versions: Mapping[str, int | None] | None = None) -> Self:
        """Read one run; the newest complete one when `run_id` is empty.

        Args:
            tables: folder of the tables; the run's own folder is beside it, under runs/.
            run_id: which run, by its id, its name or a tag.
            versions: the table versions to read, as a report cites them; the newest when None.

        Raises:
            NothingMeasuredError: the run does not exist, or completed no call.
        """
        live = Store(tables)
        pinned = dict(versions) if versions is not None else live.versions()
        store = live.at(pinned)
        chosen = chosen_run(store, run_id)
        if chosen is None:
            raise NothingMeasuredError(nothing_measured(store))
        cells = store.cells(chosen)
        if cells.empty:
            known = ", ".join(run["run_id"] for run in store.runs()[-5:]) or "none"
            raise NothingMeasuredError(f"unknown run {chosen!r}; choose one of the latest: {known}")
        samples = store.samples(chosen)
        if samples.empty:
            reasons = sorted(set(cells["error"]) - {""})[:3]
            raise NothingMeasuredError(
                f"run {chosen!r} completed no call in {len(cells)} blocks; remove the cause and measure again: "
                f"{', '.join(reasons) or 'no block gave a reason'}"
            )
        verdicts = of_run(store, chosen)
        ids = set(cells["machine_id"])
        machines = {row["machine_id"]: row["facts"] for row in records(store.machines()) if row["machine_id"] in ids}
        return cls.of(
            chosen,
            samples,
            cells,
            machines=machines,
            versions=pinned,
            run_dir=Results(Path(tables).resolve().parent).run(chosen),
            notebooks=records(store.notebooks(chosen)),
            verdicts=verdicts.frame,
            seal=store.seals(chosen).get(chosen),
            notes=(*_left_out(len(store.altered(chosen))), *verdicts.notes),
        )

    @classmethod
    def of(cls, run_id: str, samples: pd.DataFrame, cells: pd.DataFrame, **rest: Any) -> Self:
        """Evidence from data frames in memory."""
        superseded = {(row["cell_id"], int(row["replaces"])) for row in records(cells) if not pd.isna(row["replaces"])}
        others, cached = other_bytes(cells), _not_cold(cells)
        cells = _judged(cells, superseded | others, cached)
        cells["startup_ms"] = derived("startup_ms", cells, samples, stored_audio(Path()))
        return cls(run_id, _judged(samples, superseded | others, cached), cells, other_bytes=len(others), **rest)

    def values(self, metric: str) -> pd.DataFrame:
        """One row per value of `metric`, in column `value`, with the factors and the use of its block."""
        if metric not in self._values:
            self._values[metric] = self._valued(metric)
        return self._values[metric]

    def _valued(self, metric: str) -> pd.DataFrame:
        if metric in self.samples.columns:
            frame = self.samples.assign(value=self.samples[metric])
        elif self.sounds is not None and metric in SOUND:
            known = self.sounds.get(metric, {})
            keys = zip(self.cells["cell_id"], self.cells["block"].astype(int), strict=True)
            heard = [known.get(key) for key in keys]
            frame = self.cells.assign(value=pd.Series(heard, index=self.cells.index, dtype="float64"))
        else:
            computed = derived(metric, self.cells, self.samples, stored_audio(self.run_dir))
            frame = self.cells.assign(value=pd.Series(computed, index=self.cells.index, dtype="float64"))
        if metric in OF_THE_PROCESS:
            frame = frame[frame["process"] == "own"]
        return frame[frame["value"].notna() & (frame["status"] != "error")]

    def blocks(self, metric: str) -> pd.DataFrame:
        """One row per block: the median of `metric` in it, with the columns that describe its cell."""
        values = self.values(metric)
        keys = ["cell_id", "block"]
        described = [name for name in DESCRIBING if name in values.columns]
        grouped = values.groupby(keys, sort=False)
        return pd.concat([grouped["value"].median(), grouped[described].first()], axis=1).reset_index()

    @property
    def unverified(self) -> int:
        """Blocks with figures that do not say which bytes they measured: they are from before blocks recorded it."""
        return int((self.cells["identity"].isna() & (self.cells["samples"] > 0)).sum())

    @property
    def architectures(self) -> list[str]:
        """Architectures that were measured: full, tiny, unknown."""
        return sorted(set(self.samples["architecture"]))

    @property
    def weights(self) -> list[str]:
        """Kinds of weights that were measured."""
        return sorted(set(self.samples["weights"]))

    @property
    def tiny(self) -> bool:
        """True when no row is of the full architecture."""
        return "full" not in self.architectures


def _left_out(altered: int) -> list[str]:
    if not altered:
        return []
    blocks = "1 block was" if altered == 1 else f"{altered} blocks were"
    return [f"{blocks} changed after being stored, and left out; see `kokoro-lab results check`."]


DESCRIBING = (
    "label",
    "counts",
    "ranked",
    "status",
    "gate",
    "contaminated",
    "superseded",
    "provider",
    "intra_op_threads",
    "graph_level",
    "precision",
    "model",
    "text_preset",
    "characters",
    "environment",
    "delivery",
    "arrivals",
    "engine_settings",
    "replica",
    "voice",
    "speed",
    "lang",
    "state",
    "architecture",
    "weights",
    "reference",
    "process",
    "order",
    "recipe",
)


def matching(frame: pd.DataFrame, filters: Mapping[str, Any]) -> pd.DataFrame:
    """Rows whose columns have the filters' values; a list matches any of its values."""
    for column, level in filters.items():
        any_of = level if isinstance(level, list) else [level]
        frame = frame[pd.Series([value in any_of for value in frame[column]], index=frame.index, dtype=bool)]
    return frame


SPEECH_CACHES = ("audio_cache_mb", "primer_cache")
"""Engine settings that cache speech, whole or its first segment, for the next call with the same text."""


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of this engine with default settings, one call at a time: no peer, no load, no cache."""
    usual = (frame["environment"] == "") & (frame["arrivals"] == "")
    return frame[usual & ~frame["engine_settings"].map(bool)]


def cached_speech(frame: pd.DataFrame) -> pd.Series:
    """Rows of warm cells with a speech cache: their repeats are answered from it, and nothing is computed."""
    keeps = frame["engine_settings"].map(lambda settings: any(settings.get(name) for name in SPEECH_CACHES))
    return keeps.astype(bool) & (frame["state"] == "warm")


def cell_label(row: Mapping[str, Any]) -> str:
    """A cell's factors without those at their defaults: `cpu, 2 threads`.

    The label of a provider that ran only part of the graph has its share: no figure appears under its bare name.
    """
    provider = str(row["provider"])
    if row["status"] == "partial":
        share = row.get("provider_share")
        provider += " partially" if share is None or pd.isna(share) else f" on {100 * float(share):.0f} % of nodes"
    threads = int(row["intra_op_threads"])
    parts = [provider, {0: "default threads", 1: "1 thread"}.get(threads, f"{threads} threads")]
    for name in ("provider_options", "engine_settings"):
        parts += [f"{key}={value}" for key, value in sorted((row.get(name) or {}).items())]
    for name, usual in DEFAULTS.items():
        if row.get(name, usual) != usual:
            parts.append(f"{name.replace('_', ' ')} {row[name]}")
    return ", ".join(parts)


def recipe_of(model: str) -> str:
    """The recipe of a variant, from its name (`stand-in-int8` -> `int8`); empty for a plain model."""
    known = [name for name in recipe_names() if model.endswith(f"-{name}")]
    return max(known, key=len, default="")


@functools.cache
def recipe_names() -> tuple[str, ...]:
    """Names of the recipes in data/recipes/."""
    return tuple(sorted(path.stem for path in (data_folder() / "recipes").glob("*.yaml")))


def other_bytes(cells: pd.DataFrame) -> set[tuple[str, int]]:
    """(cell id, block) of the blocks of a run that must not be pooled with those before them: see `same_bytes`."""
    seen = SameBytes()
    others = set()
    for row in records(cells.sort_values("started_at", kind="stable")):
        identity = BlockIdentity.from_dict(row["identity"]) if row["identity"] else None
        cell = Cell.from_dict(row["configuration"])
        if row["samples"] and seen.take(cell, parts_of(identity, row["model_sha256"])):
            others.add((row["cell_id"], int(row["block"])))
    return others


def _not_cold(cells: pd.DataFrame) -> set[tuple[str, int]]:
    """(cell id, block) of the blocks that were to be cold, and whose files were in the page cache."""
    rows = records(cells[cells["state"] == "cold"])
    return {(row["cell_id"], int(row["block"])) for row in rows if stayed_cached(row["cold"] or {})}


def _judged(frame: pd.DataFrame, superseded: set[tuple[str, int]], cached: set[tuple[str, int]]) -> pd.DataFrame:
    keys = list(zip(frame["cell_id"], frame["block"].astype(int), strict=True))
    warm = pd.Series([key in cached for key in keys], index=frame.index, dtype=bool)
    frame = frame.assign(state=frame["state"].mask(warm, "cold-process"))
    replaced = pd.Series([key in superseded for key in keys], index=frame.index, dtype=bool)
    counts = (frame["status"] == "ok") & ~frame["contaminated"].astype(bool) & ~replaced
    unjudged = (frame["gate"] == "none") & frame["gate_reference"].isna()  # as a reference's first block was once
    gate = frame["gate"].mask(frame["reference"].astype(bool) & unjudged, GATE_OF_REFERENCE)
    ranked = gate.where(counts & gate.isin(["equivalent", "close"]), "")
    several = frame["model"].nunique() > 1
    labels = [cell_label(row) + (f", {row['model']}" if several else "") for row in records(frame)]
    recipes = [recipe_of(str(name)) for name in frame["model"]]
    return frame.assign(superseded=replaced, counts=counts, gate=gate, ranked=ranked, label=labels, recipe=recipes)
