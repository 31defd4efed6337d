"""The forms' arithmetic without onnxruntime: natively, and for arm64 under emulation where the tools are there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kokoro_lab.kernels.build import FLAGS, INSTRUCTION_SETS, SOURCE, compiler, host_machine
from kokoro_lab.kernels.library import supported_sets

PROGRAM = Path(__file__).parents[1] / "support" / "arithmetic.cc"
CROSS_COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"


def run(command: list[str], flags: tuple[str, ...], folder: Path, emulator: tuple[str, ...] = ()) -> str:
    made = folder / "arithmetic"
    subprocess.run([*command, *FLAGS, *flags, f"-I{SOURCE}", str(PROGRAM), "-o", str(made)], check=True)
    result = subprocess.run([*emulator, str(made)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", supported_sets())
def test_the_forms_on_this_processor(name: str, tmp_path: Path) -> None:
    command = compiler()
    if command is None:
        pytest.skip("no C++ compiler")
    assert "nested" in run(command, INSTRUCTION_SETS[host_machine()][name], tmp_path)


@pytest.mark.slow
def test_the_forms_on_arm64(tmp_path: Path) -> None:
    if not shutil.which(CROSS_COMPILER) or not shutil.which(EMULATOR):
        pytest.skip(f"needs {CROSS_COMPILER} and {EMULATOR}")
    assert "nested" in run([CROSS_COMPILER], (*INSTRUCTION_SETS["arm64"]["neon"], "-static"), tmp_path, (EMULATOR,))
