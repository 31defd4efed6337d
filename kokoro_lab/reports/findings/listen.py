"""What each cell sounds like: its stored audio as a short clip in the page, with the result of the audio gate."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokoro_lab.audio.wav import encode_audio
from kokoro_lab.errors import AudioError
from kokoro_lab.reports.rows.derived_metrics import stored_audio
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store.blocks import records
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["CLIP_S", "Clip", "clips"]

CLIP_S = 6.0  # s, enough to hear a difference; a minute of speech in each of thirty players would make a heavy page
LEAST_DB = 0.01  # dB; smaller distances are rounding
FADE_S = 0.05  # s, so that a cut clip does not click

GATES = {
    "equivalent": "equivalent to the reference",
    "close": "close to the reference, ranked separately",
    "different": "different from the reference, never ranked",
    "none": "not compared with a reference",
}


@dataclass(frozen=True)
class Clip:
    """One audio player."""

    cell_id: str
    label: str
    text_preset: str
    gate: str
    """equivalent, close, different or none."""
    words: str
    """The result of the audio gate, in words."""
    data: str
    """OGG as a data URI; empty when the audio is no longer available."""
    seconds: float
    """Length of the whole recording."""
    cut: bool
    """True when the clip is the beginning only."""
    reference: bool


def clips(evidence: Evidence) -> list[Clip]:
    """One clip per gated cell, in the order of texts and labels, the reference of each text first.

    Of the blocks of a cell, the one whose audio is farthest from the reference: its words are the cell's.
    """
    cells = evidence.cells
    gated = cells[cells["audio_path"].astype(bool) & (cells["gate"] != "none") & ~cells["superseded"]]
    worst = list(reversed(GATES))
    firsts = (
        gated.assign(severity=[worst.index(gate) for gate in gated["gate"]])
        .sort_values(["cell_id", "severity", "block"])
        .drop_duplicates("cell_id")
    )
    place = firsts.assign(later=~firsts["reference"].astype(bool))
    ordered = place.sort_values(["characters", "text_preset", "later", "state", "label"])
    return [_clip(evidence, row) for row in records(ordered)]


def _clip(evidence: Evidence, row: dict[str, Any]) -> Clip:
    samples = stored_audio(evidence.run_dir)(str(row["audio_path"]))
    cut = samples is not None and len(samples) > CLIP_S * SAMPLE_RATE
    state = "" if row["state"] == "warm" else f", {row['state']}"
    return Clip(
        cell_id=str(row["cell_id"]),
        label=f"{row['label']}{state}",
        text_preset=str(row["text_preset"]),
        gate=str(row["gate"]),
        words=_words(row),
        data="" if samples is None else _data_uri(samples),
        seconds=0.0 if samples is None else len(samples) / SAMPLE_RATE,
        cut=cut,
        reference=bool(row["reference"]),
    )


def _words(row: dict[str, Any]) -> str:
    if row["reference"]:
        return "the reference of this text"
    words = [GATES[str(row["gate"])]]
    distance = row["gate_log_mel_db"]
    if distance is not None and not np.isnan(distance):
        words.append(f"log-mel distance {f'{distance:.2f}' if distance >= LEAST_DB else f'under {LEAST_DB}'} dB")
    return "; ".join([*words, *[str(reason).rstrip(".") for reason in row["gate_reasons"]]])


def _data_uri(samples: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    clip = samples[: int(CLIP_S * SAMPLE_RATE)].copy()
    if len(clip) < len(samples):
        fade = int(FADE_S * SAMPLE_RATE)
        clip[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    try:
        encoded = encode_audio(np.clip(np.nan_to_num(clip), -1.0, 1.0), "ogg")
    except AudioError:
        return ""
    return f"data:audio/ogg;base64,{base64.b64encode(encoded).decode('ascii')}"
