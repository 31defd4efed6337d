"""The answer in plain words, made from the rows, for a reader who reads nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.claim_reading import matching_cells
from kokoro_lab.reports.claims.claims import Claim
from kokoro_lab.reports.claims.resolution import Resolution, Verdict
from kokoro_lab.reports.findings.action import Action, action
from kokoro_lab.reports.findings.ladder import Ladder, ladder
from kokoro_lab.reports.findings.statements import CitedFigure, Statement, cited_claim, own_resolution
from kokoro_lab.reports.rows.cell_summary import CellFigure, best, cell_figures, number, reach, stated
from kokoro_lab.reports.rows.evidence import Evidence

__all__ = ["TESTED", "ReportAnswer", "Tile", "answer", "gap_words"]

KEY_CLAIMS = {
    "ttfa-short-target": "Time to first audio, short text",
    "ttfa-half-second-target": "Time to first audio, medium text",
    "ttfa-long-target": "Time to first audio, long text",
    "rtf-near-real-time": "Real-time factor",
    "cold-start-target": "Cold start, short text",
    "memory-target": "Memory, warm engine",
}
"""Claims shown at the top, and their names there."""

METRIC_NAMES = {
    "ttfa_ms": "time to first audio",
    "total_ms": "total time",
    "rtf": "real-time factor",
    "rss_mb": "memory",
    "rss_peak_mb": "peak memory",
    "startup_ms": "start-up time",
    "error_share": "failed calls",
}

TESTED: tuple[Verdict, ...] = ("met", "missed", "inconclusive", "placebo")
"""Verdicts of claims that were compared with rows."""


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page: value, interval, target and verdict of the same cell."""

    name: str
    value: str
    interval: str
    claimed: str
    verdict: str
    gap: str
    """Measured value relative to the target, in words; empty when there is no gap."""
    cell_id: str = ""


@dataclass(frozen=True)
class ReportAnswer:
    """What to do, the headline, the sentences below it, and the key figures."""

    statements: Sequence[Statement]
    """The headline first, then the action."""
    tiles: Sequence[Tile]
    action: Action
    ladder: Ladder
    """What the action is chosen from."""

    @property
    def headline(self) -> str:
        """What a reader sees who reads nothing else."""
        return self.statements[0].text

    @property
    def sentences(self) -> Sequence[str]:
        """The action, then the sentences below the headline, the most important first."""
        return [statement.text for statement in self.statements[1:]]


def answer(evidence: Evidence, resolutions: Sequence[Resolution]) -> ReportAnswer:
    """What the rows of the run show, the most important first."""
    statements = [
        _whether_tiny(evidence),
        _speed(evidence),
        _cold(evidence),
        _tested(resolutions),
        _nearest(resolutions),
        _absent(evidence),
        _disturbed(evidence),
        _of_other_bytes(evidence),
    ]
    tiles = [] if evidence.tiny else _tiles(evidence, resolutions)
    below = [statement for statement in statements if statement.text]
    rungs = ladder(evidence)
    chosen = action(evidence, rungs)
    return ReportAnswer([_headline(evidence, resolutions), chosen.statement, *below], tiles, chosen, rungs)


def gap_words(gap: Interval | None) -> str:
    """A gap as a factor: `14.5x the target`, `0.34x the target`."""
    return "" if gap is None else f"{number(gap.center)}x the target"


def _headline(evidence: Evidence, resolutions: Sequence[Resolution]) -> Statement:
    if evidence.tiny:
        which = "the tiny model ran" if "tiny" in evidence.architectures else "no model has the full architecture"
        return Statement(f"The toolchain works end to end. Speed was not measured: {which}.")
    figures = cell_figures(evidence, "ttfa_ms")
    first = _first_audio(figures, resolutions)
    if first is None:
        disturbed = bool(evidence.samples["contaminated"].all())
        why = "other processes disturbed every block" if disturbed else "no undisturbed warm cell has equivalent audio"
        return Statement(f"Nothing can be ranked: {why}." + (" Measure again on a quiet machine." if disturbed else ""))
    start = f"a text of {first.characters} characters starts playing after {first.duration}{_against(first)}"
    # The pace is that of the same cell: the fastest pace of another one would be heard as this one's.
    paces = [figure for figure in cell_figures(evidence, "rtf") if figure.cell_id == first.cell_id]
    if not paces:
        return Statement(f"On this machine {start} ({first.label}).", (first,))
    pace = CitedFigure.of(paces[0], "rtf")
    return Statement(f"This machine synthesises speech {pace.pace}, and {start} ({first.label}).", (pace, first))


def _first_audio(figures: Sequence[CellFigure], resolutions: Sequence[Resolution]) -> CitedFigure | None:
    """The figure of the headline, of the longest text that allows the most to be said.

    That is a cell with a decided target; without one, the best cell of a text with an interval; else, of any text.
    """
    cited = [CitedFigure.of(figure, "ttfa_ms", own_resolution(figure, "ttfa_ms", resolutions)) for figure in figures]
    decided = [figure for figure in cited if figure.verdict in ("met", "missed")]
    ranked = [figure for figure in figures if figure.ranked == "equivalent"]
    bests = [top for text in dict.fromkeys(f.text_preset for f in ranked) if (top := best(ranked, text))]
    of_best = [figure for figure in cited if figure.cell_id in {top.cell_id for top in bests}]
    for candidates in (decided, [figure for figure in of_best if figure.measured.known], of_best):
        if candidates:
            return max(candidates, key=lambda figure: (figure.characters, -figure.measured.center))
    return None


def _against(figure: CitedFigure) -> str:
    """Whether the figure's own target was met, as the end of a sentence."""
    if figure.verdict == "met":
        return ", within the claimed target"
    if figure.verdict == "missed" and figure.gap is not None:
        return f", {_times(figure.gap)} the claimed target"
    return ""


def _whether_tiny(evidence: Evidence) -> Statement:
    if evidence.tiny and "tiny" not in evidence.architectures:
        return Statement(
            "The model is neither the full nor the tiny architecture; its figures say nothing about Kokoro."
        )
    if evidence.tiny:
        return Statement("The tiny architecture tests the toolchain in seconds; its figures say nothing about Kokoro.")
    return Statement("")


def _of_other_bytes(evidence: Evidence) -> Statement:
    """What is not known, or not the same, of the bytes that the blocks measured."""
    words = []
    if evidence.other_bytes:
        count = "1 block measured" if evidence.other_bytes == 1 else f"{evidence.other_bytes} blocks measured"
        words.append(f"{count} other bytes than the blocks before and is in no figure.")
    if evidence.unverified:
        count = f"{evidence.unverified} of {len(evidence.cells)} blocks"
        words.append(f"Unverified: {count} do not record which bytes they measured.")
    return Statement(" ".join(words))


def _speed(evidence: Evidence) -> Statement:
    figures = cell_figures(evidence, "ttfa_ms")
    texts = dict.fromkeys(figure.text_preset for figure in figures)
    fastest = [top for preset in texts if (top := best(figures, preset)) is not None]
    if not fastest:
        return Statement("")
    cited = tuple(CitedFigure.of(figure, "ttfa_ms") for figure in fastest)
    parts = [f"{item.duration_and_interval} for {item.characters} characters ({item.label})" for item in cited]
    return Statement(f"Shortest times to first audio among undisturbed cells: {'; '.join(parts)}.", cited)


def _cold(evidence: Evidence) -> Statement:
    figures = cell_figures(evidence, "total_ms", state="cold")
    texts = dict.fromkeys(figure.text_preset for figure in figures)
    fastest = [top for preset in texts if (top := best(figures, preset)) is not None]
    if not fastest:
        return Statement("")
    first = min(fastest, key=lambda figure: (figure.characters, figure.label))
    cited = CitedFigure.of(first, "total_ms")
    start = f"Cold start (new process, model file not in the page cache): the {first.text_preset} text is finished"
    return Statement(f"{start} after {cited.duration_and_interval}.", (cited,))


def _tested(resolutions: Sequence[Resolution]) -> Statement:
    counts = Counter(resolution.verdict for resolution in resolutions)
    tested = sum(counts[verdict] for verdict in TESTED)
    waiting, never = counts["not measured yet"], counts["not measurable here"]
    rest = f"{waiting} have not been measured yet, and {never} cannot be measured here"
    if not tested:
        return Statement(
            f"None of the {len(resolutions)} published claims could be compared with these measurements: {rest}."
        )
    parts = [f"{counts[verdict]} {verdict}" for verdict in TESTED if counts[verdict]]
    total = f"Of {len(resolutions)} published claims, {tested} were compared with these measurements"
    return Statement(f"{total}: {', '.join(parts)}. {rest}.")


def _nearest(resolutions: Sequence[Resolution]) -> Statement:
    missed = [
        (resolution.gap.center, resolution)
        for resolution in resolutions
        if resolution.verdict == "missed" and resolution.gap is not None and resolution.claim.kind in ("target", "gate")
    ]
    if not missed:
        return Statement("")
    nearest = min(missed, key=lambda item: item[0])[1]
    farthest = max(missed, key=lambda item: item[0])[1]
    text = f"The closest missed target is {_claim_name(nearest)}: {_times(nearest.gap)} the target"
    if farthest is not nearest:
        text += f"; the farthest is {_claim_name(farthest)}: {_times(farthest.gap)}"
    cited = tuple(figure for resolution in (nearest, farthest) if (figure := cited_claim(resolution)) is not None)
    return Statement(f"{text}.", cited)


def _times(gap: Interval | None) -> str:
    """A gap with what it lacks: `3.00x`."""
    if gap is None:
        return ""
    words, _, lacking = stated(gap).partition(" (")
    return f"{words}x" + (f" ({lacking}" if lacking else "")


def _claim_name(resolution: Resolution) -> str:
    claim = resolution.claim
    return f"{METRIC_NAMES.get(claim.metric, claim.metric)} {claim.claimed.removeprefix('RTF ')} ({claim.scenario})"


def _absent(evidence: Evidence) -> Statement:
    missing = sorted(set(evidence.cells.loc[evidence.cells["status"] == "unavailable", "provider"]))
    if not missing:
        return Statement("")
    return Statement(f"Requested but unavailable (not measured): {', '.join(missing)}.")


def _disturbed(evidence: Evidence) -> Statement:
    blocks = evidence.cells[evidence.cells["samples"] > 0]
    count = int(blocks["contaminated"].sum())
    if not count:
        return Statement("")
    return Statement(
        f"Other processes disturbed {count} of {len(blocks)} blocks; disturbed blocks are shown but never ranked."
    )


def _tiles(evidence: Evidence, resolutions: Sequence[Resolution]) -> list[Tile]:
    by_id = {resolution.claim.id: resolution for resolution in resolutions}
    tiles = []
    for claim_id, name in KEY_CLAIMS.items():
        resolution = by_id.get(claim_id)
        if resolution is None:
            continue
        cited, claim = cited_claim(resolution), resolution.claim
        if cited is None:
            lowest = _lowest(evidence, claim)
            if lowest is None:
                continue
            # The claim was resolved on no cell: its verdict is not that of the cell that is shown instead.
            verdict = f"not ranked: {lowest.note}" if lowest.note else "not compared with the claim"
            cited = replace(CitedFigure.of(lowest, claim.metric), verdict=verdict)
        unit = "" if claim.unit == "s/s" else claim.unit
        tiles.append(
            Tile(
                name=name,
                value=f"{number(cited.measured.center)} {unit}".rstrip(),
                interval=reach(cited.measured, unit),
                claimed=claim.claimed,
                verdict=cited.verdict,
                gap=gap_words(cited.gap),
                cell_id=cited.cell_id,
            )
        )
    return tiles


def _lowest(evidence: Evidence, claim: Claim) -> CellFigure | None:
    """For a claim without a rankable row: the lowest cell that the claim asks for, and why it is not ranked."""
    filters = claim.resolve.rows or {}
    asked = set(matching_cells(evidence.cells, filters, claim.resolve.notebook)["cell_id"])
    figures = [
        figure
        for figure in cell_figures(evidence, claim.metric, state=str(filters.get("state", "warm")))
        if figure.cell_id in asked
    ]
    return min(figures, key=lambda figure: (figure.measured.center, figure.label), default=None)
