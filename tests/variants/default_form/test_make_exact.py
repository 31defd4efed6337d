"""Making the exact form: once, of any model, verified, and without harm when it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from foreign_export import as_upstream
from places import full_disk

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.model_selection import choose_model
from kokoro_lab.errors import BusyError, ModelError, ModelNotFoundError
from kokoro_lab.files.locking import locked
from kokoro_lab.kernels.library import choose
from kokoro_lab.models.catalog import ModelFile, models_folder, resolve
from kokoro_lab.models.files.model_record import file_bytes, file_sha256, write_record
from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.verification_records import verified_snr_db, vouched
from kokoro_lab.runtime.exact.exact_form import exact_form, preparation_lock
from kokoro_lab.runtime.preoptimized import find
from kokoro_lab.variants.default_form import make_exact
from kokoro_lab.variants.default_form.make_exact import prepare_form
from kokoro_lab.variants.make import adopt, install, make

pytestmark = pytest.mark.skipif(choose().path is None, reason=choose().reason)


def test_it_is_made_once_pre_optimised_and_verified(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    prepared = prepare_form("tiny", notice=said.append)
    assert (prepared.source.name, prepared.model.name, prepared.reason) == ("tiny", "tiny-kernels-fp32", "")
    assert vouched(prepared.model) == "equivalent"
    assert (verified_snr_db(prepared.model) or 0.0) >= 90.0
    assert find(prepared.model).path is not None
    assert "making the exact form of tiny on compiled kernels, once" in said
    monkeypatch.setattr(make_exact, "make", lambda *_, **__: pytest.fail("made twice"))
    said.clear()
    assert prepare_form("tiny", notice=said.append) == prepared and said == []
    with pytest.raises(ModelNotFoundError):
        prepare_form("no-such-model")


def test_several_processes_make_it_once(home: Path) -> None:
    resolve("tiny")
    command = [sys.executable, "-m", "kokoro_lab", "models", "prepare", "tiny"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL) for _ in "ab"]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum("Making the exact form" in each for each in said) == 1
    assert exact_form(resolve("tiny")).model is not None


def test_who_does_not_wait_is_told_that_another_process_makes_it(home: Path) -> None:
    with locked(preparation_lock(resolve("tiny"))), pytest.raises(BusyError, match="another process prepares tiny"):
        prepare_form("tiny", wait=False)


def test_a_published_file_is_imported_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = models_folder() / "kokoro-v1.0.onnx"
    path.parent.mkdir()
    onnx.save(as_upstream(build(TINY, seeded_state(TINY, 8))), path)
    file = ModelFile("kokoro-v1.0", path, file_sha256(path), file_bytes(path), "published", "tiny", "fp32")
    write_record(file)
    source = resolve("default")
    assert source == file
    plain = choose_model(EngineConfig())
    assert (plain.model, plain.form, plain.preparable) == (file, "plain", file)
    prepared = prepare_form()
    assert prepared.model.name == "kokoro-v1.0-imported-kernels-fp32"
    assert choose_model(EngineConfig()).model == prepared.model
    assert choose_model(EngineConfig("kokoro-v1.0")).model == file
    assert prepare_form("kokoro-v1.0-imported").model == prepared.model


def test_what_nothing_says_is_right_is_refused_and_not_tried_again(home: Path) -> None:
    install(build(TINY, seeded_state(TINY, 9)), "mine", weights="imported", architecture="tiny", precision="fp32")
    with pytest.raises(ModelError, match="nothing says that mine is right"):
        prepare_form("mine")
    form = exact_form(resolve("mine"))
    assert not form.preparable and "nothing says that mine is right" in form.reason
    assert [path.name for path in models_folder().glob("mine*.onnx")] == ["mine.onnx"]


def test_a_model_of_the_same_name_is_not_replaced(home: Path) -> None:
    (other,) = make("tiny", "optimized", "tiny-kernels-fp32")
    with pytest.raises(ModelError, match="tiny-kernels-fp32 is a model of its own; remove it"):
        prepare_form("tiny")
    assert resolve("tiny-kernels-fp32") == other


def test_a_form_that_is_not_exact_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kokoro_lab.runtime.exact.exact_form.EXACT_SNR_DB", 500.0)
    with pytest.raises(ModelError, match="tiny-kernels-fp32 is not exact"):
        prepare_form("tiny")
    form = exact_form(resolve("tiny"))
    assert (form.model, form.preparable) == (None, False)


def test_a_full_disk_is_one_message_and_the_model_still_speaks(home: Path) -> None:
    source = resolve("tiny")
    with full_disk(100_000), pytest.raises(ModelError, match="cannot write"):
        prepare_form("tiny")
    assert [path.name for path in models_folder().iterdir() if "kernels" in path.name] == []
    assert exact_form(source).model is None
    assert prepare_form("tiny").reason == "", "who asks for it again gets it once there is room"


def test_without_room_it_is_not_begun_and_not_remembered_as_a_failure(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = resolve("tiny")
    monkeypatch.setattr(make_exact, "no_room", lambda _: "it needs 1 MB of disk, and / has 0 MB free")
    with pytest.raises(ModelError, match="it needs 1 MB of disk"):
        prepare_form("tiny")
    assert exact_form(source).preparable


def test_an_import_under_the_wrong_name_is_not_taken_for_the_published_one(home: Path, tmp_path: Path) -> None:
    path = models_folder() / "kokoro-v1.0.onnx"
    path.parent.mkdir()
    onnx.save(as_upstream(build(TINY, seeded_state(TINY, 8))), path)
    other = tmp_path / "other.onnx"
    onnx.save(as_upstream(build(TINY, seeded_state(TINY, 9))), other)
    file = ModelFile("kokoro-v1.0", path, file_sha256(path), file_bytes(path), "published", "tiny", "fp32")
    write_record(file)
    imported, *_ = adopt(other, "kokoro-v1.0-imported", arch=TINY)
    with pytest.raises(ModelError, match=r"kokoro-v1\.0-imported was not imported from kokoro-v1\.0"):
        prepare_form()
    assert resolve(imported.name) == imported
