"""compare, gate, export and import on the command line: documents, tables, Markdown and exit codes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from kokoro_lab.cli import run
from kokoro_lab.measure.records.cell import Block, BlockResult, Cell, GateReading, ModelReading, QuietReading, Repeat
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.store.rows import cell_row, sample_rows
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.table import arrow_rows

REFERENCE = Cell("stand-in", "Hello world!", text_preset="medium", intra_op_threads=2, reference=True)
OTHER = dataclasses.replace(REFERENCE, intra_op_threads=1, reference=False)


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


Cli = Callable[..., Said]
Keep = Callable[..., None]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("COLUMNS", "240")

    def cli(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return cli


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Put a run with the reference at 400 ms and another cell at `ratio` of it into the store."""

    def keep(
        ratio: float, run_id: str = "r1", *, count: int = 8, architecture: str = "full", gate: str = "equivalent",
        machine: str = "m", day: int = 20, commit: str | None = None,
    ) -> None:  # fmt: skip
        model = ModelReading("stand-in", "ab" * 32, "stand-in", architecture, "fp32")
        record = RunRecord(run_id=run_id, machine_id=machine, software_id="s", git_commit=commit)
        cells, samples = [], []
        for of, ms in ((REFERENCE, 400.0), (OTHER, 400.0 * ratio)):
            rng = np.random.default_rng([len(run_id), round(ms)])
            for number in range(count):
                took = ms * float(np.exp(rng.normal(0.0, 0.004)))
                calls = tuple(Repeat(i, took, took, 2, 2, took / 2e3, 0, 0, 0, took, 0, 0, 90.0, True) for i in (0, 1))
                result = BlockResult("ok", repeats=calls, became_steady=True, rss_steady_mb=90.0, model=model)
                reading = GateReading.from_dict({"verdict": gate if of == OTHER else "equivalent", "reference": "f"})
                moment = f"2026-11-{day}T10:{number:02d}:00+00:00"
                item = Block(of, number, number, number, result, QuietReading(False), reading, started_at=moment)
                cells.append(cell_row(record, item))
                samples += sample_rows(record, item)
        arrow = {"cells": arrow_rows(TABLES["cells"], cells), "samples": arrow_rows(TABLES["samples"], samples)}
        Store(tmp_path / "results" / "tables").merge(arrow)

    return keep


@pytest.mark.parametrize(
    ("ratio", "count", "code", "outcome"),
    [
        (1.2, 8, 1, "regressed"),
        (0.8, 8, 0, "no regression"),
        (1.0, 8, 0, "no regression"),
        (1.2, 3, 3, "inconclusive"),
    ],
)
def test_compare_tells_by_its_exit_code(
    cli: Cli, keep: Keep, ratio: float, count: int, code: int, outcome: str
) -> None:
    keep(ratio, count=count)
    said = cli("compare", "reference", "intra_op_threads=1", "--run", "r1", "--json")
    assert said.code == code, said.err
    document = said.document
    assert document["outcome"] == outcome and document["interleaved"] is True
    (row,) = document["rows"]
    assert row["ratio"] == pytest.approx(ratio, rel=0.01) and row["pairs"] == count and row["texts"] == ["medium"]


def test_compare_prints_a_table_or_markdown(cli: Cli, keep: Keep) -> None:
    keep(1.2)
    table = cli("compare", "intra_op_threads=2", "intra_op_threads=1")
    assert table.code == 1 and "slower" in table.out and "Comparing cells of run r1" in table.err
    marked = cli("compare", "intra_op_threads=2", "intra_op_threads=1", "--markdown", "--figure", "rtf")
    assert marked.out.startswith("### rtf: ratio of intra_op_threads=1 to intra_op_threads=2\n")
    assert "| slower |" in marked.out and "| --- |" in marked.out
    assert cli("compare", "reference", OTHER.id, "--json", "--markdown").code == 2


def test_compare_across_commits_says_that_nothing_was_interleaved(cli: Cli, keep: Keep) -> None:
    for number in range(3):
        keep(1.2 + 0.002 * number, f"old-{number}", commit="a" * 40)
        keep(1.5 + 0.002 * number, f"new-{number}", commit="b" * 40)
    said = cli("compare", "commit:aaaaaaa", "commit:bbbbbbb", "--json")
    assert said.code == 1 and said.document["interleaved"] is False
    assert "not interleaved" in said.document["notes"][0] and "not interleaved" in said.err.lower()
    assert said.document["rows"][0]["runs"] == [3, 3]
    shown = cli("compare", "commit:bbbbbbb", "commit:aaaaaaa")
    assert shown.code == 0 and "not interleaved" in shown.out and "3 / 3" in shown.out


def test_compare_without_a_shared_machine_is_exit_3(cli: Cli, keep: Keep) -> None:
    keep(1.2, "here")
    keep(1.2, "there", machine="another")
    said = cli("compare", "run:here", "run:there")
    assert (said.code, said.out) == (3, "") and "different machines" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("compare", "reference", "intra_op_threads=1"), 4, "no stored runs"),
        (("compare", "run:x", "run:y"), 4, "no rows of run 'x'"),
        (("compare", "reference", "x=1"), 2, "no factor 'x'"),
        (("compare", "a=1", "b=1", "--figure", "speed"), 2, "figure 'speed'"),
        (("gate",), 4, "no stored runs"),
        (("gate", "--run", "nothing"), 4, "'nothing'"),
        (("gate", "--budgets", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("results", "export", "out"), 4, "no rows"),
        (("results", "export", "out", "--format", "xml"), 2, "csv, parquet"),
        (("results", "import", "nowhere"), 2, "manifest"),
    ],
)
def test_nothing_measured_and_wrong_usage_are_one_sentence(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli(*arguments)
    assert (said.code, said.out) == (code, ""), said.err
    assert words in said.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == [], "nothing is created"


def test_runs_and_cells_are_not_mixed_in_one_comparison(cli: Cli, keep: Keep) -> None:
    keep(1.2)
    said = cli("compare", "run:r1", "intra_op_threads=1")
    assert said.code == 2 and "two cells, or two runs" in said.err
    assert cli("compare", "reference", OTHER.id, "--cell", "intra_op_threads=1").code == 2


def test_the_gate_fails_passes_and_says_when_it_has_no_trials(cli: Cli, keep: Keep, tmp_path: Path) -> None:
    keep(1.2)
    passing = cli("gate", "--only", "correct", "--only", "memory", "--json")
    assert passing.code == 0 and passing.document["passed"]
    assert {row["budget"]: row["status"] for row in passing.document["rows"]} == {
        "correct": "passed",
        "memory": "passed",
    }
    few = cli("gate", "--only", "ttfa")
    assert few.code == 3 and "too few samples" in few.out
    nothing = cli("gate", "--markdown")
    assert nothing.code == 4 and "| underruns | not measured |" in nothing.out and "underruns" in nothing.err
    budgets = tmp_path / "strict.yaml"
    budgets.write_text("budgets: [{name: quick, measure: rtf, at_most: 0.01}]")
    failed = cli("gate", "--budgets", budgets, "--json")
    assert failed.code == 1 and failed.document["rows"][0]["status"] == "failed"
    (row,) = failed.document["rows"]
    assert row["p50_low"] <= row["p50"] <= row["p50_high"] and row["samples"] == 16 and row["p95"] is None


def test_the_gate_of_a_tiny_run_is_about_what_is_correct(cli: Cli, keep: Keep) -> None:
    keep(1.2, architecture="tiny")
    said = cli("gate", "--json")
    assert said.code == 0
    statuses = {row["budget"]: row["status"] for row in said.document["rows"]}
    assert statuses.pop("correct") == "passed" and set(statuses.values()) == {"not judged"}
    assert cli("gate", "--only", "ttfa").code == 4
    keep(0.5, "wrong", architecture="tiny", gate="different", day=21)
    assert cli("gate", "--only", "correct").code == 1


def test_the_history_tells_change_points_and_that_nothing_was_measured(cli: Cli, keep: Keep) -> None:
    assert cli("results", "history").code == 4
    keep(1.2)
    alone = cli("results", "history", "--json")
    assert alone.code == 0 and alone.document == {"changes": [], "series": 0, "undecided": 0}
    assert "nothing to compare" in alone.err


def test_tables_leave_and_come_back(cli: Cli, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(1.2)
    out = tmp_path / "out"
    said = cli("results", "export", out, "--json")
    assert said.code == 0 and said.document["tables"]["samples"]["rows"] == 32
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "elsewhere"))
    assert cli("results", "import", out, "--json").document["added"]["cells"] == 16
    again = cli("results", "import", out)
    assert again.code == 0 and "already stored" in again.err
    assert cli("results", "list", "--json").document["runs"][0]["run_id"] == "r1"
    assert cli("compare", "reference", OTHER.id).code == 4, "an imported run is not the default"
    assert cli("compare", "reference", OTHER.id, "--run", "r1").code == 1


def test_environments_and_peers_are_commands(cli: Cli) -> None:
    listed = cli("environments", "list", "--json")
    assert listed.code == 0 and {row["name"] for row in listed.document["environments"]} >= {"openvino", "kokoro-onnx"}
    helped = cli("bench-peers", "--help")
    assert helped.code == 0 and "--budget-s" in helped.out


def test_a_run_gets_tags_a_name_and_a_note_which_name_it_everywhere(cli: Cli, keep: Keep) -> None:
    keep(1.2)
    keep(0.8, "other", day=21)
    said = cli("results", "tag", "r1", "nightly", "ryzen", "--name", "baseline", "--note", "before", "--json")
    assert (said.code, said.document) == (
        0,
        {"run_id": "r1", "name": "baseline", "tags": ["nightly", "ryzen"], "note": "before"},
    )
    assert "Run r1: name baseline; tags nightly, ryzen; note 'before'" in said.err
    (run,) = cli("results", "list", "--tag", "nightly", "--json").document["runs"]
    assert (run["run_id"], run["name"], run["complete"]) == ("r1", "baseline", True)
    listed = cli("results", "list").out
    assert all(word in listed for word in ("baseline", "nightly, ryzen", "before", "other"))
    for label in ("nightly", "baseline"):
        assert cli("compare", "reference", OTHER.id, "--run", label).code == 1
        assert cli("compare", f"run:{label}", "run:other", "--json").document["base"] == f"run:{label}"
        assert cli("results", "show", "cells", "--run", label, "--json").document["total"] == 16
        assert cli("gate", "--run", label, "--only", "correct", "--json").document["run_id"] == "r1"
    assert cli("results", "tag", "baseline", "nightly", "--remove", "--name", "", "--json").document["tags"] == [
        "ryzen"
    ]
    assert "no run has the tag 'nightly'" in cli("results", "list", "--tag", "nightly").err.lower()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere", "x"), 4, "'nowhere' has no rows"),
        (("r1", "a b"), 2, "tag 'a b' is invalid"),
        (("r1", "r1"), 2, "'r1' is the id of a run"),
        (("r1", "x", "--remove"), 2, "no tag x"),
        (("r1", "--remove"), 2, "no tag to remove"),
        (("r1", "--note", "x" * 501), 2, "501 characters"),
    ],
)
def test_a_label_that_cannot_be_used_changes_nothing(
    cli: Cli, keep: Keep, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    keep(1.2)
    said = cli("results", "tag", *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err.splitlines()[-1].lower()
    assert Store(tmp_path / "results" / "tables").run_row("r1") is None
