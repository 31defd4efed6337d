"""Home and results that are absurd, missing, or cannot be written: one sentence and the documented exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import listing, read_only, unprivileged

from kokoro_lab import paths
from kokoro_lab.cli import run
from kokoro_lab.errors import ModelError, SettingError
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.sampling.launch import launch
from kokoro_lab.models.catalog import build_stand_in, resolve
from kokoro_lab.models.files.model_record import checked, read_record

PLAN = """
name: little
about: One cell.
budget_s: 60
seed: 3
notebooks:
  - {notebook: providers, blocks: 1, groups: [{text: ultra-short, intra_op_threads: 1, repeats: 1, warmup_cap: 1}]}
"""
COMMANDS = {
    "voices": ["voices"],
    "models": ["models", "list"],
    "dry run": ["sweep", "little.yaml", "--dry-run", "--model", "tiny"],
    "results": ["results", "list"],
    "export": ["results", "export", "out"],
    "gate": ["gate"],
    "report": ["report"],
    "compare": ["compare", "run:a", "run:b"],
}
IMPOSSIBLE = {
    "a file": "file",
    "under a file": "file/folder",
    "a device": "/dev/null",
    "nobody's": "~nosuch/x",
    "5,000 characters": "/" + "x" * 5_000,
    "a long path": "/" + "/".join(["x" * 200] * 40),
    "a loop": "loop",
}
POSSIBLE = {
    "empty": "",
    "relative": "some/folder",
    "spaces and lines": "a b\nc\t",
    "not ASCII": "söng🎉語",
    "up and down": "a/../b",
    "missing parents": "x/y/z",
}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a plan, a file and a loop; home and results are folders beside it."""
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = tmp_path / "here"
    here.mkdir()
    (here / "file").write_bytes(b"mine")
    (here / "loop").symlink_to("loop")
    (here / "little.yaml").write_text(PLAN)
    monkeypatch.chdir(here)
    yield here


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and standard error; it is at most one sentence about an error, and no accident."""
    capsys.readouterr()
    code = run(arguments)
    told = capsys.readouterr().err
    assert not [word for word in ("nexpected", "Traceback") if word in told], told
    assert told.count("kokoro-lab: ") == (code != 0), told
    return code, told


@pytest.mark.parametrize("variable", ["KOKORO_LAB_HOME", "KOKORO_LAB_RESULTS"])
@pytest.mark.parametrize("named", IMPOSSIBLE)
def test_what_cannot_be_a_folder_is_refused_where_it_is_named(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, named: str
) -> None:
    monkeypatch.setenv(variable, IMPOSSIBLE[named])
    with pytest.raises(SettingError, match=f"; set {variable} to a folder"):
        paths.home() if variable == "KOKORO_LAB_HOME" else paths.results_folder()
    before = listing(places)
    refused = 0
    for name, arguments in COMMANDS.items():
        code, told = answer(capsys, *arguments)
        assert code in (0, 2, 4), (name, told)
        refused += code == 2 and f"set {variable}" in told
    assert refused >= 2
    assert listing(places) == before


@pytest.mark.parametrize("variable", ["KOKORO_LAB_HOME", "KOKORO_LAB_RESULTS"])
@pytest.mark.parametrize("named", POSSIBLE)
def test_what_can_become_a_folder_is_an_absolute_path_and_is_not_created_by_reading(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, named: str
) -> None:
    monkeypatch.setenv(variable, POSSIBLE[named])
    folder = paths.home() if variable == "KOKORO_LAB_HOME" else paths.results_folder()
    assert folder.is_absolute()
    before = sorted(places.rglob("*"))
    for name, arguments in COMMANDS.items():
        if variable == "KOKORO_LAB_HOME" or named != "empty":  # those are this checkout's own results
            assert answer(capsys, *arguments)[0] in (0, 2, 4), name
    assert sorted(places.rglob("*")) == before


def test_a_model_is_built_in_a_home_of_any_name(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for named in ("spaces and lines", "not ASCII", "relative"):
        monkeypatch.setenv("KOKORO_LAB_HOME", POSSIBLE[named])
        assert build_stand_in("tiny").path.is_file()
        assert resolve("tiny").path.parent.parent == places / POSSIBLE[named]


@pytest.mark.parametrize("missing", ["HOME", "working directory", "TMPDIR"])
def test_a_process_without_a_place_says_what_to_do(tmp_path: Path, missing: str) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "HOME" or missing != "HOME"}
    variables |= {"KOKORO_LAB_RESULTS": "here", "KOKORO_LAB_HOME": str(tmp_path / "home")}
    program = "from kokoro_lab.cli import run; raise SystemExit(run(['results', 'list']))"
    if missing == "working directory":
        gone = tmp_path / "gone"
        gone.mkdir()
        program = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); {program}"
    if missing == "TMPDIR":
        variables["TMPDIR"] = str(tmp_path / "nosuch")
    done = subprocess.run([sys.executable, "-c", program], env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if missing == "working directory" else 0)
    assert ("working directory was deleted; change to another" in done.stderr) == (missing == "working directory")


def test_an_empty_home_that_cannot_be_written_says_so(
    places: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir()
    with read_only(tmp_path / "home"):
        for arguments in (["say", "hi", "-o", "a.wav", "--model", "tiny"], ["models", "build", "tiny"]):
            code, told = answer(capsys, *arguments)
            assert code == 5
            assert "Read-only file system; free some space or set KOKORO_LAB_HOME" in told
        assert answer(capsys, "voices")[0] == answer(capsys, "models", "list")[0] == 0
    assert not (places / "a.wav").exists()


def test_a_filled_home_that_cannot_be_written_speaks_and_is_measured(
    places: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = build_stand_in("tiny").path
    os.utime(path, (1, 1))  # as a copy of the folder has it
    before = listing(tmp_path / "home")
    with read_only(tmp_path / "home"):
        assert answer(capsys, "say", "hi", "-o", "a.wav", "--model", "tiny")[0] == 0
        (tmp_path / "work").mkdir()
        measured = launch(Cell(model="tiny", text="Hi.", warmup_cap=1, repeats=1), tmp_path / "work")
        assert (measured.result.status, measured.result.error) == ("ok", "")
        assert measured.result.settings_digest
    assert listing(tmp_path / "home") == before


def test_a_record_whose_time_stamp_cannot_be_renewed_is_still_checked(places: Path, tmp_path: Path) -> None:
    file = build_stand_in("tiny")
    record = read_record(file.path)
    assert record is not None
    os.utime(file.path, (1, 1))
    with read_only(tmp_path / "home"):
        assert checked(file.path, record).sha256 == file.sha256
        with pytest.raises(ModelError, match="differs from its record"):
            checked(file.path, {**record, "sha256": "0" * 64})


def test_results_that_cannot_be_written_say_so(
    places: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_stand_in("tiny")
    (tmp_path / "results").mkdir()
    with read_only(tmp_path / "results"):
        code, told = answer(capsys, "sweep", "little.yaml", "--model", "tiny")
        assert code == 5
        assert "Read-only file system; " in told
        assert answer(capsys, "results", "list")[0] == 0


@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_folders_of_another_user_are_refused_with_what_to_do(
    places: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    say = ["say", "hi", "-o", str(tmp_path / "a.wav"), "--model", "tiny"]
    commands = {**COMMANDS, "say": say, "build": ["models", "build", "tiny"]}
    for arguments in commands.values():  # another user may not read what is imported later
        answer(capsys, *arguments)
    locked = tmp_path / "locked"
    (locked / "home").mkdir(parents=True)
    monkeypatch.setenv("KOKORO_LAB_HOME", str(locked / "home"))
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(locked / "results"))
    for folder in (*tmp_path.parents, tmp_path):  # the way to it is open
        if folder.stat().st_uid == os.geteuid() and len(folder.parts) > 2:
            folder.chmod(folder.stat().st_mode | 0o055)
    locked.chmod(mode | 0o005 if mode else 0)
    try:
        with unprivileged():
            for name, arguments in commands.items():
                code, told = answer(capsys, *arguments)
                assert code in (0, 2, 4, 5), (name, told)
                if name in ("say", "build"):
                    assert code in (2, 5) and "Permission denied; " in told, (name, told)
    finally:
        locked.chmod(0o700)
