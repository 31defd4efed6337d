"""kokoro-onnx: joins sentences into model calls of up to 510 phonemes; streams with an asynchronous generator.

Streaming is measured in its own way, whole texts sentence by sentence: the same speech as from the other engines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import onnxruntime
from kokoro_onnx import Kokoro

from kokoro_lab.measure.peers.adapters import Peer, PeerFiles, SampleListener

__all__ = ["load"]

UNCHANGED = {"lang": "en-us", "is_phonemes": True, "trim": False, "sentence_pause": 0.0, "clause_pause": 0.0}


class _KokoroOnnx:
    def __init__(self, kokoro: Any, voice: str) -> None:
        self._kokoro, self._voice = kokoro, voice
        self.threads = int(kokoro.sess.get_session_options().intra_op_num_threads)

    def speak(self, sentences: Sequence[str], speed: float, hear: SampleListener, *, stream: bool) -> None:
        if stream:
            asyncio.run(self._stream(" ".join(sentences), speed, hear))
            return
        results = [self._kokoro.create(text, voice=self._voice, speed=speed, **UNCHANGED)[0] for text in sentences]
        for samples in results:
            hear(samples)

    async def _stream(self, phonemes: str, speed: float, hear: SampleListener) -> None:
        async for samples, _ in self._kokoro.create_stream(phonemes, voice=self._voice, speed=speed, **UNCHANGED):
            hear(samples)

    def close(self) -> None:
        self._kokoro = None


def load(files: PeerFiles, threads: int) -> Peer:
    """Load the engine with a session that sets the threads, which its constructor cannot."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(files.model, options, providers=["CPUExecutionProvider"])
    return _KokoroOnnx(Kokoro.from_session(session, files.voices, vocab_config=files.vocabulary), files.voice)
