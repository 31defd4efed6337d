"""pykokoro: one request per sentence, split by the caller; streaming yields one result after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnxruntime
from pykokoro import GenerationConfig, KokoroSynthesizer, SynthesisConfig, SynthesisSegment, TokenizerConfig

from kokoro_lab.measure.peers.adapters import Peer, PeerFiles, SampleListener

__all__ = ["load"]


class _PyKokoro:
    def __init__(self, files: PeerFiles, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.threads = threads
        self._settings: dict[str, Any] = {
            "voice": files.voice,
            "model_path": files.model,
            "voices_path": files.voices,
            "model_config_path": files.vocabulary,
            "model_variant": "v1.0",
            "model_source": "github",
            "model_quality": "fp32",
            "provider": "cpu",
            "session_options": options,
            # Its default backend downloads lexicons even when phonemes are given.
            "tokenizer_config": TokenizerConfig(backend="espeak", fallback="none"),
            "inference_cache_enabled": False,  # otherwise a repeat would be a cache look-up
        }
        self._speed = 0.0
        self._engine: Any = None

    def _at(self, speed: float) -> Any:
        """The engine at this speed, which is part of its configuration."""
        if self._engine is None or speed != self._speed:
            self.close()
            # By default short sentences are padded with others and cut again, which changes the speech.
            generation = GenerationConfig(speed=speed, lang="en-us", enable_short_sentence=False)
            self._engine = KokoroSynthesizer(SynthesisConfig(generation=generation, **self._settings))
            self._speed = speed
        return self._engine

    def speak(self, sentences: Sequence[str], speed: float, hear: SampleListener, *, stream: bool) -> None:
        requests = [
            SynthesisSegment(id=f"sentence-{number}", text=phonemes, language="en-us", phonemes=phonemes)
            for number, phonemes in enumerate(sentences)
        ]
        results = self._at(speed).synthesize_segments(requests)
        for result in results if stream else list(results):
            hear(result.audio)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = None


def load(files: PeerFiles, threads: int) -> Peer:
    """Create the engine, which opens its session at the first request: in a cold start, that is part of the first
    call."""
    return _PyKokoro(files, threads)
