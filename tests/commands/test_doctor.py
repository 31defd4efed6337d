"""The doctor checks every component and changes nothing, and a check that fails is a finding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from kokoro_lab.cli import run
from kokoro_lab.commands import doctor
from kokoro_lab.errors import KokoroLabError, ModelError
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.models import catalog
from kokoro_lab.models.catalog import resolve
from kokoro_lab.variants.default_form.make_exact import prepare_form


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    return tmp_path / "home"


def found() -> dict[str, doctor.Finding]:
    return {finding.what: finding for finding in doctor.findings()}


def only(monkeypatch: pytest.MonkeyPatch, **looks: object) -> None:
    monkeypatch.setattr(doctor, "_CHECKS", looks)


def test_everything_is_looked_at_and_nothing_is_built(home: Path, tmp_path: Path) -> None:
    findings = found()
    assert list(findings) == list(doctor._CHECKS)
    assert {finding.state for finding in findings.values()} <= {"ok", "missing", "limited"}
    assert all(finding.detail for finding in findings.values())
    assert not list(home.rglob("*.onnx")) and not (tmp_path / "results").exists()


def test_a_look_that_fails_is_missing_with_its_reason_and_the_next_one_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(error: Exception) -> object:
        def look() -> object:
            raise error

        return look

    only(
        monkeypatch,
        model=fails(ModelError("it is torn")),
        library=fails(ImportError("no such library")),
        disk=fails(OSError("gone")),
        last=lambda: ("ok", "here"),
    )
    assert [(finding.state, finding.detail) for finding in doctor.findings()] == [
        ("missing", "it is torn"), ("missing", "no such library"), ("missing", "gone"), ("ok", "here"),
    ]  # fmt: skip
    assert run(["doctor", "--json"]) == KokoroLabError.exit_code
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert checks[-1] == {"what": "last", "state": "ok", "detail": "here"}


def test_what_is_only_limited_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, model=lambda: ("limited", "not built yet"))
    assert run(["doctor"]) == 0
    assert "not built yet" in capsys.readouterr().out


def test_a_model_that_is_there_is_named_with_its_sum(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._model()[0] == "limited"
    file = resolve("tiny")
    monkeypatch.setattr(doctor, "default_model", lambda: "tiny")
    state, detail = doctor._model()
    assert state == "ok" and "tiny" in detail and file.sha256[:12] in detail


def test_it_says_in_one_line_which_form_of_the_default_model_speaks(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, detail = doctor._default_form()
    assert state == "limited" and "is not installed yet" in detail
    resolve("tiny")
    monkeypatch.setattr(catalog, "default_model", lambda: "tiny")
    monkeypatch.setattr(doctor, "default_model", lambda: "tiny")
    monkeypatch.setenv(KERNELS_VARIABLE, "off")
    assert doctor._default_form() == ("limited", "tiny: it is the default, without its exact form: KOKORO_KERNELS=off")
    monkeypatch.delenv(KERNELS_VARIABLE)
    if choose().path is not None:
        assert "models prepare" in doctor._default_form()[1]
        prepare_form("tiny")
        state, detail = doctor._default_form()
        assert state == "ok" and detail.startswith("tiny-kernels-fp32: it is the exact form of tiny")


def test_a_disk_without_room_and_a_folder_without_rights_are_limited(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50e9))
    assert doctor._disk()[0] == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0.5e9))
    assert doctor._disk()[0] == "limited"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50e9))
    monkeypatch.setattr("os.access", lambda *_: False)
    state, detail = doctor._disk()
    assert state == "limited" and "not writable" in detail


def test_without_a_compiler_the_kernels_are_what_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor._compiler()[0] == "limited"
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "clang++" else None)
    assert doctor._compiler() == ("ok", "/bin/clang++")


def test_without_a_folder_that_can_be_written_the_cold_cache_is_not_tried(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kokoro_lab.commands.doctor.os.access", lambda *_: False)
    state, detail = doctor._cold_files()
    assert (state, str(home) in detail) == ("limited", True)
