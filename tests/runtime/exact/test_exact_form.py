"""Which file is the exact form of a model, and why there is none where there is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.models.catalog import ModelFile, models_folder, remove, resolve
from kokoro_lab.models.files.model_record import record_path
from kokoro_lab.models.verification_records import verification_path
from kokoro_lab.runtime.exact.exact_form import (
    EXACT_SNR_DB,
    exact_form,
    forget_failure,
    is_exact,
    made_forms,
    plain_source,
    record_failure,
)
from kokoro_lab.runtime.preoptimized import preoptimized_path
from kokoro_lab.variants.default_form.make_exact import prepare_form

pytestmark = pytest.mark.skipif(choose().path is None, reason=choose().reason)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFile:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    prepare_form("tiny")
    return resolve("tiny")


def change_verification(file: ModelFile, **changed: object) -> None:
    path = verification_path(file.sha256)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_it_is_known_by_its_source_its_recipe_and_its_verification(source: ModelFile) -> None:
    found = exact_form(source)
    assert found.model is not None and found.model.name == "tiny-kernels-fp32"
    assert (found.reason, found.preparable) == ("", False)
    assert exact_form(replace(source, sha256="0" * 64)).model is None, "another source"

    change_verification(found.model, snr_db=EXACT_SNR_DB - 1)
    worse = exact_form(source)
    assert (worse.model, worse.preparable) == (None, False)
    assert "equivalent at 79 dB, which is not exact" in worse.reason
    change_verification(found.model, snr_db=None)
    assert exact_form(source).preparable, "verified before signal-to-noise ratios were recorded"
    change_verification(found.model, snr_db=100.0, verdict="different")
    assert "is different by its verification" in exact_form(source).reason
    verification_path(found.model.sha256).unlink()
    assert [file.name for file in made_forms(source)] == ["tiny-kernels-fp32"]
    assert not is_exact(found.model)
    assert exact_form(source).preparable


def test_a_record_of_another_recipe_or_a_changed_file_is_no_exact_form(source: ModelFile) -> None:
    path = models_folder() / "tiny-kernels-fp32.onnx"
    written = record_path(path).read_text()
    record = json.loads(record_path(path).read_text())
    record["recipe"]["name"] = "my-own"
    record_path(path).write_text(json.dumps(record))
    assert list(made_forms(source)) == []
    record_path(path).write_text(written)
    path.write_bytes(path.read_bytes() + b"x")
    assert list(made_forms(source)) == []


def test_it_can_be_prepared_again_where_its_pre_optimised_file_is_missing(source: ModelFile) -> None:
    form = exact_form(source).model
    assert form is not None
    preoptimized_path(form).unlink()
    again = exact_form(source)
    assert again.model == form and again.preparable
    assert prepare_form("tiny").model == form
    assert not exact_form(source).preparable
    remove("tiny-kernels-fp32")
    assert exact_form(source).model is None and exact_form(source).preparable


def test_without_kernels_the_reason_is_theirs(source: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KERNELS_VARIABLE, "off")
    off = exact_form(source)
    assert (off.model, off.reason, off.preparable) == (None, "KOKORO_KERNELS=off", True)
    assert prepare_form("tiny").reason == "KOKORO_KERNELS=off"
    assert not exact_form(source).preparable, "the model itself is pre-optimised now"
    monkeypatch.setenv(KERNELS_VARIABLE, "abacus")
    assert "unknown instruction set" in exact_form(source).reason


def test_a_failure_is_remembered_until_it_is_forgotten(source: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    remove("tiny-kernels-fp32")
    record_failure(source, "the compiler was on strike")
    failed = exact_form(source)
    assert not failed.preparable and "the compiler was on strike" in failed.reason
    with monkeypatch.context() as patch:
        patch.setattr("kokoro_lab.runtime.exact.exact_form.__version__", "99")
        assert exact_form(source).preparable, "another version may do better"
    assert not exact_form(source).preparable
    forget_failure(source)
    forget_failure(source)
    assert exact_form(source).preparable
    assert plain_source(source) is source
