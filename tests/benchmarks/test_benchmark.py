"""Targets are judged by pairs of blocks in one way; a run's rows are in the tables, and it is continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kokoro_lab.benchmarks.benchmark import Benchmark, BenchmarkRow, Contestant, Target, judge, run_benchmark
from kokoro_lab.benchmarks.figures import MEMORY, SPEED, BenchmarkFigure
from kokoro_lab.errors import NothingMeasuredError, PlanError
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.measure.records.cell import Block, BlockResult, Cell, GateReading, QuietReading, Repeat
from kokoro_lab.models.catalog import resolve
from kokoro_lab.store import Store
from kokoro_lab.variants.make import make

TOTAL = BenchmarkFigure("total", "total_ms")


def contestant(name: str, **factors: object) -> Contestant:
    cell = {"model": name, "text": "Hello world!", "text_preset": "hello", "repeats": 1, "warmup_cap": 1, **factors}
    return Contestant(name, "hello", Cell.from_dict(cell))


def benchmark(*targets: Target, blocks: int = 6) -> Benchmark:
    sides = (contestant("base"), contestant("fast"))
    return Benchmark("try", sides, targets, reference="base", blocks=blocks)


def measured(plan: Benchmark, ratios: Sequence[float], gate: str = "equivalent", *, noisy: bool = False) -> list[Block]:
    """Blocks of base, 100 ms and 200 MB, and of the other side, by these ratios."""
    blocks = []
    for number, ratio in enumerate(ratios):
        for item in plan.planned():
            share = 1.0 if item.cell.model == "base" else ratio
            repeat = Repeat(0, 100 * share, 100 * share, 1, 1, 0.1, 0, 0, 0, 0, 0, 0, 50, True)
            result = BlockResult("ok", repeats=(repeat,), rss_peak_mb=200 * share)
            reading = GateReading(gate, "id")  # type: ignore[arg-type]
            blocks.append(Block(item.cell, number, number, number, result, QuietReading(noisy), reading))
    return blocks


def judged(target: Target, ratios: Sequence[float], gate: str = "equivalent") -> BenchmarkRow:
    plan = benchmark(target)
    (row,) = judge(plan, measured(plan, ratios, gate))
    return row


@pytest.mark.parametrize(
    ("ratios", "state"),
    [
        ([0.5] * 6, "met"),
        ([0.5] * 5 + [0.51], "met"),  # the lower end is within 0.97 of the bound
        ([0.45] * 5 + [0.6], "undecided"),  # the median reaches it, the interval does not
        ([0.45] * 5, "undecided"),  # too few pairs for an interval
        ([0.51] * 6, "missed"),
        ([0.51] * 2, "missed"),
        ([], "undecided"),
    ],
)
def test_a_speed_is_met_by_its_median_and_the_lower_end_of_its_interval(ratios: list[float], state: str) -> None:
    row = judged(Target(SPEED, "fast", ("hello",), "base", 2.0, speed=True), ratios)
    assert row.state == state
    if row.low is not None and row.high is not None:
        assert row.ratio is not None
        assert row.low <= row.ratio <= row.high
    assert row.pairs == len(ratios)


@pytest.mark.parametrize(
    ("ratios", "state"),
    [
        ([0.5] * 6, "met"),
        ([0.5] * 5 + [0.51], "met"),
        ([0.4] * 5 + [0.7], "undecided"),
        ([0.51] * 6, "missed"),
    ],
)
def test_a_share_of_the_bases_time_is_judged_as_its_inverse_is(ratios: list[float], state: str) -> None:
    assert judged(Target(TOTAL, "fast", ("hello",), "base", 0.5), ratios).state == state


def test_memory_takes_the_median_alone() -> None:
    target = Target(MEMORY, "fast", ("hello",), "base", 0.7)
    assert judged(target, [0.7]).state == "met"
    assert judged(target, [0.71]).state == "missed"
    assert judged(target, []).state == "undecided"


@pytest.mark.parametrize(("figure", "bound"), [(SPEED, 1.0), (MEMORY, 0.7)])
def test_nothing_counts_for_a_contestant_whose_audio_is_different(figure: BenchmarkFigure, bound: float) -> None:
    row = judged(Target(figure, "fast", ("hello",), "base", bound, speed=figure == SPEED), [0.5] * 6, "different")
    assert (row.state, row.verdict, row.note) == ("undecided", "invalid", "its audio is different")


def test_a_figure_without_a_base_is_judged_by_its_worst_block() -> None:
    most = Target(TOTAL, "fast", ("hello",), bound=60.0)
    assert (judged(most, [0.5, 0.6]).state, judged(most, [0.5, 0.61]).state) == ("met", "missed")
    least = replace(most, least=True)
    assert (judged(least, [0.9, 0.6]).state, judged(least, [0.9, 0.59]).state) == ("met", "missed")
    assert judged(replace(most, figure=replace(TOTAL, processes=6)), [0.5] * 5).state == "undecided"
    shown = judged(replace(most, bound=None), [0.5, 0.6])
    assert shown.state == ""
    assert shown.value == pytest.approx(55.0)


def test_blocks_beside_a_busy_neighbor_count_only_where_the_benchmark_says_so() -> None:
    plan = benchmark(Target(SPEED, "fast", ("hello",), "base", 2.0, speed=True))
    blocks = measured(plan, [0.5] * 6, noisy=True)
    assert judge(plan, blocks)[0].pairs == 6
    (row,) = judge(replace(plan, use_contaminated=False), blocks)
    assert (row.pairs, row.state, row.contaminated) == (0, "undecided", 6)


def test_a_cold_block_whose_files_stayed_cached_is_left_out_and_said() -> None:
    sides = tuple(contestant(name, state="cold") for name in ("base", "fast"))
    plan = replace(benchmark(Target(TOTAL, "fast", ("hello",), "base")), contestants=sides)
    blocks = [
        replace(block, result=replace(block.result, cold={"measured": "cold-process" if block.round == 5 else "cold"}))
        for block in measured(plan, [0.5] * 5 + [0.1])
    ]
    (row,) = judge(plan, blocks)
    assert (row.pairs, row.ratio, row.value) == (5, 0.5, 50.0)
    assert row.note.endswith("2 blocks of the run stayed in the page cache and are left out")


def test_one_cell_of_each_text_is_the_reference_and_equal_cells_are_one() -> None:
    cold = replace(contestant("base", state="cold-process"), case="cold")
    again = Contestant("alias", "hello", contestant("fast").cell)
    plan = replace(benchmark(), contestants=(*benchmark().contestants, cold, again))
    assert [(item.cell.model, item.cell.state, item.cell.reference) for item in plan.planned()] == [
        ("base", "warm", True),
        ("fast", "warm", False),
        ("base", "cold-process", False),
    ]
    targets = tuple(Target(TOTAL, name, ("hello",), "base") for name in ("fast", "alias"))
    plan = replace(plan, targets=targets)
    rows = judge(plan, measured(plan, [0.5]))
    assert [(row.contestant, row.pairs, row.ratio) for row in rows] == [("fast", 1, 0.5), ("alias", 1, 0.5)]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "RESULTS", "LOCK"):
        monkeypatch.setenv(f"KOKORO_LAB_{name}", str(tmp_path / name.lower()))
    return tmp_path / "results"


def tiny(blocks: int, **factors: object) -> Benchmark:
    sides = (
        replace(contestant("tiny"), name="base"),
        replace(contestant("tiny", intra_op_threads=1, **factors), name="fast"),
    )
    target = Target(SPEED, "fast", ("hello",), "base", 0.01, speed=True)
    return Benchmark("try", sides, (target,), reference="base", blocks=blocks)


def test_rows_land_in_the_tables_and_a_run_measures_only_what_is_missing(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    first = run_benchmark(tiny(1), "r", budget_s=3600.0, notice=said.append)
    (row,) = judge(tiny(1), first)
    assert (row.pairs, row.state, row.gate, row.status) == (1, "undecided", "equivalent", "ok")
    assert len(said) == 2
    store = Store(results / "tables")
    assert len(store.samples("r")) == 2
    (run,) = store.runs()
    assert (run["plan"], run["notebooks"], run["blocks"]) == ("bench", ["bench_try"], 2)
    both = run_benchmark(tiny(2), "r", budget_s=3600.0)
    assert {block.key for block in first} < {block.key for block in both}
    assert len(both) == 4
    monkeypatch.setattr(
        "kokoro_lab.measure.sampling.sampler.launch_visit", lambda *_, **__: pytest.fail("measured again")
    )
    assert run_benchmark(tiny(2), "r", budget_s=3600.0) == both
    monkeypatch.setattr("kokoro_lab.sweeps.run.expected_parts", lambda cell: {"model": "another file's"})
    with pytest.raises(PlanError, match="other bytes than would be measured now: model 'tiny'; give another run id"):
        run_benchmark(tiny(2), "r", budget_s=3600.0)


@pytest.mark.skipif(choose().path is None, reason=f"no compiled kernels: {choose().reason}")
def test_a_run_is_not_continued_on_other_kernels(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve("tiny")
    make("tiny", "kernels-fp32")
    side = replace(contestant("tiny-kernels-fp32"), name="base")
    plan = Benchmark("try", (side,), (), reference="base", blocks=1)
    (block,) = run_benchmark(plan, "r", budget_s=3600.0)
    assert block.result.model is not None
    assert block.result.model.kernels == choose().instruction_set
    monkeypatch.setenv(KERNELS_VARIABLE, "base" if choose().instruction_set != "base" else "off")
    with pytest.raises(PlanError, match="other bytes than would be measured now: code; give another run id"):
        run_benchmark(replace(plan, blocks=2), "r", budget_s=3600.0)


def test_a_run_without_a_figure_says_why(results: Path) -> None:
    plan = tiny(1, voice="nobody")
    nothing = replace(plan, contestants=(replace(plan.contestants[1], name="base"),))
    with pytest.raises(NothingMeasuredError, match="nobody"):
        run_benchmark(nothing, "r", budget_s=3600.0)
