"""Where the project keeps its committed inputs, its models and its results."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["data_folder", "home", "results_folder"]

ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """The committed inputs: texts, claims, sweep plans, the model catalogue, the lexicon."""
    return ROOT / "data"


def home() -> Path:
    """Models, voices and caches: KOKORO_LAB_HOME, or the user's cache directory."""
    named = os.environ.get("KOKORO_LAB_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("kokoro-lab", appauthor=False))


def results_folder() -> Path:
    """Tables, runs and reports: KOKORO_LAB_RESULTS, or results/ beside the package."""
    named = os.environ.get("KOKORO_LAB_RESULTS")
    return Path(named).expanduser() if named else ROOT / "results"
