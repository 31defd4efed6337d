"""The catalogue as rows: installed files first, broken ones with their error, then what can be built or fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.models.catalog import STAND_INS, default_model, models_folder, resolve
from kokoro_lab.models.files.published import published_files
from kokoro_lab.models.listing import listing


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    return tmp_path


def test_an_empty_home_lists_what_could_be_built_and_fetched_and_changes_nothing(home: Path) -> None:
    rows = listing()
    assert [row["name"] for row in rows] == [*STAND_INS, *(file.name for file in published_files("models"))]
    assert not any(row["installed"] for row in rows)
    assert [row["name"] for row in rows if row["default"]] == [default_model()]
    assert list(home.rglob("*.onnx")) == []
    published = {file.name: file for file in published_files("models")}
    for row in rows[len(STAND_INS) :]:
        file = published[row["name"]]
        assert (row["sha256"], row["bytes"], row["url"], row["weights"]) == (
            file.sha256, file.bytes, file.url, "published",
        )  # fmt: skip
        assert row["contract"] in {"kokoro-onnx-1.0", "kokoro-onnx-1.1", "onnx-community"}


def test_an_installed_model_comes_first_once_with_its_sum_and_contract() -> None:
    file = resolve("tiny")
    rows = listing()
    assert [row["name"] for row in rows].count("tiny") == 1
    first = rows[0]
    assert (first["name"], first["installed"], first["error"]) == ("tiny", True, None)
    assert (first["sha256"], first["path"], first["architecture"]) == (file.sha256, str(file.path), "tiny")
    assert first["contract"] == "kokoro-lab"


def test_a_broken_file_is_a_row_with_an_error_and_hides_no_other() -> None:
    resolve("tiny")
    (models_folder() / "torn.onnx").write_bytes(b"no model")
    rows = {row["name"]: row for row in listing()}
    assert rows["torn"]["installed"] and rows["torn"]["error"]
    assert rows["torn"]["sha256"] is None
    assert rows["tiny"]["error"] is None
