"""Measuring a job into the store: what is kept, what is left out on a second call, and what a failure does."""

from __future__ import annotations

import datetime
import itertools
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kokoro_lab.errors import BusyError, PlanError
from kokoro_lab.measure.machine import wall_clock
from kokoro_lab.measure.machine.lock import exclusive_measurement
from kokoro_lab.measure.records.cell import QuietReading
from kokoro_lab.measure.records.identity import PARTS
from kokoro_lab.measure.sampling.rounds import rounds
from kokoro_lab.store import Store
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.progress import Progress, ProgressFile
from kokoro_lab.sweeps.run import RunSummary, measure, progress_path

WORKER = (sys.executable, str(Path(__file__).parents[1] / "support" / "sweep_worker.py"))
Measure = Callable[..., RunSummary]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("SWEEP_LOG", str(path))
    return path


@pytest.fixture
def run(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    monkeypatch.setattr("kokoro_lab.sweeps.run.expected_parts", lambda cell: dict.fromkeys(PARTS, "same"))

    def run(job: Job, progress: Callable[[Progress], None] | None = None) -> RunSummary:
        return measure(job, progress, worker_command=WORKER, lock=tmp_path / "lock")

    return run


@pytest.fixture
def store(places: Path) -> Store:
    return Store(places / "tables")


@pytest.fixture
def job(places: Path) -> Callable[..., Job]:
    def job(*groups: dict[str, Any], **changed: Any) -> Job:
        values = {
            "run_id": "r1",
            "notebook": "providers",
            "plan": "trial",
            "model": "tiny",
            "groups": groups or ({"text": "ultra-short", "intra_op_threads": [1, 2]},),
            "budget_s": 3600,
            "retries": 0,
            "repeats": 2,
            "results": places,
        }
        return Job.model_validate({**values, **changed})

    return job


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy; these tests are about something else."""
    monkeypatch.setattr("kokoro_lab.measure.sampling.sampler.reading", lambda before, after: QuietReading(False))


def test_every_block_is_kept_with_its_samples_and_what_ran(run: Measure, store: Store, job: Callable[..., Job]) -> None:
    summary = run(job())
    assert (summary.planned, summary.stored, summary.measured, summary.statuses) == (4, 4, 4, {"ok": 4})
    assert Counter(store.samples("r1")["block"]) == {0: 4, 1: 4}
    cells = store.cells("r1")
    assert set(cells["notebook"]) == {"providers"} and set(cells["plan"]) == {"trial"}
    assert set(cells["gate"]) == {"equivalent"}
    (machine,) = store.machines().to_dict("records")
    assert set(cells["machine_id"]) == {machine["machine_id"]} and "logical_cores" in machine["facts"]
    assert all((store.root.parent / "runs" / "r1" / path).is_file() for path in cells["audio_path"])


def test_a_second_call_measures_nothing(run: Measure, store: Store, job: Callable[..., Job], log: Path) -> None:
    run(job())
    before, versions = log.read_text(), store.versions()
    assert run(job()).measured == 0
    assert log.read_text() == before and store.versions() == versions


def test_a_contaminated_block_is_measured_again_after_a_resume_too(
    run: Measure, store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(event: Progress) -> None:
        if event.kind == "finished":
            raise KeyboardInterrupt

    def machine(contaminated: bool) -> None:
        reading = QuietReading(contaminated, "a hog" * contaminated)
        monkeypatch.setattr("kokoro_lab.measure.sampling.sampler.reading", lambda before, after: reading)

    machine(contaminated=True)
    with pytest.raises(KeyboardInterrupt):
        run(job(retries=1), interrupt)
    machine(contaminated=False)
    summary = run(job(retries=1))
    assert (summary.measured, summary.stored) == (4, 4)
    (retry,) = store.cells("r1").query("attempt == 1").to_dict("records")
    assert (retry["replaces"], retry["contaminated"]) == (0, False)
    assert store.contaminated("r1") == {(retry["cell_id"], 0)}
    assert run(job(retries=1)).measured == 0


@pytest.mark.parametrize("after", [1, 2, 5])
def test_an_interrupted_run_takes_up_where_it_was(
    run: Measure, store: Store, job: Callable[..., Job], log: Path, after: int
) -> None:
    asked = job({"text": ["ultra-short", "short"], "intra_op_threads": [1, 2]}, order_seed=7)
    seen = 0

    def interrupt(event: Progress) -> None:
        nonlocal seen
        seen += event.kind == "finished"
        if seen == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(asked, interrupt)
    assert len(store.cells()) == after
    summary = run(asked)  # the machine's lock is free again, too
    assert (summary.measured, summary.stored) == (8 - after, 8)
    in_order = store.cells().sort_values("order")
    planned = [(slot.cell.id, slot.round) for slot in rounds([item.cell for item in asked.planned()], 2, 7)]
    assert list(zip(in_order["cell_id"], in_order["block"], strict=True)) == planned
    again = Counter(log.read_text().split()) - Counter(cell_id for cell_id, _ in planned)
    first_round = Counter(cell_id for cell_id, round_ in planned if round_ == 0)
    assert again <= (first_round if after < 4 else Counter()), "only what waited for its reference was lost"


def test_a_failing_cell_is_kept_with_its_error_and_the_others_go_on(
    run: Measure, store: Store, job: Callable[..., Job]
) -> None:
    events: list[Progress] = []
    summary = run(job({"text": "ultra-short", "provider": ["cpu", "openvino", "coreml", "cuda"]}), events.append)
    assert summary.stored == summary.planned == 8
    assert summary.statuses == {"ok": 2, "unavailable": 2, "error": 4}
    cells = store.cells().set_index("provider")
    assert "SIGABRT" in cells.loc["coreml", "error"].iloc[0]
    assert "not a finite number" in cells.loc["cuda", "error"].iloc[0]
    assert set(cells.loc["openvino", "error"]) == {"this onnxruntime has no openvino"}
    assert set(store.samples()["provider"]) == {"cpu"}
    assert "2 unavailable" in summary.sentence
    assert {event.status for event in events if event.kind == "finished"} == {"ok", "unavailable", "error"}


def test_groups_may_have_fewer_blocks_than_others(run: Measure, store: Store, job: Callable[..., Job]) -> None:
    groups = ({"text": "ultra-short", "blocks": 3}, {"text": "ultra-short", "provider": "openvino", "blocks": 1})
    summary = run(job(*groups))
    assert summary.stored == summary.planned == 4
    assert Counter(store.cells()["provider"]) == {"cpu": 3, "openvino": 1}


def test_a_spent_budget_leaves_every_cell_one_block_and_is_not_given_twice(
    run: Measure, store: Store, job: Callable[..., Job]
) -> None:
    groups = (
        {"text": "ultra-short", "intra_op_threads": [1, 2], "blocks": 50},
        {"text": "ultra-short", "provider": "openvino", "blocks": 1},
    )
    summary = run(job(*groups, budget_s=0.01))
    assert Counter(store.cells()["cell_id"].value_counts()) == {1: 3}
    assert "budget" in summary.stopped and "budget" in summary.sentence
    assert run(job(*groups, budget_s=0.01)).measured == 0


def test_a_machine_that_is_measuring_is_left_alone(
    run: Measure, store: Store, job: Callable[..., Job], tmp_path: Path
) -> None:
    with exclusive_measurement("another", path=tmp_path / "lock"), pytest.raises(BusyError, match="another"):
        run(job())
    assert store.cells().empty


def test_progress_can_be_followed_from_another_process(run: Measure, job: Callable[..., Job]) -> None:
    asked = job()
    follower = ProgressFile(progress_path(asked))
    assert list(follower.new()) == []
    run(asked)
    events = list(follower.new())
    assert [event.done for event in events if event.kind == "finished"] == [1, 2, 3, 4]
    assert {event.total for event in events} == {4} and events[0].kind == "plan"
    assert "ultra-short, cpu, 1 thread, warm" in {event.message for event in events}
    with follower.path.open("a") as file:
        file.write('{"kind": "half')
    assert list(follower.new()) == []


def test_a_run_ends_with_its_verdicts_and_a_second_call_writes_none(
    run: Measure, store: Store, job: Callable[..., Job], quiet: None
) -> None:
    assert run(job(twins=True)).verdicts > 0
    rows = store.verdicts("r1")
    kinds = Counter(details["kind"] for details in rows["details"])
    assert kinds["cell"] == kinds["twin"] == kinds["noise"] == 3, "one a figure"
    assert run(job(twins=True)).verdicts == 0 and len(store.verdicts()) == len(rows)


def test_twins_repeat_the_references_of_the_shortest_and_the_longest_text(job: Callable[..., Job]) -> None:
    group = {"text": ["short", "ultra-short", "medium"], "intra_op_threads": [1, 2], "blocks": 5}
    plain, twins = job(group).planned(), job(group, twins=True).planned()
    assert twins[: len(plain)] == plain
    assert {(item.cell.text_preset, item.cell.replica, item.blocks) for item in twins[len(plain) :]} == {
        ("ultra-short", 1, 5),
        ("medium", 1, 5),
    }


def test_an_adaptive_run_ends_when_it_is_decided_and_says_so(
    run: Measure, store: Store, job: Callable[..., Job], quiet: None
) -> None:
    events: list[Progress] = []
    summary = run(job(blocks=30, adaptive=True), events.append)
    assert summary.ended == "decided" and "decided" in summary.sentence
    assert [event.kind for event in events][-1] == "enough"
    assert summary.stored == 12, "six pairs are the fewest that can decide"
    assert set(store.verdicts("r1")["verdict"]) == {"equivalent", "noise"}
    again = run(job(blocks=30, adaptive=True))
    assert (again.measured, again.ended, again.verdicts) == (0, "decided", 0)


def test_an_adaptive_run_that_cannot_decide_says_what_was_spent(run: Measure, job: Callable[..., Job]) -> None:
    events: list[Progress] = []
    by_budget = run(job(blocks=30, adaptive=True, budget_s=0.01))
    assert by_budget.ended == "budget" and "not all comparisons are decided" in by_budget.sentence
    by_blocks = run(job(blocks=2, adaptive=True, run_id="r2"), events.append)
    assert by_blocks.ended == "complete" and "not all comparisons are decided" in by_blocks.sentence
    assert events[-1].kind == "spent"


def test_an_adaptive_run_says_in_advance_how_many_blocks_it_takes(
    run: Measure, job: Callable[..., Job], quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kokoro_lab.measure.sampling.stopping_rule.pooled_sd", lambda cells: (0.02, 2))
    events: list[Progress] = []
    run(job(blocks=2, adaptive=True), events.append)
    (needed,) = [event for event in events if event.kind == "needed"]
    assert "takes more blocks per cell" in needed.message


@pytest.mark.usefixtures("quiet")
def test_a_clock_that_steps_back_an_hour_at_every_block_changes_no_order_and_no_duration(
    run: Measure, store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = itertools.count()

    def set_back(zone: datetime.tzinfo) -> datetime.datetime:
        return datetime.datetime.now(zone) - datetime.timedelta(hours=next(moments))

    calendar = SimpleNamespace(datetime=SimpleNamespace(now=set_back), UTC=datetime.UTC, timedelta=datetime.timedelta)
    monkeypatch.setattr(wall_clock, "datetime", calendar)
    began = datetime.datetime.now(datetime.UTC)
    summary = run(job(blocks=3))
    rows = store.cells("r1").sort_values(["round", "order"])
    assert summary.ended == "complete" and len(rows) == summary.planned == 6
    assert rows["started_at"].is_monotonic_increasing and rows["started_at"].is_unique
    assert rows["started_at"].min() >= began - datetime.timedelta(seconds=1)
    assert (rows["wall_s"] > 0).all() and rows["wall_s"].sum() < 3600 and 0 < summary.seconds < 3600
    assert store.latest_run() == "r1"


@pytest.mark.parametrize(
    ("part", "named"), [("model", "model 'tiny'"), ("voice", "voice 'af_heart'"), ("code", "code")]
)
def test_a_run_of_other_bytes_is_not_continued_and_nothing_is_measured(
    run: Measure,
    store: Store,
    job: Callable[..., Job],
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    named: str,
) -> None:
    run(job({"text": "ultra-short"}, blocks=1))
    now = {**dict.fromkeys(PARTS, "same"), part: "other"}
    monkeypatch.setattr("kokoro_lab.sweeps.run.expected_parts", lambda cell: now)
    with pytest.raises(PlanError, match=f"other bytes than would be measured now: {named}; give another run id"):
        run(job({"text": "ultra-short"}, blocks=2))
    assert len(store.cells()) == 1
    assert run(job({"text": "ultra-short"}, blocks=1)).measured == 0, "a complete run is concluded as ever"


def test_a_run_of_unverified_blocks_is_not_continued(
    run: Measure, store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(job(blocks=1))
    monkeypatch.setattr("kokoro_lab.store.blocks.BlockIdentity.from_dict", lambda values: None)
    with pytest.raises(PlanError, match=r"\(unverified\); give another run id"):
        run(job(blocks=2))


def test_failed_blocks_are_measured_again_by_the_next_call(
    run: Measure, store: Store, job: Callable[..., Job], quiet: None
) -> None:
    asked = job({"text": "ultra-short", "provider": ["cpu", "openvino", "coreml"]}, blocks=1)
    assert run(asked).statuses == {"ok": 1, "unavailable": 1, "error": 1}
    again = run(asked)
    assert (again.measured, again.statuses, again.stored) == (1, {"error": 1}, 3)
    rows = store.cells().query("provider == 'coreml'").sort_values("attempt")
    assert list(zip(rows["attempt"], rows["block"], strict=True)) == [(0, 0), (1, 10_000)]
    assert rows["replaces"].iloc[1] == 0


@pytest.mark.usefixtures("quiet")
def test_decided_comparisons_leave_at_a_look_and_the_verdicts_say_so(
    run: Measure, store: Store, job: Callable[..., Job]
) -> None:
    summary = run(job(blocks=20, looks=[7], processes="shared"))
    assert (summary.ended, summary.stored) == ("decided", 14)
    assert "every comparison is decided after 7 rounds" in summary.sentence
    verdicts = store.verdicts("r1")
    assert {row["looks"] for row in verdicts["details"] if row["kind"] == "cell"} == {2}
    cells = store.cells("r1")
    assert set(cells["process"]) == {"shared"} and set(cells["place"]) == {0}, "one cell for each number of threads"
    assert run(job(blocks=20, looks=[7], processes="shared")).measured == 0


@pytest.mark.usefixtures("quiet")
def test_what_is_undecided_at_the_end_is_named_with_the_time_that_it_takes(
    run: Measure, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kokoro_lab.measure.sampling.stopping_rule.pooled_sd", lambda cells: (0.02, 2))
    events: list[Progress] = []
    summary = run(job(blocks=3, looks=[2]), events.append)
    assert summary.ended == "complete" and "undecided: ultra-short, cpu, 2 threads" in summary.sentence
    assert "about" in summary.sentence and "min" in summary.sentence
    assert events[-1].kind == "spent"
