"""What `kokoro-lab gate` raises for a run: a failed budget before one without trials, that before an undecided one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from store_blocks import MODEL, REFERENCE, keep, rounds

from kokoro_lab.cli import run
from kokoro_lab.commands import gate as gate_command
from kokoro_lab.commands.gate import gate, witness_gate
from kokoro_lab.errors import InconclusiveError, InputError, KokoroLabError, NothingMeasuredError, RegressedError
from kokoro_lab.measure.machine import instruction_counter
from kokoro_lab.measure.records.cell import Block, QuietReading
from kokoro_lab.store import Store
from kokoro_lab.store.witness.instruction_gauge import InstructionRow

FULL = dataclasses.replace(MODEL, architecture="full")
HOW: dict[str, Any] = {
    "run_id": None,
    "path": None,
    "only": (),
    "use_contaminated": False,
    "as_json": False,
    "as_markdown": False,
}
PASSES = {"name": "slow-enough", "measure": "total_ms", "at_most": 100.0}
FAILS = {"name": "too-quick", "measure": "total_ms", "at_most": 1.0}
UNDECIDED = {"name": "tail", "measure": "total_ms", "statistic": "p95", "at_most": 100.0}
UNMEASURED = {"name": "streams", "measure": "underruns", "at_most": 1.0}


def full_size(count: int = 12) -> list[Block]:
    return [
        dataclasses.replace(block, result=dataclasses.replace(block.result, model=FULL))
        for block in rounds(REFERENCE, 10.0, count)
    ]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("COLUMNS", "200")
    keep(Store(tmp_path / "results" / "tables"), "r1", *full_size())
    return tmp_path


def held(folder: Path, *budgets: dict[str, Any], **how: Any) -> None:
    path = folder / "budgets.yaml"
    path.write_text(yaml.safe_dump({"budgets": list(budgets)}), encoding="utf-8")
    gate(**{**HOW, "path": path, **how})


@pytest.mark.parametrize(
    ("budgets", "error", "name"),
    [
        ((UNDECIDED, UNMEASURED, FAILS, PASSES), RegressedError, "too-quick"),
        ((UNDECIDED, UNMEASURED, PASSES), NothingMeasuredError, "streams"),
        ((UNDECIDED, PASSES), InconclusiveError, "tail"),
    ],
    ids=["failed", "not measured", "inconclusive"],
)
def test_the_worst_budget_decides_and_it_alone_is_named(
    results: Path, budgets: tuple[dict[str, Any], ...], error: type[KokoroLabError], name: str
) -> None:
    with pytest.raises(error) as caught:
        held(results, *budgets)
    named = [budget["name"] for budget in budgets if budget["name"] in caught.value.message]
    assert named == [name] and str(len(budgets)) in caught.value.message


def test_a_run_within_all_its_budgets_passes_and_counts_them(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held(results, PASSES, {**PASSES, "name": "too"})
    told = capsys.readouterr()
    assert "2 passed" in told.err and "slow-enough" in told.out


def test_the_document_says_whether_the_gate_was_passed_before_the_exit_code_does(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held(results, PASSES, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True and document["run_id"] == "r1"
    with pytest.raises(InconclusiveError):
        held(results, PASSES, UNDECIDED, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is False
    assert [row["status"] for row in document["rows"]] == ["passed", "inconclusive"]


def test_a_tiny_run_cannot_pass_a_gate_of_times_alone(results: Path) -> None:
    keep(Store(results / "results" / "tables"), "tiny-run", *rounds(REFERENCE, 10.0))
    with pytest.raises(NothingMeasuredError, match="tiny-run"):
        held(results, PASSES, run_id="tiny-run")


def test_contaminated_blocks_are_used_only_when_asked_for_and_then_it_is_said(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = [dataclasses.replace(block, quiet=QuietReading(contaminated=True)) for block in full_size()]
    keep(Store(results / "results" / "tables"), "loud", *loud)
    with pytest.raises(KokoroLabError):
        held(results, PASSES, run_id="loud")
    capsys.readouterr()
    held(results, PASSES, run_id="loud", use_contaminated=True, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True and any("ontaminated" in note for note in document["notes"])


def test_two_formats_at_once_and_a_missing_run_are_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError):
        held(results, PASSES, as_json=True, as_markdown=True)
    with pytest.raises(NothingMeasuredError, match="'nowhere'"):
        held(results, PASSES, run_id="nowhere")
    assert capsys.readouterr().out == ""


class TestWitness:
    """`gate --witness instructions`, with counts made up and everything else real."""

    @pytest.fixture
    @staticmethod
    def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The counts of the next calls."""
        counts: list[float] = []
        row = InstructionRow(1e8, 2, "valgrind", "A CPU", "ab" * 32, "numpy 2", 9000, "cd" * 32, "a" * 40)
        monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
        monkeypatch.setattr(gate_command, "available_counter", lambda: "valgrind")
        monkeypatch.setattr(
            gate_command, "count_instructions", lambda counter: dataclasses.replace(row, instructions=counts.pop(0))
        )
        return counts

    def test_its_exit_codes(self, counting: list[float]) -> None:
        counting += [1e8, 1.01e8, 1.05e8, 1.05e8, 1.05e8]
        with pytest.raises(InconclusiveError, match="are stored as the first baseline"):
            witness_gate("instructions", accept=False, as_json=False)
        witness_gate("instructions", accept=False, as_json=False)
        with pytest.raises(RegressedError, match=r"1\.0500 times the baseline"):
            witness_gate("instructions", accept=False, as_json=False)
        witness_gate("instructions", accept=True, as_json=False)
        witness_gate("instructions", accept=False, as_json=False)

    def test_its_document_has_the_count_and_the_baseline(
        self, counting: list[float], capsys: pytest.CaptureFixture[str]
    ) -> None:
        counting += [1e8, 1.01e8]
        witness_gate("instructions", accept=True, as_json=False)
        witness_gate("instructions", accept=False, as_json=True)
        document = json.loads(capsys.readouterr().out)
        assert document["ratio"] == pytest.approx(1.01) and document["passed"] is True
        assert document["baseline"]["instructions"] == 1e8 and document["rows"][0]["instructions"] == 1.01e8

    def test_without_a_counter_nothing_was_measured(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(instruction_counter, "perf_refusal", lambda: "Permission denied")
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
        assert run(["gate", "--witness", "instructions"]) == 4

    @pytest.mark.parametrize(
        "arguments", [["--accept"], ["--witness", "cycles"], ["--witness", "instructions", "--run", "r1"]]
    )
    def test_options_that_do_not_fit_are_refused(self, arguments: list[str]) -> None:
        assert run(["gate", *arguments]) == 2
