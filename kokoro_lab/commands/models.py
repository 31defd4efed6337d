"""`kokoro-lab models`: list, build, fetch, import, convert, verify, tune and remove model files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from kokoro_lab.commands.console import FORWARDED, Json, forward, notice, print_json, print_table
from kokoro_lab.commands.model_choice.preparing import PrepareOption, prepare, prepare_installed
from kokoro_lab.commands.model_choice.tuning import search, tune
from kokoro_lab.errors import InputError, ModelError, RegressedError
from kokoro_lab.files.reading import decoding
from kokoro_lab.models.catalog import STAND_INS, build_stand_in, imported_from, models_folder, resolve
from kokoro_lab.models.catalog import remove as remove_model
from kokoro_lab.models.fetch import fetch as fetch_model
from kokoro_lab.models.fetch import fetch_voices
from kokoro_lab.models.files.model_record import BACK, KERNELS, read_record
from kokoro_lab.models.files.published import published_files
from kokoro_lab.models.graph.architecture import architecture_named
from kokoro_lab.models.listing import listing
from kokoro_lab.models.rewrite.partition import read_whole
from kokoro_lab.models.rewrite.variant_recipes import recipe_names
from kokoro_lab.models.verification_records import record_verification
from kokoro_lab.runtime.trial.first_opening import ensure_harmless
from kokoro_lab.variants.coreml import coreml_fallbacks
from kokoro_lab.variants.foreign_model import examine
from kokoro_lab.variants.make import adopt, make
from kokoro_lab.variants.make_preoptimized import preoptimized
from kokoro_lab.variants.model_verification import ensure_verified, verify_model
from kokoro_lab.variants.portability import openvino_obstacles, place
from kokoro_lab.variants.probes import check_probes

if TYPE_CHECKING:
    from onnx import ModelProto

    from kokoro_lab.models.files.model_record import ModelFile

__all__ = ["app"]

app = typer.Typer(rich_markup_mode=None)

COLUMNS = ("name", "weights", "architecture", "precision", "contract", "bytes", "installed", "default")


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models of the catalog and the installed models."""
    rows = listing()
    if as_json:
        print_json({"models": rows, "folder": str(models_folder())})
    else:
        print_table(rows, COLUMNS)


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="Model to build: stand-in or tiny.")] = "stand-in",
    prepared: PrepareOption = True,
    as_json: Json = False,
) -> None:
    """Build a stand-in model with seeded weights."""
    if name not in STAND_INS:
        raise InputError(f"cannot build {name!r}; choose one of {', '.join(STAND_INS)}")
    file = build_stand_in(name, notice=notice)
    prepare_installed(file, prepared)
    _print_files([file], as_json)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Published model or voices; see `models list`.")],
    prepared: PrepareOption = True,
    as_json: Json = False,
) -> None:
    """Download and install a published model, or voices.

    The size and SHA-256 of the file are checked, and an interrupted download is continued.
    """
    with _progress(name) as progress:
        if any(file.name == name for file in published_files("voices")):
            path = fetch_voices(name, progress=progress)
            if as_json:
                print_json({"voices": [{"name": name, "path": str(path)}]})
            return
        file = fetch_model(name, progress=progress)
    prepare_installed(file, prepared)
    _print_files([file], as_json)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="ONNX export of upstream's model, or upstream's .pth.")],
    name: Annotated[str, typer.Option("--name", help="Name for the imported model.")],
    prepared: PrepareOption = True,
    as_json: Json = False,
) -> None:
    """Import an ONNX export or a .pth of upstream's model.

    Our graph is built with the parameters of the file, compared with the original, and installed.
    """
    installed, recovered, proof = adopt(file, name, notice=notice)
    if proof is None:
        notice("not verified, as a .pth cannot be run here; `make reference` compares such weights with PyTorch")
    else:
        prepare_installed(installed, prepared)
    if as_json:
        details = {"unread": list(recovered.unread), "proof": None if proof is None else asdict(proof)}
        print_json({"models": [{**asdict(installed), **details}]})
    else:
        for each in recovered.unread:
            notice(f"not read: {each}")
        _print_files([installed], as_json)


@app.command()
def optimize(
    name: Annotated[str, typer.Argument(help="Installed plain model, or a variant to pre-optimize.")],
    target: Annotated[str, typer.Option("--name", help="Name of the result (default: NAME-RECIPE).")] = "",
    kernels: Annotated[bool, typer.Option("--kernels", help="Use the compiled operators, in each precision.")] = False,
    as_json: Json = False,
) -> None:
    """Build optimized variants and pre-optimized files.

    The result is the optimized fp32 variant, or, with --kernels, a variant on compiled operators in each precision.
    The pre-optimized files load faster, on this machine only.
    """
    source = resolve(name, notice=notice)
    if (read_record(source.path) or {}).get("recipe"):
        variants = [source]
    else:
        recipes = [each for each in recipe_names() if each.startswith(KERNELS)] if kernels else ["optimized"]
        several = len(recipes) > 1
        variants = [
            file
            for recipe in recipes
            for file in make(name, recipe, f"{target}-{recipe}" if target and several else target, notice=notice)
        ]
        _preoptimize([source])
    _preoptimize(variants)
    _verify_made(variants)
    _print_files(variants, as_json)


@app.command()
def quantize(
    name: Annotated[str, typer.Argument(help="Installed plain model.")],
    recipe: Annotated[
        str, typer.Option("--recipe", help="Name of a recipe in data/recipes/, or a YAML file.")
    ] = "int8",
    target: Annotated[str, typer.Option("--name", help="Name of the result (default: NAME-RECIPE).")] = "",
    as_json: Json = False,
) -> None:
    """Build a variant by a recipe.

    The variant's record has the recipe, the source's SHA-256 and the versions of the tools.
    """
    variants = make(name, recipe, target, notice=notice)
    _preoptimize(variants)
    _verify_made(variants)
    _print_files(variants, as_json)


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="Installed variant; with --provider, any model.")],
    against: Annotated[str, typer.Option("--against", help="Reference model (default: the variant's source).")] = "",
    provider: Annotated[
        list[str] | None, typer.Option("--provider", help="Execution provider to check; repeat for several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a variant with its source model, and record the verdict for its bytes.

    Without a record, a model is never ranked and never becomes the default.
    With --provider, show instead which nodes an execution provider takes. Exit code 1: the output is different.
    """
    if provider:
        _verify_placement(name, provider, as_json)
    else:
        _verify_quality(name, against, as_json)


app.command()(prepare)
app.command()(tune)
app.command()(search)


@app.command("bench", **FORWARDED)
def bench(context: typer.Context) -> None:
    """Earlier spelling of `kokoro-lab bench models`."""
    forward("kokoro_lab.commands.bench", "models", context)


@app.command()
def remove(name: Annotated[str, typer.Argument(help="Installed model.")], as_json: Json = False) -> None:
    """Delete an installed model and its record."""
    removed = [str(path) for path in remove_model(name)]
    if as_json:
        print_json({"removed": removed})
    else:
        for path in removed:
            notice(f"removed {path}")


def _verify_quality(name: str, against: str, as_json: bool) -> None:
    file = resolve(name, notice=notice)
    ensure_harmless(file, notice)
    model = read_whole(file)
    if not any(entry.key == "kokoro_lab.architecture" for entry in model.metadata_props):
        _verify_foreign(file, model, against, as_json)
        return
    verified = verify_model(file, against, notice=notice)
    reference, result = verified.reference, verified.result
    if as_json:
        recorded = not verified.unrecorded
        print_json({"model": file.name, "reference": reference.name, "recorded": recorded, **result.as_dict()})
    else:
        columns = ("tokens", "moved_tokens", "curves_cents", "snr_db", "log_mel_db", "mcd_db", "whole_log_mel_db")
        print_table(result.as_dict()["readings"], columns)
        _print_verdict(file, f"{file.name} compared with {reference.name}: {result.verdict}", result.reasons)
        _print_unrecorded(verified.unrecorded)
    if result.verdict == "different":
        reasons = ", ".join(result.reasons[:3])
        raise RegressedError(f"{file.name} is different from {reference.name} ({reasons}); use another variant")


def _verify_foreign(file: ModelFile, model: ModelProto, against: str, as_json: bool) -> None:
    """Compare another exporter's file with our graph of the same weights if it was imported, else check it alone."""
    reference = resolve(against, notice=notice) if against else imported_from(file.sha256)
    if reference is not None:
        ensure_harmless(reference, notice)
    ours = None if reference is None else read_whole(reference)
    with decoding(f"model file {file.path.name}", error=ModelError, advice="export it again"):
        result = examine(model, ours, check_probes(), arch=architecture_named((reference or file).architecture))
    if as_json:
        print_json({"model": file.name, "reference": None if reference is None else reference.name, **result.as_dict()})
    else:
        columns = ("tokens", "audio_s", "finite", "silent", "clipped_fraction", "durations_told", "moved_tokens")
        print_table(result.as_dict()["readings"], (*columns, "noisy_db", "noiseless_db", "snr_db"))
        words = f"{file.name} ({result.contract}) "
        words += f"compared with {reference.name}: {result.verdict}" if reference else "has no reference"
        _print_verdict(file, words, result.reasons)
    if reference is not None and result.verdict is not None:
        _print_unrecorded(record_verification(file, reference, result.verdict, result.reasons))
    elif reference is None:
        notice(
            "no installed model has the same weights; import them with "
            f"`kokoro-lab models import {file.path} --name NAME`, or name a model with --against"
        )
    if result.verdict == "different" or (reference is None and result.reasons):
        raise RegressedError(f"{file.name} is faulty ({', '.join(result.reasons[:3])}); export it again")


def _print_unrecorded(reason: str) -> None:
    if reason:
        notice(f"not recorded: {reason}")


def _print_verdict(file: ModelFile, verdict: str, reasons: Sequence[str]) -> None:
    notice(verdict)
    if file.weights == "stand-in":
        notice("with stand-in weights, this shows the numerical loss, not how Kokoro would sound")
    for reason in reasons:
        notice(reason)


def _verify_placement(name: str, providers: list[str], as_json: bool) -> None:
    file = resolve(name, notice=notice)
    ensure_harmless(file, notice)
    model = read_whole(file)
    ours = any(entry.key == "kokoro_lab.architecture" for entry in model.metadata_props)
    probes = check_probes()[:1] if ours else []
    rows = place(model, providers, probes, arch=architecture_named(file.architecture))
    static = {"coreml": coreml_fallbacks(model), "openvino": openvino_obstacles(model)}
    fallbacks = [{"provider": which, **asdict(each)} for which, items in static.items() for each in items]
    if as_json:
        print_json({"model": file.name, "rows": [row.as_dict() for row in rows], "fallbacks": fallbacks})
        return
    shown = [{**row.as_dict(), "against_cpu": row.heard.verdict if row.heard else ""} for row in rows]
    print_table(shown, ("provider", "environment", "status", "share", "nodes", "against_cpu", "reason"))
    for row in rows:
        for node in row.elsewhere:
            notice(f"not run by {row.provider}: {node}")
        for reason in row.heard.reasons if row.heard else ():
            notice(f"{row.provider}: {reason}")
    print_table(fallbacks, ("provider", "operator", "count", "reason"), title="Left to the CPU by published limits")


def _preoptimize(files: list[Any]) -> None:
    for file in files:
        if not file.back and not file.path.name.endswith(BACK):
            notice(f"wrote {preoptimized(file)}, which loads faster on this machine")


def _verify_made(files: list[ModelFile]) -> None:
    """What was just made can be ranked only when it is verified; a split model is verified by its common name."""
    for name in dict.fromkeys(file.name.removesuffix("-front").removesuffix("-back") for file in files):
        ensure_verified(resolve(name), notice=notice)


def _print_files(files: list[Any], as_json: bool) -> None:
    if as_json:
        print_json({"models": [asdict(file) for file in files]})
    else:
        print_table([asdict(file) for file in files], ("name", "precision", "weights", "bytes", "path"))


@contextmanager
def _progress(name: str) -> Iterator[Any]:
    """A progress bar on standard error if that is a terminal, else none."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
