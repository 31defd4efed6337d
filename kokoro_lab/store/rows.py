"""Convert a finished block to rows: one in `cells`, and one per repeat in `samples`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kokoro_lab.measure.records.cell import Block, ModelReading, ProviderReading

__all__ = ["NotebookRun", "RunRecord", "cell_row", "sample_rows"]

GATE_FIGURES = ("frame_db", "level_db", "seam", "polarity", "f0_cents", "voicing_error")
"""Figures of the gate that only the rows of `cells` have."""

NO_GATE = "none"
"""The gate column of a block that has no audio, or no reference to compare it with."""


IN_COLUMNS = frozenset(
    {
        *(
            "status",
            "error",
            "repeats",
            "warmup_ms",
            "became_steady",
            "load_ms",
            "cold",
            "rss_peak_mb",
            "rss_steady_mb",
        ),
        *("provider", "settings_digest", "model", "durations", "versions", "foreign_modules", "energy_j"),
        "energy_source",
        *("identity", "visit"),
    }
)
"""Fields of a result that have columns, or rows, of their own; all other fields go into `details`."""


@dataclass(frozen=True)
class RunRecord:
    """What all blocks of a notebook in a run have in common."""

    run_id: str
    plan: str = ""
    notebook: str = ""
    machine_id: str = ""
    software_id: str = ""
    git_commit: str | None = None
    git_dirty: bool | None = None
    run_dir: str = ""
    """Folder that audio paths are stored relative to."""
    models: Mapping[str, ModelReading] = field(default_factory=dict)
    """The models behind the cells' model names at the start of the run, for blocks that opened no model."""


@dataclass(frozen=True)
class NotebookRun:
    """How one execution of a notebook ended."""

    run_id: str
    notebook: str
    plan: str
    status: str
    """ok, error or interrupted."""
    error: str
    executed: str
    """The executed notebook, relative to the results folder; empty when there is none."""
    started_at: datetime.datetime
    wall_s: float


def cell_row(record: RunRecord, block: Block) -> dict[str, Any]:
    """The row of table `cells` for one block."""
    cell, result, quiet, gate = block.cell, block.result, block.quiet, block.gate
    provider = result.provider or ProviderReading(requested=cell.provider, effective="", share=0.0)
    return {
        **_shared(record, block),
        "error": result.error,
        "text": cell.text,
        "configuration": cell.as_dict(),
        "model_sha256": _model(record, block).sha256,
        "settings_digest": result.settings_digest,
        "samples": len(result.repeats),
        "became_steady": result.became_steady,
        "warmup_ms": list(result.warmup_ms),
        "load_ms": result.load_ms,
        "cold": result.cold,
        "nodes": provider.nodes,
        "versions": result.versions,
        "foreign_modules": list(result.foreign_modules),
        "details": {
            **{name: value for name, value in result.as_dict().items() if name not in IN_COLUMNS},
            "verified": None if result.model is None else result.model.verified,
        },
        "durations": None if result.durations is None else list(result.durations),
        "rss_peak_mb": result.rss_peak_mb,
        "rss_steady_mb": result.rss_steady_mb,
        "energy_j": result.energy_j,
        "energy_source": result.energy_source,
        "wall_s": block.wall_s,
        "gate_reasons": [] if gate is None else list(gate.reasons),
        "gate_peak": None if gate is None else gate.peak,
        "gate_rms_dbfs": None if gate is None else gate.rms_dbfs,
        "gate_clipped_fraction": None if gate is None else gate.clipped_fraction,
        "gate_finite": None if gate is None else gate.finite,
        "gate_silent": None if gate is None else gate.silent,
        **{f"gate_{name}": None if gate is None else getattr(gate, name) for name in GATE_FIGURES},
        "identity": None if result.identity is None else result.identity.as_dict(),
        "contaminated_reason": quiet.reason,
        "other_cpu_share": quiet.other_cpu_share,
        "harness_cpu_share": quiet.harness_cpu_share,
        "steal_share": quiet.steal_share,
        "cpu_pressure": quiet.cpu_pressure,
        "memory_pressure": quiet.memory_pressure,
        "io_pressure": quiet.io_pressure,
        "frequency_mhz": quiet.frequency_mhz,
        "temperature_c": quiet.temperature_c,
        "governor": quiet.governor,
        "on_battery": quiet.on_battery,
        "audio_path": _relative(block.audio_path, record.run_dir),
    }


def sample_rows(record: RunRecord, block: Block) -> list[dict[str, Any]]:
    """The rows of table `samples` for one block; none when it failed or its provider was unavailable."""
    shared = {**_shared(record, block), "became_steady": block.result.became_steady}
    load = block.result.load
    nothing = [None] * len(block.result.repeats)
    scheduled = load.scheduled_s if load else nothing
    waited = load.waited_ms if load else nothing
    return [
        {**shared, **repeat.as_dict(), "scheduled_s": scheduled[at], "waited_ms": waited[at]}
        for at, repeat in enumerate(block.result.repeats)
    ]


def _shared(record: RunRecord, block: Block) -> dict[str, Any]:
    cell, result, gate = block.cell, block.result, block.gate
    model = _model(record, block)
    return {
        "run_id": record.run_id,
        "cell_id": cell.id,
        "block": block.block,
        "order": block.order,
        "round": block.round,
        "attempt": block.attempt,
        "replaces": block.replaces,
        "place": block.place,
        "started_at": _moment(block.started_at),
        "plan": record.plan,
        "notebook": record.notebook,
        "machine_id": record.machine_id,
        "software_id": record.software_id,
        "git_commit": record.git_commit,
        "git_dirty": record.git_dirty,
        "model": model.name,
        "weights": model.weights,
        "architecture": model.architecture,
        "precision": model.precision,
        "variant": model.variant,
        "kernels": model.kernels,
        "preoptimized": model.preoptimized,
        "provider": cell.provider,
        "provider_options": dict(cell.provider_options),
        "intra_op_threads": cell.intra_op_threads,
        "graph_level": cell.graph_level,
        "engine_settings": dict(cell.engine_settings),
        "environment": cell.environment,
        "delivery": cell.delivery,
        "arrivals": cell.arrivals,
        "rate_hz": cell.rate_hz,
        "load_s": cell.load_s,
        "clients": cell.clients,
        "text_preset": cell.text_preset,
        "characters": len(cell.text),
        "voice": cell.voice,
        "speed": cell.speed,
        "lang": cell.lang,
        "seed": cell.seed,
        "state": cell.state,
        "replica": cell.replica,
        "process": cell.process,
        "reference": cell.reference,
        "status": result.status,
        "effective_provider": result.provider.effective if result.provider else "",
        "provider_share": result.provider.share if result.provider else None,
        "contaminated": block.quiet.contaminated,
        "gate": NO_GATE if gate is None else gate.verdict,
        "gate_reference": None if gate is None else gate.reference,
        "gate_durations_equal": None if gate is None else gate.durations_equal,
        "gate_log_mel_db": None if gate is None else gate.log_mel_db,
        "gate_worst_db": None if gate is None else gate.worst_db,
    }


def _model(record: RunRecord, block: Block) -> ModelReading:
    """The model that the worker opened; otherwise the model behind the name; otherwise only the name."""
    unknown = ModelReading(name=block.cell.model, sha256="", weights="", architecture="", precision="")
    return block.result.model or record.models.get(block.cell.model, unknown)


def _moment(iso: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(iso) if iso else datetime.datetime.now(datetime.UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _relative(path: str, folder: str) -> str:
    """Path relative to the run folder if it is inside, so that results can be moved as a whole."""
    if path and folder and Path(path).is_relative_to(folder):
        return Path(path).relative_to(folder).as_posix()
    return path
