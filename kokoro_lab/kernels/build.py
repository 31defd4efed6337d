"""Compiles the operators: a shared library for each instruction set of this machine's architecture.

Needs only a C++17 compiler (`CXX` if set, else g++, clang++ or c++). setup.py loads this file by its path, so it
imports nothing of the package. To build by hand: `python -m kokoro_lab.kernels`.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["COMPILED", "INSTRUCTION_SETS", "SOURCE", "build", "compiler", "host_machine", "library_name", "main"]

SOURCE = Path(__file__).parent / "source"
COMPILED = Path(__file__).parent / "compiled"

INSTRUCTION_SETS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "x86_64": {
        "vnni": ("-march=x86-64-v4", "-mavx512vnni"),
        "v4": ("-march=x86-64-v4",),
        "v3": ("-march=x86-64-v3",),
        "base": ("-march=x86-64",),
    },
    "arm64": {"neon": ("-march=armv8-a",)},
}
"""Machine -> instruction set -> compiler flags, the best first."""

# Not -ffast-math: it links code that makes the whole process flush denormals to zero.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fPIC",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
)
SANITIZER_FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g", "-O1")
TIMEOUT = 600  # s for one library


def host_machine() -> str:
    """`x86_64`, `arm64`, or what Python calls anything else."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)


def library_name(instruction_set: str) -> str:
    """The file name of a library."""
    return f"kokoro_kernels_{instruction_set}.so"


def compiler() -> list[str] | None:
    """The command of a C++ compiler, None where there is none."""
    if named := os.environ.get("CXX"):
        return shlex.split(named)
    compiler_path = next((path for name in ("g++", "clang++", "c++") if (path := shutil.which(name))), None)
    return [compiler_path] if compiler_path else None


def build(
    folder: Path = COMPILED,
    *,
    machine: str | None = None,
    only: Sequence[str] = (),
    sanitize: bool = False,
) -> dict[str, str]:
    """Compile every library of `machine` (default: this machine) into `folder`.

    Returns instruction set -> "" where it succeeded, else the reason; a missing or failing compiler raises nothing.
    """
    sets = {
        name: flags
        for name, flags in INSTRUCTION_SETS.get(machine or host_machine(), {}).items()
        if not only or name in only
    }
    command = compiler()
    if os.name == "nt":
        return dict.fromkeys(sets, "the kernels are built on Linux and macOS only")
    if command is None:
        return dict.fromkeys(sets, "no C++ compiler; install one or set CXX")
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        reasons = pool.map(lambda item: _compile(command, item[0], item[1], folder, sanitize), sets.items())
        return dict(zip(sets, reasons, strict=True))


def _compile(command: list[str], name: str, flags: tuple[str, ...], folder: Path, sanitize: bool) -> str:
    linking = () if sanitize else _static_runtime()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        compiled = Path(scratch) / library_name(name)
        call = [
            *command,
            *FLAGS,
            *(SANITIZER_FLAGS if sanitize else ()),
            *flags,
            f'-DKOKORO_INSTRUCTION_SET="{name}"',
            "-shared",
            str(SOURCE / "library.cc"),
            *linking,
            "-o",
            str(compiled),
        ]
        try:
            result = subprocess.run(call, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the compiler could not run: {error}"
        if result.returncode != 0:
            lines = [line for line in result.stderr.splitlines() if "error" in line] or result.stderr.splitlines()
            return f"the compiler failed: {lines[0] if lines else f'exit {result.returncode}'}"
        compiled.replace(folder / library_name(name))
    return ""


def _static_runtime() -> tuple[str, ...]:
    """Link the C++ runtime statically and hidden, so that the library does not depend on another machine's."""
    if sys.platform != "linux":
        return ()
    return ("-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL")


def main() -> int:
    """The command line; exit code 1 when nothing could be built."""
    parser = argparse.ArgumentParser(description="compile the kernels")
    parser.add_argument("--folder", type=Path, default=COMPILED)
    parser.add_argument("--machine", choices=sorted(INSTRUCTION_SETS))
    parser.add_argument("--only", nargs="*", default=[], metavar="SET")
    parser.add_argument("--sanitize", action="store_true", help="address and undefined-behaviour sanitizers")
    arguments = parser.parse_args()
    reasons = build(arguments.folder, machine=arguments.machine, only=arguments.only, sanitize=arguments.sanitize)
    for name, reason in reasons.items():
        print(f"{name}: {reason or arguments.folder / library_name(name)}")
    return 0 if "" in reasons.values() else 1
