"""The kernels' benchmark: every contestant in every case, targets by instruction set, and what the products lose."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.benchmarks import kernel_bench
from kokoro_lab.benchmarks.kernel_bench import LEAST_DB, PEER, TARGET_SPEEDS, KernelPlan, kernel_benchmark, loss_rows
from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.models.catalog import resolve

here = pytest.mark.skipif(choose().path is None, reason=f"no compiled kernels: {choose().reason}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    return tmp_path


@here
def test_variants_meet_the_plain_graph_and_kokoro_onnx_in_every_case(home: Path, tmp_path: Path) -> None:
    plan = KernelPlan(resolve("tiny"), tmp_path / "export.onnx", tokens=(16, 50), clock="cpu")
    benchmark = kernel_benchmark(plan)
    names = {"tiny", "tiny-kernels-fp32", "tiny-kernels-int16", PEER}
    cases = {each.case for each in benchmark.contestants}
    assert {(each.name, each.case) for each in benchmark.contestants} == {(n, c) for n in names for c in cases}
    assert len(cases) == 4
    assert len({each.cell.engine_settings for each in benchmark.contestants if each.name != PEER}) == 1
    speeds = [target for target in benchmark.targets if target.speed]
    assert {target.figure.column for target in speeds} == {"cpu_ms"}
    assert len(speeds) == 2 * 2 * 4  # precisions, bases, cases
    bounds = TARGET_SPEEDS[choose().instruction_set or "", "int16"]
    wanted = {each.bound for each in speeds if each.contestant.endswith("int16")}
    assert wanted == {bounds[16], bounds[50]}
    memory = [target for target in benchmark.targets if not target.speed]
    assert {(each.contestant, each.cases) for each in memory} == {
        (f"tiny-kernels-{precision}", (f"{tokens} tokens, 2 threads",)) for precision in LEAST_DB for tokens in (16, 50)
    }


def test_without_kernels_nothing_can_be_measured(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KERNELS_VARIABLE, "off")
    with pytest.raises(NothingMeasuredError, match="no kernels"):
        kernel_benchmark(KernelPlan(resolve("tiny")))


@here
def test_what_the_products_lose_is_heard_and_judged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = KernelPlan(resolve("tiny"))
    rows = list(loss_rows(plan, seeds=(7,)))
    assert {(row.contestant, row.case) for row in rows} == {
        (f"kernels-{precision}", name) for precision in LEAST_DB for name in ("tiny", "seed 7")
    }
    assert {row.state for row in rows} == {"met"}
    assert all(row.value is not None and row.value > LEAST_DB["int16"] for row in rows)
    for signal_db in (25.9, None):  # None: a duration differs
        monkeypatch.setattr(kernel_bench, "loss", lambda *_, signal_db=signal_db: signal_db)
        assert {row.state for row in loss_rows(plan, seeds=())} == {"missed"}
