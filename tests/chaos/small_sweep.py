"""A sweep of one notebook and the tiny model, for attacks on the whole command."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from chaos.lab import Lab

__all__ = ["BLOCKS", "missing_blocks", "write_plan"]

BLOCKS = 2
PLAN = f"""\
name: chaos
about: One notebook of the tiny model.
budget_s: 600
seed: 20
model: tiny
notebooks:
  - notebook: listen
    blocks: {BLOCKS}
    retries: 0
    groups:
      - {{text: ultra-short, repeats: 1, warmup_cap: 1}}
"""


def write_plan(folder: Path) -> Path:
    """Write the plan into a folder."""
    path = folder / "chaos.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def missing_blocks(lab: Lab, run_id: str = "chaos") -> str:
    """What is wrong with the stored blocks of a completed sweep, in words; empty when nothing is."""
    from kokoro_lab.store import StoreReader

    try:
        cells = StoreReader(lab.results / "tables").cells(run_id)
    except Exception as error:
        return f"the tables cannot be read ({type(error).__name__}: {error})"
    counts = Counter(int(number) for number in cells["block"])
    if counts != Counter(range(BLOCKS)):
        return f"the blocks {sorted(counts.elements())} are stored, not each of {BLOCKS} once"
    failed = sorted({f"{row['status']}: {row['error']}" for row in cells.to_dict("records")} - {"ok: "})
    return f"blocks failed ({', '.join(failed)})" if failed else ""
