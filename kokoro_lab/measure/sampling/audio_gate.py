"""The equivalence gate of a run: each block's audio is compared with the stored audio of its reference cell
(measurement rule 5, docs/measurement-rules.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio import compare
from kokoro_lab.audio.saved import read_saved
from kokoro_lab.errors import AudioError, PlanError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import write_text
from kokoro_lab.measure.records.cell import BlockResult, Cell, GateReading, ModelReading
from kokoro_lab.measure.records.readings import SEVERITY

__all__ = ["RunAudio", "judge", "judge_renderings", "reference_of", "vouched_reading"]

Samples = npt.NDArray[np.float32]
LOWER: dict[str, Literal["close", "different"]] = {"close": "close", "different": "different"}


def reference_of(cells: Sequence[Cell]) -> dict[str, Cell]:
    """Each cell's id -> the reference cell of its group.

    Raises PlanError, naming every text concerned, when a group has no reference cell or more than one.
    """
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.gate_key, []).append(cell)
    reference_by_id: dict[str, Cell] = {}
    mistakes = []
    for members in groups.values():
        references = [cell for cell in members if cell.reference]
        if len(references) != 1:
            name = members[0].text_preset or members[0].text[:40]
            mistakes.append(f"text {name!r}, voice {members[0].voice} has {len(references)} reference cells")
            continue
        reference_by_id.update({cell.id: references[0] for cell in members})
    if mistakes:
        raise PlanError(
            f"{', '.join(mistakes)}; mark exactly one cell of each text, voice, speed and seed as the reference"
        )
    return reference_by_id


def judge(
    reference: Cell,
    reference_audio: Samples,
    audio: Samples,
    reference_durations: Sequence[int] | None,
    durations: Sequence[int] | None,
) -> GateReading:
    """Compare one block's audio, float32[S], with its reference; silent audio is always different, even from a silent
    reference."""
    gate = compare.gate(reference_audio, audio, reference_durations, durations)
    verdict, reasons, found = gate.verdict, gate.reasons, gate.differences
    if gate.candidate.silent:
        verdict = "different"
        reasons = (*(reason for reason in reasons if reason != "it is silent"), "it is silent")
    reading = GateReading(
        verdict=verdict,
        reference=reference.id,
        reasons=reasons,
        durations_equal=gate.duration_equal,
        peak=_finite(gate.candidate.peak),
        rms_dbfs=_finite(gate.candidate.rms_dbfs),
        finite=gate.candidate.finite,
        silent=gate.candidate.silent,
        clipped_fraction=gate.candidate.clipped_fraction,
    )
    if found is None:
        return reading
    return replace(
        reading,
        log_mel_db=found.mean_db,
        worst_db=found.worst_db.value,
        frame_db=found.frame_db.value,
        level_db=found.level_db.value,
        seam=found.seam.value,
        polarity=None if found.polarity is None else found.polarity.value,
        f0_cents=found.f0_cents,
        voicing_error=found.voicing_error,
    )


def judge_renderings(
    reference: Cell, expected: tuple[Samples, Sequence[int] | None], renderings: Sequence[Samples], result: BlockResult
) -> GateReading:
    """Compare every rendering of a block with its reference; the worst counts, and is named where there are several.

    `expected`: the reference's audio and durations. `renderings`: float32[S] each, as `result.renderings` lists them.
    """
    durations = [item.durations for item in result.renderings] or [result.durations]
    readings = [
        judge(reference, expected[0], audio, expected[1], told)
        for audio, told in zip(renderings, durations, strict=False)
    ]
    worst = max(
        range(len(readings)), key=lambda at: (SEVERITY.index(readings[at].verdict), readings[at].log_mel_db or 0)
    )
    reading = readings[worst]
    distinct = int(result.figures.get("renderings", 1))
    if distinct > 1:
        where = f"in repeat {result.renderings[worst].repeat}: "
        reading = replace(reading, reasons=tuple(where + reason for reason in reading.reasons))
    if distinct > len(readings):
        unheard = f"its repeats have {distinct} different renderings, of which {len(readings)} were compared"
        verdict = "close" if reading.verdict == "equivalent" else reading.verdict
        reading = replace(reading, verdict=verdict, reasons=(*reading.reasons, unheard))
    return reading


def vouched_reading(cell: Cell, reading: GateReading, model: ModelReading | None) -> GateReading:
    """The reading of a cell's block, at most as good as what is known of its model.

    A reference's own block was compared with the cell's first: that it is equal says nothing unless something else says
    that the model is right. For other cells only what a worker says of its model counts.
    """
    verified, own = None if model is None else model.verified, reading.reference == cell.id
    if reading.verdict == "different" or verified == "equivalent" or (verified is None and not own):
        return reading
    if verified is not None and (lower := LOWER.get(verified)):
        return replace(reading, verdict=lower, reasons=(*reading.reasons, f"its model's verification calls it {lower}"))
    reason = f"nothing says that model {cell.model} is right"
    if verified is not None:
        reason = f"model {cell.model} has no verification record; run `kokoro-lab models verify {cell.model}`"
    return replace(
        reading,
        verdict="none",
        reasons=(*reading.reasons, f"it is its own reference, and {reason}" if own else reason),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class RunAudio:
    """A run's audio on disk: one .npy (float32) per cell, with its durations in a JSON file beside it."""

    folder: Path

    def path(self, cell: Cell) -> Path:
        """The path of the cell's audio, whether or not it exists yet."""
        return self.folder / f"{cell.id}.npy"

    def store(self, cell: Cell, audio: Path, durations: Sequence[int] | None) -> Path:
        """Move a worker's audio file here, unless the cell has audio already; the durations are written first."""
        target = self.path(cell)
        if not target.exists():
            write_text(target.with_suffix(".json"), json.dumps(None if durations is None else list(durations)))
            audio.replace(target)
        return target

    def load(self, cell: Cell) -> tuple[Samples, tuple[int, ...] | None] | None:
        """The cell's audio, float32[S], and durations; None when there is no audio yet.

        Raises AudioError when a file was damaged since it was stored.
        """
        target = self.path(cell)
        if not target.exists():
            return None
        durations = read_json(target.with_suffix(".json"), what="file of durations", error=AudioError)
        if durations is not None and not isinstance(durations, list):
            raise AudioError(f"the durations of {target} are damaged; start a new run")
        return read_saved(target), None if durations is None else tuple(durations)
