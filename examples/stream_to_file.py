"""Write speech to a file while it is being synthesized: the first chunk arrives long before the text is finished.

python examples/stream_to_file.py article.txt article.wav --model tiny
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import soundfile

from kokoro_lab import Engine, EngineConfig


def main() -> None:
    """Read the arguments, stream, write each chunk as it arrives."""
    parser = argparse.ArgumentParser(description="Stream a text into a WAV file.")
    parser.add_argument("text_file", type=Path)
    parser.add_argument("file")
    parser.add_argument("--model", default="default")
    given = parser.parse_args()

    text = given.text_file.read_text(encoding="utf-8")
    config = EngineConfig(model=given.model)
    with Engine.load(config) as engine, soundfile.SoundFile(given.file, "w", config.sample_rate, 1, "PCM_16") as sound:
        start = time.perf_counter()
        for number, chunk in enumerate(engine.stream(text)):
            if number == 0:
                print(f"first chunk after {1000 * (time.perf_counter() - start):.0f} ms")
            sound.write(chunk.samples)
        seconds, audio_s = time.perf_counter() - start, sound.frames / sound.samplerate
        print(f"{number + 1} chunks, {audio_s:.2f} s of audio in {seconds:.2f} s")


if __name__ == "__main__":
    main()
