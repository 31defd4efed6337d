"""Where things lie in the results folder, and where the notebooks are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kokoro_lab.paths import ROOT, results_folder

__all__ = ["Results", "notebook_file", "results"]


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

    @property
    def published(self) -> Path:
        """Numbered reports that are kept in git."""
        return self.root / "published"

    def run(self, run_id: str) -> Path:
        """Folder of one run."""
        return self.runs / run_id


def notebook_file(name: str) -> Path:
    """Where the notebook of that name is committed."""
    return ROOT / "notebooks" / f"{name}.ipynb"


def results() -> Results:
    """The results folder of this machine, as an absolute path: other processes are told of it."""
    return Results(results_folder().resolve())
