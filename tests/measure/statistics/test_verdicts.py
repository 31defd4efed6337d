from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from kokoro_lab.measure.records.cell import (
    Block,
    BlockResult,
    Cell,
    GateReading,
    QuietReading,
    Repeat,
    Status,
)
from kokoro_lab.measure.statistics.verdicts import counterparts, judge_run, with_twins, worst_gate

REFERENCE = Cell("tiny", "Hi", text_preset="short", reference=True)


def blocks(
    cell: Cell,
    factor: float,
    *,
    gate: Literal["equivalent", "close", "different", "none"] | None = "equivalent",
    status: Status = "ok",
    count: int = 12,
    contaminated: bool = False,
    spread: float = 0.004,
) -> list[Block]:
    rng = np.random.default_rng(int(cell.id, 16) % 2**32)
    made = []
    for number in range(count):
        total = 100.0 * factor * float(np.exp(rng.normal(0.0, spread)))
        repeat = Repeat(0, total, total, 1, 1, 0.1, 0, 0, 0, total, 0, 0, 50, True)
        result = BlockResult(status, repeats=(repeat,) if status in ("ok", "partial") else ())
        reading = None if gate is None else GateReading(gate, REFERENCE.id)
        made.append(Block(cell, number, number, number, result, QuietReading(contaminated), reading))
    return made


def threads(count: int) -> Cell:
    return Cell("tiny", "Hi", text_preset="short", intra_op_threads=count)


def test_a_faster_cell_with_wrong_audio_is_kept_and_never_ranked() -> None:
    run = judge_run(blocks(REFERENCE, 1.0) + blocks(threads(1), 0.5, gate="different") + blocks(threads(2), 0.9))
    wrong = next(item for item in run.cells if item.cell == threads(1))
    assert wrong.comparison.verdict == "invalid"
    assert wrong.comparison.ratio is not None
    assert [item.cell for item in run.ranked()] == [threads(2)]
    assert run.ranked("close") == ()


def test_one_different_block_among_twelve_is_enough() -> None:
    mixed = blocks(threads(1), 0.5)[:-1] + blocks(threads(1), 0.5, gate="different")[-1:]
    assert judge_run(blocks(REFERENCE, 1.0) + mixed).ranked() == ()


def test_equivalent_and_close_are_ranked_apart() -> None:
    run = judge_run(
        blocks(REFERENCE, 1.0)
        + blocks(threads(1), 0.9)
        + blocks(threads(2), 0.8)
        + blocks(threads(3), 0.5, gate="close")
    )
    assert [item.cell.intra_op_threads for item in run.ranked()] == [2, 1]
    assert [item.cell.intra_op_threads for item in run.ranked("close")] == [3]
    assert {item.comparison.verdict for item in run.cells} == {"faster"}


def test_no_figure_under_the_name_of_a_provider_that_did_not_run() -> None:
    statuses: list[Status] = ["partial", "unavailable"]
    for status in statuses:
        cell = Cell("tiny", "Hi", text_preset="short", provider="coreml")
        run = judge_run(blocks(REFERENCE, 1.0) + blocks(cell, 0.5, status=status))
        assert run.cells[0].comparison.verdict == "invalid"
        assert run.ranked() == ()


def test_a_cell_without_a_gate_is_not_ranked() -> None:
    run = judge_run(blocks(REFERENCE, 1.0) + blocks(threads(1), 0.5, gate=None))
    assert run.cells[0].gate == "none"
    assert run.cells[0].comparison.verdict == "invalid"


def test_contaminated_blocks_decide_nothing() -> None:
    run = judge_run(blocks(REFERENCE, 1.0) + blocks(threads(1), 0.5, contaminated=True))
    assert run.cells[0].comparison.verdict == "inconclusive"
    assert run.cells[0].comparison.left_out == {"contaminated": 12}


def test_cold_cells_are_compared_with_the_cold_reference_and_not_with_the_warm_one() -> None:
    cold = Cell("tiny", "Hi", text_preset="short", state="cold", repeats=1)
    cold_one = Cell("tiny", "Hi", text_preset="short", state="cold", repeats=1, intra_op_threads=1)
    run = judge_run(blocks(REFERENCE, 1.0) + blocks(cold, 9.0) + blocks(cold_one, 8.1))
    assert [(item.cell, item.base) for item in run.cells] == [(cold_one, cold)]
    assert run.cells[0].comparison.verdict == "faster"


def test_every_run_can_have_twins_at_its_shortest_and_longest_text() -> None:
    cells = [Cell("tiny", "x" * length, reference=True) for length in (61, 2, 242)]
    cells += [Cell("tiny", "x" * length, intra_op_threads=1) for length in (61, 2, 242)]
    twins = with_twins(cells)[len(cells) :]
    assert sorted(len(twin.text) for twin in twins) == [2, 242]
    assert all(twin.replica == 1 and not twin.reference for twin in twins)
    assert with_twins(with_twins(cells)) == with_twins(cells)
    assert len(with_twins(cells[:1])) == 2


def test_twins_show_whether_the_run_took_noise_for_an_effect() -> None:
    twin = Cell("tiny", "Hi", text_preset="short", replica=1)
    sound = judge_run(blocks(REFERENCE, 1.0) + blocks(twin, 1.0) + blocks(threads(1), 0.9))
    assert [item.sound for item in sound.twins] == [True]
    assert [item.cell for item in sound.cells] == [threads(1)]
    assert not judge_run(blocks(REFERENCE, 1.0) + blocks(twin, 1.2)).twins[0].sound


def test_every_text_has_a_noise_floor_and_a_smallest_effect() -> None:
    run = judge_run(blocks(REFERENCE, 1.0, spread=0.02) + blocks(threads(1), 1.0, spread=0.02))
    floor = run.noise["short"]
    assert 0.01 < floor.sd < 0.03
    assert 0.0 < floor.floor < floor.detectable < 0.1


def test_a_model_that_nothing_vouches_for_is_never_ranked() -> None:
    reason = "model mine has no verification record; run `kokoro-lab models verify mine`"
    doubtful = [
        replace(block, gate=GateReading("none", REFERENCE.id, (reason,)))
        for block in blocks(threads(1), 0.5, gate="none")
    ]
    run = judge_run(blocks(REFERENCE, 1.0) + doubtful + blocks(threads(2), 0.9))
    found = {item.cell: item.comparison for item in run.cells}
    assert found[threads(1)].verdict == "invalid" and reason in found[threads(1)].reason
    assert [item.cell for item in run.ranked()] == [threads(2)] and run.ranked("close") == ()


def test_nothing_is_compared_with_a_reference_that_only_equals_itself() -> None:
    alone = [
        replace(block, gate=GateReading("none", REFERENCE.id, ("it is its own reference",)))
        for block in blocks(REFERENCE, 1.0)
    ]
    assert worst_gate(alone) == "none"
    assert worst_gate(alone[:1] + blocks(REFERENCE, 1.0)) == "none", "one doubtful block is enough"
    run = judge_run(alone + blocks(threads(1), 0.5))
    assert run.cells[0].comparison.verdict == "invalid" and run.ranked() == ()


def test_cells_of_shared_and_of_own_processes_are_never_compared() -> None:
    base = Cell("tiny", "Hi.", reference=True, intra_op_threads=2, process="shared")
    shared, own = replace(base, reference=False, intra_op_threads=1), replace(base, reference=False, process="own")
    cold = replace(own, state="cold")
    assert counterparts([base, shared, own, replace(own, intra_op_threads=1), cold]) == {
        shared: base,
        replace(own, intra_op_threads=1): own,
    }
    assert counterparts([base, replace(own, intra_op_threads=1)]) == {}


def test_own_and_shared_processes_of_one_text_have_noise_floors_of_their_own() -> None:
    shared = replace(REFERENCE, process="shared")
    both = judge_run([*blocks(REFERENCE, 1.0, spread=0.002), *blocks(shared, 1.0, spread=0.05)]).noise
    assert set(both) == {"short", "short, shared process"}
    assert both["short"].sd < 0.01 < both["short, shared process"].sd
    assert set(judge_run(blocks(shared, 1.0)).noise) == {"short"}
