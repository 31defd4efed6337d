"""What the engine hands back: speech, chunks of it, and how long each stage took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.audio.dither import to_pcm16
from kokoro_lab.audio.finish import Finished
from kokoro_lab.audio.wav import SAMPLE_RATE
from kokoro_lab.engine.timestamps import PhonemeTime, WordTime, phoneme_times, word_times

if TYPE_CHECKING:
    from kokoro_lab.engine.choosing import Spoken
    from kokoro_lab.models.catalog import ModelFile
    from kokoro_lab.text.segment import Segment

__all__ = ["Chunk", "Speech", "SpokenSegment", "Timings"]


@dataclass(frozen=True)
class Timings:
    """Wall seconds of one call by stage; the stages and `other_s` add up to `total_s`."""

    normalise_s: float = 0.0
    phonemise_s: float = 0.0
    tokenise_s: float = 0.0
    infer_s: float = 0.0
    """Calls of the model, waiting for a free session included."""
    post_process_s: float = 0.0
    other_s: float = 0.0
    """What no stage accounts for."""
    total_s: float = 0.0

    @classmethod
    def of(cls, stages: Mapping[str, float], total_s: float) -> Timings:
        """From seconds by stage name (without `_s`); what is left of the total becomes `other_s`."""
        known = {item.name for item in fields(cls)} - {"other_s", "total_s"}
        seconds = {name: stages.get(name.removesuffix("_s"), 0.0) for name in known}
        return cls(**seconds, other_s=total_s - sum(seconds.values()), total_s=total_s)


@dataclass(frozen=True)
class SpokenSegment:
    """One segment as it was spoken, and where it lies in the samples."""

    segment: Segment
    start: int
    """Sample at 24,000 Hz at which it begins; below 0 when silence was trimmed that it began with."""
    samples: int
    """Samples at 24,000 Hz it lasts, without the pause after it."""
    durations: NDArray[np.int64] | None
    """int64 [T], frames of 25 ms for each token, the zero at each end included; None when the model gives none."""
    infer_s: float

    @property
    def start_s(self) -> float:
        """Seconds from the beginning of the speech."""
        return self.start / SAMPLE_RATE

    @property
    def duration_s(self) -> float:
        """Seconds it lasts, without the pause after it."""
        return self.samples / SAMPLE_RATE


@dataclass(frozen=True)
class Speech:
    """A finished text."""

    samples: NDArray[np.float32]
    """float32 [S] at `sample_rate`, nominally within -1 and 1, finished as the engine is set to; not writable."""
    sample_rate: int
    """Hz."""
    text: str
    """The text as it was given."""
    phonemes: str
    """Phonemes of all segments, separated by a space."""
    tokens: tuple[int, ...]
    """Tokens of all segments, one after the other, without the zeros at their ends."""
    durations: NDArray[np.int64] | None
    """Durations of all segments, one after the other, each with its two ends (frames of 25 ms)."""
    segments: tuple[SpokenSegment, ...]
    voice: str
    speed: float
    lang: str
    seed: int
    timings: Timings
    spoken: Spoken
    """The model, why it was chosen, and the file that was opened."""
    cached: bool = False
    """Whether the samples came from the audio cache; the timings are then those of the look-up."""
    finished: Finished | None = None
    """What was trimmed, the gain, the loudness and the true peak; None when the engine finishes nothing."""

    @property
    def model(self) -> ModelFile:
        """The model that spoke."""
        return self.spoken.model

    def pcm16(self, *, dither: bool = True) -> NDArray[np.int16]:
        """The samples in 16 bits, int16 [S], with TPDF dither (the same for the same samples) unless it is off."""
        return to_pcm16(self.samples, dither=dither)

    @property
    def duration_s(self) -> float:
        """Seconds of all samples, pauses included."""
        return len(self.samples) / self.sample_rate

    @property
    def speech_s(self) -> float:
        """Seconds of synthesised speech, without the pauses put between segments."""
        return sum(segment.samples for segment in self.segments) / SAMPLE_RATE

    @property
    def word_times(self) -> tuple[WordTime, ...]:
        """When each word is heard; InferenceError when the model gives no durations."""
        return word_times(self.segments)

    @property
    def phoneme_times(self) -> tuple[PhonemeTime, ...]:
        """When each phoneme is heard; InferenceError when the model gives no durations."""
        return phoneme_times(self.segments)

    @property
    def rtf(self) -> float:
        """Processing time over the duration of synthesised speech; lower is faster."""
        return self.timings.total_s / self.speech_s


@dataclass(frozen=True)
class Chunk:
    """A numbered piece of streamed speech."""

    segment: int
    """Number of the segment it belongs to, from 0."""
    index: int
    """Number of the chunk in the stream, from 0, without gaps."""
    last: bool
    """Whether it ends the stream."""
    samples: NDArray[np.float32]
    """float32 [S] at 24,000 Hz."""
    pause: bool = False
    """Whether it is a pause put between segments, and not speech."""
    text: str = ""
    """The segment's text, on its first chunk; else empty."""

    @property
    def duration_s(self) -> float:
        """Seconds it plays."""
        return len(self.samples) / SAMPLE_RATE
