"""A variant is compared with its source, and the verdict is recorded for its bytes."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import typer
from onnx import numpy_helper

from kokoro_lab.commands.models import app
from kokoro_lab.errors import InputError, RegressedError
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.verification_records import vouched
from kokoro_lab.variants.make import make
from kokoro_lab.variants.model_verification import ensure_verified, verify_model


@pytest.fixture(scope="module")
def variant(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelFile]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOKORO_LAB_HOME", str(home))
        (made,) = make("tiny", "fp16-weights")
        return home, made


@pytest.fixture(autouse=True)
def at_home(variant: tuple[Path, ModelFile], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(variant[0]))


def test_a_verdict_is_made_once_and_holds_for_these_bytes(variant: tuple[Path, ModelFile]) -> None:
    said: list[str] = []
    assert vouched(variant[1]) == ""
    assert ensure_verified(variant[1], notice=said.append) == "equivalent"
    assert said == ["comparing tiny-fp16-weights with its source", "tiny-fp16-weights compared with tiny: equivalent"]
    assert vouched(variant[1]) == "equivalent"
    said.clear()
    assert ensure_verified(variant[1], notice=said.append) == "equivalent" and said == []


def test_a_damaged_file_has_no_source_to_ask_and_is_different_from_the_one_that_it_copies(
    variant: tuple[Path, ModelFile], capsys: pytest.CaptureFixture[str]
) -> None:
    model = read_onnx(resolve("tiny").path)
    for item in model.graph.initializer:
        if item.name == "predictor.duration_proj.linear_layer.bias":
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) - 1.0, item.name))
    path = variant[0] / "models" / "hasty.onnx"
    onnx.save(model, path)
    hasty = resolve("hasty")
    with pytest.raises(InputError, match="no record of its source"):
        verify_model(hasty)
    assert ensure_verified(hasty) == ""
    with pytest.raises(RegressedError, match="is different from tiny"):
        typer.main.get_command(app)(["verify", "hasty", "--against", "tiny", "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "different" and told["recorded"] is True
    assert vouched(hasty) == "different"
