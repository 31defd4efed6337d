"""The wheel alone: in an environment of its own, from an empty folder."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kokoro_lab.cli import LAB_MODULES
from kokoro_lab.kernels.build import build

if TYPE_CHECKING:
    from conftest import Installed

ROOT = Path(__file__).parents[2]
EXAMPLE = """
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from kokoro_lab import Chunk, Engine, EngineConfig, Speech


def speak(text: str) -> NDArray[np.float32]:
    with Engine.load(EngineConfig(model="tiny", provider="cpu")) as engine:
        assert_type(engine, Engine)
        speech = engine.synthesize(text, voice="af_heart", speed=1.0)
        assert_type(speech, Speech)
        assert_type(speech.rtf, float)
        chunks = [chunk for chunk in engine.stream(text, voice="af_heart")]
        assert_type(chunks, list[Chunk])
        assert_type(chunks[0].samples, NDArray[np.float32])
    return speech.samples


print(speak("Hello world!").size)
"""
MISTAKES = """
from kokoro_lab import Engine, EngineConfig

engine = Engine.load(EngineConfig(model=3))
engine.synthesize("Hello", voise="af_heart")
length: str = engine.synthesize("Hello").rtf
"""

pytestmark = [pytest.mark.slow, pytest.mark.wheel]


def _committed(folder: str) -> set[str]:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", folder], capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def test_the_wheel_carries_inputs_notebooks_types_and_kernels_for_its_platform(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    carried = {name.removeprefix("kokoro_lab/_lab/") for name in names if name.startswith("kokoro_lab/_lab/")}
    assert carried == _committed("data") | _committed("notebooks")
    assert names >= _committed("kokoro_lab/kernels/source") | _committed("kokoro_lab/reports/drawing/templates")
    assert "kokoro_lab/py.typed" in names
    assert {name for name in names if name.endswith(".py") and "_lab/" in name} == {
        name for name in _committed("kokoro_lab") if name.endswith(".py")
    }
    assert "-py3-none-" in wheel.name and not wheel.name.endswith("-any.whl")


def test_the_wheel_has_every_kernel_that_can_be_compiled_here(wheel: Path, tmp_path: Path) -> None:
    built = {name for name, reason in build(tmp_path).items() if not reason}
    found = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("kokoro_lab/kernels/compiled/")]
    assert {Path(name).name for name in found} == {path.name for path in tmp_path.iterdir()}
    assert len(found) == len(built)


def test_the_engine_alone_speaks_from_an_empty_folder(engine_alone: Installed, tmp_path: Path) -> None:
    said = engine_alone.run("kokoro-lab", "say", "Hello world!", "--model", "tiny", "-o", "x.wav", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert file.getframerate() == 24_000 and file.getnframes() > 12_000
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]


def test_the_engine_alone_is_well_and_lists_its_models(engine_alone: Installed, tmp_path: Path) -> None:
    looked = engine_alone.run("kokoro-lab", "doctor", "--json", cwd=tmp_path)
    assert looked.returncode == 0, looked.stderr
    checks = {row["what"]: row for row in json.loads(looked.stdout)["checks"]}
    assert checks["notebooks"]["state"] == "limited" and "kokoro-lab[lab]" in checks["notebooks"]["detail"]
    assert checks["misaki"]["state"] == checks["espeak"]["state"] == "ok"
    if checks["compiler"]["state"] == "ok":
        assert checks["kernels"]["state"] == "ok"
    listed = engine_alone.run("kokoro-lab", "models", "list", "--json", cwd=tmp_path)
    assert {"tiny", "stand-in", "kokoro-v1.0"} <= {row["name"] for row in json.loads(listed.stdout)["models"]}


def test_the_engine_alone_makes_and_verifies_variants(engine_alone: Installed, tmp_path: Path) -> None:
    for command in (("optimize", "tiny"), ("quantize", "tiny", "--recipe", "int8"), ("verify", "tiny-optimized")):
        done = engine_alone.run("kokoro-lab", "models", *command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_the_engine_alone_installs_no_package_of_the_lab(engine_alone: Installed, tmp_path: Path) -> None:
    probe = f"import importlib.util as u; print([m for m in {sorted(LAB_MODULES)} if u.find_spec(m) is not None])"
    assert engine_alone.run("python", "-c", probe, cwd=tmp_path).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command", [("sweep", "ci"), ("report",), ("results", "list"), ("gate",), ("compare", "a", "b"), ("bench-peers",)]
)
def test_a_command_of_the_lab_says_what_to_install(
    engine_alone: Installed, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = engine_alone.run("kokoro-lab", *command, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "pip install 'kokoro-lab[lab]'" in done.stderr


def test_a_lab_of_ones_own_has_its_own_lexicon(engine_alone: Installed, tmp_path: Path) -> None:
    done = engine_alone.run("kokoro-lab", "init", "lab", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lexicon = tmp_path / "lab" / "data" / "lexicon" / "en-us.txt"
    lexicon.write_text(lexicon.read_text() + "\nzyxomma  zˈɪks\n")
    (tmp_path / "lab" / "below").mkdir()

    def phonemes(cwd: Path) -> str:
        said = engine_alone.run("kokoro-lab", "say", "zyxomma", "--model", "tiny", "-o", "x.wav", "--json", cwd=cwd)
        assert said.returncode == 0, said.stderr
        return str(json.loads(said.stdout)["phonemes"])

    inside = phonemes(tmp_path / "lab" / "below")
    assert "zˈɪks" in inside and phonemes(tmp_path) != inside


def test_a_sweep_and_its_report_work_in_a_lab(with_lab: Installed, tmp_path: Path) -> None:
    assert with_lab.run("kokoro-lab", "init", "lab", cwd=tmp_path).returncode == 0
    lab = tmp_path / "lab"
    (lab / "data" / "texts" / "mine.txt").write_text("A text of my own.\n")
    group = {"text": "mine", "intra_op_threads": 1, "repeats": 2, "warmup_cap": 2}
    notebook = {"notebook": "providers", "blocks": 1, "retries": 0, "groups": [group]}
    plan = {"name": "mine", "budget_s": 3600, "notebooks": [notebook]}
    (lab / "data" / "sweeps" / "mine.yaml").write_text(yaml.safe_dump(plan))
    swept = with_lab.run("kokoro-lab", "sweep", "mine", "--model", "tiny", "--run-id", "r1", cwd=lab)
    assert swept.returncode == 0, swept.stderr
    rows: list[dict[str, Any]] = json.loads(
        with_lab.run("kokoro-lab", "results", "show", "samples", "--json", cwd=lab / "notebooks").stdout
    )["rows"]
    assert len(rows) == 2 and {row["text_preset"] for row in rows} == {"mine"}
    reported = with_lab.run("kokoro-lab", "report", cwd=lab)
    assert reported.returncode == 0, reported.stderr
    assert (lab / "results" / "reports" / "latest" / "index.html").stat().st_size > 10_000
    assert not (tmp_path / "results").exists()


def test_the_installed_package_tells_its_types(engine_alone: Installed, tmp_path: Path) -> None:
    """Strict, and without one expression of type Any in the example: the public names hide no untyped value."""

    def check(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "example.py").write_text(text)
        strict = (
            "--strict",
            "--disallow-any-expr",
            "--no-incremental",
            "--python-executable",
            str(engine_alone.python),
        )
        command = [sys.executable, "-m", "mypy", *strict, "example.py"]
        return subprocess.run(command, cwd=tmp_path, env=engine_alone.variables, capture_output=True, text=True)

    checked = check(EXAMPLE)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    spoken = engine_alone.run("python", "example.py", cwd=tmp_path)
    assert int(spoken.stdout.split()[-1]) > 12_000
    wrong = check(MISTAKES).stdout
    assert [line.rpartition("[")[2] for line in wrong.splitlines() if ": error: " in line] == [
        "arg-type]",
        "call-arg]",
        "assignment]",
    ]
