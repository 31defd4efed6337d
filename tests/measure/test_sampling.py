"""Real child processes that play scripts: order, resumption, budget, failures, the gate, and a parent that sleeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from kokoro_lab.errors import BusyError, PlanError
from kokoro_lab.measure.cell import RETRY_STRIDE, Block, Cell
from kokoro_lab.measure.lock import measuring_alone
from kokoro_lab.measure.rounds import rounds
from kokoro_lab.measure.sampling import Event, sample

SCRIPT = (sys.executable, str(Path(__file__).with_name("scripted_worker.py")))
Run = Callable[..., list[Block]]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "script.log"
    monkeypatch.setenv("SCRIPT_LOG", str(path))
    return path


@pytest.fixture
def start(tmp_path: Path, log: Path) -> Callable[..., Iterator[Block]]:
    def run(cells: list[Cell], **changed: Any) -> Iterator[Block]:
        options: dict[str, Any] = {
            "blocks": 2,
            "seed": 7,
            "retries": 0,
            "run_dir": tmp_path / "run",
            "worker_command": SCRIPT,
            "lock": tmp_path / "lock",
        }
        return sample(cells, **{**options, **changed})

    return run


@pytest.fixture
def run(start: Callable[..., Iterator[Block]]) -> Run:
    return lambda cells, **changed: list(start(cells, **changed))


def group(*providers: str, text: str = "go") -> list[Cell]:
    return [Cell("tiny", text, provider=name, reference=number == 0) for number, name in enumerate(providers)]


def test_every_cell_gets_its_blocks_each_in_a_fresh_process(run: Run, log: Path) -> None:
    cells = group("cpu", "b", "c")
    blocks = run(cells, blocks=3)
    assert Counter(block.cell.id for block in blocks) == {cell.id: 3 for cell in cells}
    assert [block.order for block in blocks] == list(range(9))
    pids = [line.split()[0] for line in log.read_text().splitlines()]
    assert len(set(pids)) == 9
    assert all(block.result.status == "ok" and block.started_at and block.wall_s > 0 for block in blocks)


def test_rounds_are_a_random_order_and_its_mirror_with_references_first() -> None:
    cells = group("cpu", "b", "c", "d", "e")
    plan = list(rounds(cells, 6, seed=1))
    turns = [[slot.cell.id for slot in plan if slot.round == number] for number in range(6)]
    for even in (0, 2, 4):
        assert turns[even + 1] == turns[even][::-1]
        assert sorted(turns[even]) == sorted(cell.id for cell in cells)
    assert turns[0][0] == cells[0].id
    assert turns[2] != turns[0] or turns[4] != turns[0]
    assert list(rounds(cells[::-1], 6, seed=1)) == plan
    assert list(rounds(cells, 6, seed=2)) != plan


def test_cells_may_want_different_numbers_of_blocks(run: Run) -> None:
    cells = group("cpu", "b")
    blocks = run(cells, blocks={cells[0].id: 3, cells[1].id: 1})
    assert Counter(block.cell.id for block in blocks) == {cells[0].id: 3, cells[1].id: 1}
    assert [block.order for block in blocks] == [0, 1, 2, 3]


def test_a_linear_drift_cancels_between_any_two_cells() -> None:
    plan = list(rounds(group("cpu", "b", "c", "d"), 8, seed=3))
    means = {cell: np.mean([slot.order for slot in plan if slot.cell.id == cell]) for cell in {s.cell.id for s in plan}}
    assert len(set(means.values())) == 1


def test_a_resumed_run_measures_what_is_missing_and_nothing_else(run: Run) -> None:
    cells = group("cpu", "b")
    whole = run(cells, blocks=3)
    done = {block.key for block in whole[:4]}
    rest = run(cells, blocks=3, done=done)
    assert [block.key for block in rest] == [block.key for block in whole[4:]]
    assert [block.order for block in rest] == [block.order for block in whole[4:]]


def test_a_resumed_run_gates_against_the_reference_audio_on_disk(run: Run) -> None:
    cells = group("cpu", "af_wrong")
    whole = run(cells, blocks=1)
    rest = run(cells, blocks=2, done={block.key for block in whole})
    assert {block.cell.provider: block.gate and block.gate.verdict for block in rest} == {
        "cpu": "equivalent",
        "af_wrong": "different",
    }


@pytest.mark.parametrize(
    ("provider", "verdict", "reason"),
    [
        ("b", "equivalent", None),
        ("af_slow", "close", "durations"),
        ("af_wrong", "different", "log-mel"),
        ("af_silent", "different", "silent"),
    ],
)
def test_every_block_carries_a_gate_against_its_reference(
    run: Run, provider: str, verdict: str, reason: str | None
) -> None:
    cells = group("cpu", provider)
    blocks = run(cells, blocks=1)
    gate = {block.cell.id: block.gate for block in blocks}[cells[1].id]
    assert gate is not None
    assert (gate.verdict, gate.reference) == (verdict, cells[0].id)
    assert bool(gate.reasons) == (reason is not None)
    assert reason is None or any(reason in text for text in gate.reasons)
    assert all(Path(block.audio_path).exists() for block in blocks)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("die", "SIGKILL"),
        ("raise", "the dog ate the tensor"),
        ("nothing", "no result"),
        ("garbage", "cannot be read"),
        ("sleep 30", "ended after 1 s"),
    ],
)
def test_a_failing_block_is_a_result_with_its_cause_and_the_run_goes_on(run: Run, text: str, words: str) -> None:
    blocks = run([*group("cpu", text=text), *group("cpu")], blocks=1, timeout_s=1.0)
    results = {block.cell.text: block.result for block in blocks}
    assert results["go"].status == "ok"
    assert results[text].status == "error"
    assert words in results[text].error
    assert results[text].repeats == ()


def test_the_budget_ends_the_run_but_every_cell_has_a_block(run: Run) -> None:
    events: list[Event] = []
    cells = group("cpu", "b", "c")
    blocks = run(cells, blocks=50, budget_s=0.0, on_event=events.append)
    assert sorted(block.cell.id for block in blocks) == sorted(cell.id for cell in cells)
    assert [event.kind for event in events].count("budget") == 1


def test_a_resumed_run_without_budget_measures_only_cells_that_have_nothing(run: Run) -> None:
    cells = group("cpu", "b", "c")
    done = {(cells[0].id, 0)}
    blocks = run(cells, blocks=4, budget_s=0.0, done=done)
    assert sorted(block.cell.id for block in blocks) == sorted(cell.id for cell in cells[1:])


def test_no_block_starts_that_would_end_after_the_budget(run: Run) -> None:
    blocks = run(group("cpu", text="sleep 1"), blocks=9, budget_s=2.4)
    assert 1 <= len(blocks) <= 2  # after two there may be time to start a third, but not to end it


def test_enough_is_asked_after_mirrored_pairs_and_ends_the_run(run: Run) -> None:
    asked: list[int] = []
    events: list[Event] = []

    def enough(rounds_done: int) -> str | None:
        asked.append(rounds_done)
        return "The interval is narrow enough." if rounds_done >= 4 else None

    blocks = run(group("cpu", "b"), blocks=10, enough=enough, on_event=events.append)
    assert asked == [2, 4]
    assert len(blocks) == 8
    assert events[-1].kind == "enough"


def test_a_contaminated_block_is_measured_again_as_a_block_of_its_own(run: Run) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as hog:
        try:
            blocks = run(group("cpu", text="sleep 0.5"), blocks=1, retries=1)
        finally:
            hog.kill()
    first, second = blocks
    assert first.quiet.contaminated
    assert "other processes" in first.quiet.reason
    assert (second.block, second.attempt, second.replaces) == (RETRY_STRIDE, 1, 0)
    assert (second.round, second.order) == (first.round, first.order)


def test_a_resumed_run_owes_the_retries_of_contaminated_blocks(run: Run) -> None:
    cells = group("cpu", "b")
    done = {(cell.id, number) for cell in cells for number in range(2)} | {(cells[1].id, RETRY_STRIDE)}
    contaminated = {(cells[0].id, 1), (cells[1].id, 0), (cells[1].id, RETRY_STRIDE)}
    (again,) = run(cells, done=done, contaminated=contaminated, retries=1)
    assert (again.key, again.attempt, again.replaces, again.round) == ((cells[0].id, RETRY_STRIDE + 1), 1, 1, 1)
    second = run(cells, done=done | {again.key}, contaminated=contaminated, retries=2)
    assert (cells[1].id, 2 * RETRY_STRIDE) in {block.key for block in second}
    assert run(cells, done=done, contaminated=contaminated, retries=1, budget_s=0.0) == []
    assert run(cells, done=done, contaminated=contaminated, retries=0) == []


def test_the_parent_sleeps_while_a_worker_runs(run: Run) -> None:
    (block,) = run(group("cpu", text="sleep 1"), blocks=1)
    assert block.quiet.harness_cpu_share is not None
    assert block.quiet.harness_cpu_share * (os.cpu_count() or 1) * block.wall_s < 0.05


def test_a_second_run_on_the_machine_is_refused(run: Run, tmp_path: Path, log: Path) -> None:
    with (
        measuring_alone("the first run", path=tmp_path / "lock"),
        pytest.raises(BusyError, match=f"process {os.getpid()}, the first run"),
    ):
        run(group("cpu"))
    assert not log.exists()
    assert run(group("cpu"), blocks=1)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_kills_the_worker_and_goes_on_up(run: Run, log: Path) -> None:
    def interrupt() -> None:
        while not log.exists() or not log.read_text():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(group("cpu", text="sleep 60"), blocks=1)
    thread.join()
    assert not psutil.pid_exists(int(log.read_text().split()[0]))


def test_an_abandoned_run_lets_go_of_the_machine(start: Callable[..., Iterator[Block]], tmp_path: Path) -> None:
    blocks = start(group("cpu"), blocks=5)
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    with measuring_alone(path=tmp_path / "lock"):
        pass


@pytest.mark.parametrize("references", [0, 2])
def test_a_group_without_one_reference_is_refused_before_anything_runs(run: Run, log: Path, references: int) -> None:
    cells = [Cell("tiny", "go", provider=str(i), reference=i < references) for i in range(3)]
    with pytest.raises(PlanError, match=f"'go'.*has {references}"):
        run(cells)
    assert not log.exists()


def test_the_same_cell_twice_is_refused_but_a_replica_is_not(run: Run) -> None:
    cell = Cell("tiny", "go", reference=True)
    with pytest.raises(PlanError, match="twice"):
        run([cell, Cell("tiny", "go")])
    assert len(run([cell, Cell("tiny", "go", replica=1)], blocks=1)) == 2


def test_thread_settings_of_a_scheduler_do_not_reach_the_worker(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = (
        sys.executable,
        "-c",
        "import os; raise SystemExit('OMP is ' + os.environ.get('OMP_NUM_THREADS', 'free'))",
    )
    (block,) = run(group("cpu"), blocks=1, worker_command=command)
    assert "OMP is free" in block.result.error
