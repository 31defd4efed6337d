"""`kokoro-lab voices` and `kokoro-lab providers`: list what this installation has."""

from __future__ import annotations

from dataclasses import asdict

from kokoro_lab.commands.console import notice, print_json, print_table
from kokoro_lab.errors import VoiceError
from kokoro_lab.models.voices import load_voice, voice_names
from kokoro_lab.runtime.providers import PROVIDERS, availability
from kokoro_lab.text.languages import language_of_voice

__all__ = ["providers", "voices"]


def voices(*, as_json: bool) -> None:
    """Print every voice with its language and the origin of its weights; of an unreadable file, why it is one."""
    rows = [_voice(name) for name in voice_names()]
    if as_json:
        print_json({"voices": rows})
    else:
        print_table(rows, ("name", "language", "weights"))
        for error in dict.fromkeys(filter(None, (row["error"] for row in rows))):
            notice(error)


def _voice(name: str) -> dict[str, str | None]:
    row: dict[str, str | None] = {"name": name, "language": None, "weights": None, "path": None, "error": None}
    try:
        voice = load_voice(name)
    except VoiceError as error:
        return row | {"error": error.message}
    path = str(voice.path) if voice.path else None
    return row | {"language": language_of_voice(name), "weights": voice.weights, "path": path}


def providers(*, as_json: bool) -> None:
    """Print every known execution provider, and whether this onnxruntime has it."""
    rows = []
    for entry in availability():
        options = [option.name for option in PROVIDERS[entry.name].options]
        rows.append({**asdict(entry), "available": entry.installed, "options": options})
    if as_json:
        print_json({"providers": rows})
    else:
        print_table(rows, ("name", "onnxruntime_name", "available", "runs_on"))
