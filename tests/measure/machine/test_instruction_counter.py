"""Counting instructions: the system call for real, valgrind and its absence with stand-ins, failures by name."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from kokoro_lab.errors import NothingMeasuredError, WorkerError
from kokoro_lab.measure.machine import instruction_counter
from kokoro_lab.measure.machine.instruction_counter import PerfCounter, available_counter, counted, perf_refusal

SOFTWARE, PAGE_FAULTS = 1, 2  # an event that every kernel with perf events counts, virtual machines too
MODULE = "kokoro_lab.measure.block.counted_calls"


def counts_software_events() -> bool:
    try:
        PerfCounter(SOFTWARE, PAGE_FAULTS).close()
    except OSError:
        return False
    return True


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A valgrind that is this script; its first arguments are options."""
    program = folder / "valgrind"
    program.write_text(f"#!{sys.executable}\nimport subprocess, sys\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


COUNTS = """
(log,) = [option[11:] for option in sys.argv if option.startswith("--log-file=")]
command = [item for item in sys.argv[1:] if not item.startswith("--")]
open(log, "w").write("==7== I   refs:      1,234,567\\n")
sys.exit(subprocess.run(command).returncode)
"""


@pytest.mark.skipif(not counts_software_events(), reason="this system has no perf events")
def test_the_system_call_counts_what_this_process_does_from_then_on() -> None:
    counter = PerfCounter(SOFTWARE, PAGE_FAULTS)
    before = counter.read()
    pages = bytearray(64 << 20)
    pages[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(pages[:: os.sysconf("SC_PAGE_SIZE")])
    after = counter.read()
    counter.close()
    assert after - before > 20, "64 MB were touched; with huge pages these are 32 faults"


def test_a_machine_without_any_counter_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruction_counter, "perf_refusal", lambda: "Permission denied")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NothingMeasuredError, match=r"nothing was measured: .*permission denied.*install valgrind"):
        available_counter()


def test_the_processors_counter_comes_before_valgrind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, COUNTS)
    monkeypatch.setattr(instruction_counter, "perf_refusal", lambda: "No such file or directory")
    assert available_counter() == "valgrind"
    monkeypatch.setattr(instruction_counter, "perf_refusal", lambda: "")
    assert available_counter() == "perf events"


def test_other_systems_have_no_perf_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux" in perf_refusal()


def test_valgrinds_count_and_the_output_of_the_process_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, COUNTS)
    run = counted("valgrind", (MODULE, "1"))
    assert run.instructions == 1_234_567
    assert json.loads(run.output)["samples"] > 1000


def test_a_valgrind_that_gives_no_count_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "print('nothing')")
    with pytest.raises(WorkerError, match="valgrind gave no count"):
        counted("valgrind", (MODULE, "1"))


def test_a_process_that_fails_is_told_with_its_last_line() -> None:
    with pytest.raises(WorkerError, match="No module named"):
        counted(None, ("kokoro_lab.no_such_module",))
