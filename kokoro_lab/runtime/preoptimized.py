"""Files that onnxruntime has optimised already: where they are, and whether they fit this machine.

Such a file has memory layouts of the processor it was written on, so its folder is named after the processor and the
onnxruntime version, and its record has the SHA-256 of its source. The weights are in a second file (.bin), which
onnxruntime maps into memory instead of reading. `variants.make_preoptimized` writes the files; `Session.open` opens
them in place of their source.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.models.catalog import preoptimized_folder
from kokoro_lab.models.files.model_record import read_record

if TYPE_CHECKING:
    from kokoro_lab.models.files.model_record import ModelFile

__all__ = ["WEIGHTS_SUFFIX", "PreoptimizedLookup", "find", "machine_key", "preoptimized_path"]

WEIGHTS_SUFFIX = ".bin"


@dataclass(frozen=True)
class PreoptimizedLookup:
    """The pre-optimised form of a file, or the reason why there is none to open."""

    path: Path | None
    reason: str = ""
    """Empty where there is a file, or where none was requested."""


@functools.cache
def machine_key() -> str:
    """A short key of this processor, its instruction sets, and this onnxruntime version."""
    import onnxruntime

    digest = hashlib.sha256(f"{_processor()} {onnxruntime.__version__}".encode()).hexdigest()
    return f"ort{onnxruntime.__version__}-{digest[:10]}"


def preoptimized_path(file: ModelFile) -> Path:
    """The path of the pre-optimised form of `file` on this machine, whether or not it exists."""
    return preoptimized_folder() / machine_key() / f"{file.name}-{file.sha256[:12]}.onnx"


def find(file: ModelFile) -> PreoptimizedLookup:
    """The pre-optimised form of `file`, if it is complete and comes from the same bytes and this machine."""
    path = preoptimized_path(file)
    record = read_record(path)
    if record is None or not path.is_file():
        elsewhere = [other for other in path.parent.parent.glob(f"*/{path.name}") if other != path]
        if elsewhere:
            return PreoptimizedLookup(
                None, "the pre-optimised file is for another processor or onnxruntime; make it again"
            )
        return PreoptimizedLookup(None, f"no pre-optimised file; run `kokoro-lab models optimize {file.name}`")
    weights = path.with_suffix(WEIGHTS_SUFFIX)
    sizes = (path.stat().st_size, weights.stat().st_size if weights.is_file() else 0)
    if (
        record.get("source", {}).get("sha256") != file.sha256
        or record.get("machine") != machine_key()
        or sizes != (record.get("bytes"), record.get("weights_bytes"))
    ):
        return PreoptimizedLookup(
            None, f"{path} differs from its record; delete it and run `kokoro-lab models optimize` again"
        )
    return PreoptimizedLookup(path)


def _processor() -> str:
    """The processor's name and feature flags; the flags determine the layouts."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part", "CPU implementer")
    return " ".join(line for line in lines if line.startswith(wanted))
