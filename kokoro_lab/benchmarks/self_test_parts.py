"""The checks of the self-test: the situation that each creates, and the result that the instrument must give."""

from __future__ import annotations

import datetime
import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper

from kokoro_lab.benchmarks import altered_worker
from kokoro_lab.benchmarks.aa_trials import measure_trials, write_noise
from kokoro_lab.files.writing import scratch_folder
from kokoro_lab.measure.block.calls import EMPTY
from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.sampling.launch import WORKER_COMMAND, launch
from kokoro_lab.measure.statistics.verdicts import judge_run
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.store import Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.progress import Progress
from kokoro_lab.sweeps.run import measure

__all__ = ["CHECKS", "CheckOutcome", "CheckSetup", "SelfTestCheck", "contradictions"]

Verdict = Literal["shown", "failed", "undecided"]

WRONG_SHARE = 0.10
"""Maximum share of A/A pairs with a false effect. If 5 % are expected, at most 10 of 100 occur in 98.9 % of tests."""

SLOW_DOWN = 0.10
"""Share of a call's time that the engine sleeps in addition."""

OWN_COST_MS = 0.05
"""Maximum time of a call that the harness itself may take: a thousandth of a call of 50 ms."""

DISTURBED = 2
"""Blocks, retries included, that are disturbed before the competing processes are ended."""


@dataclass(frozen=True)
class CheckOutcome:
    """The result of one check."""

    verdict: Verdict
    finding: str
    """One sentence with the figures."""
    blocks: int
    check: str = ""
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckSetup:
    """The folder and the options of one check."""

    folder: Path
    budget_s: float
    trials: int = 100
    replicas: int = 5
    noise_out: Path | None = None
    tell: Callable[[int, int], None] = lambda done, total: None
    worker_command: tuple[str, ...] = WORKER_COMMAND

    def measure(
        self,
        run_id: str,
        groups: Sequence[Mapping[str, Any]],
        *,
        blocks: int,
        retries: int = 1,
        worker_command: Sequence[str] | None = None,
        listener: Callable[[Progress], None] = lambda event: None,
    ) -> MeasuredCheck:
        """Measure one job with the tiny model, as a notebook would, into the check's own tables."""
        job = self.job(run_id, groups, blocks=blocks, retries=retries)

        def hear(event: Progress) -> None:
            if event.kind == "finished":
                self.tell(event.done, event.total)
            listener(event)

        summary = measure(job, hear, worker_command=worker_command or self.worker_command)
        store = Store(Results(job.results).tables)
        verdicts = [
            {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
            for row in store.verdicts(run_id).to_dict("records")
        ]
        return MeasuredCheck(stored_blocks(store, run_id), verdicts, summary.stored == summary.planned)

    def job(self, run_id: str, groups: Sequence[Mapping[str, Any]], *, blocks: int, retries: int = 1) -> Job:
        """The job that `measure` measures."""
        values = {"repeats": 5, "warmup_cap": 6, "blocks": blocks, "retries": retries, "order_seed": 1}
        names = {"run_id": run_id, "notebook": "self_test", "plan": "self-test", "model": "tiny"}
        return Job.model_validate(
            {**values, **names, "groups": list(groups), "budget_s": self.budget_s, "results": self.folder}
        )


@dataclass(frozen=True)
class MeasuredCheck:
    """The stored blocks of a run and the rows of its verdicts."""

    blocks: list[Block]
    verdicts: list[dict[Any, Any]]
    whole: bool
    """Whether every block of the plan was measured."""

    def rows(self, kind: str, metric: str = "total_ms") -> list[dict[Any, Any]]:
        """Verdicts of one kind: cell, noise or placebo."""
        return [
            row for row in self.verdicts if row["details"]["kind"] == kind and row["metric"] in (metric, "settings")
        ]


@dataclass(frozen=True)
class SelfTestCheck:
    """A claim about the instrument, and the function that checks it."""

    claim: str
    blocks: int
    """Approximate number of blocks that it measures."""
    show: Callable[[CheckSetup], CheckOutcome]


def _aa(setup: CheckSetup) -> CheckOutcome:
    return _aa_pairs(setup, shared=False)


def _shared_aa(setup: CheckSetup) -> CheckOutcome:
    return _aa_pairs(setup, shared=True)


def _aa_pairs(setup: CheckSetup, *, shared: bool) -> CheckOutcome:
    def hear(event: Progress) -> None:
        if event.kind == "finished":
            setup.tell(event.done, event.total)

    trials = measure_trials(
        setup.folder,
        trials=setup.trials,
        replicas=setup.replicas,
        budget_s=setup.budget_s,
        listener=hear,
        shared=shared,
    )
    count = len(trials.comparisons)
    words = (
        f"{trials.wrong} of {count} A/A pairs were called faster or slower; block noise {trials.block_sd:.2%} "
        f"({trials.degrees} degrees of freedom), {trials.block_s:.2f} s per block, {trials.left_out} rounds left out."
    )
    details = {"wrong": trials.wrong, "pairs": count, "block_sd": trials.block_sd, "block_s": trials.block_s}
    if setup.noise_out is not None and trials.degrees and not shared:
        write_noise(setup.noise_out, trials, "tiny")
    verdict: Verdict = "shown" if trials.wrong <= WRONG_SHARE * count else "failed"
    return CheckOutcome(verdict if count >= setup.trials else "undecided", words, trials.blocks, details=details)


def _ranking(setup: CheckSetup) -> CheckOutcome:
    group = {"text": "hello", "intra_op_threads": [1, 2], "graph_level": ["all", "basic", "none"]}
    runs = [setup.measure(f"ranking-{number}", [group], blocks=4) for number in range(3)]
    blocks = sum(len(run.blocks) for run in runs)
    ratios, floors = [], []
    for run in runs:
        rows = [row for row in run.rows("cell") if row["verdict"] != "invalid"]
        if not rows:
            return CheckOutcome("undecided", "No cell could be compared.", blocks)
        ratios.append({row["candidate_cell"]: row["ratio"] for row in rows} | {rows[0]["base_cell"]: 1.0})
        floors.append(next(row["details"]["floor"] for row in run.rows("noise")))
    if any(floor is None or None in by_cell.values() for floor, by_cell in zip(floors, ratios, strict=True)):
        return CheckOutcome("undecided", "Too few undisturbed blocks.", blocks)
    apart, wrong = contradictions(ratios, floors)
    words = (
        f"{apart} pairs of cells differ by more than twice the noise floor ({', '.join(f'{f:.1%}' for f in floors)}) "
        f"in some run; {len(wrong)} of them are ranked in the opposite order in another run."
    )
    verdict: Verdict = "failed" if wrong else "shown" if apart else "undecided"
    return CheckOutcome(verdict, words, blocks, details={"ratios": ratios, "floors": floors, "contradictions": wrong})


def contradictions(runs: Sequence[Mapping[str, float]], floors: Sequence[float]) -> tuple[int, list[tuple[str, str]]]:
    """The number of pairs of cells that differ by more than twice the noise floor in some run, and those of them that
    another run ranks in the opposite order.

    `runs`: cell -> ratio to the reference cell, for each run; `floors`: noise floor of each run, as a share.
    """
    apart, wrong = 0, []
    for first, second in itertools.combinations(sorted(set.intersection(*map(set, runs))), 2):
        gaps = [math.log(run[first] / run[second]) for run in runs]
        signs = {gap > 0 for gap, floor in zip(gaps, floors, strict=True) if abs(gap) > 2.0 * math.log1p(floor)}
        if signs:
            apart += 1
            if len({gap > 0 for gap in gaps} | signs) > 1:
                wrong.append((first, second))
    return apart, wrong


def _slow_down(setup: CheckSetup) -> CheckOutcome:
    groups = [{"text": "hello", "engine_settings": [{}, {"session_rest_s": 61.0}]}]  # a setting that costs nothing
    planned = setup.job("slow-down", groups, blocks=12).planned()
    victim = next(item.cell.id for item in planned if not item.cell.reference)
    run = setup.measure("slow-down", groups, blocks=12, worker_command=altered_worker.slowed(SLOW_DOWN, [victim]))
    (row,) = run.rows("cell")
    if row["ratio"] is None:
        return CheckOutcome("undecided", row["reason"], len(run.blocks))
    detectable = run.rows("noise")[0]["details"]["detectable"]
    low, high = (f"{row[name]:.3f}" if row[name] is not None else "?" for name in ("ratio_low", "ratio_high"))
    words = (
        f"A slow-down by {SLOW_DOWN:.0%} gets the verdict {row['verdict']}: ratio {row['ratio']:.3f} "
        f"[{low}, {high}], {row['pairs']} pairs."
    )
    too_noisy = detectable is None or detectable > SLOW_DOWN
    verdict: Verdict = "shown" if row["verdict"] == "slower" else "undecided" if too_noisy else "failed"
    return CheckOutcome(verdict, words, len(run.blocks), details={"ratio": row["ratio"], "detectable": detectable})


def _placebo(setup: CheckSetup) -> CheckOutcome:
    # Spinning is on by default: switching it on changes nothing, switching it off does.
    levels: list[dict[str, Any]] = [{}, {"spinning": True}, {"spinning": False}]
    run = setup.measure("placebo", [{"text": "hello", "engine_settings": levels}], blocks=2, retries=0)
    placebos = [row["details"] for row in run.rows("placebo")]
    reported = [(item["factor"], set(item["levels"])) for item in placebos]
    verdict: Verdict = "shown" if reported == [("engine_settings.spinning", {None, True})] else "failed"
    words = f"Settings reported as without effect: {'; '.join(row['reason'] for row in run.rows('placebo')) or 'none'}"
    if not all(block.result.settings_digest for block in run.blocks) or not run.whole:
        verdict = "undecided"
    return CheckOutcome(verdict, words, len(run.blocks), details={"placebos": placebos})


def _wrong_audio(setup: CheckSetup) -> CheckOutcome:
    wrong = hasty_model(setup.folder / "hasty.onnx")
    run = setup.measure("wrong-audio", [{"text": "hello", "model": ["tiny", str(wrong)]}], blocks=6)
    judged = judge_run(run.blocks)
    mine = next(item for item in judged.cells if item.cell.model == str(wrong))
    ranked = [*judged.ranked("equivalent"), *judged.ranked("close")]
    (row,) = run.rows("cell")
    ratio = "?" if row["ratio"] is None else f"{row['ratio']:.3f}"
    words = f"A variant that drops frames (ratio {ratio}) gets the verdict {row['verdict']}: {row['reason']}"
    if mine.gate == "none" or not run.whole:
        return CheckOutcome("undecided", words, len(run.blocks))
    unranked = row["verdict"] == "invalid" and mine not in ranked and mine.gate == "different"
    return CheckOutcome("shown" if unranked else "failed", words, len(run.blocks), details={"gate": mine.gate})


def hasty_model(path: Path) -> Path:
    """Write the tiny model with shorter durations to `path`: it is faster because it leaves out part of the speech."""
    if not path.exists():
        model = read_onnx(resolve("tiny").path)
        name = "predictor.duration_proj.linear_layer.bias"
        (bias,) = [item for item in model.graph.initializer if item.name == name]
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - np.float32(1.0), name))
        part = path.with_suffix(".part")
        onnx.save(model, part)
        part.replace(path)
    return path


def _own_cost(setup: CheckSetup) -> CheckOutcome:
    cell = Cell(EMPTY, "nothing", repeats=200)
    with scratch_folder(setup.folder) as work:
        launched = launch(cell, work, command=setup.worker_command)
    times = sorted(repeat.total_ms for repeat in launched.result.repeats)
    if not times:
        return CheckOutcome("failed", launched.result.error, 1)
    middle, worst = times[len(times) // 2], times[-1]
    words = (
        f"An empty engine takes {middle * 1e3:.2f} us per call, at most {worst * 1e3:.0f} us in {len(times)} calls; "
        f"its process takes {launched.wall_s:.2f} s."
    )
    return CheckOutcome("shown" if middle < OWN_COST_MS else "failed", words, 1, details={"call_ms": middle})


def _cpu_contention(setup: CheckSetup) -> CheckOutcome:
    number = len(list((setup.folder / "runs").glob("contention-*"))) if (setup.folder / "runs").is_dir() else 0
    contention = _Contention()
    try:
        groups = [{"text": "hello", "intra_op_threads": [1, 2]}]
        run = setup.measure(f"contention-{number}", groups, blocks=6, retries=DISTURBED, listener=contention.hear)
    finally:
        contention.stop()
    disturbed = [block for block in run.blocks if contention.began <= block.started_at < contention.ended]
    words = (
        f"{sum(b.quiet.contaminated for b in disturbed)} of {len(disturbed)} disturbed blocks were marked contaminated"
    )
    if not disturbed:
        return CheckOutcome(
            "undecided", "The time limit ended the run before any block was disturbed.", len(run.blocks)
        )
    if not all(block.quiet.contaminated for block in disturbed):
        return CheckOutcome("failed", f"{words}.", len(run.blocks))
    last = disturbed[-1]
    again = [block for block in run.blocks if block.cell == last.cell and block.replaces == last.block]
    if not again:
        return CheckOutcome(
            "failed" if run.whole else "undecided", f"{words}, but not measured again.", len(run.blocks)
        )
    clean = not again[0].quiet.contaminated
    pairs = run.rows("cell")[0]["pairs"]
    words += f", and measured again{'' if clean else ', still disturbed'}; {pairs} of 6 pairs are clean."
    return CheckOutcome("shown" if clean else "undecided", words, len(run.blocks))


class _Contention:
    """Competing processes, which use more processor time than a clean block allows, from the fourth block on."""

    AFTER_BLOCKS = 4

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._retries = 0
        self.began = self.ended = ""
        """When the processes started and ended: UTC, ISO 8601 as in `Block.started_at`; empty until then."""

    def hear(self, event: Progress) -> None:
        """Start after the fourth stored block; end when enough blocks were disturbed."""
        if event.kind == "finished" and event.done >= self.AFTER_BLOCKS and not self.began:
            count = max(1, math.ceil(0.1 * (os.cpu_count() or 1)))
            self.began = _now()
            self._processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        elif event.kind == "retry" and self._processes:
            self._retries += 1
            if self._retries == DISTURBED:
                self.stop()

    def stop(self) -> None:
        """End the processes."""
        self.ended = self.ended or _now()
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes = []


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


CHECKS: Mapping[str, SelfTestCheck] = {
    "own-cost": SelfTestCheck("the harness itself takes a negligible part of a call", 1, _own_cost),
    "slow-down": SelfTestCheck(f"a deliberate slow-down by {SLOW_DOWN:.0%} gets the verdict slower", 24, _slow_down),
    "placebo": SelfTestCheck("a setting without effect is reported, and its opposite is not", 6, _placebo),
    "wrong-audio": SelfTestCheck("a faster variant with wrong audio is never ranked", 12, _wrong_audio),
    "cpu-contention": SelfTestCheck("blocks during CPU contention are marked and measured again", 14, _cpu_contention),
    "ranking": SelfTestCheck(
        "three runs of one plan agree on differences of more than twice the noise floor", 72, _ranking
    ),
    "aa": SelfTestCheck("at most 10 of 100 A/A pairs are called faster or slower", 600, _aa),
    "shared-aa": SelfTestCheck("so are at most 10 of 100 whose blocks share processes", 240, _shared_aa),
}
