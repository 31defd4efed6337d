from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import typer
from misbehaving import serving

from kokoro_lab.commands.models import app
from kokoro_lab.errors import (
    InputError,
    ModelError,
    ModelNotFoundError,
    RegressedError,
)
from kokoro_lab.models.catalog import models_folder
from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.variants.make import install


def run(*words: str) -> None:
    typer.main.get_command(app)(list(words), standalone_mode=False)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    run(*words, "--json")
    return json.loads(capsys.readouterr().out)


def test_from_a_stand_in_to_a_verified_variant_and_away(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "build", "tiny")["models"][0]["name"] == "tiny"
    made = told(capsys, "quantize", "tiny", "--recipe", "int8-vocoder")["models"][0]
    assert (made["name"], made["precision"]) == ("tiny-int8-vocoder", "int8")
    verified = told(capsys, "verify", "tiny-int8-vocoder")
    assert (verified["verdict"], verified["reference"]) == ("equivalent", "tiny")
    names = {row["name"]: row for row in told(capsys, "list")["models"]}
    assert names["tiny-int8-vocoder"]["installed"]
    assert not names["onnx-community-q4"]["installed"]
    assert len(told(capsys, "remove", "tiny-int8-vocoder")["removed"]) >= 2
    assert not (models_folder() / "tiny-int8-vocoder.onnx").exists()


def test_optimize_makes_the_variant_and_its_file_for_this_machine(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "optimize", "tiny", "--name", "quick")["models"][0]["name"] == "quick"
    assert list((home / "preoptimized").rglob("quick-*.onnx"))


def test_a_variant_that_differs_ends_with_a_failed_gate(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("build", "tiny")
    wrong = build(TINY, seeded_state(TINY, 99))
    install(wrong, "wrong", weights="imported", architecture="tiny", precision="fp32", source={"name": "tiny"})
    with pytest.raises(RegressedError, match="wrong is different from tiny"):
        run("verify", "wrong")
    with pytest.raises(InputError, match="--against"):
        run("verify", "tiny")


def test_verify_with_providers_tells_nodes_and_fallbacks(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "verify", "tiny", "--provider", "cpu", "--provider", "coreml")
    assert [row["status"] for row in found["rows"]] == ["ok", "unavailable"]
    assert {row["provider"] for row in found["fallbacks"]} == {"coreml"}


def test_fetch_says_what_it_cannot_have(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(b"something else") as server:
        monkeypatch.setenv("KOKORO_LAB_MIRROR", server.url)
        for name in ("kokoro-v1.0", "voices-v1.0"):
            with pytest.raises(ModelError, match="it is another file"):
                run("fetch", name)
    with pytest.raises(ModelNotFoundError):
        run("fetch", "nothing")


def test_an_import_that_fails_installs_nothing(home: Path, tmp_path: Path) -> None:
    onnx.save(build(TINY, seeded_state(TINY, 3)), tmp_path / "tiny-export.onnx")
    with pytest.raises(ModelError, match="lacks"):  # tiny has fewer layers than Kokoro
        run("import", str(tmp_path / "tiny-export.onnx"), "--name", "mine")
    assert not list(models_folder().glob("mine*"))


def test_only_stand_ins_are_built(home: Path) -> None:
    with pytest.raises(InputError, match="choose one of stand-in"):
        run("build", "kokoro-v1.0")
