"""`kokoro-lab models prepare`, and what makes the exact form by itself: `say` after its text, and a new model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import until

from kokoro_lab.audio.speech_distance import snr_db
from kokoro_lab.cli import run
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.errors import ModelError
from kokoro_lab.files.locking import locked
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.models import catalog
from kokoro_lab.models.catalog import installed_names, resolve
from kokoro_lab.runtime.exact.exact_form import exact_form, preparation_lock

WITHIN_S = 900

with_kernels = pytest.mark.skipif(choose().path is None, reason=choose().reason)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def tiny_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model is the default one."""
    monkeypatch.setattr(catalog, "default_model", lambda: "tiny")
    resolve("tiny")


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str]:
    """The document and the messages of a command."""
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


@with_kernels
def test_it_prints_what_a_model_is_spoken_with(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, said = told(capsys, "models", "prepare", "tiny")
    assert [model["name"] for model in document["models"]] == ["tiny-kernels-fp32"]
    assert (document["source"], document["reason"]) == ("tiny", "")
    assert "Making the exact form of tiny" in said
    assert told(capsys, "models", "prepare", "tiny")[0] == document


def test_without_kernels_it_prepares_the_model_itself_and_says_why(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KERNELS_VARIABLE, "off")
    document, said = told(capsys, "models", "prepare", "tiny")
    assert [model["name"] for model in document["models"]] == ["tiny"]
    assert document["reason"] == "KOKORO_KERNELS=off"
    assert "Tiny has no exact form here: KOKORO_KERNELS=off." in said
    assert list((home / "preoptimized").rglob("tiny-*.onnx"))


def test_the_background_process_leaves_it_to_another_one(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "nice", lambda by: by)
    with locked(preparation_lock(resolve("tiny"))):
        assert run(["models", "prepare", "tiny", "--background"]) == 0
    assert installed_names() == ["tiny"]


@with_kernels
def test_say_speaks_first_and_makes_it_then_unless_that_is_off(
    tiny_default: None, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say = ("say", "Hello world!", "-o", str(home / "a.wav"))
    document, said = told(capsys, *say)
    assert document["chosen"]["form"] == "plain"
    assert "without its exact form: it was not prepared yet" in said
    assert "in the background" not in said, "the tests turn it off"
    monkeypatch.delenv("KOKORO_PREPARE")
    plain, said = told(capsys, *say)
    lines = said.splitlines()
    assert lines[-2].startswith("Wrote ") and lines[-1].startswith("Preparing the exact form of tiny")
    assert until(lambda: not exact_form(resolve("tiny")).preparable, WITHIN_S)
    exact, said = told(capsys, *say)
    assert (exact["model"]["name"], exact["chosen"]["form"]) == ("tiny-kernels-fp32", "exact")
    assert said.startswith("Speaking with tiny-kernels-fp32, pre-optimised: it is the exact form of tiny on compiled ")
    assert "in the background" not in said
    assert (exact["tokens"], exact["audio_s"]) == (plain["tokens"], plain["audio_s"])


@with_kernels
def test_a_new_model_gets_it_unless_that_is_off(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(capsys, "models", "build", "tiny")
    assert installed_names() == ["tiny"], "the tests turn it off"
    monkeypatch.setenv("KOKORO_PREPARE", "background")
    told(capsys, "models", "build", "tiny", "--no-prepare")
    assert installed_names() == ["tiny"]
    _, said = told(capsys, "models", "build", "tiny")
    assert "Tiny-kernels-fp32 is the exact form of tiny on compiled kernels." in said
    assert installed_names() == ["tiny", "tiny-kernels-fp32"]


@with_kernels
def test_a_failure_to_make_it_is_a_notice_and_the_model_is_installed(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ModelError("there is no room; make some")

    monkeypatch.delenv("KOKORO_PREPARE")
    monkeypatch.setattr("kokoro_lab.commands.model_choice.preparing.prepare_form", refuse)
    document, said = told(capsys, "models", "build", "tiny")
    assert document["models"][0]["name"] == "tiny"
    assert "There is no room; make some." in said


def said_by_a_process(home: Path, text: str) -> tuple[Any, str]:
    command = [sys.executable, "-m", "kokoro_lab", "say", text, "-o", str(home / "a.wav"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
@with_kernels
def test_the_second_process_speaks_with_the_exact_form_of_the_whole_model(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KOKORO_PREPARE")
    monkeypatch.delenv("KOKORO_MODEL", raising=False)
    text = "The second process speaks faster than the first."
    plain, said = said_by_a_process(home, text)
    assert plain["chosen"]["form"] == "plain" and "in the background" in said
    assert until(lambda: not exact_form(resolve("stand-in")).preparable, WITHIN_S)
    exact, said = said_by_a_process(home, text)
    assert exact["chosen"]["form"] == "exact" and "it is the exact form of stand-in" in said
    assert exact["audio_s"] == plain["audio_s"]

    spoken = []
    for tuned in (False, True):
        with Engine.load(EngineConfig(tuned=tuned)) as engine:
            assert engine.spoken.form == ("exact" if tuned else "plain")
            spoken.append(engine.synthesize(text))
    durations = [speech.durations for speech in spoken]
    assert durations[0] is not None and durations[1] is not None
    np.testing.assert_array_equal(durations[0], durations[1])
    assert snr_db(spoken[0].samples, spoken[1].samples) >= 90.0
