"""Which file an engine speaks with, and that it says why."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.model_selection import choose_model
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.measure.block.calls import engine_config
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.models import catalog
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.models.files.model_record import write_record
from kokoro_lab.runtime.tuning_record import Best, Tuned, read_tuned, tuned_path, write_tuned
from kokoro_lab.variants.default_form.make_exact import prepare_form


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFile:
    """The tiny model is the default one, in a home of its own, with a variant beside it."""
    tiny = resolve("tiny")
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    monkeypatch.setattr(catalog, "default_model", lambda: "tiny")
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("tiny", "tiny-quick"):
        path = folder / f"{name}.onnx"
        shutil.copyfile(tiny.path, path)
        write_record(replace(tiny, name=name, path=path), revision=catalog.STAND_IN_REVISION)
    return resolve("tiny")


def choice(source: ModelFile, **best: object) -> Tuned:
    quick = resolve("tiny-quick")
    found = Best("tiny-quick", quick.sha256, "equivalent", 2.5, 2.25)
    return Tuned(source.name, source.sha256, "2026-01-01", "m", replace(found, **best), None, ("tiny-quick",))  # type: ignore[arg-type]


def test_the_default_is_what_tuning_found_and_says_so(source: ModelFile) -> None:
    assert choose_model(EngineConfig()).form == "plain"
    write_tuned(source, choice(source))
    assert read_tuned(source) == choice(source)
    with Engine.load(EngineConfig(languages=())) as engine:
        speech = engine.synthesize("Hi")
        assert speech.model.name == engine.status().model.name == "tiny-quick"
        assert "2.50 times as fast" in speech.spoken.why
        assert speech.spoken.form == "tuned"
        assert speech.spoken.path == speech.model.path
        assert not speech.spoken.preoptimized
        assert speech.spoken.kernels == "none"
    assert choose_model(EngineConfig(tuned=False)).model.name == "tiny"
    assert choose_model(EngineConfig(model="tiny")).why == "it was requested"


def test_a_choice_that_no_longer_holds_gives_the_default_with_the_reason(source: ModelFile) -> None:
    write_tuned(source, choice(source, sha256="0" * 64))
    assert "has changed" in choose_model(EngineConfig()).why
    write_tuned(source, choice(source, name="gone"))
    found = choose_model(EngineConfig())
    assert (found.model.name, "unknown model 'gone'" in found.why) == ("tiny", True)
    tuned_path().write_text("{broken")
    assert choose_model(EngineConfig()).form == "plain"


def test_a_choice_holds_for_its_machine_alone(source: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tuned(source, choice(source))
    monkeypatch.setattr(os, "cpu_count", lambda: 4096)
    assert read_tuned(source) is None


def test_a_cell_speaks_with_the_model_it_names(source: ModelFile) -> None:
    write_tuned(source, choice(source))
    config = engine_config(Cell(model="default", text="Hi"))
    assert choose_model(config).model.name == "tiny"
    assert not config.preoptimized
    assert engine_config(Cell(model="tiny", text="Hi", engine_settings=(("preoptimized", True),))).preoptimized


def test_without_kernels_the_plain_form_is_used_and_says_why(
    source: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KERNELS_VARIABLE, "off")
    found = choose_model(EngineConfig())
    assert (found.model, found.form) == (source, "plain")
    assert found.why == "it is the default, without its exact form: KOKORO_KERNELS=off"


@pytest.mark.skipif(choose().path is None, reason=choose().reason)
def test_the_exact_form_stands_for_the_default_unless_tuning_says_otherwise(source: ModelFile) -> None:
    found = choose_model(EngineConfig())
    assert found.preparable == source and "kokoro-lab models prepare" in found.why
    exact = prepare_form("tiny").model
    found = choose_model(EngineConfig())
    assert (found.model, found.form, found.preparable) == (exact, "exact", None)
    assert found.why == f"it is the exact form of tiny on compiled kernels ({choose().instruction_set})"

    write_tuned(source, choice(source))
    assert choose_model(EngineConfig()).model.name == "tiny-quick"
    write_tuned(source, choice(source, name="gone"))
    found = choose_model(EngineConfig())
    assert (found.model, found.form) == (exact, "exact") and "unknown model 'gone'" in found.why
    write_tuned(source, replace(choice(source), equivalent=None))
    assert choose_model(EngineConfig()).form == "exact", "tuning did not measure it"
    write_tuned(source, replace(choice(source), equivalent=None, measured=(exact.name,)))
    found = choose_model(EngineConfig())
    assert (found.model, found.form) == (source, "plain") and "no faster equivalent" in found.why

    tuned_path().unlink()
    assert choose_model(EngineConfig(tuned=False)).form == "plain"
    assert choose_model(EngineConfig(model="tiny")).form == "requested"
    assert choose_model(engine_config(Cell(model="default", text="Hi"))).model == source
