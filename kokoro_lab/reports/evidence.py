"""The rows of one run, and which of them may count for what.

Every row stays in the store; a report only says what each may be used for. A block counts for a figure when its
provider really ran it whole, it was not replaced by a retry, and no other process disturbed it. It is ranked when the
equivalence gate also found its audio equivalent (or close, in a list of its own). A disturbed block is shown and never
ranked.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.paths import ROOT
from kokoro_lab.reports.derived import derived, kept_audio
from kokoro_lab.store.store import Store

__all__ = ["Evidence", "cell_label", "chosen", "kept_speech", "matching", "plain"]

DEFAULTS = {
    "graph_level": "all",
    "environment": "",
    "delivery": "whole",
    "arrivals": "",
    "voice": "af_heart",
    "speed": 1.0,
    "lang": "en-us",
}
"""Factors that a label names when they are not at these levels."""

GATE_OF_REFERENCE = "equivalent"
"""The reference cell is what the others are compared with, so it is its own equal."""


@dataclass(frozen=True)
class Evidence:
    """What a report is made from: the rows of one run at stated table versions."""

    run_id: str
    samples: pd.DataFrame
    """One row a repeat, with `counts` (may be used), `ranked` ("equivalent", "close" or "") and `label`."""
    cells: pd.DataFrame
    """One row a block, with the same three columns and `startup_ms`."""
    machines: Mapping[str, Mapping[str, Any]]
    """Fingerprint of each machine of the run, by its hash."""
    versions: Mapping[str, int | None]
    """Version of each table that was read."""
    run_dir: Path
    notebooks: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    verdicts: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What sweeps concluded from these rows, with the peaks and the work that bounds are made of."""
    _values: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `values` gave, by metric; a copy with other rows starts anew."""

    @classmethod
    def load(cls, tables: str | Path, run_id: str = "", versions: Mapping[str, int | None] | None = None) -> Self:
        """Read one run; the newest when `run_id` is empty.

        Args:
            tables: folder of the tables; the run's own folder is found beside it, under runs/.
            run_id: which run.
            versions: the table versions to read, as a report cites them; the newest when None.

        Raises:
            NothingMeasuredError: there is no such run, or none of its calls was completed.
        """
        live = Store(tables)
        pinned = dict(versions) if versions is not None else live.versions()
        store = live.at(pinned)
        chosen = run_id or store.latest_run()
        if chosen is None:
            raise NothingMeasuredError(f"There are no rows under {tables}: run `kokoro-lab sweep` first.")
        cells = store.cells(chosen)
        if cells.empty:
            known = ", ".join(run["run_id"] for run in store.runs()[-5:]) or "none"
            raise NothingMeasuredError(f"No run is called {chosen!r}: the latest are {known}.")
        samples = store.samples(chosen)
        if samples.empty:
            reasons = sorted(set(cells["error"]) - {""})[:3]
            raise NothingMeasuredError(
                f"Run {chosen!r} completed no call in {len(cells)} blocks, so there is nothing to report: "
                f"{' '.join(reasons) or 'no block gave a reason.'}"
            )
        ids = set(cells["machine_id"])
        machines = {row["machine_id"]: row["facts"] for row in _records(store.machines()) if row["machine_id"] in ids}
        return cls.of(
            chosen,
            samples,
            cells,
            machines=machines,
            versions=pinned,
            run_dir=Path(tables).resolve().parent / "runs" / chosen,
            notebooks=_records(store.notebooks(chosen)),
            verdicts=store.verdicts(chosen),
        )

    @classmethod
    def of(cls, run_id: str, samples: pd.DataFrame, cells: pd.DataFrame, **rest: Any) -> Self:
        """Judge the rows of frames that are at hand."""
        superseded = {(row["cell_id"], int(row["replaces"])) for row in _records(cells) if not pd.isna(row["replaces"])}
        cells = _judged(cells, superseded)
        cells["startup_ms"] = derived("startup_ms", cells, samples, kept_audio(Path()))
        return cls(run_id, _judged(samples, superseded), cells, **rest)

    def values(self, metric: str) -> pd.DataFrame:
        """One row a value of `metric`, in column `value`, with the factors and judgements of its block."""
        if metric not in self._values:
            self._values[metric] = self._valued(metric)
        return self._values[metric]

    def _valued(self, metric: str) -> pd.DataFrame:
        if metric in self.samples.columns:
            frame = self.samples.assign(value=self.samples[metric])
        else:
            found = derived(metric, self.cells, self.samples, kept_audio(self.run_dir))
            frame = self.cells.assign(value=pd.Series(found, index=self.cells.index, dtype="float64"))
        return frame[frame["value"].notna() & (frame["status"] != "error")]

    def blocks(self, metric: str) -> pd.DataFrame:
        """One row a block: the median of `metric` in it, with what describes its cell."""
        values = self.values(metric)
        keys = ["cell_id", "block"]
        told = [name for name in DESCRIBING if name in values.columns]
        grouped = values.groupby(keys, sort=False)
        return pd.concat([grouped["value"].median(), grouped[told].first()], axis=1).reset_index()

    @property
    def architectures(self) -> list[str]:
        """Architectures that were measured: full, tiny."""
        return sorted(set(self.samples["architecture"]))

    @property
    def weights(self) -> list[str]:
        """Kinds of weights that were measured."""
        return sorted(set(self.samples["weights"]))

    @property
    def tiny(self) -> bool:
        """True when no row is of the full architecture."""
        return "full" not in self.architectures


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
    "order",
    "recipe",
)


def matching(frame: pd.DataFrame, filters: Mapping[str, Any]) -> pd.DataFrame:
    """Rows whose columns have the filters' values; a list stands for any of its values."""
    for column, wanted in filters.items():
        any_of = wanted if isinstance(wanted, list) else [wanted]
        frame = frame[pd.Series([value in any_of for value in frame[column]], index=frame.index, dtype=bool)]
    return frame


USUAL: Mapping[str, Any] = {
    "recipe": "",
    "environment": "",
    "arrivals": "",
    "engine_settings": {},
    "graph_level": "all",
}
"""Levels that are meant where none is named."""


KEEPS_SPEECH = ("audio_cache_mb", "primer_cache")
"""Settings of the engine that keep speech, whole or its first segment, for the next call with the same text."""


def chosen(frame: pd.DataFrame, filters: Mapping[str, Any]) -> pd.DataFrame:
    """Rows that match the filters, at the usual level of every factor that they do not name."""
    return matching(frame, {**USUAL, **filters})


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of our own engine with its default settings, called one at a time: no peer, no load, no cache."""
    usual = (frame["environment"] == "") & (frame["arrivals"] == "")
    return frame[usual & ~frame["engine_settings"].map(bool)]


def kept_speech(frame: pd.DataFrame) -> pd.Series:
    """Rows of warm cells with a cache that keeps speech: it answers their repeats, and nothing is computed."""
    keeps = frame["engine_settings"].map(lambda settings: any(settings.get(name) for name in KEEPS_SPEECH))
    return keeps.astype(bool) & (frame["state"] == "warm")


def cell_label(row: Mapping[str, Any]) -> str:
    """What tells a cell from the others of its text, without what is at its default: `cpu, 2 threads`.

    A provider that ran only part of the graph has its share in the label, so that no figure stands under its bare name.
    """
    provider = str(row["provider"])
    if row["status"] == "partial":
        share = row.get("provider_share")
        provider += " in part" if share is None or pd.isna(share) else f" on {100 * float(share):.0f} % of nodes"
    threads = int(row["intra_op_threads"])
    parts = [provider, {0: "default threads", 1: "1 thread"}.get(threads, f"{threads} threads")]
    for name in ("provider_options", "engine_settings"):
        parts += [f"{key}={value}" for key, value in sorted((row.get(name) or {}).items())]
    for name, usual in DEFAULTS.items():
        if row.get(name, usual) != usual:
            parts.append(f"{name.replace('_', ' ')} {row[name]}")
    return ", ".join(parts)


def recipe_of(model: str) -> str:
    """The recipe that a variant was made by, from its name (`stand-in-int8` -> `int8`); empty for a plain model."""
    known = [name for name in recipe_names() if model.endswith(f"-{name}")]
    return max(known, key=len, default="")


@functools.cache
def recipe_names() -> tuple[str, ...]:
    """Names of the recipes in data/recipes/."""
    return tuple(sorted(path.stem for path in (ROOT / "data" / "recipes").glob("*.yaml")))


def _judged(frame: pd.DataFrame, superseded: set[tuple[str, int]]) -> pd.DataFrame:
    keys = zip(frame["cell_id"], frame["block"].astype(int), strict=True)
    replaced = pd.Series([key in superseded for key in keys], index=frame.index, dtype=bool)
    counts = (frame["status"] == "ok") & ~frame["contaminated"].astype(bool) & ~replaced
    gate = frame["gate"].mask(frame["reference"].astype(bool) & (frame["gate"] == "none"), GATE_OF_REFERENCE)
    ranked = gate.where(counts & gate.isin(["equivalent", "close"]), "")
    several = frame["model"].nunique() > 1
    labels = [cell_label(row) + (f", {row['model']}" if several else "") for row in _records(frame)]
    recipes = [recipe_of(str(name)) for name in frame["model"]]
    return frame.assign(superseded=replaced, counts=counts, gate=gate, ranked=ranked, label=labels, recipe=recipes)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
