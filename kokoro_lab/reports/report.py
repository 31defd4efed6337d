"""A report as a notebook asks for it: one method a section, each made from the rows of one run."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports import charts
from kokoro_lab.reports.answer import HELD, answer
from kokoro_lab.reports.bound import Bound, bounds
from kokoro_lab.reports.claims import Claims, load_claims
from kokoro_lab.reports.claims_table import SIGNS, claims_table
from kokoro_lab.reports.documents import document_tables
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.fragments import Html, fragment, table
from kokoro_lab.reports.listen import CLIP_S, clips
from kokoro_lab.reports.noise import noise_lines
from kokoro_lab.reports.resolve import Resolution, resolve_all
from kokoro_lab.reports.sections import NO_BOUND, advice_table, bound_table, comparison_table, notebook_links
from kokoro_lab.reports.summary import number, spread
from kokoro_lab.reports.theme import Figure
from kokoro_lab.store.places import Results, results
from kokoro_lab.sweeps.job import Job

__all__ = ["Report", "open_report"]

TTFA_BARS = {"short": "ttfa-short-target", "medium": "ttfa-half-second-target", "long": "ttfa-long-target"}
"""Text preset -> the claim whose bar the chart of first audio shows."""


def open_report(job: str = "", run_id: str = "", tables: str = "") -> Report:
    """The report of a run: of a job file's when there is one, else of `run_id` (the newest when empty).

    Raises:
        PlanError: the job file or the claims file holds mistakes; all are listed.
        NothingMeasuredError: the run is not there or has no rows.
    """
    if job:
        asked = Job.read(job)
        run_id, tables = asked.run_id, str(Results(asked.results).tables)
    return Report(Evidence.load(Path(tables) if tables else results().tables, run_id), load_claims())


class Report:
    """The sections of a gap report. What cannot be shown says why, in the place where it would stand."""

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
            "Calls": [f"{len(evidence.samples)} timed, after {sum(map(len, ran['warmup_ms']))} of warm-up"],
            "Quiet": [_quiet(ran)],
            "Steady": [_steady(ran[ran["state"] == "warm"])],
            "Software": [", ".join(f"{name} {version}" for name, version in sorted(model["versions"].items()))],
            "When": [_when(cells)],
        }
        return fragment("facts", lines=lines)

    def noise(self) -> Html:
        """The noise floor of each text, and the smallest effect the run could have seen."""
        rows = [
            {
                "text": line.text_preset,
                "blocks": str(line.blocks),
                "spread": _percent(line.spread, "needs two blocks a cell"),
                "floor": _percent(line.floor, "needs two blocks a cell", sign="± "),
                "detectable": _percent(line.detectable, "none: too few blocks"),
                "twins": "not measured" if line.twins is None else spread(line.twins),
            }
            for line in noise_lines(self.evidence)
        ]
        if not rows:
            return _note("No undisturbed warm block, so there is no noise floor, and no difference can be believed.")
        columns = {
            "text": "Text",
            "blocks": "Blocks",
            "spread": "Spread between blocks",
            "floor": "Chance alone",
            "detectable": "Smallest effect to be found",
            "twins": "Same cell twice, ratio",
        }
        return table(columns, rows)

    def ttfa(self) -> Figure | Html:
        """Time to first audio of every warm cell."""
        bars = {claim.id: claim.bar for claim in self.claims.claims if claim.id in TTFA_BARS.values()}
        marked = {} if self.evidence.tiny else {text: bars[name] for text, name in TTFA_BARS.items() if name in bars}
        return _shown(lambda: charts.ttfa_figure(self.evidence, marked))

    def rtf(self) -> Figure | Html:
        """Work for one second of speech."""
        return _shown(lambda: charts.rtf_figure(self.evidence))

    def stages(self) -> Figure | Html:
        """Where the time of one call goes."""
        return _shown(lambda: charts.stages_figure(self.evidence))

    def cold_start(self) -> Figure | Html:
        """Where the time of a cold start goes."""
        bars = [claim.bar for claim in self.claims.claims if claim.id == "cold-start-target"]
        bar = bars[0] if bars and not self.evidence.tiny else None
        return _shown(lambda: charts.cold_start_figure(self.evidence, bar))

    def providers(self) -> Html:
        """What was asked for and what really ran, node by node."""
        cells = self.evidence.cells
        rows = []
        for (asked, ran, status), group in cells.groupby(["provider", "effective_provider", "status"], sort=True):
            nodes: dict[str, int] = max(group["nodes"], key=lambda counts: sum(counts.values()))
            share = group["provider_share"].iloc[0]
            rows.append(
                {
                    "asked": str(asked),
                    "ran": str(ran) or "nothing",
                    "status": str(status),
                    "nodes": ", ".join(f"{name} {count}" for name, count in nodes.items()) or "none",
                    "share": "none" if share is None or share != share else f"{100 * float(share):.0f}\u00a0%",
                    "blocks": str(len(group)),
                    "why": " ".join(sorted(set(group["error"]) - {""})) or "–",
                }
            )
        columns = {
            "asked": "Asked for",
            "ran": "Ran on",
            "status": "Status",
            "nodes": "Nodes of the graph",
            "share": "Share",
            "blocks": "Blocks",
            "why": "Why not",
        }
        return table(columns, rows)

    def listen(self) -> Html:
        """A player for each gated cell."""
        found = clips(self.evidence)
        if not found:
            return _note("No audio was kept, or no cell has a gate.")
        texts: dict[str, list[Any]] = {}
        for clip in found:
            texts.setdefault(clip.text_preset, []).append(clip)
        sizes = dict(_texts(self.evidence.cells))
        said = {str(row["text_preset"]): str(row["text"]) for row in _rows(self.evidence.cells)}
        return fragment("listen", texts=texts, sizes=sizes, said=said, clip_s=CLIP_S)

    def claims_held(self) -> Html:
        """The claims that were held against rows, with target, interval, gap and verdict."""
        held = [resolution for resolution in self.resolutions if resolution.verdict in HELD]
        if not held:
            return _note("No claim could be held against the rows of this run.")
        return claims_table(self.claims, held, self.bounds)

    def claims_open(self) -> Html:
        """The claims that were not, with the reason."""
        rest = [resolution for resolution in self.resolutions if resolution.verdict not in HELD]
        return claims_table(self.claims, rest)

    def bound(self) -> Html:
        """Each cell's time taken apart: its bound, the stages outside the model, and what nothing explains."""
        return bound_table(self.bounds) if self.bounds else _note(NO_BOUND)

    def comparisons(self) -> Html:
        """What the sweep concluded of every cell against the one it was compared with."""
        return comparison_table(self.evidence)

    def recommendations(self) -> Html:
        """Which setting for which goal, what to try next, and what is a placebo."""
        return advice_table(self.evidence, self.bounds)

    def documents(self) -> Html:
        """The documents' own tables, beside what was measured here."""
        return document_tables(self.claims, self.resolutions)

    def notebooks(self) -> Html:
        """The executed notebooks of the run, rendered like this page."""
        return notebook_links(self.evidence)

    def sources(self) -> Html:
        """The documents that the claims come from."""
        stated = Counter(name for claim in self.claims.claims for name in claim.sources)
        rows = [
            {
                "file": name,
                "title": source.title,
                "date": source.date or "–",
                "machine": source.machine,
                "claims": str(stated[name]),
            }
            for name, source in self.claims.sources.items()
        ]
        return table(
            {"title": "Document", "file": "File", "date": "Date", "machine": "Stated for", "claims": "Claims"}, rows
        )

    def provenance(self) -> Html:
        """What it takes to make this report again: run, table versions, commit, fingerprint."""
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
            "Machine fingerprint": sorted(set(cells["machine_id"])),
            "Software fingerprint": sorted(set(cells["software_id"])),
        }
        return fragment("facts", lines=lines)


def _shown(make: Callable[[], Figure]) -> Figure | Html:
    try:
        return make()
    except NothingMeasuredError as error:
        return _note(error.message)


def _note(text: str) -> Html:
    return fragment("note", text=text)


def _rows(frame: Any) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _machine(facts: Any) -> str:
    cores = f"{facts.get('physical_cores') or '?'} cores, {facts.get('logical_cores') or '?'} threads"
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
        return f"all {len(ran)} blocks undisturbed (others used at most 3 % of the CPU, the hypervisor 1 %)"
    reasons = sorted(set(ran.loc[ran["contaminated"].astype(bool), "contaminated_reason"]) - {""})
    example = f", for example: {reasons[0].rstrip('.')}" if reasons else ""
    return f"{count} of {len(ran)} blocks disturbed by other processes{example}"


def _steady(warm: Any) -> str:
    if not len(warm):
        return "no warm block"
    count = int(warm["became_steady"].sum())
    return f"{count} of {len(warm)} warm blocks became steady before they were timed"


def _when(cells: Any) -> str:
    first, last = cells["started_at"].min(), cells["started_at"].max()
    return f"{first:%Y-%m-%d %H:%M} to {last:%H:%M} UTC"


def _percent(share: float | None, none: str, sign: str = "") -> str:
    return none if share is None else f"{sign}{number(100 * share)} %"
