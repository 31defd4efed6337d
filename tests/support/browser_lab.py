"""What the browser check drives: where things are, and a JupyterLab that runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "results" / "check"
"""Screenshots stay here after the check, to be looked at."""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    address: str
    token: str
    results: Path

    def page(self, path: str) -> str:
        """Address of one document, alone on the page."""
        return f"{self.address}/doc/tree/{path}?token={self.token}"
