"""Models by name: built once, verified by sum, recognised by sum."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import onnx
import pytest

from kokoro_lab.errors import ModelError, ModelNotFoundError
from kokoro_lab.models import catalog
from kokoro_lab.models.catalog import default_model, installed, models_folder, resolve
from kokoro_lab.models.files import byte_sums
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.files.published import published_models


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    return models_folder()


def test_the_stand_in_is_built_on_first_use_with_a_notice_and_then_found(folder: Path) -> None:
    notices: list[str] = []
    first = resolve("tiny", notice=notices.append)
    assert notices
    assert "not the published" in notices[0]
    again = resolve("tiny", notice=notices.append)
    assert first == again
    assert len(notices) == 2
    assert (first.weights, first.architecture, first.precision) == ("stand-in", "tiny", "fp32")
    assert first.bytes == first.path.stat().st_size
    assert [file.name for file in installed()] == ["tiny"]


def test_building_again_gives_the_same_bytes(folder: Path) -> None:
    assert resolve("tiny").sha256 == catalog.build_stand_in("tiny").sha256


def test_nothing_half_made_is_left_when_the_disk_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match="No space left"):
        resolve("tiny")
    assert list(folder.glob("*tiny.onnx*")) == []


def test_a_changed_file_is_noticed(folder: Path) -> None:
    path = resolve("tiny").path
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="differs from its record"):
        resolve("tiny")


def test_a_touched_file_is_hashed_once_and_accepted(folder: Path) -> None:
    path = resolve("tiny").path
    os.utime(path, (1, 1))
    assert resolve("tiny").path == path
    assert json.loads(path.with_suffix(".json").read_text())["time_stamp"] == path.stat().st_mtime_ns


def test_an_older_revision_is_built_anew(folder: Path) -> None:
    path = resolve("tiny").path
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(record | {"revision": 0}))
    notices: list[str] = []
    resolve("tiny", notice=notices.append)
    assert notices


def test_a_file_elsewhere_is_taken_by_its_path_and_known_by_its_shapes(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.onnx"
    shutil.copy(resolve("tiny").path, copy)
    file = resolve(str(copy))
    assert (file.name, file.architecture, file.weights) == ("elsewhere", "tiny", "stand-in")


def test_the_architecture_follows_from_the_shapes_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shapes are remembered with the file; what they mean is what the program that asks says."""
    path = tmp_path / "other.onnx"
    path.write_bytes(resolve("tiny").path.read_bytes())
    monkeypatch.setattr(byte_sums, "SETTLED_S", -math.inf)
    with monkeypatch.context() as former:
        former.setattr(catalog, "architecture_of", lambda shapes: "unknown")
        assert resolve(str(path)).architecture == "unknown"
    assert resolve(str(path)).architecture == "tiny"


def test_the_architecture_is_read_from_the_shapes_whatever_the_file_is_called_and_says(
    folder: Path, tmp_path: Path
) -> None:
    model = read_onnx(resolve("tiny").path)
    del model.metadata_props[:]
    model.metadata_props.add(key="kokoro_lab.architecture", value="full")
    path = tmp_path / "kokoro-v1.0.onnx"
    onnx.save(model, path)
    assert resolve(str(path)).architecture == "tiny"
    convolution = next(tensor for tensor in model.graph.initializer if tuple(tensor.dims) == (16, 16, 11))
    model.graph.initializer.remove(convolution)
    onnx.save(model, path)
    assert resolve(str(path)).architecture == "unknown"


def test_published_is_said_by_sum_alone(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "kokoro-v1.0.onnx"
    shutil.copy(resolve("tiny").path, path)
    assert resolve(str(path)).weights != "published"
    assert len(published_models()) == 14


@pytest.mark.parametrize("name", ["nobody", "./nobody.onnx", ""])
def test_an_unknown_model_is_refused_with_names_to_try(folder: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="stand-in"):
        resolve(name)


@pytest.mark.parametrize("content", [b"", b"\x08\x08garbage that is no protobuf \xff\xff\xff"])
def test_a_truncated_file_is_refused(folder: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not an ONNX model"):
        resolve(str(path))


def test_the_default_is_the_published_model_if_present(folder: Path) -> None:
    assert default_model() == "stand-in"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kokoro-v1.0.onnx").write_bytes(b"x")
    assert default_model() == "kokoro-v1.0"
