"""A call of an engine, timed from outside; and an engine that does nothing, to measure the harness's own cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kokoro_lab.errors import SettingError
from kokoro_lab.measure.block.listener import Arrival, arrival, listen
from kokoro_lab.measure.peers.adapters import ADAPTERS
from kokoro_lab.measure.peers.adapters.own_engine import PeerEngine
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.units import SAMPLE_RATE

if TYPE_CHECKING:
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.engine.engine import Engine

__all__ = ["EMPTY", "STAGES", "Call", "EmptyEngine", "engine_config", "load", "speak"]

EMPTY = "empty"
"""Model name of the cell that measures the harness's own cost: no engine behind it."""

STAGES = ("normalise", "phonemise", "tokenise", "infer", "post_process")
"""The engine's stages, as in `Speech.timings`."""


@dataclass(frozen=True)
class Call:
    """The output and the times of one call."""

    began_ns: int
    """time.monotonic_ns() just before the call."""
    ended_ns: int
    """time.monotonic_ns() when the last sample had arrived."""
    total_s: float
    """Duration of the call by perf_counter_ns."""
    ttfa_s: float
    """Time to first audio (measurement rule 9), from the call; when nothing is audible, the time at which playback
    ends."""
    samples: npt.NDArray[np.float32]
    """float32[S] at `sample_rate`."""
    speech_s: float
    """Duration of the synthesised speech, without inserted pauses."""
    stages: Mapping[str, float]
    """Stage -> seconds, by the engine's own clock. In a stream stages overlap and may add up to more than the total."""
    durations: tuple[int, ...] | None
    deliveries: tuple[Arrival, ...] = ()
    """The deliveries of a stream and their times; empty for a call that returns everything at once."""
    underruns: int = 0
    """Gaps that a listener of the deliveries would have heard."""
    first_words: int | None = None
    """Words of the first segment of a stream; None where the engine does not report them."""
    sample_rate: int = SAMPLE_RATE

    @property
    def audio_s(self) -> float:
        """Duration of the samples."""
        return len(self.samples) / self.sample_rate


class EmptyEngine:
    """Takes a text and immediately returns a second of sound: all the time measured is the harness's own."""

    def __init__(self) -> None:
        self._samples = np.full(SAMPLE_RATE, 0.1, dtype=np.float32)

    def speak(self) -> npt.NDArray[np.float32]:
        """The same second of sound, float32[24000], every time."""
        return self._samples

    def close(self) -> None:
        """Nothing to release."""


def engine_config(cell: Cell) -> EngineConfig:
    """The configuration that a cell describes: exactly its model, never a tuned choice, and a pre-optimised file only
    where the cell names that setting. KOKORO_* environment variables are ignored. Raises SettingError.
    """
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.field_checks import current_names

    settings: dict[str, Any] = {"tuned": False, "preoptimized": False, **current_names(dict(cell.engine_settings))}
    try:
        return EngineConfig(
            model=cell.model,
            provider=cell.provider,
            provider_options=cell.provider_options,
            intra_op_threads=cell.intra_op_threads,
            graph_level=cell.graph_level,
            voices=(cell.voice,),
            languages=(cell.lang,),
            **settings,
        )
    except TypeError as error:
        raise SettingError(
            f"a cell's engine_settings are not settings of the engine: {error}; use fields of EngineConfig"
        ) from error


def load(cell: Cell) -> tuple[Engine | EmptyEngine | PeerEngine, dict[str, float]]:
    """The cell's engine, and its load stages in milliseconds."""
    if cell.model == EMPTY:
        return EmptyEngine(), {}
    if cell.environment in ADAPTERS:
        peer = PeerEngine.load(cell)
        return peer, peer.load_ms
    from kokoro_lab.engine.engine import Engine

    engine = Engine.load(engine_config(cell))
    return engine, {stage: seconds * 1e3 for stage, seconds in engine.load_seconds.items()}


def speak(engine: Engine | EmptyEngine | PeerEngine, cell: Cell, text: str | None = None) -> Call:
    """Call the engine once with the cell's text (or another), whole or streamed as the cell says, timed from
    outside."""
    spoken = cell.requests[0] if text is None else text
    if isinstance(engine, EmptyEngine):
        return _empty(engine)
    if isinstance(engine, PeerEngine):
        return _peer(engine, cell, spoken)
    return _stream(engine, cell, spoken) if cell.delivery == "stream" else _whole(engine, cell, spoken)


def _whole(engine: Engine, cell: Cell, text: str) -> Call:
    began_ns = time.monotonic_ns()
    start = time.perf_counter_ns()
    speech = engine.synthesize(text, voice=cell.voice, speed=cell.speed, lang=cell.lang, seed=cell.seed)
    total_s = (time.perf_counter_ns() - start) / 1e9
    ended_ns = time.monotonic_ns()
    playback = listen([arrival(total_s, speech.samples, speech.sample_rate)])
    return Call(
        began_ns=began_ns,
        ended_ns=ended_ns,
        total_s=total_s,
        ttfa_s=playback.ended_s if playback.ttfa_s is None else playback.ttfa_s,
        samples=speech.samples,
        speech_s=speech.speech_s,
        sample_rate=speech.sample_rate,
        stages={stage: float(getattr(speech.timings, f"{stage}_s")) for stage in STAGES},
        durations=None if speech.durations is None else tuple(int(frames) for frames in speech.durations),
    )


def _stream(engine: Engine, cell: Cell, text: str) -> Call:
    chunks, times = [], []
    began_ns = time.monotonic_ns()
    start = time.perf_counter_ns()
    with engine.stream(text, voice=cell.voice, speed=cell.speed, lang=cell.lang, seed=cell.seed) as stream:
        for chunk in stream:
            times.append(time.perf_counter_ns())
            chunks.append(chunk)
        total_s = (time.perf_counter_ns() - start) / 1e9
        ended_ns = time.monotonic_ns()
        seconds, segments = stream.timings.seconds, stream.segments
    deliveries = tuple(arrival((at - start) / 1e9, chunk.samples) for at, chunk in zip(times, chunks, strict=True))
    playback = listen(deliveries)
    known = [segment.durations for segment in segments if segment.durations is not None]
    return Call(
        began_ns=began_ns,
        ended_ns=ended_ns,
        total_s=total_s,
        ttfa_s=playback.ended_s if playback.ttfa_s is None else playback.ttfa_s,
        samples=np.concatenate([chunk.samples for chunk in chunks]),
        speech_s=sum(len(chunk.samples) for chunk in chunks if not chunk.pause) / SAMPLE_RATE,
        stages={stage: float(seconds.get(stage, 0.0)) for stage in STAGES},
        durations=tuple(int(frames) for frames in np.concatenate(known)) if known else None,
        deliveries=deliveries,
        underruns=playback.underruns,
        first_words=next((len(chunk.text.split()) for chunk in chunks if chunk.text), None),
    )


def _peer(peer: PeerEngine, cell: Cell, text: str) -> Call:
    """A peer engine's call. For the gate, our pauses are inserted afterwards where its pieces match our sentences."""
    pieces: list[npt.NDArray[np.float32]] = []
    times: list[int] = []

    def receive(samples: npt.NDArray[np.float32]) -> None:
        times.append(time.perf_counter_ns())
        pieces.append(samples)

    began_ns = time.monotonic_ns()
    start = time.perf_counter_ns()
    peer.speak(text, cell.speed, receive, stream=cell.delivery == "stream")
    total_s = (time.perf_counter_ns() - start) / 1e9
    ended_ns = time.monotonic_ns()
    deliveries = tuple(arrival((at - start) / 1e9, piece) for at, piece in zip(times, pieces, strict=True))
    playback = listen(deliveries)
    speech_s = sum(len(piece) for piece in pieces) / SAMPLE_RATE
    return Call(
        began_ns=began_ns,
        ended_ns=ended_ns,
        total_s=total_s,
        ttfa_s=playback.ended_s if playback.ttfa_s is None else playback.ttfa_s,
        samples=_spaced(pieces, [sentence.pause_s for sentence in peer.sentences(text)]),
        speech_s=speech_s,
        stages={},
        durations=None,
        deliveries=deliveries if cell.delivery == "stream" else (),
        underruns=playback.underruns,
    )


def _spaced(pieces: list[npt.NDArray[np.float32]], pauses_s: list[float]) -> npt.NDArray[np.float32]:
    if len(pieces) != len(pauses_s):
        return np.concatenate(pieces)
    silences = [np.zeros(round(pause_s * SAMPLE_RATE), np.float32) for pause_s in pauses_s]
    return np.concatenate([part for pair in zip(pieces, silences, strict=True) for part in pair])


def _empty(engine: EmptyEngine) -> Call:
    began_ns = time.monotonic_ns()
    start = time.perf_counter_ns()
    samples = engine.speak()
    total_s = (time.perf_counter_ns() - start) / 1e9
    ended_ns = time.monotonic_ns()
    playback = listen([arrival(total_s, samples)])
    ttfa_s = playback.ended_s if playback.ttfa_s is None else playback.ttfa_s
    return Call(began_ns, ended_ns, total_s, ttfa_s, samples, 1.0, {}, None)
