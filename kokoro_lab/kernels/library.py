"""Chooses the compiled library for this processor and registers it with onnxruntime.

A session over a graph with our operators (`models.rewrite.kernel_rewrite`) needs `register` on its options first. Where
no library was built, or none fits the processor or the runtime, `choose` gives the reason, and the plain graph must be
used.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kokoro_lab.errors import ProviderError, SettingError
from kokoro_lab.kernels.build import COMPILED, INSTRUCTION_SETS, host_machine, library_name

__all__ = ["KERNELS_VARIABLE", "LibraryChoice", "choose", "compiled_sets", "facts", "register", "supported_sets"]

KERNELS_VARIABLE = "KOKORO_KERNELS"
OFF = "off"
OLDEST_RUNTIME = (1, 17)  # the first with KernelContext_ParallelFor in its C interface

V3_FLAGS = frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "abm", "movbe"})
V4_FLAGS = V3_FLAGS | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
NEEDED_FLAGS = {"vnni": V4_FLAGS | {"avx512_vnni"}, "v4": V4_FLAGS, "v3": V3_FLAGS, "base": frozenset[str]()}
"""What /proc/cpuinfo must list for each x86-64 library."""

SPEEDS = {"vnni": 1.6, "v4": 1.6, "v3": 1.1, "base": 0.63}
"""Instruction set -> lowest speed of `kernels-fp32` relative to the plain graph at 1, 4, 16 and 50 tokens, on one
thread of a Zen 5, where onnxruntime's own convolutions use AVX-512. Below 1 it is used only on request. NEON was not
measured.
"""


@dataclass(frozen=True)
class LibraryChoice:
    """The library to use, or the reason why there is none."""

    instruction_set: str | None
    path: Path | None
    reason: str
    """Empty where there is a library."""


def compiled_sets() -> list[str]:
    """The instruction sets with a compiled library, the best first."""
    sets = INSTRUCTION_SETS.get(host_machine(), {})
    return [name for name in sets if (COMPILED / library_name(name)).is_file()]


@functools.cache
def supported_sets() -> tuple[str, ...]:
    """The instruction sets of this processor, the best first."""
    machine = host_machine()
    sets = tuple(INSTRUCTION_SETS.get(machine, {}))
    if machine != "x86_64":
        return sets
    flags = _processor_flags()
    return tuple(name for name in sets if NEEDED_FLAGS[name] <= flags)


def choose() -> LibraryChoice:
    """The best compiled library that runs here and is not slower than the plain graph.

    KOKORO_KERNELS=off|vnni|v4|v3|base|neon overrides the choice.

    Raises SettingError when the variable is not an instruction set.
    """
    forced = os.environ.get(KERNELS_VARIABLE, "").strip().lower()
    known = [name for sets in INSTRUCTION_SETS.values() for name in sets]
    if forced and forced != OFF and forced not in known:
        raise SettingError(f"unknown instruction set {KERNELS_VARIABLE}={forced!r}; use off, {', '.join(known)}")
    if forced == OFF:
        return _none(f"{KERNELS_VARIABLE}=off")
    if reason := _runtime_reason():
        return _none(reason)
    built, supported = compiled_sets(), supported_sets()
    if not built:
        return _none("no compiled kernels are installed; with a C++ compiler run `python -m kokoro_lab.kernels`")
    if forced and forced not in supported:
        return _none(f"this processor lacks the instructions that {KERNELS_VARIABLE}={forced} needs")
    if forced and forced not in built:
        return _none(f"no library was built for {KERNELS_VARIABLE}={forced}")
    name = forced or next((name for name in built if name in supported), None)
    if name is None:
        return _none(f"the compiled kernels ({', '.join(built)}) do not run on this processor")
    if not forced and SPEEDS.get(name, 1.0) < 1.0:
        return _none(
            f"the best library for this processor ({name}) was measured slower than the plain graph; "
            f"{KERNELS_VARIABLE}={name} uses it all the same"
        )
    return LibraryChoice(name, COMPILED / library_name(name), "")


def register(options: Any) -> LibraryChoice:
    """Register the operators with an onnxruntime.SessionOptions.

    Raises ProviderError with the reason when that is impossible; open the plain graph instead.
    """
    choice = choose()
    if choice.path is None:
        raise ProviderError(f"the model needs compiled kernels ({choice.reason}); use the plain model")
    try:
        _keep_loaded(choice.path)
        options.register_custom_ops_library(str(choice.path))
    except Exception as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ProviderError(f"onnxruntime refused {choice.path.name}: {line}; use the plain model") from error
    return choice


def facts() -> dict[str, Any]:
    """State of the kernels for `kokoro-lab doctor`, as JSON values."""
    try:
        choice = choose()
    except SettingError as error:
        choice = _none(error.message)
    return {
        "kernels": choice.instruction_set or "none",
        "reason": choice.reason,
        "path": str(choice.path) if choice.path else None,
        "compiled": compiled_sets(),
        "supported": list(supported_sets()),
    }


def _none(reason: str) -> LibraryChoice:
    return LibraryChoice(None, None, reason)


def _runtime_reason() -> str:
    """Why the installed onnxruntime is unsuitable; empty when it is suitable."""
    import onnxruntime

    version = re.match(r"(\d+)\.(\d+)", onnxruntime.__version__)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_RUNTIME:
        return f"onnxruntime {onnxruntime.__version__} is older than {'.'.join(map(str, OLDEST_RUNTIME))}"
    return ""


@functools.cache
def _keep_loaded(path: Path) -> ctypes.CDLL:
    """Keep the library loaded: onnxruntime unloads it with the last session, and each reload takes more memory."""
    return ctypes.CDLL(str(path))


def _processor_flags() -> frozenset[str]:
    """The flags of the first processor in /proc/cpuinfo; empty where that file does not exist."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    line = re.search(r"^flags\s*:\s*(.*)$", text, re.MULTILINE)
    return frozenset(line[1].split()) if line else frozenset()
