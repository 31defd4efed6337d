"""What says that a model's output is right: it belongs to bytes, and no model vouches for itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kokoro_lab.models import verification_records
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.models.files.model_record import BACK, FRONT, file_sha256, write_record
from kokoro_lab.models.files.published import published_models
from kokoro_lab.models.verification_records import record_verification, verification_path, vouched


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def file_of(folder: Path, name: str, **changed: str) -> ModelFile:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(name.encode())
    file = ModelFile(name, path, file_sha256(path), path.stat().st_size, "imported", "tiny", "fp32")
    return replace(file, **changed)  # type: ignore[arg-type]


def test_a_stand_in_vouches_for_itself_and_what_calls_itself_one_does_not(home: Path) -> None:
    tiny = resolve("tiny")
    assert vouched(tiny) == "equivalent"
    elsewhere = file_of(home / "elsewhere", "tiny", weights="stand-in")
    assert vouched(elsewhere) == ""
    assert vouched(replace(tiny, sha256="ab" * 32)) == "", "other bytes under the same name"


def test_a_published_file_is_known_by_its_bytes_and_not_by_what_is_said_of_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = "7d5df8ecf7d4b1878015a32686053fd0eebe2bc377234608764cc0ef3636a6c5"
    claimed = file_of(home / "models", "any", sha256=sha256)
    assert vouched(claimed) == "", "other bytes with the sum of a published file"
    known = published_models()[sha256]
    file = file_of(home / "models", "any")
    monkeypatch.setattr(verification_records, "published_models", lambda: {file.sha256: known})
    assert vouched(file) == "equivalent"


def test_a_file_with_the_size_and_time_of_its_record_but_other_bytes_is_not_vouched_for(home: Path) -> None:
    tiny, variant = resolve("tiny"), file_of(home / "models", "variant")
    write_record(variant)
    record_verification(variant, tiny, "equivalent", [])
    before = variant.path.stat()
    variant.path.write_bytes(variant.path.read_bytes()[::-1])
    os.utime(variant.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert resolve("variant") == variant, "the record says so"
    assert vouched(resolve("variant")) == ""


def test_both_files_of_a_split_model_are_vouched_for_together(home: Path) -> None:
    halves = [file_of(home / "models", f"variant{end}".removesuffix(".onnx")) for end in (FRONT, BACK)]
    for half in halves:
        write_record(half)
    split = resolve("variant")
    record_verification(split, resolve("tiny"), "close", [])
    assert vouched(split) == "close"
    halves[1].path.write_bytes(b"something else")
    assert vouched(split) == ""


def test_a_record_belongs_to_bytes_and_not_to_a_name(home: Path) -> None:
    tiny, variant = resolve("tiny"), file_of(home / "models", "variant")
    assert vouched(variant) == ""
    assert record_verification(variant, tiny, "close", ["noise"]) == ""
    assert vouched(variant) == "close"
    assert vouched(replace(variant, sha256="cd" * 32)) == ""
    verification_path(variant.sha256).write_text("{}")
    assert vouched(variant) == "", "a damaged record says nothing"


def test_nothing_vouches_for_itself_nor_for_another_before_it_is_vouched_for(home: Path) -> None:
    first, second = file_of(home / "models", "first"), file_of(home / "models", "second")
    assert "says nothing about itself" in record_verification(first, first, "equivalent", [])
    assert "nothing says that second is right" in record_verification(first, second, "equivalent", [])
    assert vouched(first) == "" and not verification_path(first.sha256).exists()


@pytest.mark.parametrize(("proof", "verdict"), [({"noisy_db": 0.1}, "equivalent"), (None, "")])
def test_an_import_is_as_good_as_its_proof(home: Path, proof: object, verdict: str) -> None:
    file = file_of(home / "models", "mine")
    source = {"name": "theirs.onnx", "sha256": "ef" * 32, "precision": "fp32"}
    write_record(file, source=source, proof=proof)
    assert vouched(file) == verdict
