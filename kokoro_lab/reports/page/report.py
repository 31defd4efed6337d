"""A report as a notebook shows it: one method per section, each made from the rows of one run."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.claims.claims import Claims, load_claims
from kokoro_lab.reports.claims.resolution import Resolution, resolve_all
from kokoro_lab.reports.drawing.fragments import Html, fragment, note, table
from kokoro_lab.reports.drawing.theme import ChartFigure
from kokoro_lab.reports.figures import cell_charts
from kokoro_lab.reports.findings.answer import TESTED, answer
from kokoro_lab.reports.findings.bound import Bound, bounds
from kokoro_lab.reports.findings.listen import CLIP_S, clips
from kokoro_lab.reports.findings.noise_floor import noise_lines
from kokoro_lab.reports.page.claims_table import SIGNS, claims_table
from kokoro_lab.reports.page.sections import NO_BOUND, advice_table, bound_table, comparison_table, notebook_links
from kokoro_lab.reports.page.source_tables import specification_tables
from kokoro_lab.reports.rows.cell_summary import number, sentence, spread
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store.layout import Results, results
from kokoro_lab.sweeps.job import Job

__all__ = ["Report", "open_report"]

TTFA_TARGETS = {"short": "ttfa-short-target", "medium": "ttfa-half-second-target", "long": "ttfa-long-target"}
"""Text preset -> the claim whose target the chart of time to first audio shows."""


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

    def answer(self) -> Html:
        """The headline, a few sentences and the key figures."""
        return fragment("answer", answer=answer(self.evidence, self.resolutions), signs=SIGNS)

    def measured(self) -> Html:
        """What was measured, on which machine, with which weights."""
        evidence, cells = self.evidence, self.evidence.cells
        ran = cells[cells["samples"] > 0]
        model = ran.iloc[0]
        statuses = Counter(str(status) for status in cells["status"])
        lines = {
            "Machine": [_machine(facts) for facts in evidence.machines.values()] or ["not recorded"],
            "Model": [
                f"{row['model']}: {row['weights']} weights, {row['architecture']} architecture, {row['precision']}, "
                f"SHA-256 {str(row['model_sha256'])[:12]}"
                for row in _rows(ran.drop_duplicates("model_sha256"))
            ],
            "Texts": [", ".join(f"{name} ({size} characters)" for name, size in _texts(cells))],
            "Cells": [f"{cells['cell_id'].nunique()}, in {len(cells)} blocks: {_counts(statuses)}"],
            "Calls": [f"{len(evidence.samples)} timed, after {sum(map(len, ran['warmup_ms']))} warm-up calls"],
            "Disturbance": [_quiet(ran)],
            "Warm-up": [_steady(ran[ran["state"] == "warm"])],
            "Software": [", ".join(f"{name} {version}" for name, version in sorted(model["versions"].items()))],
            "When": [_when(cells)],
        }
        return fragment("facts", lines=lines)

    def noise(self) -> Html:
        """The noise floor of each text, and the smallest effect the run could detect."""
        rows = [
            {
                "text": line.text_preset,
                "blocks": str(line.blocks),
                "spread": _percent(line.spread, "needs two blocks per cell"),
                "floor": _percent(line.floor, "needs two blocks per cell", sign="± "),
                "detectable": _percent(line.detectable, "too few blocks"),
                "twins": "not measured" if line.twins is None else spread(line.twins),
            }
            for line in noise_lines(self.evidence)
        ]
        if not rows:
            return note("no undisturbed warm block, so there is no noise floor; measure again on a quiet machine")
        columns = {
            "text": "Text",
            "blocks": "Blocks",
            "spread": "Spread between blocks",
            "floor": "Noise floor",
            "detectable": "Smallest detectable effect",
            "twins": "A/A ratio",
        }
        return table(columns, rows)

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

    def providers(self) -> Html:
        """The requested execution provider and what really ran, node by node."""
        cells = self.evidence.cells
        rows = []
        for (requested, ran, status), group in cells.groupby(["provider", "effective_provider", "status"], sort=True):
            nodes: dict[str, int] = max(group["nodes"], key=lambda counts: sum(counts.values()))
            share = group["provider_share"].iloc[0]
            rows.append(
                {
                    "requested": str(requested),
                    "ran": str(ran) or "nothing",
                    "status": str(status),
                    "nodes": ", ".join(f"{name} {count}" for name, count in nodes.items()) or "none",
                    "share": "none" if share is None or share != share else f"{100 * float(share):.0f}\u00a0%",
                    "blocks": str(len(group)),
                    "why": " ".join(map(sentence, sorted(set(group["error"]) - {""}))) or "–",
                }
            )
        columns = {
            "requested": "Requested",
            "ran": "Ran on",
            "status": "Status",
            "nodes": "Nodes of the graph",
            "share": "Share",
            "blocks": "Blocks",
            "why": "Error",
        }
        return table(columns, rows)

    def listen(self) -> Html:
        """A player for each cell whose audio was compared with a reference."""
        players = clips(self.evidence)
        if not players:
            return note("no audio was stored, or no cell was compared with a reference")
        texts: dict[str, list[Any]] = {}
        for clip in players:
            texts.setdefault(clip.text_preset, []).append(clip)
        sizes = dict(_texts(self.evidence.cells))
        spoken = {str(row["text_preset"]): str(row["text"]) for row in _rows(self.evidence.cells)}
        return fragment("listen", texts=texts, sizes=sizes, spoken=spoken, clip_s=CLIP_S)

    def claims_tested(self) -> Html:
        """The claims that were compared with rows, with target, interval, gap and verdict."""
        tested = [resolution for resolution in self.resolutions if resolution.verdict in TESTED]
        if not tested:
            return note("no claim could be compared with the rows of this run")
        return claims_table(self.claims, tested, self.bounds)

    def claims_open(self) -> Html:
        """The claims that were not compared with rows, each with the reason."""
        rest = [resolution for resolution in self.resolutions if resolution.verdict not in TESTED]
        return claims_table(self.claims, rest)

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
        counts = Counter(name for claim in self.claims.claims for name in claim.sources)
        rows = [
            {
                "file": name,
                "title": source.title,
                "date": source.date or "–",
                "machine": source.machine,
                "claims": str(counts[name]),
            }
            for name, source in self.claims.sources.items()
        ]
        return table(
            {"title": "Document", "file": "File", "date": "Date", "machine": "Machine", "claims": "Claims"}, rows
        )

    def provenance(self) -> Html:
        """What is needed to reproduce this report: run, table versions, commit, fingerprints."""
        evidence, cells = self.evidence, self.evidence.cells
        commits = sorted(
            {
                f"{str(row['git_commit'])[:12]}{' with uncommitted changes' if row['git_dirty'] else ''}"
                for row in _rows(cells)
                if row["git_commit"]
            }
        )
        lines = {
            "Run": [evidence.run_id],
            "Table versions": [
                ", ".join(f"{name} {version}" for name, version in evidence.versions.items() if version is not None)
            ],
            "Measured at commit": commits or ["not recorded"],
            "Seal": [evidence.seal.words if evidence.seal else "not sealed", *evidence.notes],
            "Machine fingerprint": sorted(set(cells["machine_id"])),
            "Software fingerprint": sorted(set(cells["software_id"])),
        }
        return fragment("facts", lines=lines)


def _shown(make: Callable[[], ChartFigure]) -> ChartFigure | Html:
    try:
        return make()
    except NothingMeasuredError as error:
        return note(error.message)


def _rows(frame: Any) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _machine(facts: Any) -> str:
    physical, logical = (facts.get(name) or "?" for name in ("physical_cores", "logical_cores"))
    cores = f"{physical} {'core' if physical == 1 else 'cores'}, {logical} {'thread' if logical == 1 else 'threads'}"
    system = facts.get("distribution") or facts.get("system") or "unknown system"
    return f"{facts.get('cpu_model', 'unknown CPU')}: {cores}, {facts.get('memory_gib', '?')} GiB, {system}"


def _texts(cells: Any) -> list[tuple[str, int]]:
    rows = _rows(cells.drop_duplicates("text_preset").sort_values("characters"))
    return [(str(row["text_preset"]), int(row["characters"])) for row in rows]


def _counts(statuses: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(statuses.items(), key=lambda item: -item[1]))


def _quiet(ran: Any) -> str:
    count = int(ran["contaminated"].sum())
    if not count:
        limits = "other processes used at most 3 % of the CPU time, the hypervisor at most 1 %"
        return f"all {len(ran)} blocks undisturbed ({limits})"
    reasons = sorted(set(ran.loc[ran["contaminated"].astype(bool), "contaminated_reason"]) - {""})
    example = f", for example: {reasons[0].rstrip('.')}" if reasons else ""
    return f"{count} of {len(ran)} blocks disturbed{example}"


def _steady(warm: Any) -> str:
    if not len(warm):
        return "no warm blocks"
    count = int(warm["became_steady"].sum())
    return f"{count} of {len(warm)} warm blocks reached a steady state before they were timed"


def _when(cells: Any) -> str:
    first, last = cells["started_at"].min(), cells["started_at"].max()
    return f"{first:%Y-%m-%d %H:%M} to {last:%H:%M} UTC"


def _percent(share: float | None, none: str, sign: str = "") -> str:
    return none if share is None else f"{sign}{number(100 * share)} %"
