"""Where committed inputs, notebooks, models and results are.

Three kinds of folder can hold inputs and notebooks; the first that does is used:

1. the lab that the working directory belongs to: it, or a folder above it, holds kokoro-lab.toml, which
   `kokoro-lab init` writes;
2. the checkout of the repository that this package is imported from;
3. the copy that a wheel carries inside the package.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import platformdirs

from kokoro_lab.errors import SettingError
from kokoro_lab.files.reading import reason

__all__ = [
    "MARKER",
    "checkout",
    "data_folder",
    "home",
    "lab_folder",
    "notebooks_folder",
    "original_inputs",
    "results_folder",
]

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds the package: the top of a checkout, or site-packages."""

MARKER = "kokoro-lab.toml"
"""The file that makes a folder a lab."""

CARRIED = Path(__file__).resolve().parent / "_lab"
"""Where a wheel has its copy of data/ and notebooks/; setup.py puts it there."""


def lab_folder() -> Path | None:
    """The lab that the working directory belongs to; None outside of any."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the working directory was deleted
        return None
    return next((folder for folder in (here, *here.parents) if (folder / MARKER).is_file()), None)


def checkout() -> Path | None:
    """The top of the repository that this package is imported from; None for an installed copy."""
    return ROOT if (ROOT / "pyproject.toml").is_file() and (ROOT / "data").is_dir() else None


def original_inputs() -> Path:
    """The folder whose data/ and notebooks/ belong to this version of the package, whatever lab one is in."""
    return checkout() or CARRIED


def data_folder() -> Path:
    """The committed inputs: texts, claims, sweep plans, the model catalogue, the lexicon."""
    return _inputs("data")


def notebooks_folder() -> Path:
    """The parameterized notebooks."""
    return _inputs("notebooks")


def home() -> Path:
    """Models, voices and caches: KOKORO_LAB_HOME, or the user's cache directory."""
    named = os.environ.get("KOKORO_LAB_HOME")
    return _usable(named or platformdirs.user_cache_dir("kokoro-lab", appauthor=False), "KOKORO_LAB_HOME")


def results_folder() -> Path:
    """Tables, runs and reports: KOKORO_LAB_RESULTS, or results/ of the lab or the checkout.

    An installed package outside of any lab has them in the user's data directory, so that a later command finds them
    from any folder.
    """
    named = os.environ.get("KOKORO_LAB_RESULTS")
    if not named:
        place = lab_folder() or checkout() or Path(platformdirs.user_data_dir("kokoro-lab", appauthor=False))
        named = str(place / "results")
    return _usable(named, "KOKORO_LAB_RESULTS")


def _usable(named: str, variable: str) -> Path:
    """The folder, as an absolute path: other processes have other working directories. It may be missing.

    Raises SettingError for what is not, and cannot become, a folder.
    """
    try:
        folder = Path(named).expanduser().absolute()
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise SettingError(f"{folder} is not a folder; set {variable} to a folder")
    except FileNotFoundError as error:
        if not Path(named).is_absolute() and not _has_working_directory():
            raise SettingError(
                f"the working directory was deleted; change to another, or set {variable} to an absolute path"
            ) from error
        return folder
    except (OSError, RuntimeError, ValueError) as error:  # a loop, a long name; ~nobody, no home; a null character
        raise SettingError(
            f"folder {named} cannot be used: {reason(error).rstrip('.')}; set {variable} to a folder"
        ) from error
    return folder


def _has_working_directory() -> bool:
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False


def _inputs(name: str) -> Path:
    lab = lab_folder()
    return lab / name if lab is not None and (lab / name).is_dir() else original_inputs() / name
