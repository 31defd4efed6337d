"""Files that onnxruntime has optimised already: where they are, and whether one fits this very machine.

Such a file holds layouts of the processor it was made on, so its folder carries the processor and the onnxruntime
version, and its record the sum of its source. The weights lie in a second file (.bin), which onnxruntime maps into
memory instead of reading. `variants.preoptimized` makes the files; `Session.open` opens one in place of its source.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.models.catalog import preoptimized_folder
from kokoro_lab.models.records import read_record

if TYPE_CHECKING:
    from kokoro_lab.models.records import ModelFile

__all__ = ["WEIGHTS_SUFFIX", "Found", "find", "machine_key", "preoptimized_path"]

WEIGHTS_SUFFIX = ".bin"


@dataclass(frozen=True)
class Found:
    """The pre-optimised form of a file, or why there is none to open."""

    path: Path | None
    reason: str = ""
    """Empty when there is one."""


@functools.cache
def machine_key() -> str:
    """A short name for this processor, its instruction sets, and this onnxruntime."""
    import onnxruntime

    digest = hashlib.sha256(f"{_processor()} {onnxruntime.__version__}".encode()).hexdigest()
    return f"ort{onnxruntime.__version__}-{digest[:10]}"


def preoptimized_path(file: ModelFile) -> Path:
    """Where the pre-optimised form of `file` is, or would be, on this machine."""
    return preoptimized_folder() / machine_key() / f"{file.name}-{file.sha256[:12]}.onnx"


def find(file: ModelFile) -> Found:
    """The pre-optimised form of `file`, if it is whole and was made from these bytes, on this machine."""
    path = preoptimized_path(file)
    record = read_record(path)
    if record is None or not path.is_file():
        elsewhere = [other for other in path.parent.parent.glob(f"*/{path.name}") if other != path]
        if elsewhere:
            return Found(None, "the pre-optimised file is for another processor or onnxruntime; make it again")
        return Found(None, f"no pre-optimised file; `kokoro-lab models optimize {file.name}` makes it")
    weights = path.with_suffix(WEIGHTS_SUFFIX)
    sizes = (path.stat().st_size, weights.stat().st_size if weights.is_file() else 0)
    if (
        record.get("source", {}).get("sha256") != file.sha256
        or record.get("machine") != machine_key()
        or sizes != (record.get("bytes"), record.get("weights_bytes"))
    ):
        return Found(None, f"{path} is not what its record describes; delete it and make it again")
    return Found(path)


def _processor() -> str:
    """The processor's name and what it can do; flags decide the layouts."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part", "CPU implementer")
    return " ".join(line for line in lines if line.startswith(wanted))
