"""The real worker on the tiny model: every state once, and what a result must say."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from patience import PATIENCE_S, until

from kokoro_lab.benchmarks import altered_worker
from kokoro_lab.measure.block.listener import Arrival, sweep, ttfa_s
from kokoro_lab.measure.block.load_generator import poisson
from kokoro_lab.measure.peers import peer_files
from kokoro_lab.measure.records.cell import Block, BlockResult, Cell
from kokoro_lab.measure.sampling import launch as launching
from kokoro_lab.measure.sampling.launch import WORKER_COMMAND, launch
from kokoro_lab.measure.sampling.sampler import SamplingPolicy, sample
from kokoro_lab.measure.statistics.comparison import BlockValue, block_value, compare, pair_up
from kokoro_lab.models.catalog import resolve
from kokoro_lab.runtime.session_files.native_libraries import native_libraries

TEXT = "Hello world!"
OF_A_PROCESS = {"spawn", "import"}
"""Stages of loading that a second session in the same process does not pay for."""
LONGER = "Welcome back. This is a longer sentence, and it is followed by one more. Here it is, at last."
CELLS = {
    "warm": Cell("tiny", TEXT, repeats=3, reference=True),
    "cold": Cell("tiny", TEXT, state="cold"),
    "cold-process": Cell("tiny", TEXT, state="cold-process"),
    "cold-session": Cell("tiny", TEXT, state="cold-session"),
    "cold-shape": Cell("tiny", TEXT, state="cold-shape"),
    "stream": Cell("tiny", TEXT, delivery="stream", repeats=3),
    "one thread": Cell("tiny", TEXT, intra_op_threads=1, repeats=3),
    "placebo": Cell("tiny", TEXT, engine_settings=(("session_rest_s", 30.0),), repeats=1),
    "cuda": Cell("tiny", TEXT, provider="cuda"),
    "fallen back": Cell("tiny", TEXT, provider="cuda", engine_settings=(("provider_fallback", True),), warmup_cap=1),
    "no such setting": Cell("tiny", TEXT, engine_settings=(("turbo", True),)),
    "no such voice": Cell("tiny", TEXT, voice="af_nobody", reference=True),
    "longer": Cell("tiny", LONGER, repeats=3, warmup_cap=5, reference=True),
    "longer stream": Cell("tiny", LONGER, delivery="stream", repeats=3, warmup_cap=5),
    "open loop": Cell("tiny", TEXT, arrivals="poisson", rate_hz=40.0, load_s=1.0, clients=4),
    "closed loop": Cell("tiny", TEXT, arrivals="closed", clients=3, repeats=12),
    "empty": Cell("empty", "nothing", repeats=20, reference=True),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOKORO_LAB_HOME", str(folder))
        resolve("tiny")  # a file that a worker builds itself has changed while it was measured
        yield folder


@pytest.fixture(scope="module")
def blocks(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Block]:
    folder = tmp_path_factory.mktemp("run")
    names = {cell.id: name for name, cell in CELLS.items()}
    cells = list(CELLS.values())
    measured = sample(cells, SamplingPolicy(1, seed=1, retries=0, lock=folder / "lock"), run_dir=folder)
    return {names[block.cell.id]: block for block in measured}


def test_every_cell_that_can_run_ran(blocks: dict[str, Block]) -> None:
    failed = {"cuda": "unavailable", "fallen back": "unavailable", "no such setting": "error", "no such voice": "error"}
    assert {name: block.result.status for name, block in blocks.items()} == {
        name: failed.get(name, "ok") for name in CELLS
    }
    assert all(block.result.error for name, block in blocks.items() if name in failed)


def test_a_provider_that_another_one_stood_in_for_has_no_figure(blocks: dict[str, Block]) -> None:
    result = blocks["fallen back"].result
    assert result.provider is not None
    assert (result.provider.requested, result.provider.effective, result.provider.share) == ("cuda", "cpu", 0.0)
    assert result.repeats == () and "was assigned no nodes" in result.error


def test_what_did_not_run_has_no_figure(blocks: dict[str, Block]) -> None:
    for name in ("cuda", "no such setting", "no such voice"):
        assert blocks[name].result.repeats == ()
        assert blocks[name].gate is None
    assert "CUDAExecutionProvider" in blocks["cuda"].result.error
    assert "turbo" in blocks["no such setting"].result.error
    assert "af_nobody" in blocks["no such voice"].result.error


def test_no_measured_process_loads_what_it_must_not(blocks: dict[str, Block]) -> None:
    assert {block.result.foreign_modules for block in blocks.values()} == {()}


def test_a_foreign_module_in_the_measured_process_is_recorded(home: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import pandas, sys, kokoro_lab.measure.worker as w; w.main(sys.argv[1:])")
    result = launch(Cell("tiny", TEXT, repeats=1, warmup_cap=1), tmp_path, command=command).result
    assert "pandas" in result.foreign_modules


def test_the_provider_is_read_node_by_node(blocks: dict[str, Block]) -> None:
    provider = blocks["warm"].result.provider
    assert provider is not None
    assert (provider.requested, provider.effective, provider.share) == ("cpu", "cpu", 1.0)
    assert sum(provider.nodes.values()) > 100


def test_a_warm_block_warms_up_with_the_shape_it_measures_and_records_it(blocks: dict[str, Block]) -> None:
    result = blocks["warm"].result
    assert 4 <= len(result.warmup_ms) <= CELLS["warm"].warmup_cap
    assert len(result.repeats) == 3
    assert {repeat.steady for repeat in result.repeats} == {result.became_steady}
    assert result.load_ms["first_call"] == result.warmup_ms[0]


def test_a_warm_up_ends_at_its_cap_and_says_that_it_never_became_steady(home: Path, tmp_path: Path) -> None:
    result = launch(Cell("tiny", TEXT, repeats=1, warmup_cap=3), tmp_path).result
    assert len(result.warmup_ms) == 3
    assert not result.became_steady
    assert not result.repeats[0].steady


@pytest.mark.parametrize("name", ["warm", "longer", "one thread", "cold", "cold-process", "cold-session"])
def test_stage_times_add_up_to_the_total(blocks: dict[str, Block], name: str) -> None:
    result = blocks[name].result
    for repeat in result.repeats:
        stages = repeat.normalise_ms + repeat.phonemise_ms + repeat.tokenise_ms + repeat.infer_ms
        assert stages + repeat.post_process_ms + repeat.other_ms == pytest.approx(repeat.total_ms)
        assert repeat.other_ms > -1e-6


@pytest.mark.parametrize("name", ["cold", "cold-process", "cold-session"])
def test_what_a_cold_start_loads_and_its_first_call_are_within_its_total(blocks: dict[str, Block], name: str) -> None:
    result = blocks[name].result
    loading = {stage: ms for stage, ms in result.load_ms.items() if name != "cold-session" or stage not in OF_A_PROCESS}
    assert {"model", "session", "voices", "g2p", "other", "first_call"} <= loading.keys()
    assert (loading.keys() >= OF_A_PROCESS) == (name != "cold-session")
    # Between two stages there is nothing to do, but another process may have its turn there.
    assert 0.7 * result.repeats[0].total_ms < sum(loading.values()) <= result.repeats[0].total_ms + 1e-6


def test_a_cold_start_is_one_repeat_from_the_start_of_the_process(blocks: dict[str, Block]) -> None:
    cold, warm = blocks["cold"].result, blocks["warm"].result
    assert len(cold.repeats) == 1
    assert cold.repeats[0].total_ms > 3 * min(repeat.total_ms for repeat in warm.repeats)
    assert cold.repeats[0].total_ms < 1e3 * blocks["cold"].wall_s
    assert cold.repeats[0].ttfa_ms > cold.load_ms["session"]
    assert list(cold.load_ms)[:3] == ["spawn", "import", "model"]
    assert "dropped" in cold.cold["file_cache"] and cold.cold["measured"] in ("cold", "cold-process")


def test_each_kind_of_cold_says_what_was_cold(blocks: dict[str, Block]) -> None:
    assert blocks["warm"].result.cold == {}
    said = {name for name in blocks["cold"].result.cold if not name.startswith("file ")}
    assert said == {"file_cache", "process", "session", "shape", "measured"}
    assert {"file tiny.onnx", *(f"file {path.name}" for path in native_libraries())} <= set(blocks["cold"].result.cold)
    assert blocks["cold-process"].result.cold["file_cache"].startswith("not dropped")
    assert blocks["cold-process"].result.cold["measured"] == "cold-process"
    assert set(blocks["cold-session"].result.cold) == {"session", "shape"}
    assert set(blocks["cold-shape"].result.cold) == {"shape"}
    assert all(len(blocks[name].result.repeats) == 1 for name in CELLS if name.startswith("cold"))


def test_a_cold_shape_pays_neither_for_its_process_nor_for_its_session(blocks: dict[str, Block]) -> None:
    result = blocks["cold-shape"].result
    unpaid_ms = sum(result.load_ms[stage] for stage in (*OF_A_PROCESS, "model", "session"))
    assert result.repeats[0].total_ms < 0.5 * unpaid_ms, "a tenth is usual"


def test_the_audio_of_every_state_is_the_reference_cells(blocks: dict[str, Block]) -> None:
    for name in ("warm", "cold", "cold-process", "cold-session", "cold-shape", "placebo", "longer", "open loop"):
        gate = blocks[name].gate
        assert gate is not None
        assert gate.verdict == "equivalent", (name, gate.reasons)
        assert np.load(blocks[name].audio_path).dtype == np.float32


def test_rtf_divides_by_speech_and_not_by_inserted_pauses(blocks: dict[str, Block]) -> None:
    for name in ("warm", "longer", "longer stream"):
        for repeat in blocks[name].result.repeats:
            assert repeat.rtf == pytest.approx(repeat.total_ms / 1e3 / repeat.speech_s)
            assert repeat.speech_s <= repeat.audio_s
    streamed = blocks["longer stream"].result.repeats[0]
    assert streamed.speech_s < streamed.audio_s


def test_a_stream_is_heard_before_it_has_ended(blocks: dict[str, Block]) -> None:
    whole, streamed = blocks["longer"].result, blocks["longer stream"].result
    assert all(repeat.ttfa_ms >= repeat.total_ms for repeat in whole.repeats)
    assert all(repeat.ttfa_ms < repeat.total_ms for repeat in streamed.repeats)
    assert min(repeat.ttfa_ms / repeat.total_ms for repeat in streamed.repeats) < 0.9


def test_an_open_loop_counts_from_when_a_call_was_due(blocks: dict[str, Block]) -> None:
    result = blocks["open loop"].result
    assert result.load is not None
    assert (result.load.calls, result.load.failed) == (len(result.repeats), 0)
    assert len(result.repeats) == len(poisson(40.0, 1.0, CELLS["open loop"].seed))
    assert list(result.load.scheduled_s) == list(poisson(40.0, 1.0, CELLS["open loop"].seed))
    for repeat, waited in zip(result.repeats, result.load.waited_ms, strict=True):
        assert repeat.total_ms >= waited
        assert repeat.rtf <= repeat.total_ms / 1e3 / repeat.speech_s + 1e-9
    assert 0.0 < result.load.throughput_hz < 80.0


def test_a_closed_loop_makes_its_calls_and_nobody_waits_for_a_client(blocks: dict[str, Block]) -> None:
    result = blocks["closed loop"].result
    assert result.load is not None
    assert len(result.repeats) == result.load.calls == 12
    # Whoever waited for another client would wait for a whole call, and most of the calls would.
    assert statistics.median(result.load.waited_ms) < 0.3 * min(repeat.total_ms for repeat in result.repeats)
    assert blocks["warm"].result.load is None


def test_a_recorded_stream_can_be_heard_again_by_any_player(blocks: dict[str, Block]) -> None:
    result = blocks["longer stream"].result
    deliveries = [Arrival(*delivery) for delivery in result.deliveries]
    assert ttfa_s(deliveries) == pytest.approx(result.repeats[-1].ttfa_ms / 1e3)
    assert sum(delivery.duration_s for delivery in deliveries) == pytest.approx(result.repeats[-1].audio_s)
    assert len(sweep(deliveries)) == 12
    assert blocks["longer"].result.deliveries == ()


def test_memory_is_the_workers_own_and_not_inherited_from_a_fat_parent(blocks: dict[str, Block], home: Path) -> None:
    result = blocks["warm"].result
    assert result.rss_peak_mb is not None
    assert result.rss_steady_mb is not None
    assert 50 < result.rss_steady_mb <= result.rss_peak_mb + 1 < 400
    script = textwrap.dedent("""
        import pathlib, tempfile
        from kokoro_lab.measure.records.cell import Cell
        from kokoro_lab.measure.sampling.launch import launch
        ballast = bytearray(b"x" * 600_000_000)
        with tempfile.TemporaryDirectory() as work:
            print(launch(Cell("empty", "nothing"), pathlib.Path(work)).result.rss_peak_mb)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200


def test_the_digest_tells_settings_that_took_effect_apart(blocks: dict[str, Block]) -> None:
    digests = {name: blocks[name].result.settings_digest for name in ("warm", "cold", "one thread", "placebo")}
    assert digests["warm"] == digests["cold"]
    assert digests["one thread"] != digests["warm"]
    assert all(digests.values())


def test_the_harness_costs_next_to_nothing(blocks: dict[str, Block]) -> None:
    costs = sorted(repeat.total_ms for repeat in blocks["empty"].result.repeats)
    assert costs[len(costs) // 4] < 0.05, "less than 0.001 ms is usual"
    assert costs[len(costs) // 4] < 0.01 * min(repeat.total_ms for repeat in blocks["warm"].result.repeats)


def test_a_result_names_versions_model_and_weights(blocks: dict[str, Block]) -> None:
    result = blocks["warm"].result
    assert set(result.versions) == {"python", "kokoro_lab", "numpy", "onnxruntime"}
    assert result.model is not None
    assert (result.model.architecture, result.model.weights) == ("tiny", "stand-in")
    assert len(result.model.sha256) == 64
    assert result.energy_source


def test_a_worker_ends_when_its_parent_is_killed(home: Path, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import pathlib, sys
        from kokoro_lab.measure.records.cell import Cell
        from kokoro_lab.measure.sampling.launch import launch
        launch(Cell("tiny", "Hello world!", repeats=100_000), pathlib.Path({str(tmp_path)!r}))
    """)
    parent = subprocess.Popen([sys.executable, "-c", script])
    assert until(lambda: psutil.Process(parent.pid).children())
    children = psutil.Process(parent.pid).children()
    time.sleep(0.5)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    gone, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert gone
    assert not alive


def test_a_worker_called_wrongly_says_how() -> None:
    done = subprocess.run(WORKER_COMMAND, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "JOB.json" in done.stderr


def test_a_result_is_written_whole(home: Path, tmp_path: Path) -> None:
    launch(Cell("empty", "nothing"), tmp_path)
    assert BlockResult.from_dict(json.loads((tmp_path / "result.json").read_text())).status == "ok"
    assert not list(tmp_path.glob("*.part"))


def test_the_engine_sleeps_only_where_a_caller_has_it_slowed_down(home: Path, tmp_path: Path) -> None:
    victim, other = Cell("tiny", TEXT, repeats=5, warmup_cap=1), Cell("tiny", TEXT, repeats=5, warmup_cap=2)
    asleep = {}
    for cell in (victim, other):
        work = tmp_path / cell.id
        work.mkdir()
        repeats = launch(cell, work, command=altered_worker.slowed(1.0, [victim.id])).result.repeats
        asleep[cell.id] = min(repeat.other_ms / repeat.total_ms for repeat in repeats)
    assert asleep[other.id] < 0.3 < 0.4 < asleep[victim.id], "0.01 and 0.5 are usual"


def test_files_are_made_cold_when_everything_else_is_prepared(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer's files are hashed for its manifest: dropped before, they would be in the page cache again."""
    steps: list[str] = []
    prepare = peer_files.peer_sums

    def hashed(*arguments: Any) -> dict[str, str]:
        steps.append("hashed")
        return prepare(*arguments)

    def made_cold() -> dict[str, str]:
        steps.append("dropped")
        return {"measured": "cold"}

    monkeypatch.setattr(peer_files, "peer_sums", hashed)
    monkeypatch.setattr(launching, "inside", lambda name, command, work: (list(command), {}))
    cell = Cell("tiny", TEXT, environment="kokoro-onnx", state="cold")
    launch(cell, tmp_path, command=(sys.executable, "-c", ""), made_cold=made_cold)
    assert steps == ["hashed", "dropped"]
    assert json.loads((tmp_path / "job.json").read_text())["cells"][0]["cold"] == {"measured": "cold"}


@pytest.mark.slow
def test_a_deliberate_slow_down_is_found(home: Path, tmp_path: Path) -> None:
    """Replica 1 sleeps twice a call's time inside the engine; `make self-test` asks how small a slow-down is found."""
    cells = [Cell("tiny", TEXT, warmup_cap=6, replica=replica, reference=replica == 0) for replica in range(2)]
    command = altered_worker.slowed(2.0, [cells[1].id])
    values: dict[int, list[BlockValue]] = {0: [], 1: []}
    policy = SamplingPolicy(8, seed=3, retries=0, worker_command=command, lock=tmp_path / "lock")
    for block in sample(cells, policy, run_dir=tmp_path):
        value = block_value(block)
        assert value is not None, block.result.error
        values[block.cell.replica].append(value)
    found = compare(pair_up(values[0], values[1], use_contaminated=True))
    assert found.verdict == "slower", found


@pytest.fixture(scope="module")
def visit(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Block]:
    """Two rounds of a visit of five cells, one of which fails."""
    cells = {
        "short": Cell("tiny", TEXT, process="shared", reference=True, repeats=2, warmup_cap=2),
        "twin": Cell("tiny", TEXT, process="shared", replica=1, repeats=2, warmup_cap=2),
        "stream": Cell("tiny", TEXT, process="shared", delivery="stream", repeats=2, warmup_cap=2),
        "cached": Cell(
            "tiny", TEXT, process="shared", engine_settings=(("audio_cache_mb", 8),), repeats=2, warmup_cap=2
        ),
        "failing": Cell("tiny", TEXT, process="shared", engine_settings=(("turbo", True),), repeats=2),
    }
    folder = tmp_path_factory.mktemp("visit")
    policy = SamplingPolicy(2, seed=4, retries=0, lock=folder / "lock")
    names = {cell.id: name for name, cell in cells.items()}
    blocks = list(sample(list(cells.values()), policy, run_dir=folder))
    return {f"{names[block.cell.id]} {block.round}": block for block in blocks}


def test_each_cell_of_a_visit_has_a_block_of_its_own_and_a_failure_is_that_cell_s(visit: dict[str, Block]) -> None:
    statuses = {name: block.result.status for name, block in visit.items()}
    assert statuses == {name: "error" if name.startswith("failing") else "ok" for name in visit} and len(visit) == 10
    for name, block in visit.items():
        if block.result.status == "ok":
            assert len(block.result.repeats) == 2 and block.result.identity and block.result.warmup_ms, name
            assert block.gate is not None and block.audio_path
    for number in range(2):
        places = sorted(block.place for block in visit.values() if block.round == number and block.place is not None)
        assert places == [0, 1, 2, 3, 4]


def test_only_the_first_cell_of_a_visit_pays_for_the_start_and_none_has_the_memory(visit: dict[str, Block]) -> None:
    for block in visit.values():
        assert (block.result.rss_peak_mb, block.result.rss_steady_mb) == (None, None)
        assert ("import" in block.result.load_ms) == (block.place == 0 and block.result.status == "ok")
        assert block.wall_s > 0.0 and block.result.visit is not None and block.result.visit.place == block.place


def test_what_ran_before_in_the_process_changes_no_digest(visit: dict[str, Block]) -> None:
    for name in ("short", "twin", "stream", "cached"):
        digests = {block.result.settings_digest for key, block in visit.items() if key.startswith(name)}
        assert len(digests) == 1, name
    short, twin, cached = (visit[f"{name} 0"].result.settings_digest for name in ("short", "twin", "cached"))
    assert short == twin != cached
