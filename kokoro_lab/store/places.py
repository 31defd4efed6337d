"""Where things lie: the checkout with its inputs, and the results folder with its tables, runs and reports."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROJECT", "RESULTS_VARIABLE", "Results", "notebook_file", "results"]

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout: data/, notebooks/ and results/ are in it."""

RESULTS_VARIABLE = "KOKORO_LAB_RESULTS"
"""Environment variable that puts the results elsewhere."""


@dataclass(frozen=True)
class Results:
    """The results folder; nothing is created by asking for a path."""

    root: Path

    @property
    def tables(self) -> Path:
        """Delta tables."""
        return self.root / "tables"

    @property
    def runs(self) -> Path:
        """One folder a run: job files, executed notebooks, progress, kept audio."""
        return self.root / "runs"

    @property
    def reports(self) -> Path:
        """Rendered reports, one folder a run, and `latest`."""
        return self.root / "reports"

    def run(self, run_id: str) -> Path:
        """Folder of one run."""
        return self.runs / run_id


def notebook_file(name: str) -> Path:
    """Where the notebook of that name is committed."""
    return PROJECT / "notebooks" / f"{name}.ipynb"


def results() -> Results:
    """The folder that KOKORO_LAB_RESULTS names, else results/ in the checkout."""
    named = os.environ.get(RESULTS_VARIABLE, "").strip()
    return Results(Path(named).expanduser().resolve() if named else PROJECT / "results")
