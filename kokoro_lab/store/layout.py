"""The layout of the results folder, what may name a run, and the location of the notebooks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kokoro_lab.errors import InputError, KokoroLabError
from kokoro_lab.files.reading import reason
from kokoro_lab.paths import notebooks_folder, results_folder

__all__ = [
    "LABEL",
    "LATEST",
    "RUN_ID",
    "Results",
    "check_run_id",
    "is_label",
    "is_run_id",
    "notebook_file",
    "results",
]

RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"
"""A run id names a folder, a report and a partition of the tables."""

LABEL = r"^[A-Za-z0-9][A-Za-z0-9-]{0,39}$"
"""A name or a tag of a run: it could be a run id, so that either may stand wherever a run is named."""

LATEST = "latest"
"""The folder of the newest report; therefore no name of a run."""


def is_run_id(name: str) -> bool:
    """Whether the name can be that of a run."""
    return re.fullmatch(RUN_ID, name) is not None and name.lower() != LATEST


def is_label(name: object) -> bool:
    """Whether this can be the name or a tag of a run."""
    return isinstance(name, str) and re.fullmatch(LABEL, name) is not None and name.lower() != LATEST


def check_run_id(name: str, *, error: type[KokoroLabError] = InputError) -> str:
    """The name, if it can be that of a run; otherwise raises `error`. Every run id from outside passes through here."""
    if not is_run_id(name):
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        raise error(
            f"invalid run id {shown!r}; use at most 80 letters, digits, dots, dashes and underscores, "
            f"the first a letter or a digit, and not {LATEST!r}"
        )
    return name


@dataclass(frozen=True)
class Results:
    """The results folder; the properties create nothing."""

    root: Path

    @property
    def tables(self) -> Path:
        """Delta tables."""
        return self.root / "tables"

    @property
    def runs(self) -> Path:
        """One folder a run: job files, executed notebooks, progress, stored audio."""
        return self.root / "runs"

    @property
    def reports(self) -> Path:
        """Rendered reports, one folder a run, and `latest`."""
        return self.root / "reports"

    @property
    def published(self) -> Path:
        """Numbered reports that are committed to git."""
        return self.root / "published"

    @property
    def quarantine(self) -> Path:
        """What `results check --repair` took out of the tables, one folder a repair."""
        return self.root / "quarantine"

    def run(self, run_id: str) -> Path:
        """Folder of one run; raises InputError for a name that no run can have."""
        return self.runs / check_run_id(run_id)

    def plan(self, run_id: str) -> Path:
        """The plan that a run was started with; only sweeps have one."""
        return self.run(run_id) / "plan.json"

    def report(self, run_id: str) -> Path:
        """Folder of the report of one run; raises InputError for a name that no run can have."""
        return self.reports / check_run_id(run_id)

    def inside(self, path: Path) -> Path:
        """The path, if it is within the results folder once every symbolic link is followed.

        Raises InputError otherwise; ask before a folder is written to or removed.
        """
        try:
            within = path.resolve().is_relative_to(self.root.resolve())
        except (OSError, RuntimeError, ValueError) as problem:  # a loop of links, or a null character
            raise InputError(f"{path} cannot be used: {reason(problem)}; remove it") from problem
        if not within:
            raise InputError(f"{path} leads out of the results folder {self.root}; replace the link by a folder")
        return path


def notebook_file(name: str) -> Path:
    """The path of the notebook of that name: in the lab, the checkout or the installed package."""
    return notebooks_folder() / f"{name}.ipynb"


def results() -> Results:
    """The results folder of this machine, as an absolute path, because it is passed to other processes."""
    return Results(results_folder().resolve())
