"""Results of the engine: speech, word and phoneme times, chunks, and the time that each stage took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.audio.dither import to_pcm16
from kokoro_lab.audio.finish import Finished
from kokoro_lab.errors import InferenceError
from kokoro_lab.units import FRAME_SAMPLES, SAMPLE_RATE

if TYPE_CHECKING:
    from kokoro_lab.engine.model_selection import LoadedModel
    from kokoro_lab.models.catalog import ModelFile
    from kokoro_lab.text.segment import Segment

__all__ = [
    "Chunk",
    "PhonemeTime",
    "Speech",
    "SpokenSegment",
    "Timings",
    "WordTime",
    "phoneme_times",
    "word_times",
]


@dataclass(frozen=True)
class Timings:
    """Wall seconds of a call by stage; the stages and `other_s` add up to `total_s`.

    Examples:
        >>> timings = Timings.of({"phonemise": 0.25, "infer": 0.5}, total_s=1.0)
        >>> timings.infer_s, timings.other_s
        (0.5, 0.25)
    """

    normalise_s: float = 0.0
    phonemise_s: float = 0.0
    tokenise_s: float = 0.0
    infer_s: float = 0.0
    """Calls of the model, waiting for a free session included."""
    post_process_s: float = 0.0
    other_s: float = 0.0
    """Time outside all stages."""
    total_s: float = 0.0

    @classmethod
    def of(cls, stages: Mapping[str, float], total_s: float) -> Timings:
        """From seconds by stage name (without `_s`); the rest of the total becomes `other_s`."""
        known = {item.name for item in fields(cls)} - {"other_s", "total_s"}
        seconds = {name: stages.get(name.removesuffix("_s"), 0.0) for name in known}
        return cls(**seconds, other_s=total_s - sum(seconds.values()), total_s=total_s)


@dataclass(frozen=True)
class PhonemeTime:
    """A phoneme symbol (spaces and punctuation marks included) and when it is heard."""

    phoneme: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class WordTime:
    """A word, or a punctuation mark, and when it is heard."""

    text: str
    phonemes: str
    start_s: float
    end_s: float
    segment: int
    """Number of the segment it belongs to."""


@dataclass(frozen=True)
class SpokenSegment:
    """A synthesised segment, and its position in the samples."""

    segment: Segment
    start: int
    """First sample of it at 24,000 Hz; negative when silence was trimmed from its start."""
    samples: int
    """Length in samples at 24,000 Hz, without the pause after it."""
    durations: NDArray[np.int64] | None
    """int64 [T], frames of 25 ms per token, the zero at each end included; None for a model without durations."""
    infer_s: float

    @property
    def start_s(self) -> float:
        """Start in seconds from the beginning of the speech."""
        return self.start / SAMPLE_RATE

    @property
    def duration_s(self) -> float:
        """Length in seconds, without the pause after it."""
        return self.samples / SAMPLE_RATE


@dataclass(frozen=True)
class Speech:
    """The result of a synthesis."""

    samples: NDArray[np.float32]
    """float32 [S] at `sample_rate`, nominally within -1 and 1, processed by the engine's settings; read-only."""
    sample_rate: int
    """Sample rate in Hz."""
    text: str
    """The text as it was given."""
    phonemes: str
    """Phonemes of all segments, separated by a space."""
    tokens: tuple[int, ...]
    """Tokens of all segments, one after the other, without the zeros at their ends."""
    durations: NDArray[np.int64] | None
    """Durations of all segments, one after the other, the ends of each included (frames of 25 ms)."""
    segments: tuple[SpokenSegment, ...]
    voice: str
    speed: float
    lang: str
    seed: int
    timings: Timings
    spoken: LoadedModel
    """The model, the reason for choosing it, and the file that was opened."""
    cached: bool = False
    """Whether the samples came from the audio cache; the timings are then of the look-up."""
    finished: Finished | None = None
    """Trimming, gain, loudness and true peak; None where the engine's settings require no processing."""

    @property
    def model(self) -> ModelFile:
        """The model that was used."""
        return self.spoken.model

    def pcm16(self, *, dither: bool = True) -> NDArray[np.int16]:
        """The samples in 16 bits, int16 [S], with TPDF dither (deterministic) unless it is off."""
        return to_pcm16(self.samples, dither=dither)

    @property
    def duration_s(self) -> float:
        """Length of all samples in seconds, pauses included."""
        return len(self.samples) / self.sample_rate

    @property
    def speech_s(self) -> float:
        """Length of the synthesised speech in seconds, without the pauses between segments."""
        return sum(segment.samples for segment in self.segments) / SAMPLE_RATE

    @property
    def word_times(self) -> tuple[WordTime, ...]:
        """When each word is heard; InferenceError when the model has no durations output."""
        return word_times(self.segments)

    @property
    def phoneme_times(self) -> tuple[PhonemeTime, ...]:
        """When each phoneme is heard; InferenceError when the model has no durations output."""
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
    """Whether it is the last chunk of the stream."""
    samples: NDArray[np.float32]
    """float32 [S] at 24,000 Hz."""
    pause: bool = False
    """Whether it is a pause between segments rather than speech."""
    text: str = ""
    """The segment's text, on its first chunk; else empty."""

    @property
    def duration_s(self) -> float:
        """Playing time in seconds."""
        return len(self.samples) / SAMPLE_RATE


def phoneme_times(segments: Sequence[SpokenSegment]) -> tuple[PhonemeTime, ...]:
    """Seconds from the beginning of the speech, in steps of 25 ms. InferenceError without a durations output."""
    times = []
    for spoken in segments:
        edges = _edges(spoken)
        times += [
            PhonemeTime(symbol, float(edges[at]), float(edges[at + 1]))
            for at, symbol in enumerate(spoken.segment.phonemes)
        ]
    return tuple(times)


def word_times(segments: Sequence[SpokenSegment]) -> tuple[WordTime, ...]:
    """Seconds from the beginning of the speech; a word without phonemes is left out."""
    times = []
    for number, spoken in enumerate(segments):
        edges = _edges(spoken)
        for word in spoken.segment.words:
            if word.phonemes:
                start, end = edges[word.start], edges[word.start + len(word.phonemes)]
                times.append(WordTime(word.text, word.phonemes, float(start), float(end), number))
    return tuple(times)


def _edges(spoken: SpokenSegment) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Start of each phoneme token, and the end of the last token, in seconds: float64 [tokens + 1]."""
    if spoken.durations is None:
        raise InferenceError("this model file has no durations output, so times are unknown; use another model")
    ends = np.cumsum(spoken.durations, dtype=np.int64)[:-1]
    return np.asarray(np.maximum(spoken.start + ends * FRAME_SAMPLES, 0) / SAMPLE_RATE, np.float64)
