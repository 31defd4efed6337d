from __future__ import annotations

import json
import mmap
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kokoro_lab.measure.machine import pagecache
from kokoro_lab.measure.machine.fingerprint import code, machine, software, volatile


def test_the_machine_is_the_same_machine_a_moment_and_a_process_later() -> None:
    first = machine()
    time.sleep(0.05)
    assert machine() == first
    script = (
        "from kokoro_lab.measure.machine.fingerprint import machine, software; print(machine().sha, software().sha)"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.split() == [first.sha, software().sha]


def test_nothing_that_moves_is_in_a_hash() -> None:
    stable = set(machine().facts) | set(software().facts) | set(code().facts)
    assert not stable & set(volatile())
    assert json.loads(json.dumps([machine().facts, software().facts, volatile()]))


def test_the_facts_that_matter_are_there() -> None:
    facts = machine().facts
    assert facts["cpu_model"]
    assert facts["logical_cores"] >= 1
    assert facts["memory_gib"] >= 1
    assert software().facts["packages"]["onnxruntime"]
    sums = {name: value for name, value in software().facts.items() if name.endswith("_sha256")}
    assert set(sums) == {"voices_sha256", "g2p_sha256", "constraints_sha256"} and all(map(len, sums.values()))


def test_another_voice_is_other_software(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    before = software().sha
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "af_mine.bin").write_bytes(b"a voice")
    mine = software().sha
    (tmp_path / "voices" / "af_mine.bin").write_bytes(b"another")
    assert len({before, mine, software().sha}) == 3


def test_a_checkout_knows_its_commit_and_its_dirt(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert code(tmp_path / "nowhere").facts == {"commit": None, "dirty": None, "constraints_sha256": None}
    git("init")
    (tmp_path / "constraints.txt").write_text("numpy==2\n")
    git("add", ".")
    git("commit", "-m", "first")
    clean = code(tmp_path)
    assert clean.facts["dirty"] is False
    assert len(clean.facts["commit"]) == 40
    (tmp_path / "constraints.txt").write_text("numpy==3\n")
    dirty = code(tmp_path)
    assert dirty.facts["dirty"] is True
    assert dirty.facts["constraints_sha256"] != clean.facts["constraints_sha256"]


def test_a_notebook_that_was_only_run_is_no_change(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    def write(source: str, **run: object) -> None:
        cell = {"cell_type": "code", "source": [source], "metadata": {}, "outputs": [], "execution_count": None, **run}
        (tmp_path / "my notebook.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4}))

    git("init")
    write("1 + 1")
    (tmp_path / "code.py").write_text("pass")
    git("add", ".")
    git("commit", "-m", "first")
    outputs = [{"output_type": "execute_result", "data": {"text/plain": ["2"]}}]
    write("1 + 1", outputs=outputs, execution_count=7, metadata={"execution": {"shell.execute_reply": "now"}})
    assert code(tmp_path).facts["dirty"] is False
    write("1 + 2", outputs=outputs)
    assert code(tmp_path).facts["dirty"] is True
    write("threads = 1", metadata={"tags": ["parameters"]})
    assert code(tmp_path).facts["dirty"] is True
    git("commit", "-a", "-m", "parameters")
    write("threads = 2", metadata={"tags": ["parameters"]}, outputs=outputs)
    assert code(tmp_path).facts["dirty"] is False, "rows tell the number of threads"
    write("1 + 1")
    git("commit", "-a", "-m", "as it was")
    write("1 + 1", outputs=outputs)
    (tmp_path / "code.py").write_text("pass  # changed")
    assert code(tmp_path).facts["dirty"] is True
    git("checkout", "code.py")
    (tmp_path / "my notebook.ipynb").write_text("{")
    assert code(tmp_path).facts["dirty"] is True


def test_one_file_that_stays_in_the_page_cache_makes_a_start_no_cold_one(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("model.onnx", "model.onnx.data", "library.so")]
    for path in files:
        path.write_bytes(b"x" * 1_000_000)
    made = pagecache.made_cold(files[:2], files[2:])
    assert [name for name in made if name.startswith("file ")] == [f"file {path.name}" for path in files]
    if made["measured"] != pagecache.COLD:
        pytest.skip(f"this system cannot drop files: {made['file_cache']}")
    for held, measured in ((files[1], pagecache.COLD_PROCESS), (files[2], pagecache.COLD)):
        with held.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as pages:
            assert pages[:: mmap.PAGESIZE]
            made = pagecache.made_cold(files[:2], files[2:])
        assert made[f"file {held.name}"] == "100.0% resident before the start"
        assert made["measured"] == measured
    assert pagecache.made_cold([])["measured"] == pagecache.COLD_PROCESS


@pytest.mark.parametrize("missing", ["posix_fadvise", "mincore"])
def test_where_the_system_cannot_drop_or_verify_nothing_is_called_cold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x" * 100_000)
    if missing == "posix_fadvise":
        monkeypatch.delattr("os.posix_fadvise")
    else:
        monkeypatch.setattr(pagecache, "resident_share", lambda path: None)
    made = pagecache.made_cold([path])
    assert made["measured"] == pagecache.COLD_PROCESS
    assert made["file model.onnx"] == f"not known: this system has no {missing}"
    assert made["file_cache"] == f"not dropped: not verified: model.onnx (not known: this system has no {missing})"


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "model.onnx", tmp_path / "b" / "model.onnx", tmp_path / "b" / "model.onnx.data"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 1000)
    made = pagecache.made_cold(paths[:2], paths[2:])
    said = [name.removeprefix("file ") for name in made if name.startswith("file ")]
    assert [Path(name) for name in said] == [Path("a/model.onnx"), Path("b/model.onnx"), Path("model.onnx.data")]


def test_a_dropped_file_is_verified_to_be_gone_and_is_back_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x" * 5_000_000)
    assert pagecache.resident_share(path) in (None, 1.0)
    made = pagecache.made_cold([path])
    assert made["file_cache"].startswith("dropped" if made["measured"] == "cold" else "not dropped: ")
    if made["file model.onnx"].startswith("0.0%"):
        assert pagecache.resident_share(path) == 0.0
        path.read_bytes()
        assert pagecache.resident_share(path) == 1.0


def test_a_file_that_is_not_there_is_said_and_not_raised(tmp_path: Path) -> None:
    made = pagecache.made_cold([tmp_path / "none.onnx"])
    assert made["measured"] == "cold-process"
    assert made["file_cache"].startswith("not dropped: not verified: none.onnx (not known: No such file")
