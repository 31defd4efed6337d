"""The benchmarks of the instrument itself: its audio gate, its verdicts on this machine and on simulated trials."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from kokoro_lab.benchmarks.ear_calibration import calibration_page
from kokoro_lab.benchmarks.self_test import SelfTest, check_names, outcomes
from kokoro_lab.benchmarks.simulation import EFFECT, error_table, kind_rows, read_noise
from kokoro_lab.commands.benchmarking.bench_options import MOST_CALLS, Budget, RunId, new_run, shares
from kokoro_lab.commands.console import (
    DEFAULT_WAIT_S,
    Json,
    Wait,
    finite,
    json_text,
    notice,
    print_json,
    print_table,
)
from kokoro_lab.commands.waiting import measuring
from kokoro_lab.errors import InconclusiveError, InputError, RegressedError
from kokoro_lab.files.writing import scratch_folder, write_text
from kokoro_lab.process.streams import tell
from kokoro_lab.store.layout import results

__all__ = ["ear", "self_test", "simulation"]

SHORTEST_BLOCK_S = 0.001
PROGRESS_BLOCKS = 50


def ear(
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Plain model to damage; repeat for several (default: tiny).")
    ] = None,
    variants: Annotated[
        list[str] | None, typer.Option("--variant", help="Installed variant to compare; repeat for several.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the page (default: standard output).")] = None,
) -> None:
    """Calibrate the audio gate: known damages, harmless changes, and the smallest damage of each kind that it catches.

    Exit code 1: a damage is called equivalent, or a harmless change is not.
    """
    own: dict[str, list[str]] = {name: [] for name in models or ["tiny"]}
    for each in variants or []:
        source = next((name for name in sorted(own, key=len, reverse=True) if each.startswith(f"{name}-")), None)
        if source is None:
            raise InputError(f"{each} is no variant of {', '.join(own)}; name its source with --model")
        own[source].append(each)
    with scratch_folder() as folder:
        page, holds = calibration_page(own, folder, notice=notice)
    if out is None:
        typer.echo(page)
    else:
        write_text(out, page)
    if not holds:
        raise RegressedError("the gate calls a damage equivalent, or a harmless change not; adjust its limits")


def self_test(
    checks: Annotated[list[str] | None, typer.Argument(help="Names of checks (default: all).")] = None,
    trials: Annotated[int, typer.Option(min=1, max=MOST_CALLS, help="Number of A/A pairs.")] = 100,
    replicas: Annotated[
        int, typer.Option(min=2, max=1000, help="Copies of the A/A cell; with 2, pairs share no block.")
    ] = 5,
    noise_out: Annotated[
        Path | None, typer.Option(help="File to write the block noise to, for `bench simulation`.")
    ] = None,
    budget_s: Budget = 1800.0,
    run_id: RunId = "",
    wait_s: Wait = DEFAULT_WAIT_S,
    as_json: Json = False,
) -> None:
    """Check that measurements on this machine can be trusted.

    The checks are A/A pairs, a deliberate slow-down, a setting without effect, wrong audio and CPU contention, and
    attacks that try to make the instrument say something false.

    Exit code 1: a check failed; 3: the machine was too busy, or the time limit too short, to decide.
    """
    names = check_names(checks or ())
    run = run_id or new_run("self-test")
    test = SelfTest(results().run(run), budget_s, trials, replicas, noise_out)
    with measuring(f"run {run}", wait_s, lasts_s=budget_s):
        rows = [dataclasses.asdict(each) for each in outcomes(names, test, notice=notice, progress=_block_line)]
    document = {"run_id": run, "folder": str(test.folder), "checks": rows}
    write_text(test.folder / "self-test.json", json_text(document) + "\n")
    if as_json:
        print_json(document)
    else:
        print_table(rows, ("check", "verdict", "finding", "blocks", "seconds"), title=f"Self-test, run {run}")
    for verdict, error, advice in (
        ("failed", RegressedError, "do not rely on measurements of this machine"),
        ("undecided", InconclusiveError, f"continue on a quiet machine with --run-id {run}"),
    ):
        if checks_left := [str(row["check"]) for row in rows if row["verdict"] == verdict]:
            raise error(f"{verdict}: {', '.join(checks_left)}; {advice}")


def simulation(
    noise: Annotated[Path, typer.Argument(help="Noise file that `bench self-test --noise-out` wrote.")],
    trials: Annotated[int, typer.Option(min=1, max=MOST_CALLS, help="Number of trials of each kind.")] = 2000,
    sd: Annotated[str, typer.Option(help="Other standard deviations to simulate.")] = "0.01,0.02,0.03,0.04,0.06,0.08",
    block_s: Annotated[
        float, typer.Option(min=0, max=3600, callback=finite, help="Duration of a block, s (default: from the file).")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Check the verdicts on simulated trials.

    The true effect of a simulated trial is known. The first table has the machine's noise and others, at the number of
    blocks of a five-minute plan; the second has disturbances in time (drift, steps, a period of 2 to 12 blocks) and
    unequal noise, where the two cells do not differ. It takes some minutes. Exit code 1: the verdicts are wrong too
    often, or miss too many effects.
    """
    if 0 < block_s < SHORTEST_BLOCK_S:
        raise InputError(f"a block of {block_s:g} s is too short; use 0, or {SHORTEST_BLOCK_S} s or more")
    machine = read_noise(noise)
    noises = shares(sd)
    rows = error_table(machine, noises, trials=trials, block_s=block_s)
    kinds = list(kind_rows(trials))
    if as_json:
        print_json({"trials": trials, "rows": rows, "kinds": kinds})
    else:
        columns = ("block_sd", "pairs", "false_effects", "false_equivalences", "limit", "power", "honest", "strong")
        print_table(rows, columns, title=f"{trials} trials of each kind; the first row has this machine's noise")
        columns = ("kind", "cells", "blocks", "adaptive", "false_effects", "false_equivalences", "limit", "honest")
        print_table(kinds, columns, title=f"{trials} trials of each kind without an effect")
    if not all(row["honest"] for row in (*rows, *kinds)):
        raise RegressedError("verdicts are wrong more often than they may be; do not rely on them with this noise")
    if not rows[0]["strong"]:
        raise RegressedError(
            f"this machine's noise hides an effect of {EFFECT:.0%}; plan more blocks or a quieter machine"
        )


def _block_line(name: str, done: int, total: int) -> None:
    """Show the number of finished blocks: on one line of a terminal, and every fiftieth block in a file."""
    words = f"{name}: block {done} of at most {total}"
    if sys.stderr.isatty():
        print(f"\r{words} ", end="\n" if done == total else "", file=sys.stderr, flush=True)
    elif done % PROGRESS_BLOCKS == 0:
        tell(words)
