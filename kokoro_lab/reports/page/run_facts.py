"""What a run is: what was measured and on which machine, its noise, its providers, its sources and its provenance."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kokoro_lab.reports.claims.claims import Claims
from kokoro_lab.reports.drawing.fragments import Html, fragment, note, table
from kokoro_lab.reports.findings.noise_floor import noise_lines
from kokoro_lab.reports.rows.cell_summary import number, sentence, spread
from kokoro_lab.reports.rows.evidence import Evidence

__all__ = [
    "machine_name",
    "measured_facts",
    "noise_table",
    "provenance_facts",
    "providers_table",
    "sources_table",
    "text_sizes",
]


def measured_facts(evidence: Evidence) -> Html:
    """What was measured, on which machine, with which weights."""
    cells = evidence.cells
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
        "Texts": [", ".join(f"{name} ({size} characters)" for name, size in text_sizes(cells))],
        "Cells": [f"{cells['cell_id'].nunique()}, in {len(cells)} blocks: {_counts(statuses)}"],
        "Calls": [f"{len(evidence.samples)} timed, after {sum(map(len, ran['warmup_ms']))} warm-up calls"],
        "Disturbance": [_quiet(ran)],
        "Warm-up": [_steady(ran[ran["state"] == "warm"])],
        "Software": [", ".join(f"{name} {version}" for name, version in sorted(model["versions"].items()))],
        "When": [_when(cells)],
    }
    return fragment("facts", lines=lines)


def noise_table(evidence: Evidence) -> Html:
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
        for line in noise_lines(evidence)
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
    return table(columns, rows, caption="Noise of each text: the smallest effect that this run could detect")


def providers_table(evidence: Evidence) -> Html:
    """The requested execution provider and what really ran, node by node."""
    cells = evidence.cells
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
    return table(columns, rows, caption="Requested execution providers, and what ran each node of the graph")


def sources_table(claims: Claims) -> Html:
    """The documents that the claims come from."""
    counts = Counter(name for claim in claims.claims for name in claim.sources)
    rows = [
        {
            "file": name,
            "title": source.title,
            "date": source.date or "–",
            "machine": source.machine,
            "claims": str(counts[name]),
        }
        for name, source in claims.sources.items()
    ]
    return table(
        {"title": "Document", "file": "File", "date": "Date", "machine": "Machine", "claims": "Claims"},
        rows,
        caption="Documents that the claims come from",
    )


def provenance_facts(evidence: Evidence) -> Html:
    """What is needed to reproduce this report: run, table versions, commit, fingerprints."""
    cells = evidence.cells
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


def machine_name(evidence: Evidence) -> str:
    """The machines of a run in a few words: `AMD EPYC, 2 threads`."""
    names = [
        f"{facts.get('cpu_model', 'unknown CPU')}, {threads} {'thread' if threads == 1 else 'threads'}"
        for facts in evidence.machines.values()
        for threads in [facts.get("logical_cores") or "?"]
    ]
    return "; ".join(dict.fromkeys(names)) or "machine not recorded"


def _rows(frame: Any) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _machine(facts: Any) -> str:
    physical, logical = (facts.get(name) or "?" for name in ("physical_cores", "logical_cores"))
    cores = f"{physical} {'core' if physical == 1 else 'cores'}, {logical} {'thread' if logical == 1 else 'threads'}"
    system = facts.get("distribution") or facts.get("system") or "unknown system"
    return f"{facts.get('cpu_model', 'unknown CPU')}: {cores}, {facts.get('memory_gib', '?')} GiB, {system}"


def text_sizes(cells: Any) -> list[tuple[str, int]]:
    """Each text of these blocks and its length in characters, the shortest first."""
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
