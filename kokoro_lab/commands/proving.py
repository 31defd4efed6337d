"""The proofs themselves: what each does on purpose, and what it then asks of the instrument. See `proofs`."""

from __future__ import annotations

import datetime
import itertools
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kokoro_lab.measure import slowed
from kokoro_lab.measure.aatrials import measure_trials, write_noise
from kokoro_lab.measure.calls import EMPTY
from kokoro_lab.measure.cell import Block, Cell
from kokoro_lab.measure.launch import WORKER_COMMAND, launch
from kokoro_lab.measure.sampling import Event
from kokoro_lab.measure.verdicts import judge_run
from kokoro_lab.store import Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.places import Results
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.progress import Progress
from kokoro_lab.sweeps.run import measure

__all__ = ["PROOFS", "Outcome", "Proof", "Stage", "contradictions"]

Verdict = Literal["shown", "failed", "undecided"]

WRONG_SHARE = 0.10
"""Of A/A pairs that may be taken for an effect: 10 of 100 are beyond the 99 % limit of 5 % by hardly one."""

SLOW_DOWN = 0.10
"""Of a call's time, slept in the engine."""

OWN_COST_MS = 0.05
"""What the harness itself may take of a call: a thousandth of one that lasts 50 ms."""

HOGGED = 2
"""Blocks, retries among them, that the hog disturbs before it is ended."""


@dataclass(frozen=True)
class Outcome:
    """What came of one proof."""

    verdict: Verdict
    found: str
    """One sentence with the figures."""
    blocks: int
    proof: str = ""
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """Where a proof is done, and with what means."""

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
    ) -> Measured:
        """Measure one job of the tiny model, as a notebook would, into tables of the proof's own."""
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
        return Measured(stored_blocks(store, run_id), verdicts, summary.kept == summary.planned)

    def job(self, run_id: str, groups: Sequence[Mapping[str, Any]], *, blocks: int, retries: int = 1) -> Job:
        """The job that `measure` measures."""
        values = {"repeats": 5, "warmup_cap": 6, "blocks": blocks, "retries": retries, "order_seed": 1}
        names = {"run_id": run_id, "notebook": "proofs", "plan": "proofs", "model": "tiny"}
        return Job.model_validate(
            {**values, **names, "groups": list(groups), "budget_s": self.budget_s, "results": self.folder}
        )


@dataclass(frozen=True)
class Measured:
    """The kept blocks of a run and the rows of its verdicts."""

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
class Proof:
    """One of them."""

    claim: str
    blocks: int
    """About how many it takes."""
    show: Callable[[Stage], Outcome]


def _aa(stage: Stage) -> Outcome:
    def hear(event: Event) -> None:
        if event.kind == "finished":
            stage.tell(event.done, event.total)

    trials = measure_trials(
        stage.folder, trials=stage.trials, replicas=stage.replicas, budget_s=stage.budget_s, on_event=hear
    )
    count = len(trials.comparisons)
    words = (
        f"{trials.wrong} of {count} A/A pairs were taken for an effect; block noise {trials.block_sd:.2%} "
        f"({trials.degrees} degrees of freedom), {trials.block_s:.2f} s a block, {trials.left_out} rounds left out."
    )
    details = {"wrong": trials.wrong, "pairs": count, "block_sd": trials.block_sd, "block_s": trials.block_s}
    if stage.noise_out is not None and trials.degrees:
        write_noise(stage.noise_out, trials, "tiny")
    verdict: Verdict = "shown" if trials.wrong <= WRONG_SHARE * count else "failed"
    return Outcome(verdict if count >= stage.trials else "undecided", words, trials.blocks, details=details)


def _ranking(stage: Stage) -> Outcome:
    group = {"text": "hello", "intra_op_threads": [1, 2], "graph_level": ["all", "basic", "none"]}
    runs = [stage.measure(f"ranking-{number}", [group], blocks=4) for number in range(3)]
    blocks = sum(len(run.blocks) for run in runs)
    ratios, floors = [], []
    for run in runs:
        rows = [row for row in run.rows("cell") if row["verdict"] != "invalid"]
        if not rows:
            return Outcome("undecided", "No cell could be compared.", blocks)
        ratios.append({row["candidate_cell"]: row["ratio"] for row in rows} | {rows[0]["base_cell"]: 1.0})
        floors.append(next(row["details"]["floor"] for row in run.rows("noise")))
    if any(floor is None or None in found.values() for floor, found in zip(floors, ratios, strict=True)):
        return Outcome("undecided", "Too few undisturbed blocks.", blocks)
    apart, wrong = contradictions(ratios, floors)
    words = (
        f"{apart} pairs of cells differ by more than twice the noise floor ({', '.join(f'{f:.1%}' for f in floors)}) "
        f"in a run; {len(wrong)} of them are the other way round in another."
    )
    verdict: Verdict = "failed" if wrong else "shown" if apart else "undecided"
    return Outcome(verdict, words, blocks, details={"ratios": ratios, "floors": floors, "contradictions": wrong})


def contradictions(runs: Sequence[Mapping[str, float]], floors: Sequence[float]) -> tuple[int, list[tuple[str, str]]]:
    """Pairs of cells that differ by more than twice a run's noise floor in it: how many, and which of them another run
    ranks the other way round.

    `runs`: cell -> ratio to the reference cell, for each run; `floors`: noise floor of each, as a share.
    """
    apart, wrong = 0, []
    for here, there in itertools.combinations(sorted(set.intersection(*map(set, runs))), 2):
        gaps = [math.log(run[here] / run[there]) for run in runs]
        signs = {gap > 0 for gap, floor in zip(gaps, floors, strict=True) if abs(gap) > 2.0 * math.log1p(floor)}
        if signs:
            apart += 1
            if len({gap > 0 for gap in gaps} | signs) > 1:
                wrong.append((here, there))
    return apart, wrong


def _slow_down(stage: Stage) -> Outcome:
    groups = [{"text": "hello", "engine_settings": [{}, {"session_rest_s": 61.0}]}]  # a setting that costs nothing
    planned = stage.job("slow-down", groups, blocks=12).planned()
    victim = next(item.cell.id for item in planned if not item.cell.reference)
    run = stage.measure("slow-down", groups, blocks=12, worker_command=slowed.command(SLOW_DOWN, [victim]))
    (row,) = run.rows("cell")
    if row["ratio"] is None:
        return Outcome("undecided", row["reason"], len(run.blocks))
    detectable = run.rows("noise")[0]["details"]["detectable"]
    low, high = (f"{row[name]:.3f}" if row[name] is not None else "?" for name in ("ratio_low", "ratio_high"))
    words = (
        f"{SLOW_DOWN:.0%} more was called {row['verdict']}: {row['ratio']:.3f} [{low}, {high}], {row['pairs']} pairs."
    )
    blind = detectable is None or detectable > SLOW_DOWN
    verdict: Verdict = "shown" if row["verdict"] == "slower" else "undecided" if blind else "failed"
    return Outcome(verdict, words, len(run.blocks), details={"ratio": row["ratio"], "detectable": detectable})


def _placebo(stage: Stage) -> Outcome:
    # Spinning is on by default: to ask for it changes nothing; to ask for its opposite does.
    levels: list[dict[str, Any]] = [{}, {"spinning": True}, {"spinning": False}]
    run = stage.measure("placebo", [{"text": "hello", "engine_settings": levels}], blocks=2, retries=0)
    found = [row["details"] for row in run.rows("placebo")]
    told = [(item["factor"], set(item["levels"])) for item in found]
    verdict: Verdict = "shown" if told == [("engine_settings.spinning", {None, True})] else "failed"
    words = f"Called placebos: {'; '.join(row['reason'] for row in run.rows('placebo')) or 'none'}"
    if not all(block.result.settings_digest for block in run.blocks) or not run.whole:
        verdict = "undecided"
    return Outcome(verdict, words, len(run.blocks), details={"placebos": found})


def _wrong_audio(stage: Stage) -> Outcome:
    wrong = hasty_model(stage.folder / "hasty.onnx")
    run = stage.measure("wrong-audio", [{"text": "hello", "model": ["tiny", str(wrong)]}], blocks=6)
    judged = judge_run(run.blocks)
    mine = next(item for item in judged.cells if item.cell.model == str(wrong))
    ranked = [*judged.ranked("equivalent"), *judged.ranked("close")]
    (row,) = run.rows("cell")
    ratio = "?" if row["ratio"] is None else f"{row['ratio']:.3f}"
    words = f"A variant that drops frames, at {ratio} of the reference's time: {row['verdict']}, {row['reason']}"
    if mine.gate == "none" or not run.whole:
        return Outcome("undecided", words, len(run.blocks))
    unranked = row["verdict"] == "invalid" and mine not in ranked and mine.gate == "different"
    return Outcome("shown" if unranked else "failed", words, len(run.blocks), details={"gate": mine.gate})


def hasty_model(path: Path) -> Path:
    """The tiny model with shorter durations, written to `path`: quicker, since it leaves part of the speech out."""
    import onnx
    from onnx import numpy_helper

    from kokoro_lab.models.catalog import resolve

    if not path.exists():
        model = onnx.load(resolve("tiny").path)
        name = "predictor.duration_proj.linear_layer.bias"
        (bias,) = [item for item in model.graph.initializer if item.name == name]
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - np.float32(1.0), name))
        part = path.with_suffix(".part")
        onnx.save(model, part)
        part.replace(path)
    return path


def _own_cost(stage: Stage) -> Outcome:
    cell = Cell(EMPTY, "nothing", repeats=200)
    with tempfile.TemporaryDirectory(dir=stage.folder) as work:
        launched = launch(cell, Path(work), command=stage.worker_command)
    times = sorted(repeat.total_ms for repeat in launched.result.repeats)
    if not times:
        return Outcome("failed", launched.result.error, 1)
    middle, worst = times[len(times) // 2], times[-1]
    words = (
        f"An empty engine takes {middle * 1e3:.2f} us a call, {worst * 1e3:.0f} us at worst of {len(times)}; "
        f"its process {launched.wall_s:.2f} s."
    )
    return Outcome("shown" if middle < OWN_COST_MS else "failed", words, 1, details={"call_ms": middle})


def _hog(stage: Stage) -> Outcome:
    number = len(list((stage.folder / "runs").glob("hog-*"))) if (stage.folder / "runs").is_dir() else 0
    hog = _Hog()
    try:
        groups = [{"text": "hello", "intra_op_threads": [1, 2]}]
        run = stage.measure(f"hog-{number}", groups, blocks=6, retries=HOGGED, listener=hog.hear)
    finally:
        hog.stop()
    disturbed = [block for block in run.blocks if hog.began <= block.started_at < hog.ended]
    words = f"Of {len(disturbed)} blocks beside a hog {sum(b.quiet.contaminated for b in disturbed)} were marked"
    if not disturbed:
        return Outcome("undecided", "The budget was spent before the hog was started.", len(run.blocks))
    if not all(block.quiet.contaminated for block in disturbed):
        return Outcome("failed", f"{words}.", len(run.blocks))
    last = disturbed[-1]
    again = [block for block in run.blocks if block.cell == last.cell and block.replaces == last.block]
    if not again:
        return Outcome("failed" if run.whole else "undecided", f"{words}, not measured again.", len(run.blocks))
    clean = not again[0].quiet.contaminated
    pairs = run.rows("cell")[0]["pairs"]
    words += f", and measured again{'' if clean else ', still disturbed'}; {pairs} of 6 pairs are clean."
    return Outcome("shown" if clean else "undecided", words, len(run.blocks))


class _Hog:
    """Processes that use more of the machine than a clean block may see, from the fourth block on."""

    BEHIND = 4

    def __init__(self) -> None:
        self._hogs: list[subprocess.Popen[bytes]] = []
        self._retries = 0
        self.began = self.ended = ""
        """UTC, ISO 8601 as `Block.started_at` is; empty until then."""

    def hear(self, event: Progress) -> None:
        """Start behind the fourth block that is kept; end when blocks were disturbed often enough."""
        if event.kind == "finished" and event.done >= self.BEHIND and not self.began:
            count = max(1, math.ceil(0.1 * (os.cpu_count() or 1)))
            self.began = _now()
            self._hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        elif event.kind == "retry" and self._hogs:
            self._retries += 1
            if self._retries == HOGGED:
                self.stop()

    def stop(self) -> None:
        """End the hogs."""
        self.ended = self.ended or _now()
        for hog in self._hogs:
            hog.kill()
            hog.wait()
        self._hogs = []


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


PROOFS: Mapping[str, Proof] = {
    "own-cost": Proof("the harness itself takes next to nothing of a call", 1, _own_cost),
    "slow-down": Proof(f"a deliberate slow-down by {SLOW_DOWN:.0%} is called slower", 24, _slow_down),
    "placebo": Proof("a setting that changes nothing is called a placebo, and its opposite is not", 6, _placebo),
    "wrong-audio": Proof("a variant that speaks wrongly, and quicker, is never ranked", 12, _wrong_audio),
    "hog": Proof("a process that hogs the machine in mid-run is noticed, and the block measured again", 14, _hog),
    "ranking": Proof("three runs of one plan rank differences over twice the noise floor alike", 72, _ranking),
    "aa": Proof("of 100 A/A pairs at most 10 are taken for an effect", 600, _aa),
}
