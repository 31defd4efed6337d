"""`kokoro-lab voices` and `providers`: what there is to choose from."""

from __future__ import annotations

from dataclasses import asdict

from kokoro_lab.commands.console import print_json, print_table

__all__ = ["providers", "voices"]


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
