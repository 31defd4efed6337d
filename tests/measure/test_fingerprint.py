from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kokoro_lab.measure import pagecache
from kokoro_lab.measure.fingerprint import code, machine, software, volatile


def test_the_machine_is_the_same_machine_a_moment_and_a_process_later() -> None:
    first = machine()
    time.sleep(0.05)
    assert machine() == first
    script = "from kokoro_lab.measure.fingerprint import machine, software; print(machine().sha, software().sha)"
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


def test_a_dropped_file_is_verified_to_be_gone_and_is_back_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x" * 5_000_000)
    assert pagecache.resident_share(path) in (None, 1.0)
    result = pagecache.drop(path)
    assert result.note.startswith("dropped" if result.dropped else "not dropped: ")
    if "verified: 0.0%" in result.note:
        assert pagecache.resident_share(path) == 0.0
        path.read_bytes()
        assert pagecache.resident_share(path) == 1.0


def test_a_file_that_is_not_there_is_said_and_not_raised(tmp_path: Path) -> None:
    result = pagecache.drop(tmp_path / "none.onnx")
    assert not result.dropped
    assert result.note.startswith("not dropped: ")
