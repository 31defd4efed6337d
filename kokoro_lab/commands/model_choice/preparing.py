"""`kokoro-lab models prepare`: make the exact form of a model on compiled kernels, as a new model gets it by itself."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer

from kokoro_lab.commands.console import Json, notice, print_json, print_table
from kokoro_lab.engine.config import EngineConfig, variable
from kokoro_lab.errors import BusyError, KokoroLabError
from kokoro_lab.models.catalog import ModelFile
from kokoro_lab.variants.default_form.make_exact import prepare_form

__all__ = ["PrepareOption", "prepare", "prepare_installed"]

PrepareOption = Annotated[
    bool, typer.Option("--prepare/--no-prepare", help="Also make the model's exact form on compiled kernels.")
]
LOWEST_PRIORITY = 19


def prepare(
    name: Annotated[str, typer.Argument(help="Installed model; the default model if none is named.")] = "default",
    background: Annotated[bool, typer.Option("--background", hidden=True)] = False,
    as_json: Json = False,
) -> None:
    """Make the exact form of a model: fp32 on compiled kernels, pre-optimized for this machine, and verified.

    The default model is spoken with it from then on. `say` does this by itself after its first text. It is made once,
    takes about half a minute and needs 0.7 GB of disk. Without compiled kernels the model itself is pre-optimized.
    """
    if background:
        os.nice(LOWEST_PRIORITY)
    try:
        prepared = prepare_form(name, wait=not background, notice=notice)
    except BusyError:
        if background:
            return
        raise
    if prepared.reason:
        notice(f"{prepared.source.name} has no exact form here: {prepared.reason}")
    if as_json:
        print_json({"models": [asdict(prepared.model)], "source": prepared.source.name, "reason": prepared.reason})
    else:
        print_table([asdict(prepared.model)], ("name", "precision", "weights", "bytes", "path"))


def prepare_installed(file: ModelFile, wanted: bool) -> None:
    """Make the exact form of a model that was just installed, where that is wanted; a failure is only a notice."""
    off = variable("prepare") in os.environ and EngineConfig.from_environment().prepare == "off"
    if not wanted or off or file.precision != "fp32":
        return
    try:
        prepared = prepare_form(file.name, notice=notice)
    except KokoroLabError as error:
        notice(error.message)
        return
    if prepared.reason:
        notice(f"{file.name} has no exact form here: {prepared.reason}")
    else:
        notice(f"{prepared.model.name} is the exact form of {file.name} on compiled kernels")
