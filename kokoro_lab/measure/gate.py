"""The equivalence gate of a run: each block's audio against its reference cell's, which is kept on disk (rule 5)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio import compare
from kokoro_lab.errors import PlanError
from kokoro_lab.measure.cell import Cell, GateReading

__all__ = ["AudioShelf", "judge", "reference_of"]

Samples = npt.NDArray[np.float32]


def reference_of(cells: Sequence[Cell]) -> dict[str, Cell]:
    """Each cell's id -> the reference cell of its group.

    Raises PlanError, naming every text concerned, when a group has no reference cell or more than one.
    """
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.gate_key, []).append(cell)
    found: dict[str, Cell] = {}
    mistakes = []
    for members in groups.values():
        references = [cell for cell in members if cell.reference]
        if len(references) != 1:
            name = members[0].text_preset or members[0].text[:40]
            mistakes.append(f"text {name!r}, voice {members[0].voice}, has {len(references)}")
            continue
        found.update({cell.id: references[0] for cell in members})
    if mistakes:
        raise PlanError(
            f"Mark exactly one cell of each text, voice, speed and seed as reference: {'; '.join(mistakes)}."
        )
    return found


def judge(
    reference: Cell,
    reference_audio: Samples,
    audio: Samples,
    reference_durations: Sequence[int] | None,
    durations: Sequence[int] | None,
) -> GateReading:
    """Compare one block's audio, float32[S], with its reference; silence is different even from silence."""
    gate = compare.gate(reference_audio, audio, reference_durations, durations)
    verdict, reasons = gate.verdict, gate.reasons
    if gate.candidate.silent:
        verdict = "different"
        reasons = (*(reason for reason in reasons if reason != "it is silent"), "it is silent")
    return GateReading(
        verdict=verdict,
        reference=reference.id,
        reasons=reasons,
        durations_equal=gate.duration_equal,
        log_mel_db=_finite(gate.log_mel_db),
        peak=_finite(gate.candidate.peak),
        rms_dbfs=_finite(gate.candidate.rms_dbfs),
        finite=gate.candidate.finite,
        silent=gate.candidate.silent,
        clipped_fraction=gate.candidate.clipped_fraction,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class AudioShelf:
    """A run's audio on disk: one .npy (float32) a cell, its durations beside it as JSON."""

    folder: Path

    def path(self, cell: Cell) -> Path:
        """Where the cell's audio is, or will be."""
        return self.folder / f"{cell.id}.npy"

    def keep(self, cell: Cell, audio: Path, durations: Sequence[int] | None) -> Path:
        """Take over a worker's audio file, unless the cell has one already. Durations first: audio is what counts."""
        target = self.path(cell)
        if not target.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            side = target.with_suffix(".json")
            temporary = side.with_suffix(".part")
            temporary.write_text(json.dumps(None if durations is None else list(durations)))
            temporary.replace(side)
            audio.replace(target)
        return target

    def load(self, cell: Cell) -> tuple[Samples, tuple[int, ...] | None] | None:
        """The cell's audio, float32[S], and durations; None when there are none yet."""
        target = self.path(cell)
        if not target.exists():
            return None
        durations = json.loads(target.with_suffix(".json").read_text())
        return np.load(target), None if durations is None else tuple(durations)
