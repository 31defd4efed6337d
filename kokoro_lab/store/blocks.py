"""Convert stored rows back to blocks, so that stored blocks can be judged like new ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from kokoro_lab.measure.records.cell import Block, BlockResult, Cell
from kokoro_lab.measure.records.identity import BlockIdentity
from kokoro_lab.measure.records.readings import (
    GateReading,
    LoadReading,
    ModelReading,
    ProviderReading,
    QuietReading,
    RenderingReading,
    Repeat,
)
from kokoro_lab.store.rows import GATE_FIGURES, NO_GATE
from kokoro_lab.store.store_reader import StoreReader

__all__ = ["blocks_of", "records", "stored_blocks"]

REPEAT = tuple(field.name for field in dataclasses.fields(Repeat))
QUIET = tuple(field.name for field in dataclasses.fields(QuietReading) if field.name not in ("contaminated", "reason"))
GATE = ("durations_equal", "log_mel_db", "worst_db", "peak", "rms_dbfs", "clipped_fraction", *GATE_FIGURES)


def stored_blocks(store: StoreReader, run_id: str, cells: Iterable[str] | None = None) -> list[Block]:
    """The blocks of one run in the order in which they were measured; of the cells with these ids, if any are given."""
    blocks = blocks_of(store.cells(run_id), store.samples(run_id))
    if cells is None:
        return blocks
    wanted = set(cells)
    return [block for block in blocks if block.cell.id in wanted]


def blocks_of(cells: pd.DataFrame, samples: pd.DataFrame) -> list[Block]:
    """One block for each row of `cells`, with its repeats from `samples`; both from `StoreReader.frame`, of any runs.

    Columns that no judgement needs are left out: warm-up, versions, durations, energy.
    """
    repeats: dict[tuple[str, str, int], list[Repeat]] = {}
    for row in records(samples):
        key = (row["run_id"], row["cell_id"], int(row["block"]))
        repeats.setdefault(key, []).append(Repeat(**{name: row[name] for name in REPEAT}))
    return [
        _block(row, tuple(repeats.get((row["run_id"], row["cell_id"], int(row["block"])), ())))
        for row in records(cells)
    ]


def _block(row: Mapping[str, Any], repeats: tuple[Repeat, ...]) -> Block:
    provider, details = None, row["details"] or {}
    if row["effective_provider"]:
        share = _or_none(row["provider_share"])
        provider = ProviderReading(row["provider"], row["effective_provider"], share or 0.0, row["nodes"] or {})
    return Block(
        cell=Cell.from_dict(row["configuration"]),
        block=int(row["block"]),
        order=int(row["order"]),
        round=int(row["round"]),
        result=BlockResult(
            status=row["status"],
            error=row["error"],
            repeats=tuple(sorted(repeats, key=lambda repeat: repeat.repeat)),
            became_steady=bool(row["became_steady"]),
            load_ms=dict(row["load_ms"] or {}),
            cold=dict(row["cold"] or {}),
            rss_peak_mb=_or_none(row["rss_peak_mb"]),
            rss_steady_mb=_or_none(row["rss_steady_mb"]),
            provider=provider,
            settings_digest=row["settings_digest"],
            model=ModelReading(
                *(row[name] for name in ("model", "model_sha256", "weights", "architecture", "precision")),
                **{name: _or_none(row[name]) for name in ("variant", "kernels", "preoptimized")}
                | {"verified": details.get("verified")},
            ),
            identity=BlockIdentity.from_dict(row["identity"]) if row["identity"] else None,
            foreign_modules=tuple(row["foreign_modules"] or ()),
            deliveries=tuple((at, lasts, sound) for at, lasts, sound in details.get("deliveries") or ()),
            renderings=tuple(RenderingReading.from_dict(item) for item in details.get("renderings") or ()),
            load=LoadReading.from_dict(details["load"]) if details.get("load") else None,
            figures=dict(details.get("figures") or {}),
        ),
        quiet=QuietReading(
            contaminated=bool(row["contaminated"]),
            reason=row["contaminated_reason"],
            **{name: _or_none(row[name]) for name in QUIET},
        ),
        gate=None if row["gate"] == NO_GATE and _or_none(row["gate_reference"]) is None else _gate(row),
        attempt=int(row["attempt"]),
        replaces=None if pd.isna(row["replaces"]) else int(row["replaces"]),
        started_at=row["started_at"].isoformat(),
        wall_s=float(row["wall_s"]),
        audio_path=row["audio_path"],
        place=None if pd.isna(row["place"]) else int(row["place"]),
    )


def _gate(row: Mapping[str, Any]) -> GateReading:
    finite, silent = (_or_none(row[name]) for name in ("gate_finite", "gate_silent"))
    return GateReading(
        verdict=row["gate"],
        reference=_or_none(row["gate_reference"]) or "",
        reasons=tuple(row["gate_reasons"] or ()),
        finite=finite is not False,
        silent=silent is True,
        **{name: _or_none(row[f"gate_{name}"]) for name in GATE},
    )


def _or_none(value: Any) -> Any:
    """A value in the form of the readings: None when absent, and never a NumPy scalar."""
    if value is None or pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, each as a dictionary by column."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
