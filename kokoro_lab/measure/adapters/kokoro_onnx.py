"""kokoro-onnx: it joins sentences into model calls of up to 510 phonemes; an asynchronous generator for streaming.

Streaming is measured as it does it, whole texts sentence by sentence: the same speech as everybody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import onnxruntime
from kokoro_onnx import Kokoro

from kokoro_lab.measure.adapters import Files, Hear, Peer

__all__ = ["load"]

AS_IT_IS = {"lang": "en-us", "is_phonemes": True, "trim": False, "sentence_pause": 0.0, "clause_pause": 0.0}


class _KokoroOnnx:
    def __init__(self, kokoro: Any, voice: str) -> None:
        self._kokoro, self._voice = kokoro, voice
        self.threads = int(kokoro.sess.get_session_options().intra_op_num_threads)

    def speak(self, sentences: Sequence[str], speed: float, hear: Hear, *, stream: bool) -> None:
        if stream:
            asyncio.run(self._stream(" ".join(sentences), speed, hear))
            return
        results = [self._kokoro.create(one, voice=self._voice, speed=speed, **AS_IT_IS)[0] for one in sentences]
        for samples in results:
            hear(samples)

    async def _stream(self, phonemes: str, speed: float, hear: Hear) -> None:
        async for samples, _ in self._kokoro.create_stream(phonemes, voice=self._voice, speed=speed, **AS_IT_IS):
            hear(samples)

    def close(self) -> None:
        self._kokoro = None


def load(files: Files, threads: int) -> Peer:
    """Its constructor sets no threads, so that it is given a session that does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(files.model, options, providers=["CPUExecutionProvider"])
    return _KokoroOnnx(Kokoro.from_session(session, files.voices, vocab_config=files.vocabulary), files.voice)
