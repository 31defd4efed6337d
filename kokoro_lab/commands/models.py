"""`kokoro-lab models`: what model files there are, where they come from, what is made of them, and whether it holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kokoro_lab.commands.console import notice, print_json, print_table
from kokoro_lab.commands.tuning import search, tune
from kokoro_lab.errors import InconclusiveError, InputError, RegressedError

if TYPE_CHECKING:
    from onnx import ModelProto

    from kokoro_lab.models.records import ModelFile

__all__ = ["app"]

app = typer.Typer(help="Model files.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
COLUMNS = ("name", "weights", "architecture", "precision", "contract", "bytes", "installed", "default")


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the catalogue: what is installed, what can be fetched, what is built on first use."""
    from kokoro_lab.models.listing import listing

    rows = listing()
    if as_json:
        from kokoro_lab.models.catalog import models_folder

        print_json({"models": rows, "folder": str(models_folder())})
    else:
        print_table(rows, COLUMNS)


@app.command()
def build(name: Annotated[str, typer.Argument(help="stand-in or tiny.")] = "stand-in", as_json: Json = False) -> None:
    """Build a stand-in: Kokoro's architecture with seeded weights."""
    from kokoro_lab.models.catalog import STAND_INS, build_stand_in

    if name not in STAND_INS:
        raise InputError(f"only stand-ins are built: {', '.join(STAND_INS)}; got {name!r}")
    _tell([build_stand_in(name, notice=notice)], as_json)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A published model, or published voices: see `models list`.")],
    as_json: Json = False,
) -> None:
    """Fetch a published file; a broken download is continued, and nothing is kept that has the wrong sum."""
    from kokoro_lab.models.fetch import fetch as fetch_model
    from kokoro_lab.models.fetch import fetch_voices
    from kokoro_lab.models.published import published_files

    with _progress(name) as progress:
        if any(file.name == name for file in published_files("voices")):
            path = fetch_voices(name, progress=progress)
            if as_json:
                print_json({"voices": [{"name": name, "path": str(path)}]})
            return
        file = fetch_model(name, progress=progress)
    _tell([file], as_json)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="An ONNX export of upstream's model, or upstream's .pth.")],
    name: Annotated[str, typer.Option("--name", help="What to call it here.")],
    as_json: Json = False,
) -> None:
    """Take a file apart, rebuild our graph with its parameters, prove it against the original, and install it."""
    from kokoro_lab.variants.make import adopt

    installed, recovered, proof = adopt(file, name, notice=notice)
    if proof is None:
        notice("A .pth cannot be run here, so nothing was proved; `make reference` compares such weights with PyTorch")
    if as_json:
        found = {"unread": list(recovered.unread), "proof": None if proof is None else asdict(proof)}
        print_json({"models": [{**asdict(installed), **found}]})
    else:
        for each in recovered.unread:
            notice(f"Not read: {each}")
        _tell([installed], as_json)


@app.command()
def optimize(
    name: Annotated[str, typer.Argument(help="An installed plain model; of a variant, its pre-optimised file.")],
    target: Annotated[str, typer.Option("--name", help="What to call the result; NAME-RECIPE if not given.")] = "",
    kernels: Annotated[bool, typer.Option("--kernels", help="On the compiled operators, in each precision.")] = False,
    as_json: Json = False,
) -> None:
    """Make the optimized fp32 variant, or those on compiled operators, and pre-optimised files for this machine."""
    from kokoro_lab.models.catalog import resolve
    from kokoro_lab.models.recipes import recipe_names
    from kokoro_lab.models.records import KERNELS, read_record
    from kokoro_lab.variants.make import make

    source = resolve(name, notice=notice)
    if (read_record(source.path) or {}).get("recipe"):
        made = [source]
    else:
        recipes = [each for each in recipe_names() if each.startswith(KERNELS)] if kernels else ["optimized"]
        several = len(recipes) > 1
        made = [
            file
            for recipe in recipes
            for file in make(name, recipe, f"{target}-{recipe}" if target and several else target, notice=notice)
        ]
        _preoptimise([source])
    _preoptimise(made)
    _tell(made, as_json)


@app.command()
def quantize(
    name: Annotated[str, typer.Argument(help="An installed plain model.")],
    recipe: Annotated[str, typer.Option("--recipe", help="One of data/recipes/, or a YAML file.")] = "int8",
    target: Annotated[str, typer.Option("--name", help="What to call the result; NAME-RECIPE if not given.")] = "",
    as_json: Json = False,
) -> None:
    """Make a variant by recipe; it is stored with the recipe, the source's sum and the tools' versions."""
    from kokoro_lab.variants.make import make

    made = make(name, recipe, target, notice=notice)
    _preoptimise(made)
    _tell(made, as_json)


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="An installed variant, or any model with --provider.")],
    against: Annotated[str, typer.Option("--against", help="Its reference; what its record names if not given.")] = "",
    provider: Annotated[list[str] | None, typer.Option("--provider", help="Show who takes its nodes instead.")] = None,
    as_json: Json = False,
) -> None:
    """Compare a variant with what it was made of, or show where a file would run. Ends with 1 when it differs."""
    if provider:
        _verify_placement(name, provider, as_json)
    else:
        _verify_quality(name, against, as_json)


app.command()(tune)
app.command()(search)


@app.command()
def bench(
    names: Annotated[list[str], typer.Argument(help="Models to measure.")],
    base: Annotated[str, typer.Option("--base", help="What they are measured against: a name, or a file.")] = "default",
    gate: Annotated[str, typer.Option("--gate", help="Model whose audio is the reference; the base if empty.")] = "",
    tokens: Annotated[str, typer.Option(help="Lengths, of 16, 50, 150 and 400.")] = "16,50,150,400",
    blocks: Annotated[int, typer.Option(help="Fresh processes a model and length; six give intervals.", min=1)] = 6,
    budget_s: Annotated[float, typer.Option(help="Seconds after which no more blocks start.")] = 1800.0,
    keep: Annotated[Path | None, typer.Option(help="Folder of blocks and audio; given again, it is continued.")] = None,
    as_json: Json = False,
) -> None:
    """Measure models against one, interleaved in fresh processes on two threads: about 12 minutes for two of them.

    Ends with 1 when a bar of their recipes is missed, and with 3 when one is not decided.
    """
    import tempfile

    from kokoro_lab.models.catalog import resolve
    from kokoro_lab.variants.bench import bench as measure
    from kokoro_lab.variants.bench import judgements, recipe_of
    from kokoro_lab.variants.probes import random_probe
    from kokoro_lab.variants.profile import profile

    lengths = [int(each) for each in tokens.split(",") if each.strip().isdecimal()]
    recipes = {name: recipe_of(name) for name in names}
    with tempfile.TemporaryDirectory(prefix="kokoro-lab-bench-") as folder:
        rows = measure(
            base,
            names,
            keep or Path(folder),
            reference=gate,
            tokens=lengths,
            blocks=blocks,
            budget_s=budget_s,
            notice=notice,
        )
    judged = judgements(rows, recipes)
    table, bars = [row.as_dict() for row in rows], [each.as_dict() for each in judged]
    missed = {each.model: each.tokens for each in judged if each.state == "missed" and each.figure == "speed"}
    profiles = [
        {"model": name, "tokens": length, **each.as_dict()}
        for name, length in missed.items()
        for each in profile(resolve(name), random_probe(length))
    ]
    if as_json:
        print_json({"base": base, "rows": table, "bars": bars, "profiles": profiles})
    else:
        columns = ("model", "tokens", "speed", "low", "high", "verdict", "gate", "pairs", "memory", "peak_mb", "load")
        print_table(table, (*columns, "load_ms"), title=f"Against {base}")
        print_table(bars, ("model", "figure", "tokens", "bound", "found", "state"), title="Bars")
        if profiles:
            large = [each for each in profiles if each["share"] >= 0.01]
            print_table(large, ("model", "tokens", "operator", "nodes", "ms", "share"), title="Where the time goes")
    for state, error in (("missed", RegressedError), ("undecided", InconclusiveError)):
        if some := [each for each in judged if each.state == state]:
            named = "; ".join(f"{each.model} {each.figure} at {each.tokens} tokens" for each in some)
            raise error(f"{state}: {named}")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="An installed model.")], as_json: Json = False) -> None:
    """Delete an installed model and its record."""
    from kokoro_lab.models.catalog import remove as remove_model

    gone = [str(path) for path in remove_model(name)]
    if as_json:
        print_json({"removed": gone})
    else:
        for path in gone:
            notice(f"Removed {path}")


def _verify_quality(name: str, against: str, as_json: bool) -> None:
    from kokoro_lab.models.architecture import architecture_named
    from kokoro_lab.models.catalog import resolve
    from kokoro_lab.models.partition import read_whole
    from kokoro_lab.models.records import read_record
    from kokoro_lab.variants.probes import check_probes
    from kokoro_lab.variants.verify import verify as compare

    file = resolve(name, notice=notice)
    model = read_whole(file)
    if not any(entry.key == "kokoro_lab.architecture" for entry in model.metadata_props):
        _verify_foreign(file, model, against, as_json)
        return
    made_of = (read_record(file.path) or {}).get("source", {})
    source = made_of.get("name", "")
    if not against and "precision" in made_of:
        raise InputError(
            f"{name} was imported from {source} and proved then; verify that file, or name a reference with --against"
        )
    if not (against or source):
        raise InputError(f"{name} has no record of what it was made of; name its reference with --against")
    reference = resolve(against or source, notice=notice)
    arch = architecture_named(file.architecture)
    found = compare(read_whole(reference), model, check_probes(), arch=arch)
    if as_json:
        print_json({"model": file.name, "reference": reference.name, **found.as_dict()})
    else:
        columns = ("tokens", "moved_tokens", "curves_cents", "snr_db", "log_mel_db", "mcd_db", "whole_log_mel_db")
        print_table(found.as_dict()["readings"], columns)
        _tell_verdict(file, f"{file.name} against {reference.name}: {found.verdict}", found.reasons)
    if found.verdict == "different":
        raise RegressedError(f"{file.name} is different from {reference.name}: {'; '.join(found.reasons[:3])}")


def _verify_foreign(file: ModelFile, model: ModelProto, against: str, as_json: bool) -> None:
    """Another exporter's file: against our graph of the same weights if it was imported, else what it shows alone."""
    from kokoro_lab.models.architecture import architecture_named
    from kokoro_lab.models.catalog import imported_from, resolve
    from kokoro_lab.models.partition import read_whole
    from kokoro_lab.variants.foreign import examine
    from kokoro_lab.variants.probes import check_probes

    reference = resolve(against, notice=notice) if against else imported_from(file.sha256)
    ours = None if reference is None else read_whole(reference)
    found = examine(model, ours, check_probes(), arch=architecture_named((reference or file).architecture))
    if as_json:
        print_json({"model": file.name, "reference": None if reference is None else reference.name, **found.as_dict()})
    else:
        columns = ("tokens", "audio_s", "finite", "silent", "clipped_fraction", "durations_told", "moved_tokens")
        print_table(found.as_dict()["readings"], (*columns, "noisy_db", "noiseless_db", "snr_db"))
        told = f"{file.name} ({found.contract}) "
        told += f"against {reference.name}: {found.verdict}" if reference else "is not compared with anything"
        _tell_verdict(file, told, found.reasons)
    if reference is None:
        notice(
            "Nothing here has the same weights: bring them in with "
            f"`kokoro-lab models import {file.path} --name NAME`, or name a model with --against"
        )
    if found.verdict == "different" or (reference is None and found.reasons):
        raise RegressedError(f"{file.name} does not hold: {'; '.join(found.reasons[:3])}")


def _tell_verdict(file: ModelFile, verdict: str, reasons: Sequence[str]) -> None:
    notice(verdict)
    if file.weights == "stand-in":
        notice("Stand-in weights tell what the arithmetic loses, not how Kokoro would sound")
    for reason in reasons:
        notice(reason)


def _verify_placement(name: str, providers: list[str], as_json: bool) -> None:
    from kokoro_lab.models.architecture import architecture_named
    from kokoro_lab.models.catalog import resolve
    from kokoro_lab.models.partition import read_whole
    from kokoro_lab.variants.coreml import coreml_fallbacks
    from kokoro_lab.variants.portability import openvino_obstacles, place
    from kokoro_lab.variants.probes import check_probes

    file = resolve(name, notice=notice)
    model = read_whole(file)
    ours = any(entry.key == "kokoro_lab.architecture" for entry in model.metadata_props)
    probes = check_probes()[:1] if ours else []
    rows = place(model, providers, probes, arch=architecture_named(file.architecture))
    static = {"coreml": coreml_fallbacks(model), "openvino": openvino_obstacles(model)}
    fallbacks = [{"provider": which, **asdict(each)} for which, found in static.items() for each in found]
    if as_json:
        print_json({"model": file.name, "rows": [row.as_dict() for row in rows], "fallbacks": fallbacks})
        return
    shown = [{**row.as_dict(), "against_cpu": row.heard.verdict if row.heard else ""} for row in rows]
    print_table(shown, ("provider", "environment", "status", "share", "nodes", "against_cpu", "reason"))
    for row in rows:
        for node in row.elsewhere:
            notice(f"Not in {row.provider}: {node}")
        for reason in row.heard.reasons if row.heard else ():
            notice(f"In {row.provider}: {reason}")
    print_table(fallbacks, ("provider", "operator", "count", "reason"), title="By published limits, left to the CPU")


def _preoptimise(files: list[Any]) -> None:
    from kokoro_lab.models.records import BACK
    from kokoro_lab.variants.preoptimized import preoptimized

    for file in files:
        if not file.back and not file.path.name.endswith(BACK):
            notice(f"Wrote {preoptimized(file)} for fast session creation on this machine")


def _tell(files: list[Any], as_json: bool) -> None:
    if as_json:
        print_json({"models": [asdict(file) for file in files]})
    else:
        print_table([asdict(file) for file in files], ("name", "precision", "weights", "bytes", "path"))


@contextmanager
def _progress(name: str) -> Iterator[Any]:
    """A bar on standard error where somebody watches, nothing else."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
