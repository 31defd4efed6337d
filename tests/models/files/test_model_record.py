"""The record beside a model: sums of its bytes, files that appear whole, and a change that is noticed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from kokoro_lab.errors import ModelError
from kokoro_lab.models.files.model_record import (
    BACK,
    FRONT,
    ModelFile,
    checked,
    data_path,
    file_bytes,
    file_sha256,
    read_record,
    record_path,
    write_record,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"weights")
    return path


def described(path: Path, name: str = "mine") -> ModelFile:
    return ModelFile(name, path, file_sha256(path), file_bytes(path), "imported", "tiny", "fp32")


def test_a_sum_is_of_the_model_and_of_its_data_after_it(path: Path) -> None:
    assert (file_sha256(path), file_bytes(path)) == (hashlib.sha256(b"weights").hexdigest(), 7)
    data_path(path).write_bytes(b" and data")
    assert (file_sha256(path), file_bytes(path)) == (hashlib.sha256(b"weights and data").hexdigest(), 16)


def test_a_record_is_read_back_with_what_the_model_was_made_with(path: Path) -> None:
    file = described(path)
    write_record(file, recipe={"name": "optimized"})
    record = read_record(path)
    assert record is not None
    assert (record["recipe"], record["path"], record["sha256"]) == ({"name": "optimized"}, "mine.onnx", file.sha256)
    assert checked(path, record) == file


def test_no_record_and_a_torn_one_are_none(path: Path) -> None:
    assert read_record(path) is None
    record_path(path).write_text('{"name": "mi')
    assert read_record(path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3}, {"name": "../up"}, {"sha256": "x"}, {"sha256": ["0" * 64]}, {"bytes": "7"}, {"bytes": 7.5},
        {"weights": "stolen"}, {"architecture": None}, {"time_stamp": "now"}, {"recipe": "int8"}, {"source": []},
        {"source": {"name": 3}}, {"path": "a/b"}, {"revision": True},
    ],
)  # fmt: skip
def test_a_record_with_a_value_of_another_kind_is_none(path: Path, change: dict[str, object]) -> None:
    write_record(described(path), recipe={"name": "int8"}, source={"name": "x"}, revision=1)
    assert read_record(path) is not None
    record = json.loads(record_path(path).read_text())
    record_path(path).write_text(json.dumps({**record, **change}))
    assert read_record(path) is None


@pytest.mark.parametrize("text", ["{}", "[]", "null", "3", "[" * 50_000, '{"name": NaN}', "\0"])
def test_a_record_that_is_no_record_is_none(path: Path, text: str) -> None:
    record_path(path).write_text(text)
    assert read_record(path) is None


def test_a_touched_file_of_the_same_bytes_is_the_same_and_its_record_learns_the_time(path: Path) -> None:
    file = described(path)
    write_record(file, recipe={"name": "optimized"})
    os.utime(path, ns=(1, 1))
    record = read_record(path)
    assert record is not None and record["time_stamp"] != 1
    assert checked(path, record) == file
    after = read_record(path)
    assert after is not None and (after["time_stamp"], after["recipe"]) == (1, {"name": "optimized"})


@pytest.mark.parametrize("content", [b"another", b"longer than before"])
def test_other_bytes_under_the_same_name_are_refused(path: Path, content: bytes) -> None:
    write_record(described(path))
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    record = read_record(path)
    assert record is not None
    with pytest.raises(ModelError, match="models remove mine"):
        checked(path, record)


def test_a_record_that_cannot_be_written_says_what_to_do(path: Path) -> None:
    record_path(path).mkdir()
    with pytest.raises(ModelError, match="KOKORO_LAB_HOME"):
        write_record(described(path))
    assert sorted(each.name for each in path.parent.iterdir()) == ["mine.json", "mine.onnx"]


def test_a_split_model_knows_its_second_file_while_that_is_there(tmp_path: Path) -> None:
    front, back = (tmp_path / f"mine{ending}" for ending in (FRONT, BACK))
    front.write_bytes(b"front")
    assert described(front).back == ()
    back.write_bytes(b"back")
    assert described(front).back == (back,)
    assert described(back).back == ()


def test_a_precision_says_whether_the_compiled_operators_are_needed(path: Path) -> None:
    for precision, needed in (("fp32", False), ("int8", False), ("kernels-fp32", True), ("kernels-int16", True)):
        assert ModelFile("mine", path, "", 0, "stand-in", "tiny", precision).needs_kernels is needed
