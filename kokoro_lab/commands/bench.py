"""`kokoro-lab bench`: benchmarks, measured like sweeps and compared with their targets; their rows are in the store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kokoro_lab.benchmarks.benchmark import Benchmark, BenchmarkRow, judge, run_benchmark
from kokoro_lab.benchmarks.endurance import endurance_benchmark
from kokoro_lab.benchmarks.engine_bench import EnginePlan, engine_benchmark
from kokoro_lab.benchmarks.kernel_bench import KernelPlan, kernel_benchmark, loss_rows
from kokoro_lab.benchmarks.model_bench import model_benchmark, profiles
from kokoro_lab.benchmarks.peer_bench import TABLE, make_ready, peer_document
from kokoro_lab.benchmarks.peer_table import ENGINES, TEXTS, PeerPlan, peer_benchmark
from kokoro_lab.commands.benchmarking.bench_options import (
    MOST_CALLS,
    Blocks,
    Budget,
    RunId,
    Threads,
    ensure_built,
    new_run,
    numbers,
    processors,
)
from kokoro_lab.commands.benchmarking.instrument import ear, self_test, simulation
from kokoro_lab.commands.console import DEFAULT_WAIT_S, Json, Wait, json_text, notice, print_json, print_table
from kokoro_lab.commands.waiting import measuring
from kokoro_lab.errors import InconclusiveError, InputError, NothingMeasuredError, RegressedError
from kokoro_lab.files.writing import write_text
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.rewrite.kernel_rewrite import PRECISIONS
from kokoro_lab.store.layout import results
from kokoro_lab.sweeps.preset_texts import preset_text
from kokoro_lab.variants.default_form.make_exact import prepare_form
from kokoro_lab.variants.landscape import variant

__all__ = ["app", "models", "peers"]

app = typer.Typer(rich_markup_mode=None)

COLUMNS = (
    *("contestant", "case", "figure", "unit", "value", "base", "base_value", "ratio", "low", "high", "pairs"),
    *("verdict", "gate", "bound", "state"),
)
PEER_COLUMNS = (
    *("engine", "figure", "text", "value", "unit", "ratio", "low", "high", "verdict", "pairs", "gate", "status"),
    "contaminated",
)


@app.command()
def engine(
    model: Annotated[str, typer.Option(help="Model whose weights both engines use.")] = "stand-in",
    best: Annotated[str, typer.Option(help="Another model for our engine, with its own targets.")] = "",
    warm: Annotated[int, typer.Option(min=1, max=MOST_CALLS, help="Timed warm calls per process.")] = 10,
    requests: Annotated[int, typer.Option(min=2, max=MOST_CALLS, help="Mixed requests per process.")] = 200,
    threads: Threads = 0,
    blocks: Blocks = 6,
    budget_s: Budget = 3600.0,
    run_id: RunId = "",
    wait_s: Wait = DEFAULT_WAIT_S,
    as_json: Json = False,
) -> None:
    """Compare our engine, as it runs by default, with kokoro-onnx.

    Both use the same weights: kokoro-onnx reads the model's file, our engine its exact form on compiled kernels, or the
    same file where there are none. Latency and memory are compared. It takes about half an hour.
    """
    ensure_built(model, best)
    prepared = prepare_form(model, notice=notice)
    if prepared.reason:
        notice(f"our engine runs the plain form of {model}: {prepared.reason}")
    ours = prepared.model.name
    benchmark = engine_benchmark(EnginePlan(model, ours, best, warm, requests, threads, blocks))
    _conclude(benchmark, run_id, budget_s, wait_s, as_json=as_json)


@app.command()
def kernels(
    model: Annotated[str, typer.Option(help="Plain model; its variants on the kernels are built.")] = "stand-in",
    export: Annotated[
        Path | None, typer.Option(help="Upstream's export of the same weights, for kokoro-onnx to read.")
    ] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Precision: fp32 or int16 (default: both).")] = None,
    instruction_set: Annotated[str, typer.Option(help="Instruction set to use, as in KOKORO_KERNELS.")] = "",
    tokens: Annotated[str, typer.Option(help="Text lengths, from 16, 50, 150 and 400 tokens.")] = "16,50,150,400",
    threads: Annotated[str, typer.Option(help="Thread counts, separated by commas.")] = "1,2",
    clock: Annotated[str, typer.Option(help="Clock: wall, or cpu for processor time (one thread).")] = "wall",
    loss: Annotated[bool, typer.Option("--loss/--no-loss", help="Also measure the signal-to-noise ratio, dB.")] = True,
    blocks: Blocks = 6,
    budget_s: Budget = 3600.0,
    run_id: RunId = "",
    wait_s: Wait = DEFAULT_WAIT_S,
    as_json: Json = False,
) -> None:
    """Compare the compiled kernels with the plain graph.

    With --export they are compared with kokoro-onnx too. Exit code 4: there are no compiled kernels.
    """
    if instruction_set:
        os.environ[KERNELS_VARIABLE] = instruction_set
    precisions = tuple(each for each in PRECISIONS if not precision or each in precision)
    if unknown := sorted(set(precision or ()) - set(PRECISIONS)):
        raise InputError(f"unknown precision {', '.join(unknown)}; choose from {', '.join(PRECISIONS)}")
    if clock not in ("wall", "cpu"):
        raise InputError(f"unknown clock {clock!r}; choose wall or cpu")
    lengths, counts = numbers(tokens), numbers(threads)  # before a model is built
    plan = KernelPlan(
        resolve(model, notice=notice),
        export,
        precisions,
        lengths,
        counts,
        blocks,
        "cpu" if clock == "cpu" else "wall",
    )
    benchmark = kernel_benchmark(plan, notice)
    _conclude(benchmark, run_id, budget_s, wait_s, as_json=as_json, more=list(loss_rows(plan)) if loss else ())


@app.command()
def models(
    names: Annotated[list[str], typer.Argument(help="Models to measure.")],
    base: Annotated[str, typer.Option("--base", help="Baseline model: a name, or a file.")] = "default",
    gate: Annotated[str, typer.Option("--gate", help="Model whose audio is the reference (default: the base).")] = "",
    tokens: Annotated[str, typer.Option(help="Text lengths, from 16, 50, 150 and 400 tokens.")] = "16,50,150,400",
    blocks: Blocks = 6,
    budget_s: Budget = 1800.0,
    run_id: RunId = "",
    wait_s: Wait = DEFAULT_WAIT_S,
    keep: Annotated[
        Path | None, typer.Option(hidden=True, help="Earlier spelling of --run-id: a path that ends in the run's name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare models with a baseline model.

    They run on two threads; two models take about 12 minutes. Exit code 1: a target of a model's recipe is missed;
    3: a target is undecided.
    """
    base = resolve(base, notice=notice).name if base == "default" else base
    ensure_built(base, gate)
    benchmark = model_benchmark(base, names, reference=gate, tokens=numbers(tokens), blocks=blocks)
    if keep and not run_id:
        run_id = re.sub(r"[^A-Za-z0-9._-]+", "-", keep.name).lstrip("._-")
    _conclude(benchmark, run_id, budget_s, wait_s, as_json=as_json, profiled=profiles)


@app.command()
def peers(
    engine: Annotated[list[str] | None, typer.Option(help="Peer engine; repeat for several (default: all).")] = None,
    blocks: Blocks = 8,
    budget_s: Budget = 3600.0,
    model: Annotated[str, typer.Option(help="Model whose weights all engines use.")] = "stand-in",
    threads: Annotated[int, typer.Option(min=0, max=256, help="Threads of each engine; 0: one per processor.")] = 0,
    text: Annotated[list[str] | None, typer.Option(help="Text preset; repeat for several.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=MOST_CALLS, help="Timed calls per block.")] = 2,
    warmup_cap: Annotated[
        int, typer.Option(min=1, max=MOST_CALLS, help="Maximum number of warm-up calls per block.")
    ] = 2,
    run_id: RunId = "",
    wait_s: Wait = DEFAULT_WAIT_S,
    install: Annotated[bool, typer.Option(help="Install missing environments.")] = True,
    use_contaminated: Annotated[
        bool, typer.Option("--use-contaminated", help="Include blocks that other processes disturbed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare other engines with ours.

    The table of the run is also written to a file, which the notebook `peers` shows.
    """
    texts = dict(sorted(((name, preset_text(name)) for name in text or TEXTS), key=lambda item: len(item[1])))
    plan = PeerPlan(
        model,
        texts,
        tuple(engine or ENGINES),
        threads or processors(),
        blocks=blocks,
        repeats=repeats,
        warmup_cap=warmup_cap,
        use_contaminated=use_contaminated,
    )
    benchmark = peer_benchmark(plan)
    missing = make_ready(plan, benchmark, install=install, notice=notice)
    run = run_id or new_run("peers")
    with measuring(f"run {run}", wait_s, lasts_s=budget_s):
        measured = run_benchmark(benchmark, run, budget_s=budget_s, notice=notice)
    document = {**peer_document(plan, run, measured, judge(benchmark, measured)), "missing": missing}
    path = results().run(run) / TABLE
    write_text(path, json_text(document))
    if as_json:
        print_json(document)
    else:
        print_table(_worded(document["rows"]), PEER_COLUMNS, title=f"Peer engines relative to ours, run {run}")
    for name, reason in missing.items():
        notice(f"{name} was not measured: {reason}")
    notice(f"wrote the table to {path}; {document['contaminated']} of {len(measured)} blocks were contaminated")


@app.command()
def endurance(
    model: Annotated[str, typer.Option(help="Model; with --precision, the variant's plain model.")] = "stand-in",
    precision: Annotated[str, typer.Option(help="fp32 or int16 on the kernels; empty: no kernels.")] = "fp32",
    calls: Annotated[int, typer.Option("--calls", "--runs", min=2, max=MOST_CALLS, help="Calls per process.")] = 1000,
    threads: Threads = 2,
    blocks: Annotated[int, typer.Option("--blocks", min=1, max=1000, help="Fresh processes.")] = 2,
    budget_s: Budget = 3600.0,
    run_id: RunId = "",
    wait_s: Wait = DEFAULT_WAIT_S,
    as_json: Json = False,
) -> None:
    """Check that memory and output stay constant over many calls.

    The calls have mixed lengths. It takes about ten minutes.
    """
    file = resolve(model, notice=notice)
    if precision:
        if precision not in PRECISIONS:
            raise InputError(f"unknown precision {precision!r}; choose from {', '.join(PRECISIONS)}")
        if choose().path is None:
            raise NothingMeasuredError(f"no kernels ({choose().reason}); measure the model itself with --precision ''")
        file = variant(file, f"kernels-{precision}", notice)
    benchmark = endurance_benchmark(file.name, calls=calls, threads=threads, blocks=blocks)
    _conclude(benchmark, run_id, budget_s, wait_s, as_json=as_json)


app.command()(ear)
app.command("self-test")(self_test)
app.command()(simulation)


def _conclude(
    benchmark: Benchmark,
    run_id: str,
    budget_s: float,
    wait_s: float,
    *,
    as_json: bool,
    more: Sequence[BenchmarkRow] = (),
    profiled: Any = None,
) -> None:
    """Measure, judge and print; raises RegressedError if a target is missed, InconclusiveError if one is undecided."""
    run = run_id or new_run(benchmark.name)
    with measuring(f"run {run}", wait_s, lasts_s=budget_s):
        measured = run_benchmark(benchmark, run, budget_s=budget_s, notice=notice)
    rows = [*judge(benchmark, measured), *more]
    operators = profiled(rows) if profiled else []
    document = {**_about(run, benchmark, measured), "rows": [row.as_dict() for row in rows], "profiles": operators}
    if as_json:
        print_json(document)
    else:
        of_speed = any(target.speed for target in benchmark.targets)
        means = "speed over the base's" if of_speed else "figure over the base's, lower is better"
        print_table(_worded(document["rows"]), COLUMNS, title=f"Benchmark {benchmark.name}, run {run}; ratio: {means}")
        for line in () if of_speed else _sentences(rows):
            notice(line)
        if operators:
            large = [each for each in operators if each["share"] >= 0.01]
            print_table(large, ("model", "tokens", "operator", "nodes", "ms", "share"), title="Time per operator")
    notice(f"{document['contaminated']} of {len(measured)} blocks of run {run} were contaminated")
    for state, error, advice in (
        ("missed", RegressedError, "see these rows of the table"),
        ("undecided", InconclusiveError, f"measure more blocks with --run-id {run}, or see why the audio is different"),
    ):
        if targets := [row for row in rows if row.state == state]:
            names = ", ".join(f"{row.contestant} {row.figure} at {row.case}" for row in targets)
            total = sum(row.bound is not None for row in rows)
            raise error(f"{len(targets)} of {total} targets {state} ({names}); {advice}")


def _worded(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as a table shows them: memory is called less or more, not faster or slower."""
    words = {"faster": "less", "slower": "more"}
    return [
        {**row, "verdict": words.get(row["verdict"], row["verdict"])} if row["unit"] == "MB" else row for row in rows
    ]


def _sentences(rows: Sequence[BenchmarkRow]) -> Iterator[str]:
    """What the ratios of times say, for those that were shown to differ."""
    for row in rows:
        if row.base and row.unit == "ms" and row.ratio and row.verdict in ("faster", "slower"):
            factor = 1.0 / row.ratio if row.verdict == "faster" else row.ratio
            yield f"{row.contestant}, {row.figure}: {factor:.1f}x {row.verdict} than {row.base}"


def _about(run_id: str, benchmark: Benchmark, blocks: Sequence[Block]) -> Mapping[str, Any]:
    kernels = {block.result.model.kernels for block in blocks if block.result.model and block.result.model.kernels}
    return {
        "run_id": run_id,
        "benchmark": benchmark.name,
        "blocks": len(blocks),
        "contaminated": sum(block.quiet.contaminated for block in blocks),
        "kernels": sorted(kernels),
        "models": sorted({block.cell.model for block in blocks}),
    }
