"""What a block would measure now, as the process that starts it knows it before."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.records.identity import PARTS
from kokoro_lab.measure.sampling.expected_bytes import cell_files, expected_parts
from kokoro_lab.measure.sampling.launch import launch
from kokoro_lab.models.catalog import resolve

CELL = Cell("tiny", "Hello!", repeats=1, warmup_cap=1)


def test_it_is_what_the_worker_says_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve("tiny")
    result = launch(CELL, tmp_path).result
    assert result.status == "ok", result.error
    assert result.identity is not None and result.identity.as_dict() == expected_parts(CELL)


def test_of_a_peer_the_files_are_known_and_of_an_environment_all_but_its_packages() -> None:
    peer = Cell("tiny", "Hello!", environment="kokoro-onnx")
    assert set(expected_parts(peer)) == set(PARTS) - {"packages"}
    assert expected_parts(peer)["model"] == expected_parts(CELL)["model"]
    assert cell_files(peer).model == (resolve("tiny").path,)
    assert set(expected_parts(Cell("tiny", "Hello!", environment="openvino"))) == set(PARTS) - {"packages"}


def test_nothing_is_expected_of_a_cell_that_cannot_run() -> None:
    assert expected_parts(Cell("nobody", "Hello!")) == {}
