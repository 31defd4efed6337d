"""`kokoro-lab say`: synthesize a text into an audio file, and print its timings."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kokoro_lab.audio.wav import write_audio
from kokoro_lab.commands.console import notice, print_json
from kokoro_lab.engine.config import EngineConfig, variable
from kokoro_lab.engine.engine import Engine
from kokoro_lab.runtime.exact.form_preparation import prepare_aside
from kokoro_lab.text.decoding import decoded
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["say"]

NOT_SPEECH = "model {} has seeded weights, not the published weights; its output is not intelligible speech"


def say(
    text: str, output: Path, *, voice: str, speed: float, lang: str | None, settings: dict[str, Any], stream: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Synthesize `text` ("-": standard input) into the file `output`.

    With `stream`, chunks are read as a player would read them, and the document has the arrival time of each.
    """
    spoken = _read_input() if text == "-" else text
    requested = {name: value for name, value in settings.items() if value is not None}
    config = EngineConfig.from_environment(voices=(voice,), **requested)
    aside = config.prepare == "background" or variable("prepare") not in os.environ
    with Engine.load(replace(config, prepare="off") if aside else config, notice=notice) as engine:
        how = ", pre-optimised" if engine.spoken.preoptimized else ""
        notice(f"speaking with {engine.model.name}{how}: {engine.spoken.why}")
        if engine.model.weights == "stand-in":
            notice(NOT_SPEECH.format(engine.model.name))
        synthesize = _streamed if stream else _whole
        result = synthesize(engine, spoken, voice, speed, lang)
        write_audio(output, result.pop("samples"), sample_rate=result["sample_rate"])
        provider = engine.pool.primary.effective_provider()
        document = {
            "output": str(output),
            "text": spoken,
            **result,
            "model": {
                name: getattr(engine.model, name) for name in ("name", "weights", "architecture", "precision", "sha256")
            },
            "chosen": {
                "why": engine.spoken.why,
                "path": str(engine.spoken.path),
                "preoptimized": engine.spoken.preoptimized,
                "preoptimized_reason": engine.spoken.preoptimized_reason,
                "kernels": engine.spoken.kernels,
                "form": engine.spoken.form,
            },
            "provider": {
                "requested": provider.requested,
                "effective": provider.effective,
                "status": provider.status,
                "share": provider.share,
                "nodes": provider.nodes,
            },
            "load_ms": {stage: 1000 * seconds for stage, seconds in engine.load_seconds.items()},
        }
    if as_json:
        print_json(document)
    rtf = f"RTF {document['rtf']:.2f}" if document["rtf"] is not None else "no speech"
    notice(f"wrote {output}: {document['audio_s']:.2f} s of audio in {document['timings_ms']['total']:.0f} ms, {rtf}")
    if aside and engine.spoken.preparable is not None:
        notice(prepare_aside(engine.spoken.preparable))


def _whole(engine: Engine, text: str, voice: str, speed: float, lang: str | None) -> dict[str, Any]:
    speech = engine.synthesize(text, voice=voice, speed=speed, lang=lang)
    timings = speech.timings
    stages = ("normalise", "phonemise", "tokenise", "infer", "post_process", "other", "total")
    return {
        "samples": speech.samples,
        "sample_rate": speech.sample_rate,
        "voice": speech.voice,
        "speed": speech.speed,
        "lang": speech.lang,
        "phonemes": speech.phonemes,
        "tokens": list(speech.tokens),
        "segments": len(speech.segments),
        "timings_ms": {stage: 1000 * getattr(timings, f"{stage}_s") for stage in stages},
        "audio_s": speech.duration_s,
        "speech_s": speech.speech_s,
        "rtf": speech.rtf if speech.speech_s else None,
    }


def _streamed(engine: Engine, text: str, voice: str, speed: float, lang: str | None) -> dict[str, Any]:
    began = time.perf_counter()
    arrivals, pieces = [], []
    with engine.stream(text, voice=voice, speed=speed, lang=lang) as stream:
        for chunk in stream:
            arrivals.append(1000 * (time.perf_counter() - began))
            pieces.append(chunk.samples)
        timings, segments = stream.timings, stream.segments
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    speech_s = sum(segment.duration_s for segment in segments)
    return {
        "samples": samples,
        "sample_rate": SAMPLE_RATE,
        "voice": voice,
        "speed": speed,
        "lang": lang,
        "phonemes": " ".join(segment.segment.phonemes for segment in segments),
        "tokens": [token for segment in segments for token in segment.segment.tokens],
        "segments": len(segments),
        "timings_ms": {
            **{stage: 1000 * seconds for stage, seconds in timings.seconds.items()},
            "total": 1000 * timings.total_s,
        },
        "first_chunk_ms": arrivals[0] if arrivals else None,
        "chunks": [{"arrived_ms": at, "samples": len(piece)} for at, piece in zip(arrivals, pieces, strict=True)],
        "audio_s": len(samples) / SAMPLE_RATE,
        "speech_s": speech_s,
        "rtf": timings.total_s / speech_s if speech_s else None,
    }


def _read_input() -> str:
    return decoded(sys.stdin.buffer.read(), what="standard input")
