"""Real child processes that play scripts: order, resumption, budget, failures, the gate, and a parent that sleeps."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from patience import until
from scipy import stats

from kokoro_lab.errors import BusyError, PlanError, StoreError
from kokoro_lab.measure.machine.lock import exclusive_measurement
from kokoro_lab.measure.records.cell import RETRY_STRIDE, Block, Cell, QuietReading
from kokoro_lab.measure.sampling.rounds import rounds
from kokoro_lab.measure.sampling.sampler import Event, Resume, SamplingPolicy, sample

SCRIPT = (sys.executable, str(Path(__file__).parents[2] / "support" / "scripted_worker.py"))
Run = Callable[..., list[Block]]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "script.log"
    monkeypatch.setenv("SCRIPT_LOG", str(path))
    return path


@pytest.fixture
def start(tmp_path: Path, log: Path) -> Callable[..., Iterator[Block]]:
    def run(
        cells: list[Cell],
        done: Collection[tuple[str, int]] = (),
        contaminated: Collection[tuple[str, int]] = (),
        on_event: Callable[[Event], None] = lambda event: None,
        enough: Callable[[int], str | None] | None = None,
        leaving: Callable[[int], Collection[str]] = lambda rounds: (),
        resumed: Resume | None = None,
        **changed: Any,
    ) -> Iterator[Block]:
        policy = replace(SamplingPolicy(2, 7, retries=0, worker_command=SCRIPT, lock=tmp_path / "lock"), **changed)
        resume = resumed or Resume(done, contaminated)
        run_dir = tmp_path / "run"
        return sample(cells, policy, run_dir=run_dir, resume=resume, on_event=on_event, enough=enough, leaving=leaving)

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


def test_a_worker_that_failed_on_a_full_disk_ends_the_run_instead_of_its_block(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [block.result.status for block in run(group("cpu", text="die"), blocks=1)] == ["error"]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100_000))
    assert [block.result.status for block in run(group("cpu"), blocks=1)] == ["ok"]
    with pytest.raises(StoreError, match="is full, and a worker failed; free some space"):
        run(group("cpu", text="die"), blocks=1)


def test_rounds_are_a_pure_function_of_the_set_of_cells_and_the_seed() -> None:
    cells = group("cpu", "b", "c", "d", "e")
    plan = list(rounds(cells, 6, seed=1))
    for number in range(6):
        assert {slot.cell for slot in plan if slot.round == number} == set(cells)
    assert [slot.order for slot in plan] == list(range(30))
    assert list(rounds(cells[::-1], 6, seed=1)) == plan
    assert list(rounds(cells, 6, seed=2)) != plan
    assert list(rounds(cells, 3, seed=1)) == plan[:15], "more blocks change nothing before them"


def test_every_round_has_an_independent_random_order() -> None:
    """All orders are equally likely, the reference is first no more often than others, and no round tells the next."""
    cells = group("cpu", "b", "c")
    seeds = 1_200
    orders, following, firsts = Counter[tuple[str, ...]](), Counter[tuple[str, str]](), Counter[str]()
    for seed in range(seeds):
        plan = list(rounds(cells, 2, seed=seed))
        first, second = (tuple(slot.cell.provider for slot in plan if slot.round == number) for number in range(2))
        orders[first] += 1
        firsts[first[0]] += 1
        following[first[0], second[0]] += 1
    for counts in (orders, firsts, following):
        assert stats.chisquare(list(counts.values())).pvalue > 1e-4, counts
    assert (len(orders), len(firsts), len(following)) == (6, 3, 9)


def test_cells_may_want_different_numbers_of_blocks(run: Run) -> None:
    cells = group("cpu", "b")
    blocks = run(cells, blocks={cells[0].id: 3, cells[1].id: 1})
    assert Counter(block.cell.id for block in blocks) == {cells[0].id: 3, cells[1].id: 1}
    assert [block.order for block in blocks] == [0, 1, 2, 3]


def late(count: int, *providers: str, text: str = "go") -> tuple[list[Cell], int]:
    """A group, and a seed whose first round has the reference after `count` other cells."""
    cells = group(*providers, text=text)
    for seed in range(1_000):
        if next(slot.order for slot in rounds(cells, 1, seed) if slot.cell.reference) == count:
            return cells, seed
    raise AssertionError("no seed")


def test_a_block_before_its_reference_waits_for_the_gate_and_is_yielded_within_the_round(run: Run) -> None:
    cells, seed = late(2, "cpu", "b", "af_wrong", "d")
    events: list[Event] = []
    blocks = run(cells, blocks=2, seed=seed, on_event=events.append)
    assert [block.order for block in blocks] == list(range(8)), "in the order in which they were measured"
    verdicts = {block.cell.provider: block.gate.verdict for block in blocks if block.gate}
    assert verdicts == {"cpu": "none", "b": "equivalent", "af_wrong": "different", "d": "equivalent"}
    assert all(block.gate and Path(block.audio_path).exists() for block in blocks)


def test_no_block_waits_longer_than_for_its_own_reference(start: Callable[..., Iterator[Block]]) -> None:
    cells, seed = late(1, "cpu", "b", "c")
    events: list[Event] = []
    first = next(start(cells, blocks=2, seed=seed, on_event=events.append))
    assert (first.order, bool(first.gate)) == (0, True)
    assert [event.kind for event in events].count("finished") == 2, "the block itself and its reference"


def test_blocks_whose_reference_fails_are_yielded_without_a_gate(run: Run) -> None:
    cells, seed = late(2, "dead", "b", "c")
    blocks = run(cells, blocks=1, seed=seed)
    results = {block.cell.provider: block.result.status for block in blocks}
    assert results == {"dead": "error", "b": "ok", "c": "ok"}
    assert all(block.gate is None for block in blocks)


def test_a_waiting_block_that_was_lost_is_measured_again(
    start: Callable[..., Iterator[Block]], run: Run, tmp_path: Path
) -> None:
    cells, seed = late(2, "cpu", "b", "c")
    blocks = start(cells, blocks=1, seed=seed, on_event=_stop_at(2))
    with pytest.raises(KeyboardInterrupt):
        next(blocks)
    assert not list((tmp_path / "run").glob("block-*")), "nothing is left of it"
    whole = run(cells, blocks=1, seed=seed)
    assert [block.order for block in whole] == [0, 1, 2]
    verdicts = {block.cell.provider: block.gate.verdict for block in whole if block.gate}
    assert verdicts == {"cpu": "none", "b": "equivalent", "c": "equivalent"}


def _stop_at(blocks: int) -> Callable[[Event], None]:
    """A listener that interrupts the run when this many blocks are finished."""
    finished = Counter[str]()

    def hear(event: Event) -> None:
        finished[event.kind] += 1
        if finished["finished"] == blocks:
            raise KeyboardInterrupt

    return hear


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
        "cpu": "none",  # its own reference, from a worker that names no model
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
    ],
)
def test_a_failing_block_is_a_result_with_its_cause_and_the_run_goes_on(run: Run, text: str, words: str) -> None:
    blocks = run([*group("cpu", text=text), *group("cpu")], blocks=1)
    results = {block.cell.text: block.result for block in blocks}
    assert results["go"].status == "ok"
    assert results[text].status == "error"
    assert words in results[text].error
    assert results[text].repeats == ()


def test_a_block_that_takes_too_long_is_ended_and_the_run_goes_on(run: Run, log: Path) -> None:
    blocks = run([*group("cpu", text="sleep 600"), *group("cpu", text="sleep 601")], blocks=1, timeout_s=1.5)
    assert [block.result.status for block in blocks] == ["error", "error"]
    assert all(block.result.error.startswith("the worker timed out after 1.5 s") for block in blocks)
    started = [int(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []
    assert not any(psutil.pid_exists(worker) for worker in started)


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


def test_enough_is_asked_after_every_second_round_and_ends_the_run(run: Run) -> None:
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
    (block,) = run(group("cpu", text="sleep 2"), blocks=1)
    assert block.quiet.harness_cpu_share is not None
    processor_s = block.quiet.harness_cpu_share * (os.cpu_count() or 1) * block.wall_s
    assert processor_s < 0.2, "0.004 s is usual; 2 s if it did not sleep"


def test_a_second_run_on_the_machine_is_refused(run: Run, tmp_path: Path, log: Path) -> None:
    with (
        exclusive_measurement("the first run", path=tmp_path / "lock"),
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
        run(group("cpu", text="sleep 600"), blocks=1)
    thread.join()
    assert not psutil.pid_exists(int(log.read_text().split()[0]))


def test_an_abandoned_run_lets_go_of_the_machine(start: Callable[..., Iterator[Block]], tmp_path: Path) -> None:
    blocks = start(group("cpu"), blocks=5)
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    with exclusive_measurement(path=tmp_path / "lock"):
        pass


@pytest.mark.parametrize("references", [0, 2])
def test_a_group_without_one_reference_is_refused_before_anything_runs(run: Run, log: Path, references: int) -> None:
    cells = [Cell("tiny", "go", provider=str(i), reference=i < references) for i in range(3)]
    with pytest.raises(PlanError, match=f"'go'.*has {references} reference cells; mark exactly one"):
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


KILLED = (
    "import sys\n"
    "from pathlib import Path\n"
    "from kokoro_lab.measure.records.cell import Cell\n"
    "from kokoro_lab.measure.sampling.sampler import SamplingPolicy, sample\n"
    "script, folder = sys.argv[1], Path(sys.argv[2])\n"
    "policy = SamplingPolicy(1, 7, retries=0, worker_command=(sys.executable, script), lock=folder / 'lock')\n"
    "cells = [Cell('tiny', 'sleep 600', provider='cpu', reference=True)]\n"
    "list(sample(cells, policy, run_dir=folder / 'killed'))\n"
)


def test_what_a_killed_run_left_is_removed_by_the_next_in_the_same_folder(run: Run, log: Path, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, SCRIPT[1], str(tmp_path)]) as process:
        assert until(lambda: log.exists() and log.read_text())
        process.kill()
    worker = int(log.read_text().split()[0])
    assert list((tmp_path / "killed").glob("block-*")), "nobody could clean up"
    run(group("cpu"), blocks=1)
    assert not list(tmp_path.glob("*/block-*"))
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)  # the script does not watch its parent, as the measured process does


def test_a_failed_block_is_tried_once_more_by_each_call_and_names_the_one_it_replaces(run: Run, log: Path) -> None:
    cells = group("cpu", text="die")
    blocks = run(cells, blocks=1)
    for attempt in (1, 2):
        (again,) = run(cells, blocks=1, resumed=Resume.after(blocks))
        assert (again.attempt, again.block, again.replaces) == (
            attempt,
            attempt * RETRY_STRIDE,
            (attempt - 1) * RETRY_STRIDE,
        )
        assert again.result.status == "error"
        blocks.append(again)
    assert len(log.read_text().splitlines()) == 3


def test_a_failed_block_does_not_block_its_cell(run: Run, tmp_path: Path) -> None:
    cells = group("cpu", text=f"once {tmp_path / 'flag'}")
    blocks = run(cells, blocks=1)
    assert [block.result.status for block in blocks] == ["error"]
    (again,) = run(cells, blocks=1, resumed=Resume.after(blocks), budget_s=0.0)  # it has no figure yet
    assert (again.result.status, again.replaces) == ("ok", 0)
    assert run(cells, blocks=1, resumed=Resume.after([*blocks, again])) == []


@pytest.mark.parametrize("part", ["model", "code", "packages"])
def test_a_block_of_other_bytes_is_an_error_and_the_run_goes_on(run: Run, tmp_path: Path, part: str) -> None:
    file = tmp_path / "sum"
    file.write_text("first")

    def swap(event: Event) -> None:
        if event.kind == "start":
            file.write_text("first" if event.block != 1 else "other")

    cells = group("cpu", text=f"bytes {part} {file}")
    blocks = run(cells, blocks=3, on_event=swap)
    assert [block.result.status for block in blocks] == ["ok", "error", "ok"]
    assert blocks[1].result.error.startswith(f"measured other bytes than the run's earlier blocks: {part};")
    assert blocks[1].result.repeats == () and blocks[1].gate is None
    (again, *rest) = run(cells, blocks=4, resumed=Resume.after(blocks))
    assert (again.result.status, again.replaces, again.round) == ("ok", 1, 1) and len(rest) == 1
    file.write_text("other")
    (refused,) = run(cells, blocks=5, resumed=Resume.after([*blocks, again, *rest]))
    assert refused.result.status == "error", "blocks of earlier calls say what is measured, too"


def test_another_cell_of_one_model_must_measure_the_same_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "sum"

    def swap(event: Event) -> None:
        if event.kind == "start" and event.cell is not None:
            file.write_text(event.cell.provider_options[0][1] if event.cell.provider_options else "first")

    cells = [
        Cell("tiny", f"bytes model {file}", reference=True),
        Cell("tiny", f"bytes model {file}", provider_options=(("sum", "first"),)),
        Cell("tiny", f"bytes model {file}", provider_options=(("sum", "other"),)),
        Cell("another", f"bytes model {file}", provider_options=(("sum", "third"),)),
    ]
    in_turn = next(seed for seed in range(1_000) if [slot.cell for slot in rounds(cells, 1, seed)] == cells)
    blocks = {block.cell: block.result.status for block in run(cells, blocks=1, seed=in_turn, on_event=swap)}
    assert [blocks[cell] for cell in cells] == ["ok", "ok", "error", "ok"]


def shared(*providers: str, text: str = "go") -> list[Cell]:
    """Cells that share a process for each provider: two of each, told apart by a setting."""
    return [
        Cell(
            "tiny", text, provider=name, engine_settings=settings, process="shared", reference=not number and not place
        )
        for number, name in enumerate(providers)
        for place, settings in enumerate([(), (("chunk_ms", 30.0),)])
    ]


def test_cells_of_one_visit_share_a_process_and_come_in_random_order(run: Run, log: Path) -> None:
    alone = Cell("tiny", "alone", reference=True)
    blocks = run([*shared("cpu", "b"), alone], blocks=8)
    lines = [line.split() for line in log.read_text().splitlines()]
    processes = [len(list(lines)) for _, lines in itertools.groupby(lines, key=lambda line: line[0])]
    assert Counter(processes) == {2: 16, 1: 8}, "two visits a round, and a process for the cell with its own"
    by_process = {block.cell.process: block.place for block in blocks}
    assert by_process["own"] is None
    firsts = Counter(block.cell.id for block in blocks if block.place == 0)
    assert len(firsts) == 4, "every cell of both visits is first at times"
    assert all(block.gate for block in blocks) and {block.result.status for block in blocks} == {"ok"}


def test_a_visit_takes_as_long_as_its_cells_together(run: Run) -> None:
    blocks = run(shared("cpu"), blocks=1)
    assert [block.place for block in blocks] == [0, 1]
    assert blocks[0].wall_s == 0.5, "as the process said"
    assert blocks[1].wall_s >= 1.0, "the end of the process belongs to its last cell"
    assert blocks[0].started_at < blocks[1].started_at


def test_a_crash_is_an_error_of_the_cells_that_were_not_answered(run: Run) -> None:
    cells = [Cell("tiny", text, process="shared", reference=True) for text in ("go", "die", "go on")]
    for seed in range(20):
        order = [slot.cell.text for slot in rounds(cells, 1, seed)]
        if order.index("die") == 1:
            break
    blocks = run(cells, blocks=1, seed=seed)
    statuses = {block.cell.text: block.result.status for block in blocks}
    assert statuses == {order[0]: "ok", "die": "error", order[2]: "error"}
    assert "SIGKILL" in blocks[-1].result.error
    again = run(cells[:1], resumed=Resume.after(blocks), blocks=1)
    assert [block.result.status for block in again] in ([], ["ok"])


def test_only_the_contaminated_cells_of_a_visit_are_measured_again(
    run: Run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = replace(reading_of_nothing(), harness_cpu_share=0.0)
    monkeypatch.setattr("kokoro_lab.measure.sampling.sampler.reading", lambda before, after: quiet)
    cells = [Cell("tiny", text, process="shared", reference=True) for text in ("go", "disturbs")]
    seed = next(seed for seed in range(20) if next(iter(rounds(cells, 1, seed))).cell.text == "go")
    blocks = run(cells, blocks=1, seed=seed, retries=1)
    assert [(block.cell.text, block.attempt, block.quiet.contaminated) for block in blocks] == [
        ("go", 0, False),
        ("disturbs", 0, True),
        ("disturbs", 1, False),
    ]
    assert len({line.split()[0] for line in log.read_text().splitlines()}) == 2


def reading_of_nothing() -> QuietReading:
    return QuietReading(False)


def test_cells_that_are_not_needed_any_more_leave_the_later_rounds(run: Run) -> None:
    cells = [*group("cpu", "b", "c"), *group("cpu", text="alone")]
    asked: list[int] = []

    def leaving(rounds: int) -> set[str]:
        asked.append(rounds)
        return {cells[2].id} if rounds >= 2 else set()

    blocks = run(cells, blocks=4, leaving=leaving)
    counts = Counter((block.cell.text, block.cell.provider) for block in blocks)
    assert counts == {("go", "cpu"): 4, ("go", "b"): 4, ("go", "c"): 2, ("alone", "cpu"): 4}
    assert asked == [1, 2, 3, 4]


def test_the_run_ends_when_every_cell_of_the_later_rounds_has_left(run: Run) -> None:
    cells, events = group("cpu", "b"), list[Event]()
    blocks = run(cells, blocks=9, leaving=lambda rounds: {cell.id for cell in cells}, on_event=events.append)
    assert len(blocks) == 2
    assert (events[-1].kind, "after 1 rounds" in events[-1].message) == ("enough", True)


def test_the_budget_starts_no_visit_that_would_end_later(run: Run) -> None:
    cells = [replace(cell, text="sleep 0.5") for cell in shared("cpu")]
    blocks = run(cells, blocks=9, budget_s=2.0)
    assert 2 <= len(blocks) < 18 and len(blocks) % 2 == 0, "whole visits"
