"""The process whose instructions are counted: it loads the tiny model and makes some calls, one after the other.

    python -m kokoro_lab.measure.block.counted_calls 2

It prints what spoke, as one line of JSON; with `--count`, the instructions that it retired on a line of their own.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Sequence

from kokoro_lab.measure.machine.instruction_counter import PerfCounter

__all__ = ["TEXT", "main"]

TEXT = "Hi."
"""What is spoken: short, because valgrind needs seconds for a tenth of a second of speech."""

VOICE = "af_heart"
PACKAGES = ("numpy", "onnxruntime")
"""Packages that do the work of a call; another version of one is another machine."""


def main(arguments: Sequence[str]) -> int:
    """Make the calls; see the module."""
    counter = PerfCounter() if "--count" in arguments else None
    # Imported here, because only threads and libraries that start after the counter are counted.
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.engine.engine import Engine
    from kokoro_lab.models.catalog import resolve

    calls = int(arguments[0])
    spoken = hashlib.sha256()
    with Engine.load(EngineConfig(model="tiny", intra_op_threads=1, spinning=False)) as engine:
        for _ in range(calls):
            speech = engine.synthesize(TEXT, voice=VOICE)
        spoken.update(speech.samples.tobytes())
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    about = {
        "model_sha256": resolve("tiny").sha256,
        "audio_sha256": spoken.hexdigest(),
        "samples": len(speech.samples),
        "versions": {"python": platform.python_version(), **versions},
    }
    print(json.dumps(about, sort_keys=True))
    if counter is not None:
        print(counter.read())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
