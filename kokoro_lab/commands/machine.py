"""`kokoro-lab voices`, `providers` and `models`: what there is to choose from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kokoro_lab.commands.console import notice, print_json, print_table
from kokoro_lab.errors import InputError
from kokoro_lab.models import catalog

__all__ = ["build_model", "models", "providers", "voices"]


def voices(*, as_json: bool) -> None:
    """Every voice with its language and where its style comes from."""
    from kokoro_lab.models.voices import load_voice, voice_names
    from kokoro_lab.text.languages import language_of_voice

    rows = []
    for name in voice_names():
        voice = load_voice(name)
        path = str(voice.path) if voice.path else None
        rows.append({"name": name, "language": language_of_voice(name), "weights": voice.weights, "path": path})
    if as_json:
        print_json({"voices": rows})
    else:
        print_table(rows, ("name", "language", "weights"))


def providers(*, as_json: bool) -> None:
    """Every execution provider that can be asked for, and whether this onnxruntime has it."""
    from kokoro_lab.runtime.providers import PROVIDERS, availability

    rows = []
    for entry in availability():
        options = [option.name for option in PROVIDERS[entry.name].options]
        rows.append({**asdict(entry), "available": entry.installed, "options": options})
    if as_json:
        print_json({"providers": rows})
    else:
        print_table(rows, ("name", "onnxruntime_name", "available", "runs_on"))


def models(*, as_json: bool) -> None:
    """Installed models, and the stand-ins that are built on first use."""
    rows: list[dict[str, Any]] = [{**asdict(file), "installed": True} for file in catalog.installed()]
    known = {row["name"] for row in rows}
    for name, size in catalog.STAND_INS.items():
        if name not in known:
            rows.append({"name": name, "weights": "stand-in", "architecture": size, "installed": False})
    default = catalog.default_model()
    rows = [{**row, "default": row["name"] == default} for row in rows]
    if as_json:
        print_json({"models": rows, "folder": str(catalog.models_folder())})
    else:
        print_table(rows, ("name", "weights", "architecture", "precision", "bytes", "installed", "default"))


def build_model(name: str, *, as_json: bool) -> None:
    """Build a stand-in, whether or not it is there."""
    if name not in catalog.STAND_INS:
        raise InputError(f"Only stand-ins are built: {', '.join(catalog.STAND_INS)}; got {name!r}.")
    file = catalog.build_stand_in(name, notice=notice)
    if as_json:
        print_json({"models": [asdict(file)]})
