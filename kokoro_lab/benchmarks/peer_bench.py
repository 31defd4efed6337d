"""Compare our engine with peer engines: preparation before the measurement, and the table that a run writes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from kokoro_lab.benchmarks.benchmark import Benchmark, BenchmarkRow
from kokoro_lab.benchmarks.peer_table import PeerPlan
from kokoro_lab.errors import InputError, KokoroLabError
from kokoro_lab.measure.peers.environments import add
from kokoro_lab.measure.peers.peer_files import is_peer, prepare
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.measure.statistics.verdicts import judge_run
from kokoro_lab.models.catalog import resolve
from kokoro_lab.store.layout import results

__all__ = ["TABLE", "make_ready", "peer_document", "read_table"]

TABLE = "peers.json"
"""Name of the table's file in the folder of its run."""


def make_ready(plan: PeerPlan, benchmark: Benchmark, *, install: bool, notice: Callable[[str], None]) -> dict[str, str]:
    """Install and prepare the engines; returns engine -> why it could not be prepared."""
    resolve(plan.model, notice=notice)
    missing: dict[str, str] = {}
    for name in plan.engines:
        try:
            if install:
                add(name, notice=notice)
            for contestant in benchmark.contestants:
                if contestant.name == name and is_peer(contestant.cell):
                    prepare(contestant.cell)
        except KokoroLabError as error:
            missing[name] = error.message
    return missing


def peer_document(plan: PeerPlan, run_id: str, blocks: Sequence[Block], rows: Sequence[BenchmarkRow]) -> dict[str, Any]:
    """The table and the conditions of its run, JSON-ready; the caller adds `missing`.

    `noise` has the noise floor of the real-time factor and the smallest detectable effect of each text.
    """
    return {
        "run_id": run_id,
        "model": dataclasses.asdict(next(block.result.model for block in blocks if block.result.model)),
        "threads": plan.threads,
        "blocks": len(blocks),
        "contaminated": sum(block.quiet.contaminated for block in blocks),
        "contaminated_used": plan.use_contaminated,
        "noise": {text: dataclasses.asdict(floor) for text, floor in judge_run(blocks, "rtf").noise.items()},
        "rows": [{"engine": row.contestant, "text": row.case, **row.as_dict()} for row in rows],
    }


def read_table(run: str = "") -> dict[str, Any]:
    """The table of a run, of the newest run when `run` is empty. Raises InputError when there is none."""
    places = [results().run(run) / TABLE] if run else results().runs.glob(f"*/{TABLE}")
    tables = sorted((path for path in places if path.is_file()), key=lambda path: path.stat().st_mtime)
    if not tables:
        raise InputError(f"no table of peers{f' in run {run!r}' if run else ''}; measure it with make bench-peers")
    table: dict[str, Any] = json.loads(tables[-1].read_text(encoding="utf-8"))
    return table
