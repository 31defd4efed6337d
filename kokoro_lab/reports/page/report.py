"""A report as a notebook shows it: one method per section, each made from the rows of one run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.claims.claims import Claims, load_claims
from kokoro_lab.reports.claims.resolution import Resolution, resolve_all
from kokoro_lab.reports.drawing.fragments import Html, fragment, note
from kokoro_lab.reports.drawing.theme import ChartFigure
from kokoro_lab.reports.figures import cell_charts
from kokoro_lab.reports.figures.gap_charts import bound_chart, claims_chart, claims_rows, ladder_chart
from kokoro_lab.reports.findings.answer import TESTED, ReportAnswer, answer
from kokoro_lab.reports.findings.bound import Bound, bounds
from kokoro_lab.reports.findings.listen import CLIP_S, Clip, clips
from kokoro_lab.reports.findings.setting_names import names_by_reference
from kokoro_lab.reports.page import run_facts
from kokoro_lab.reports.page.claims_table import SIGNS, claims_table
from kokoro_lab.reports.page.sections import (
    NO_BOUND,
    advice_table,
    bound_table,
    cell_table,
    comparison_table,
    notebook_links,
)
from kokoro_lab.reports.page.source_tables import specification_tables
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store.layout import Results, results
from kokoro_lab.sweeps.job import Job

__all__ = ["Report", "open_report"]

TTFA_TARGETS = {"short": "ttfa-short-target", "medium": "ttfa-half-second-target", "long": "ttfa-long-target"}
"""Text preset -> the claim whose target the chart of time to first audio shows."""

CLAIMS_SHOWN, BOUNDS_SHOWN, PLAYERS_SHOWN = 9, 4, 3
"""Rows and players that are not folded."""
NO_KEY_FIGURES = "no key figure: no cell of the full architecture ran"


def open_report(job: str = "", run_id: str = "", tables: str = "") -> Report:
    """The report of the run that a job file names, else of `run_id` (the newest when empty).

    Raises:
        PlanError: the job file or the claims file holds mistakes; all are listed.
        NothingMeasuredError: the run does not exist or has no rows.
    """
    if job:
        job_file = Job.read(job)
        run_id, tables = job_file.run_id, str(Results(job_file.results).tables)
    return Report(Evidence.load(Path(tables) if tables else results().tables, run_id), load_claims())


class Report:
    """The sections of a gap report. A section that cannot be shown says why in its place."""

    def __init__(self, evidence: Evidence, claims: Claims) -> None:
        self.evidence = evidence
        self.claims = claims

    @functools.cached_property
    def resolutions(self) -> list[Resolution]:
        """Every claim, resolved."""
        return resolve_all(self.claims, self.evidence)

    @functools.cached_property
    def bounds(self) -> list[Bound]:
        """The bound of every cell that has one."""
        return bounds(self.evidence)

    @functools.cached_property
    def found(self) -> ReportAnswer:
        """The action, the headline, the ladder and the key figures."""
        return answer(self.evidence, self.resolutions)

    def answer(self) -> Html:
        """What to do, with the command for it, and what was found."""
        rest = [text for text in self.found.sentences if text != self.found.action.statement.text]
        return fragment("answer", answer=self.found, sentences=rest)

    def ladder(self) -> Html:
        """What each optimisation buys, the largest effect first."""
        return ladder_chart(self.found.ladder)

    def key_figures(self) -> Html:
        """Time to first audio, real-time factor, cold start and memory beside their targets."""
        if not self.found.tiles:
            return note(NO_KEY_FIGURES)
        return fragment("tiles", tiles=self.found.tiles, signs=SIGNS)

    def measured(self) -> Html:
        """What was measured, on which machine, with which weights."""
        return run_facts.measured_facts(self.evidence)

    def noise(self) -> Html:
        """The noise floor of each text, and the smallest effect the run could detect."""
        return run_facts.noise_table(self.evidence)

    def providers(self) -> Html:
        """The requested execution provider and what really ran, node by node."""
        return run_facts.providers_table(self.evidence)

    def cells(self) -> Html:
        """Every cell with its figures, to sort, filter and download."""
        return cell_table(self.evidence)

    def ttfa(self) -> ChartFigure | Html:
        """Time to first audio of every warm cell."""
        targets = {claim.id: claim.target for claim in self.claims.claims if claim.id in TTFA_TARGETS.values()}
        marked = (
            {}
            if self.evidence.tiny
            else {text: targets[name] for text, name in TTFA_TARGETS.items() if name in targets}
        )
        return _shown(lambda: cell_charts.ttfa_figure(self.evidence, marked))

    def rtf(self) -> ChartFigure | Html:
        """Real-time factor of every warm cell."""
        return _shown(lambda: cell_charts.rtf_figure(self.evidence))

    def stages(self) -> ChartFigure | Html:
        """Where the time of one call goes."""
        return _shown(lambda: cell_charts.stages_figure(self.evidence))

    def cold_start(self) -> ChartFigure | Html:
        """Where the time of a cold start goes."""
        targets = [claim.target for claim in self.claims.claims if claim.id == "cold-start-target"]
        target = targets[0] if targets and not self.evidence.tiny else None
        return _shown(lambda: cell_charts.cold_start_figure(self.evidence, target))

    def listen(self) -> Html:
        """A player for each cell whose audio was compared with a reference."""
        players = clips(self.evidence)
        if not players:
            return note("no audio was stored, or no cell was compared with a reference")
        places = {rung.candidate_cell: place for place, rung in enumerate(self.found.ladder.rungs) if not rung.cached}
        players.sort(key=lambda clip: (not clip.reference, places.get(clip.cell_id, len(places))))
        texts: dict[str, list[Clip]] = {self.found.ladder.text_preset: []}
        for clip in players:
            texts.setdefault(clip.text_preset, []).append(clip)
        return fragment(
            "listen",
            texts={text: heard for text, heard in texts.items() if heard},
            sizes=dict(run_facts.text_sizes(self.evidence.cells)),
            spoken=dict(zip(self.evidence.cells["text_preset"], self.evidence.cells["text"], strict=True)),
            clip_s=CLIP_S,
            most=PLAYERS_SHOWN,
            names=self._names,
        )

    def claims_chart(self) -> Html:
        """The claims with a decided or promising gap, measured over target: those nearest to their target."""
        return self._claims(rest=False)

    def claims_rest(self) -> Html:
        """The other claims with a gap, drawn in the same way."""
        return self._claims(rest=True)

    def _claims(self, *, rest: bool) -> Html:
        rows = claims_rows(self._tested)
        targets = {f"#claim-{item.claim.id}" for item in self._tested if item.claim.kind in ("target", "gate")}
        decided = [row for row in rows if row.href in targets and row.verdict in ("met", "missed")]
        others = [row for row in rows if row not in decided]
        first = {row.href for row in [*decided, *others][:CLAIMS_SHOWN]}
        shown = [row for row in rows if (row.href in first) != rest]
        count = f"{len(shown)} of {len(rows)} claims with a gap"
        return claims_chart(shown, f"{count}: measured value over target, the farthest from it first")

    @functools.cached_property
    def _names(self) -> dict[str, str]:
        """Short names of the cells, by id."""
        rows: list[Any] = self.evidence.cells.to_dict("records")
        return names_by_reference(rows)

    @property
    def _tested(self) -> list[Resolution]:
        return [resolution for resolution in self.resolutions if resolution.verdict in TESTED]

    def claims_tested(self) -> Html:
        """The claims that were compared with rows, with target, interval, gap and verdict."""
        if not self._tested:
            return note("no claim could be compared with the rows of this run")
        return claims_table(self.claims, self._tested, self.bounds, caption="Claims compared with these measurements")

    def claims_open(self) -> Html:
        """The claims that were not compared with rows, each with the reason."""
        rest = [resolution for resolution in self.resolutions if resolution.verdict not in TESTED]
        return claims_table(self.claims, rest, caption="Claims that are still open")

    def bound_chart(self) -> Html:
        """How far the cells of the longest text are from their bound."""
        return bound_chart(self.bounds, self._names, BOUNDS_SHOWN) if self.bounds else note(NO_BOUND)

    def bound(self) -> Html:
        """The breakdown of each cell's time: its bound, the stages outside the model, and unattributed time."""
        return bound_table(self.bounds) if self.bounds else note(NO_BOUND)

    def comparisons(self) -> Html:
        """The sweep's verdict on every cell compared with its reference."""
        return comparison_table(self.evidence)

    def recommendations(self) -> Html:
        """Recommended settings by goal, what to measure next, and settings with no effect."""
        return advice_table(self.evidence, self.bounds)

    def specification_tables(self) -> Html:
        """The tables of the specification, beside what was measured here."""
        return specification_tables(self.claims, self.resolutions)

    def notebooks(self) -> Html:
        """The executed notebooks of the run, rendered like this page."""
        return notebook_links(self.evidence)

    def sources(self) -> Html:
        """The documents that the claims come from."""
        return run_facts.sources_table(self.claims)

    def provenance(self) -> Html:
        """What is needed to reproduce this report: run, table versions, commit, fingerprints."""
        return run_facts.provenance_facts(self.evidence)


def _shown(make: Callable[[], ChartFigure]) -> ChartFigure | Html:
    try:
        return make()
    except NothingMeasuredError as error:
        return note(error.message)
