"""What a block measured: parts that change with their bytes, and files that change while they are measured."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.engine.engine import Engine
from kokoro_lab.errors import KokoroLabError, ModelError
from kokoro_lab.measure.block.calls import EMPTY, engine_config
from kokoro_lab.measure.block.measured_bytes import measured_identity
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.models.catalog import resolve


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(resolve("tiny").path, tmp_path / "model.onnx"))


def test_each_part_is_that_of_its_bytes(model: Path, tmp_path: Path) -> None:
    pack = tmp_path / "mine.npy"
    np.save(pack, np.zeros((510, 256), np.float32))
    cell = Cell(str(model), "Hello!", voice=str(pack))
    first = measured_identity(cell)
    assert all(first.as_dict().values())
    assert first.differences(measured_identity(replace(cell, intra_op_threads=2))) == ()
    assert first.differences(measured_identity(replace(cell, text="Hello"))) == ("text",)
    np.save(pack, np.ones((510, 256), np.float32))
    assert first.differences(measured_identity(cell)) == ("voice",)
    before = model.stat()
    with model.open("r+b") as stream:
        stream.seek(before.st_size // 2)
        stream.write(b"other")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert set(first.differences(measured_identity(cell))) == {"model", "voice"}


def test_the_voice_is_the_one_that_was_loaded(model: Path, tmp_path: Path) -> None:
    pack = tmp_path / "mine.npy"
    np.save(pack, np.zeros((510, 256), np.float32))
    cell = Cell(str(model), "Hello!", voice=str(pack))
    with Engine.load(engine_config(cell)) as engine:
        loaded = engine.voice_sums[cell.voice]
    np.save(pack, np.ones((510, 256), np.float32))
    assert measured_identity(cell, voice=loaded).voice == loaded != measured_identity(cell).voice


def test_a_file_that_changes_while_it_is_measured_is_no_measurement(model: Path) -> None:
    cell = Cell(str(model), "Hello!")
    since_s = time.time()
    time.sleep(0.02)
    model.touch()
    with pytest.raises(ModelError, match=r"model\.onnx was changed while it was measured; measure again"):
        measured_identity(cell, [model], since_s)
    assert measured_identity(cell, [model], time.time() + 1).model


def test_the_harness_alone_has_code_and_packages_and_no_model() -> None:
    identity = measured_identity(Cell(EMPTY, "Hello!"))
    assert (identity.model, identity.voice) == ("", "")
    assert identity.code and identity.packages


def test_a_cell_that_cannot_run_has_no_identity() -> None:
    with pytest.raises(KokoroLabError, match="unknown model 'nobody'"):
        measured_identity(Cell("nobody", "Hello!"))
