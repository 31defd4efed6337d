"""Speak a text into a WAV file, and say how long each stage took.

python examples/speak.py "Hello world!" hello.wav --model tiny
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from kokoro_lab import Engine, EngineConfig
from kokoro_lab.audio.wav import write_audio


def main() -> None:
    """Read the arguments, speak, write the file."""
    parser = argparse.ArgumentParser(description="Speak a text into a file.")
    parser.add_argument("text")
    parser.add_argument("file")
    parser.add_argument("--voice", default="af_heart")
    parser.add_argument("--model", default="default")
    given = parser.parse_args()

    with Engine.load(EngineConfig(model=given.model)) as engine:
        speech = engine.synthesize(given.text, voice=given.voice)
    write_audio(given.file, speech.samples, sample_rate=speech.sample_rate)

    print(f"{given.file}: {len(speech.samples) / speech.sample_rate:.2f} s of audio, real-time factor {speech.rtf:.3f}")
    print(f"phonemes: {speech.phonemes}")
    for stage, seconds in asdict(speech.timings).items():
        print(f"{stage.removesuffix('_s'):>14} {1000 * seconds:8.2f} ms")


if __name__ == "__main__":
    main()
