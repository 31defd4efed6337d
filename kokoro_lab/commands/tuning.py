"""`kokoro-lab models tune` and `models search`: the fastest variant on this machine; which layers to quantise."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from kokoro_lab.commands.console import notice, print_json, print_table
from kokoro_lab.errors import InconclusiveError

__all__ = ["search", "tune"]

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def tune(
    name: Annotated[str, typer.Argument(help="The model whose variants are measured.")] = "default",
    variants: Annotated[list[str] | None, typer.Option("--variant", help="One of them; all of it if none.")] = None,
    make: Annotated[bool, typer.Option("--make/--installed", help="Make missing variants first.")] = True,
    tokens: Annotated[str, typer.Option(help="Lengths, of 16, 50, 150 and 400.")] = "16,50,150",
    blocks: Annotated[int, typer.Option(help="Fresh processes a variant and length; six give intervals.", min=1)] = 6,
    budget_s: Annotated[float, typer.Option(help="Seconds after which no more blocks start.")] = 1200.0,
    as_json: Json = False,
) -> None:
    """Measure a model's variants here and keep the fastest equivalent one as the default; about 15 minutes.

    Called again, it measures what is missing. Ends with 3 when the budget left a variant undecided.
    """
    from kokoro_lab.variants.tune import make_candidates
    from kokoro_lab.variants.tune import tune as measure

    if make and not variants:
        make_candidates(name, notice=notice)
    lengths = [int(each) for each in tokens.split(",") if each.strip().isdecimal()]
    found = measure(name, variants or (), tokens=lengths, blocks=blocks, budget_s=budget_s, notice=notice)
    rows = [row.as_dict() for row in found.rows]
    if as_json:
        print_json({**asdict(found.tuned), "rows": rows, "undecided": list(found.undecided)})
    else:
        columns = ("model", "tokens", "speed", "low", "high", "gate", "pairs", "memory", "load")
        print_table(rows, columns, title=f"Variants of {found.tuned.source} on this machine")
    for kind, best in (("equivalent", found.tuned.equivalent), ("close", found.tuned.close)):
        words = f"{best.name}, {best.speed:.2f} times as fast" if best else "none is faster"
        notice(f"Fastest {kind} variant: {words}")
    if found.undecided:
        raise InconclusiveError(f"undecided: {', '.join(found.undecided)}; run it again to measure on")


def search(
    name: Annotated[str, typer.Argument(help="An installed plain model.")],
    least_snr_db: Annotated[float, typer.Option(help="Noise that the chosen set may add after the source, dB.")] = 22.0,
    as_json: Json = False,
) -> None:
    """Quantise one layer group at a time, rank damage against time saved, and name the best set."""
    from kokoro_lab.variants.make import plain_model
    from kokoro_lab.variants.search import best_set, sensitivities

    _, model, arch = plain_model(name)
    found = sensitivities(model, arch=arch, notice=notice)
    taken = {each.group for each in best_set(found, least_snr_db)}
    rows = [{**asdict(each), "patterns": list(each.patterns), "taken": each.group in taken} for each in found]
    if as_json:
        print_json({"rows": rows})
    else:
        print_table(rows, ("group", "convolutions", "snr_db", "saved", "taken"))
