"""`kokoro-lab models tune` and `models search`: find the fastest variant here, and the layers to quantize."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from kokoro_lab.commands.console import DEFAULT_WAIT_S, Wait, finite, notice, print_json, print_table
from kokoro_lab.commands.waiting import measuring
from kokoro_lab.errors import InconclusiveError
from kokoro_lab.units import LONGEST_S
from kokoro_lab.variants.make import plain_model
from kokoro_lab.variants.quantization_search import best_set, sensitivities

__all__ = ["search", "tune"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")]


def tune(
    name: Annotated[str, typer.Argument(help="Model whose variants are measured.")] = "default",
    variants: Annotated[
        list[str] | None, typer.Option("--variant", help="Variant to measure; repeat for several.")
    ] = None,
    make: Annotated[bool, typer.Option("--make/--installed", help="Build missing variants first.")] = True,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Measure every variant, at three lengths; takes about 15 minutes.")
    ] = False,
    tokens: Annotated[
        str, typer.Option(help="Text lengths, from 16, 50, 150 and 400 tokens (default: 16,50; --thorough adds 150).")
    ] = "",
    blocks: Annotated[
        int, typer.Option(help="Most processes per variant and length; 5 to 8 decide a clear case.", min=1, max=1000)
    ] = 12,
    budget_s: Annotated[
        float, typer.Option(min=0, max=LONGEST_S, callback=finite, help="Time limit after which no block starts, s.")
    ] = 1200.0,
    wait_s: Wait = DEFAULT_WAIT_S,
    as_json: Json = False,
) -> None:
    """Measure a model's variants, and use the fastest by default.

    Only variants with equivalent audio become the default. Those that may be the fastest here are measured, each until
    it is decided, in about 3 minutes; a second call measures only missing blocks. Exit code 3: the time limit or
    --blocks left a variant undecided.
    """
    from kokoro_lab.variants.fastest_variant import THOROUGH_TOKENS, TOKENS, make_candidates
    from kokoro_lab.variants.fastest_variant import tune as measure

    if make and not variants:
        make_candidates(name, thorough=thorough, notice=notice)
    lengths: Sequence[int] = [int(each) for each in tokens.split(",") if each.strip().isdecimal()]
    lengths = lengths or (THOROUGH_TOKENS if thorough else TOKENS)
    with measuring(f"the tuning of {name}", wait_s, lasts_s=budget_s):
        result = measure(
            name, variants or (), tokens=lengths, blocks=blocks, budget_s=budget_s, thorough=thorough, notice=notice
        )
    rows = [row.as_dict() for row in result.rows]
    if as_json:
        print_json({**asdict(result.tuned), "rows": rows, "undecided": list(result.undecided)})
    else:
        columns = ("model", "tokens", "speed", "low", "high", "gate", "pairs", "memory", "load")
        print_table(rows, columns, title=f"Variants of {result.tuned.source} on this machine")
    for kind, best in (("equivalent", result.tuned.equivalent), ("close", result.tuned.close)):
        words = f"{best.name}, {best.speed:.2f}x faster" if best else "none is faster than the source"
        notice(f"fastest {kind} variant: {words}")
    if result.undecided:
        raise InconclusiveError(f"undecided variants: {', '.join(result.undecided)}; repeat the command to continue")


def search(
    name: Annotated[str, typer.Argument(help="Installed plain model.")],
    least_snr_db: Annotated[
        float, typer.Option(callback=finite, help="Lowest signal-to-noise ratio of the chosen set, dB.")
    ] = 22.0,
    wait_s: Wait = DEFAULT_WAIT_S,
    as_json: Json = False,
) -> None:
    """Find the layers that are worth quantizing.

    One group of layers at a time is quantized and measured; the chosen groups save most time at an acceptable loss.
    """
    _, model, arch = plain_model(name)
    with measuring(f"the layers of {name}", wait_s):
        groups = sensitivities(model, arch=arch, notice=notice)
    chosen = {each.group for each in best_set(groups, least_snr_db)}
    rows = [{**asdict(each), "patterns": list(each.patterns), "taken": each.group in chosen} for each in groups]
    if as_json:
        print_json({"rows": rows})
    else:
        print_table(rows, ("group", "convolutions", "snr_db", "saved", "taken"))
