"""The schema of the result tables: one Arrow schema per table, with its key and its JSON columns.

    samples     one row per completed repeat
    cells       one row per block: configuration, effective provider, status, gate and interference
    machines    one row per machine and its software, by the hashes of their stable fingerprints
    verdicts    one row per comparison, noise floor, setting without effect or bound
    notebooks   one row per execution of a notebook, with its error if it failed
    attempts    one row per run and pair of cells that it compared; removing a run leaves them
    runs        one row per run: its name, tags and note, and how the measurement of each notebook ended

Every row carries `schema_version`, so a table may have rows of several versions: old rows are migrated when they are
read (see `migrations`), and no file that a report cites is ever rewritten. Times end in _ms or _s,
memory in _mb (10^6 bytes); shares are between 0 and 1. A column is nullable only where a value may not be
available.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

__all__ = ["SCHEMA_VERSION", "STAGES", "TABLES", "TableSchema"]

SCHEMA_VERSION = 5
"""The version that this package writes; a new version needs a migration of the same number."""

STAGES = ("normalise_ms", "phonemise_ms", "tokenise_ms", "infer_ms", "post_process_ms", "other_ms")
"""Stage times of one repeat, in the order of synthesis; they add up to the engine's own total."""

TEXT, FLAG = pa.string(), pa.bool_()
INTEGER, COUNT, REAL = pa.int32(), pa.int64(), pa.float64()
MOMENT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class TableSchema:
    """A table: its columns, its key columns and its columns of JSON text."""

    name: str
    columns: pa.Schema
    key: tuple[str, ...]
    json: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    """Columns that rows are sorted by when they are read."""


def _required(kind: pa.DataType, *names: str) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=False) for name in names]


def _optional(kind: pa.DataType, *names: str) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=True) for name in names]


_BLOCK = [
    *_required(INTEGER, "schema_version"),
    *_required(TEXT, "run_id", "cell_id"),
    *_required(INTEGER, "block", "order", "round", "attempt"),
    *_optional(INTEGER, "replaces", "place"),
    *_required(MOMENT, "started_at"),
    *_required(TEXT, "plan", "notebook", "machine_id", "software_id"),
    *_optional(TEXT, "git_commit"),
    *_optional(FLAG, "git_dirty"),
]
_FACTORS = [
    *_required(TEXT, "model", "weights", "architecture", "precision", "provider", "provider_options"),
    *_required(INTEGER, "intra_op_threads"),
    *_required(TEXT, "graph_level", "engine_settings", "environment", "delivery", "arrivals"),
    *_required(REAL, "rate_hz", "load_s"),
    *_required(INTEGER, "clients"),
    *_required(TEXT, "text_preset"),
    *_required(INTEGER, "characters"),
    *_required(TEXT, "voice"),
    *_required(REAL, "speed"),
    *_required(TEXT, "lang"),
    *_required(COUNT, "seed"),
    *_required(TEXT, "state"),
    *_required(INTEGER, "replica"),
    *_optional(TEXT, "process"),
    *_required(FLAG, "reference"),
    *_optional(TEXT, "variant", "kernels"),
    *_optional(FLAG, "preoptimized"),
    *_required(TEXT, "status", "effective_provider"),
    *_optional(REAL, "provider_share"),
]
_JUDGED = [
    *_required(FLAG, "contaminated"),
    *_required(TEXT, "gate"),
    *_optional(TEXT, "gate_reference"),
    *_optional(FLAG, "gate_durations_equal"),
    *_optional(REAL, "gate_log_mel_db", "gate_worst_db"),
]

_SAMPLES = pa.schema(
    [
        *_BLOCK,
        *_FACTORS,
        *_required(INTEGER, "repeat"),
        *_required(REAL, "total_ms", "ttfa_ms", "audio_s", "speech_s", "rtf", *STAGES, "rss_mb"),
        *_required(FLAG, "steady", "became_steady"),
        *_required(TEXT, "outlier"),
        *_optional(REAL, "scheduled_s", "waited_ms"),
        *_JUDGED,
    ]
)

_CELLS = pa.schema(
    [
        *_BLOCK,
        *_FACTORS,
        *_required(TEXT, "error", "text", "configuration", "model_sha256", "settings_digest"),
        *_required(INTEGER, "samples"),
        *_required(FLAG, "became_steady"),
        *_required(TEXT, "warmup_ms", "load_ms", "cold", "nodes", "versions", "foreign_modules", "details"),
        *_optional(TEXT, "durations"),
        *_optional(REAL, "rss_peak_mb", "rss_steady_mb", "energy_j"),
        *_required(TEXT, "energy_source"),
        *_required(REAL, "wall_s"),
        *_JUDGED,
        *_required(TEXT, "gate_reasons"),
        *_optional(REAL, "gate_peak", "gate_rms_dbfs", "gate_clipped_fraction"),
        *_optional(FLAG, "gate_finite", "gate_silent"),
        *_optional(REAL, "gate_frame_db", "gate_level_db", "gate_seam", "gate_polarity"),
        *_optional(REAL, "gate_f0_cents", "gate_voicing_error"),
        *_required(TEXT, "contaminated_reason"),
        *_optional(REAL, "other_cpu_share", "harness_cpu_share", "steal_share"),
        *_optional(REAL, "cpu_pressure", "memory_pressure", "io_pressure"),
        *_optional(REAL, "frequency_mhz", "temperature_c"),
        *_optional(TEXT, "governor"),
        *_optional(FLAG, "on_battery"),
        *_required(TEXT, "audio_path"),
        *_optional(TEXT, "origin", "identity"),
        *_optional(INTEGER, "link"),
        *_optional(TEXT, "digest", "chain"),
    ]
)

_MACHINES = pa.schema(
    [
        *_required(INTEGER, "schema_version"),
        *_required(TEXT, "machine_id", "software_id"),
        *_required(MOMENT, "first_seen_at"),
        *_required(TEXT, "facts", "software"),
    ]
)

_VERDICTS = pa.schema(
    [
        *_required(INTEGER, "schema_version"),
        *_required(TEXT, "run_id", "base_cell", "candidate_cell", "metric", "verdict"),
        *_required(MOMENT, "made_at"),
        *_optional(REAL, "ratio", "ratio_low", "ratio_high", "p_value"),
        *_required(REAL, "minimum_effect", "margin"),
        *_required(INTEGER, "pairs"),
        *_required(TEXT, "reason", "details"),
    ]
)

_NOTEBOOKS = pa.schema(
    [
        *_required(INTEGER, "schema_version"),
        *_required(TEXT, "run_id", "notebook"),
        *_required(INTEGER, "attempt"),
        *_required(TEXT, "plan", "status", "error", "executed"),
        *_required(MOMENT, "started_at"),
        *_required(REAL, "wall_s"),
    ]
)

_ATTEMPTS = pa.schema(
    [
        *_required(INTEGER, "schema_version"),
        *_required(TEXT, "run_id"),
        *_required(MOMENT, "started_at"),
        *_required(TEXT, "base_cell", "candidate_cell", "machine_id"),
        *_optional(TEXT, "git_commit"),
        *_required(TEXT, "measured_models"),
        *_required(INTEGER, "attempt"),
    ]
)

_RUNS = pa.schema(
    [
        *_required(INTEGER, "schema_version"),
        *_required(TEXT, "run_id"),
        *_required(MOMENT, "changed_at"),
        *_required(TEXT, "name", "tags", "note", "endings"),
    ]
)

TABLES: dict[str, TableSchema] = {
    table.name: table
    for table in (
        TableSchema(
            "samples",
            _SAMPLES,
            ("run_id", "cell_id", "block"),
            json=("provider_options", "engine_settings"),
            partition=("run_id",),
            order=("started_at", "run_id", "order", "repeat"),
        ),
        TableSchema(
            "cells",
            _CELLS,
            ("run_id", "cell_id", "block"),
            json=(
                "provider_options",
                "engine_settings",
                "configuration",
                "details",
                "warmup_ms",
                "load_ms",
                "cold",
                "nodes",
                "versions",
                "foreign_modules",
                "durations",
                "gate_reasons",
                "origin",
                "identity",
            ),
            partition=("run_id",),
            order=("started_at", "run_id", "order"),
        ),
        TableSchema(
            "machines", _MACHINES, ("machine_id", "software_id"), json=("facts", "software"), order=("first_seen_at",)
        ),
        TableSchema(
            "verdicts",
            _VERDICTS,
            ("run_id", "base_cell", "candidate_cell", "metric"),
            json=("details",),
            order=("made_at",),
        ),
        TableSchema("notebooks", _NOTEBOOKS, ("run_id", "notebook", "attempt"), order=("started_at", "attempt")),
        TableSchema(
            "attempts",
            _ATTEMPTS,
            ("run_id", "started_at", "base_cell", "candidate_cell"),
            order=("started_at", "run_id", "base_cell", "candidate_cell"),
        ),
        TableSchema("runs", _RUNS, ("run_id",), json=("tags", "endings"), order=("changed_at", "run_id")),
    )
}
