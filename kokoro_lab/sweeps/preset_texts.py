"""The preset texts of sweeps, by name: one file each in data/texts/."""

from __future__ import annotations

from pathlib import Path

from kokoro_lab.errors import PlanError
from kokoro_lab.files.reading import read_text
from kokoro_lab.paths import data_folder

__all__ = ["preset_names", "preset_text", "texts_folder"]


MOST_BYTES = 1 << 20  # an hour of speech


def texts_folder() -> Path:
    """The folder of the presets."""
    return data_folder() / "texts"


def preset_names(folder: Path | None = None) -> list[str]:
    """Names that plans may use, sorted."""
    return sorted(path.stem for path in (folder or texts_folder()).glob("*.txt"))


def preset_text(name: str, folder: Path | None = None) -> str:
    """The text of one preset, without the line end of its file.

    Raises:
        PlanError: unknown name, or a file that is not UTF-8 text of at most MOST_BYTES.
    """
    if name not in preset_names(folder):
        raise PlanError(f"unknown text {name!r}; choose one of {', '.join(preset_names(folder))}")
    path = (folder or texts_folder()) / f"{name}.txt"
    return read_text(path, what="text", most=MOST_BYTES, error=PlanError).rstrip("\n")
