"""Files that onnxruntime has optimised already, for quick sessions: good for one processor and one onnxruntime only.

They hold layouts of this very hardware, so their name carries the processor, the onnxruntime version and the source's
sum; a file for anything else is simply not found.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from kokoro_lab.models.records import ModelFile, write_record
from kokoro_lab.paths import home
from kokoro_lab.runtime.session import Session
from kokoro_lab.runtime.settings import SessionSettings

__all__ = ["machine_key", "preoptimized", "preoptimized_path"]


def machine_key() -> str:
    """A short name for this processor, its instruction sets, and this onnxruntime."""
    digest = hashlib.sha256(f"{_processor()} {version('onnxruntime')}".encode()).hexdigest()
    return f"ort{version('onnxruntime')}-{digest[:10]}"


def preoptimized_path(file: ModelFile) -> Path:
    """Where the pre-optimised form of `file` is, or would be, on this machine."""
    return home() / "preoptimized" / machine_key() / f"{file.name}-{file.sha256[:12]}.onnx"


def preoptimized(file: ModelFile) -> Path:
    """The pre-optimised form of `file`, made if it is not there. Open it with `graph_level` none.

    It is written beside its place first, so that a file under its name is whole. Errors are those of `Session.open`.
    """
    path = preoptimized_path(file)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    try:
        Session.open(file, SessionSettings(optimized_path=unfinished)).close()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    made = replace(file, name=path.stem, path=path, sha256=sha256, bytes=path.stat().st_size)
    write_record(made, source={"name": file.name, "sha256": file.sha256}, machine=machine_key())
    return path


def _processor() -> str:
    """The processor's name and what it can do; flags decide the layouts."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part", "CPU implementer")
    return " ".join(line for line in lines if line.startswith(wanted))
