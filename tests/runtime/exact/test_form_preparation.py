"""The process that makes the exact form: started once, in the background or at once, and not where there is no room."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from patience import until

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.kernels.library import choose
from kokoro_lab.models import catalog
from kokoro_lab.models.catalog import ModelFile, models_folder, resolve
from kokoro_lab.runtime.exact import form_preparation
from kokoro_lab.runtime.exact.exact_form import exact_form
from kokoro_lab.runtime.exact.form_preparation import Preparation, no_room, prepare_aside, prepare_now
from kokoro_lab.variants.default_form.make_exact import prepare_form

WITHIN_S = 300


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFile:
    """The tiny model is the default one, in a home of its own."""
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    monkeypatch.setattr(catalog, "default_model", lambda: "tiny")
    return resolve("tiny")


def maker() -> psutil.Process | None:
    """The process that was started aside."""
    for process in psutil.Process().children(recursive=True):
        if "prepare" in process.cmdline():
            return process
    return None


@pytest.mark.skipif(choose().path is None, reason=choose().reason)
def test_an_engine_makes_it_after_its_first_text_and_the_next_one_speaks_with_it(source: ModelFile) -> None:
    said: list[str] = []
    config = EngineConfig(prepare="background", languages=())
    with Engine.load(config, notice=said.append) as engine:
        assert (engine.model.name, engine.spoken.form, engine.spoken.preparable) == ("tiny", "plain", source)
        assert maker() is None and said == []
        first = engine.synthesize("Hi")
        list(engine.stream("Hi"))
        assert len([line for line in said if "in the background" in line]) == 1
    assert until(lambda: not exact_form(source).preparable, WITHIN_S)
    with Engine.load(config) as engine:
        assert (engine.model.name, engine.spoken.form, engine.spoken.preparable) == ("tiny-kernels-fp32", "exact", None)
        assert engine.spoken.preoptimized and engine.spoken.kernels == choose().instruction_set
        assert len(engine.synthesize("Hi").samples) == len(first.samples)


@pytest.mark.skipif(choose().path is None, reason=choose().reason)
def test_a_killed_maker_leaves_nothing_that_is_used_and_the_next_one_cleans_up(source: ModelFile) -> None:
    for moment in (".onnx.data", "kernels-fp32.json"):
        prepare_aside(source)
        assert until(lambda end=moment: any(path.name.endswith(end) for path in models_folder().rglob("*")), WITHIN_S)
        process = maker()
        if process is not None:  # else it was too quick
            os.kill(process.pid, signal.SIGKILL)
            assert until(lambda process=process: not process.is_running(), WITHIN_S)
    assert prepare_form("tiny").reason == ""
    hidden = [path.name for path in (*models_folder().iterdir(), *models_folder().parent.rglob(".*"))]
    assert not [name for name in hidden if name.startswith(".")]
    with Engine.load(EngineConfig(languages=())) as engine:
        assert engine.spoken.form == "exact"


def test_now_waits_for_it_and_passes_its_messages_on(source: ModelFile) -> None:
    said: list[str] = []
    with Engine.load(EngineConfig(prepare="now", languages=()), notice=said.append) as engine:
        assert engine.spoken.preparable is None and engine.spoken.preoptimized
        assert engine.spoken.form == ("plain" if choose().path is None else "exact")
    assert said


def test_a_library_starts_no_process_unless_told_to(source: ModelFile) -> None:
    assert EngineConfig().prepare == "off"
    with Engine.load(EngineConfig(languages=())) as engine:
        engine.synthesize("Hi")
        assert engine.spoken.preparable == source
    assert maker() is None
    with Engine.load(EngineConfig("tiny", prepare="background", languages=())) as engine:
        engine.synthesize("Hi")
    assert maker() is None, "a model by name is exactly that file"


@pytest.mark.parametrize("lacking", ["disk", "memory"])
def test_without_room_nothing_is_started_and_one_message_says_so(
    source: ModelFile, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    assert no_room(source) == ""
    if lacking == "disk":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    else:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000_000))
    assert f"MB of {lacking}" in no_room(source)
    said: list[str] = []
    with Engine.load(EngineConfig(prepare="background", languages=()), notice=said.append) as engine:
        for _ in range(3):
            assert engine.synthesize("Hi").duration_s > 0
    assert len(said) == 1 and f"MB of {lacking}" in said[0]
    prepare_now(source, said.append)
    assert len(said) == 2 and "was not prepared" in said[1]
    assert maker() is None


def test_a_program_without_an_interpreter_says_so(source: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form_preparation.sys, "executable", "")
    assert "not run by a Python interpreter" in prepare_aside(source)
    monkeypatch.setattr(form_preparation.sys, "executable", "/nowhere/python")
    assert "No such file" in prepare_aside(source)
    said: list[str] = []
    prepare_now(source, said.append)
    assert "No such file" in said[0]


def test_it_is_started_once_by_however_many_texts(source: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(form_preparation, "prepare_aside", lambda file: started.append(file.name) or "started")
    waiting = Preparation(source)
    for _ in range(3):
        waiting.spoken()
    Preparation(None).spoken()
    assert started == ["tiny"]
