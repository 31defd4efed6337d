"""Sums of files are remembered while the file is the same, and no longer."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import onnx
import pytest

from kokoro_lab.errors import ModelError
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.files import byte_sums
from kokoro_lab.models.files.byte_sums import byte_sum, outside_files, recorded_sum, remembered, shapes_of
from kokoro_lab.models.files.onnxfile import read_onnx


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(byte_sums, "SETTLED_S", -1.0)  # files of this moment are remembered, too


def test_a_file_with_other_bytes_is_never_taken_for_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"first")
    before = path.stat()
    assert byte_sum(path) == hashlib.sha256(b"first").hexdigest()
    time.sleep(0.02)  # longer than the step of a file system's clock
    path.write_bytes(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns
    assert byte_sum(path) == hashlib.sha256(b"other").hexdigest()


def test_what_is_remembered_is_not_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    computed = []

    def compute() -> int:
        computed.append(1)
        return len(computed)

    assert [remembered(path, "number", compute) for _ in range(3)] == [1, 1, 1]
    assert remembered([str(path), str(path)], "number", compute) == 2
    for memo in (tmp_path / "home" / "sums").iterdir():
        memo.write_text("{")
    assert remembered(path, "number", compute) == 3


def test_a_file_of_this_moment_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_sums, "SETTLED_S", 2.0)
    path = tmp_path / "file"
    path.write_bytes(b"x")
    byte_sum(path)
    assert not (tmp_path / "home" / "sums").exists()


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx cannot be read; check that it is there"):
        byte_sum(tmp_path / "none.onnx")


def test_shapes_and_outside_files_are_those_that_onnx_reads(tmp_path: Path) -> None:
    model = read_onnx(resolve("tiny").path)
    assert shapes_of(resolve("tiny").path) == [tuple(tensor.dims) for tensor in model.graph.initializer]
    assert outside_files(resolve("tiny").path) == ()
    apart = tmp_path / "apart.onnx"
    onnx.save(model, apart, save_as_external_data=True, location="elsewhere.bin", size_threshold=1024)
    assert outside_files(apart) == (tmp_path / "elsewhere.bin",)
    assert shapes_of(apart) == shapes_of(resolve("tiny").path)


def test_the_sum_of_a_record_is_that_of_the_file() -> None:
    file = resolve("tiny")
    assert recorded_sum(file.path) == file.sha256 == byte_sum(file.path)
