"""Where the figures of a machine changed: change points over its commits, by cell.

Every run measures its reference cell among the others, so a cell is followed by its ratio to that reference. A change
of the machine's own speed cancels out; so does a change that affects all cells alike, which `kokoro-lab gate --witness
instructions` shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kokoro_lab.measure.statistics.between_runs import RunRatio
from kokoro_lab.measure.statistics.change_points import RunNoise, change_points, run_noise
from kokoro_lab.measure.statistics.comparison import MARGIN
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.rows.workbook import whole
from kokoro_lab.store.cross_run_comparison import SeriesKey, series_of_runs
from kokoro_lab.store.sides import StoredRun

__all__ = ["FIGURES", "ChangeHistory", "HistoryChange", "change_history"]

FIGURES = {"rtf": "real-time factor", "ttfa_ms": "time to first audio", "total_ms": "total time"}

State = tuple[str, bool, str]
"""Commit, whether it had uncommitted changes, software."""


@dataclass(frozen=True)
class HistoryChange:
    """A change of one cell between two states of code and software on one machine."""

    figure: str
    name: str
    """Text, cell and reference."""
    machine: str
    before: str
    """The last state before the change: its commit, and its software where that changed too."""
    after: str
    """The first state after it."""
    ratio: Interval
    """Ratio to the reference after the change over the ratio before it; `count` is the number of runs."""
    runs: tuple[int, int]
    """Runs before and after, each up to the next change."""
    run_after: str
    """The first run after the change."""

    @property
    def verdict(self) -> str:
        """faster or slower."""
        return "faster" if self.ratio.center < 1 else "slower"


@dataclass(frozen=True)
class ChangeHistory:
    """The changes of a store, and what was searched for them."""

    changes: tuple[HistoryChange, ...]
    """By figure, then the order of time."""
    series: int
    """Series with at least two states, each a cell and a figure."""
    undecided: int
    """Those whose noise between runs is unknown."""

    @property
    def summary(self) -> str:
        """What was searched, and what was found, in one or two sentences."""
        if not self.series:
            return "All runs of each cell have the same commit and software versions, so there is nothing to compare."
        found = len(self.changes)
        words = f"{whole(found)} change {'point' if found == 1 else 'points'} in {whole(self.series)} series of ratios"
        words += f"; a change is one of more than {100 * MARGIN:.0f} % that the noise of runs does not explain."
        if self.undecided:
            words += (
                f" The noise between runs of {whole(self.undecided)} series is unknown: repeat a run of one commit."
            )
        return words


def change_history(runs: Sequence[StoredRun], figures: Sequence[str] = tuple(FIGURES)) -> ChangeHistory:
    """Search the runs, oldest first, for changes; machines are never mixed."""
    changes: list[HistoryChange] = []
    searched = undecided = 0
    for figure in figures:
        series = {key: states for key, found in series_of_runs(runs, figure).items() if (states := _states(found))}
        for key, states in series.items():
            noise = run_noise([ratios for _, _, ratios in states])
            searched += 1
            undecided += not noise.known
            beside = sum(other.machine_id == key.machine_id for other in series)
            changes += _changes(figure, key, states, noise, beside)
    return ChangeHistory(tuple(changes), searched, undecided)


def _states(found: Sequence[tuple[StoredRun, RunRatio]]) -> list[tuple[State, str, list[RunRatio]]]:
    """The states of a series in the order of their first runs, with the name of that run; empty with a single state.

    A later rerun of an older state belongs to that state, so a machine that drifts between the two is seen as noise.
    """
    states: dict[State, tuple[str, list[RunRatio]]] = {}
    for run, ratio in found:
        states.setdefault((run.commit, run.dirty, run.software_id), (run.run_id, []))[1].append(ratio)
    return [(state, first, ratios) for state, (first, ratios) in states.items()] if len(states) > 1 else []


def _changes(
    figure: str, key: SeriesKey, states: Sequence[tuple[State, str, list[RunRatio]]], noise: RunNoise, beside: int
) -> list[HistoryChange]:
    """The changes of one series; `beside`: the series of its machine and figure, for which the search is corrected."""
    changes = []
    for point in change_points([ratios for _, _, ratios in states], noise, series=beside):
        (earlier, *_), (later, run_id, _) = states[point.at - 1], states[point.at]
        before, after = _names(earlier, later)
        changes.append(
            HistoryChange(figure, key.name, key.machine_id[:6], before, after, point.ratio, point.runs, run_id)
        )
    return changes


def _names(before: State, after: State) -> tuple[str, str]:
    """Names of two states: the commits, and the software where it differs."""
    names = [f"{commit[:7] or 'unknown'}{'+' if dirty else ''}" for commit, dirty, _ in (before, after)]
    if before[2] != after[2]:
        names = [f"{name} with software {state[2][:6]}" for name, state in zip(names, (before, after), strict=True)]
    return names[0], names[1]
