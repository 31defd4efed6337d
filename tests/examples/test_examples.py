"""Each example works as its first lines say, and is short enough to be read at once."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def models_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def usage(name: str) -> list[str]:
    """The command that the docstring of an example shows, without `python` and the path."""
    lines = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").splitlines()
    command = shlex.split(next(line for line in lines if line.startswith("python ")))
    assert command[:2] == ["python", f"examples/{name}.py"]
    return command[2:]


def run_example(name: str, folder: Path, home: Path, *arguments: str) -> str:
    environ = {
        **os.environ,
        "KOKORO_LAB_HOME": str(home),
        "KOKORO_LAB_LOCK": str(folder / "measuring.lock"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]),
    }
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *usage(name), *arguments]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_at_most_forty_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40


def test_speak_writes_what_it_says(tmp_path: Path, models_home: Path) -> None:
    said = run_example("speak", tmp_path, models_home)
    sound = soundfile.info(tmp_path / "hello.wav")
    assert sound.samplerate == 24_000
    assert f"{sound.duration:.2f} s of audio" in said
    assert "infer" in said and "total" in said


def test_stream_to_file_writes_every_chunk(tmp_path: Path, models_home: Path) -> None:
    (tmp_path / "article.txt").write_text("A first sentence that is long enough. And a second one. And a third.")
    said = run_example("stream_to_file", tmp_path, models_home)
    assert "first chunk after" in said
    assert f"{soundfile.info(tmp_path / 'article.wav').duration:.2f} s of audio" in said


def test_compare_two_settings_ends_with_a_verdict(tmp_path: Path, models_home: Path) -> None:
    said = run_example("compare_two_settings", tmp_path, models_home, "--blocks", "1")
    assert "inconclusive" in said, "one block makes no pairs"
    assert (tmp_path / "results-of-my-own" / "tables" / "samples").is_dir()
