"""The texts that sweeps speak, by preset name: one file each in data/texts/."""

from __future__ import annotations

from pathlib import Path

from kokoro_lab.errors import PlanError
from kokoro_lab.paths import data_folder

__all__ = ["TEXTS", "preset_names", "preset_text"]

TEXTS = data_folder() / "texts"


def preset_names(folder: Path = TEXTS) -> list[str]:
    """Names that plans may use, sorted."""
    return sorted(path.stem for path in folder.glob("*.txt"))


def preset_text(name: str, folder: Path = TEXTS) -> str:
    """The text of one preset, without the line end of its file.

    Raises:
        PlanError: there is no preset of that name.
    """
    if name not in preset_names(folder):
        raise PlanError(f"There is no text called {name!r}: there are {', '.join(preset_names(folder))}.")
    return (folder / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")
