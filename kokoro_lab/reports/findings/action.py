"""The action that a run supports: the setting to use with the command for it, or what is missing for a decision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.measure.statistics.intervals import FEWEST
from kokoro_lab.measure.statistics.noise import blocks_needed
from kokoro_lab.reports.findings.ladder import Ladder, Rung
from kokoro_lab.reports.findings.noise_floor import noise_lines
from kokoro_lab.reports.findings.setting_names import command
from kokoro_lab.reports.findings.statements import Statement
from kokoro_lab.reports.rows.evidence import Evidence

__all__ = ["Action", "action"]

DECIDE = "kokoro-lab sweep decide"
TUNE = "kokoro-lab models tune"


@dataclass(frozen=True)
class Action:
    """What to do on this machine."""

    statement: Statement
    commands: tuple[str, ...] = ()
    """To copy; the first is enough."""
    decided: bool = False
    """Whether a setting is proven to be the best of the run, the present one included."""


def action(evidence: Evidence, rungs: Ladder) -> Action:
    """The action of a run, from its ladder."""
    if evidence.tiny:
        words = "No setting is recommended: only the full-size model decides"
        return Action(Statement(f"{words}. Measure it with {DECIDE}."), (DECIDE,))
    best = rungs.best
    if best is not None and best.cited is not None:
        return _use(evidence, best)
    if rungs.undecided:
        return _open(evidence, rungs)
    compared = [rung for rung in rungs.rungs if rung.decided and rung.state == "warm"]
    if compared:
        settings = "the one other setting is" if len(compared) == 1 else f"none of {len(compared)} other settings is"
        words = f"Keep {compared[0].base}: {settings} faster with the same audio"
        if len(compared) == 1:
            words = f"Keep {compared[0].base}: {compared[0].name} is not faster with the same audio"
        return Action(Statement(f"{words}."), decided=True)
    return Action(Statement(f"Nothing is decided: no two settings were compared. Compare some: {DECIDE}."), (DECIDE,))


def _use(evidence: Evidence, best: Rung) -> Action:
    assert best.cited is not None
    cited = best.cited
    words = f"Use {best.name}: {cited.factor} than {best.base} {cited.interval}, same audio within the gate."
    candidate, base = _row(evidence, best.candidate_cell), _row(evidence, best.base_cell)
    commands = [command(candidate, base)]
    if candidate["model"] != base["model"]:
        commands.append(TUNE)
    return Action(Statement(words, ratios=(cited,)), tuple(filter(None, commands)), decided=True)


def _open(evidence: Evidence, rungs: Ladder) -> Action:
    first = rungs.undecided[0]
    if first.cited is None:
        words = f"Nothing is decided: {first.name} has no pair of blocks with {first.base}"
    else:
        count = first.cited.speedup.count
        interval = f" {first.cited.interval}" if first.cited.speedup.known else ""
        pairs = "1 pair of blocks" if count == 1 else f"{count} pairs of blocks"
        words = f"Nothing is decided: {first.name} looks {first.cited.factor} than {first.base}{interval}, from {pairs}"
    statement = Statement(f"{words}. {_missing(evidence, first)}", ratios=() if first.cited is None else (first.cited,))
    return Action(statement, (DECIDE,))


def _missing(evidence: Evidence, rung: Rung) -> str:
    """How long it takes to decide about a setting, from the noise of the run and the duration of its blocks."""
    pairs = 0 if rung.cited is None else rung.cited.speedup.count
    needed: int | None = FEWEST
    if rung.cited is not None:
        center = rung.cited.speedup.center
        effect = max(center, 1 / center) - 1
        sd = next((line.spread for line in noise_lines(evidence) if line.text_preset == rung.text_preset), None)
        needed = FEWEST if sd is None else blocks_needed(sd, effect)
    if needed is None:
        return "The difference is too small to be decided on this machine."
    rest = max(needed, FEWEST) - pairs
    if rest <= 0:
        return "A few more pairs decide it."
    seconds = rest * sum(_seconds(evidence, name) for name in (rung.candidate_cell, rung.base_cell))
    if not math.isfinite(seconds):
        return f"{rest} more pairs of blocks decide it."
    minutes = max(1, math.ceil(seconds / 60))
    return f"About {'1 more minute decides' if minutes == 1 else f'{minutes} more minutes decide'} it."


def _seconds(evidence: Evidence, cell_id: str) -> float:
    """Median duration of a cell's blocks, from starting the process to its end; 0 without any."""
    walls = evidence.cells.loc[evidence.cells["cell_id"] == cell_id, "wall_s"].median()
    return 0.0 if pd.isna(walls) else float(walls)


def _row(evidence: Evidence, cell_id: str) -> dict[str, Any]:
    first = evidence.cells[evidence.cells["cell_id"] == cell_id].iloc[0]
    return {str(name): value for name, value in first.items()}
