"""The shipped plans can decide every claim: they have its cell, once, with blocks and samples enough for its statistic.

The noise is that of the last published run, block by block: where it has no figure for a text, that of the machine on
which the package is developed, which is larger.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.field_checks import current_names
from kokoro_lab.measure.statistics.counts import rate_interval, share_interval
from kokoro_lab.measure.statistics.intervals import ALPHA
from kokoro_lab.measure.statistics.noise import detectable, pooled_sd
from kokoro_lab.measure.statistics.percentiles import samples_needed
from kokoro_lab.measure.statistics.selection import blocks_for
from kokoro_lab.paths import ROOT
from kokoro_lab.reports.claims.claim_reading import matching_cells
from kokoro_lab.reports.claims.claims import Claim, load_claims
from kokoro_lab.reports.claims.level_claims import LONG_ENOUGH, SOAK_S, SOAKED
from kokoro_lab.reports.rows.derived_metrics import EVENTS, SHARES
from kokoro_lab.reports.rows.evidence import recipe_of
from kokoro_lab.sweeps.plan import load_plan

PLANS = ("full", "tails", "soak")
CLAIMS = load_claims().claims
TESTABLE = [claim for claim in CLAIMS if claim.resolve.rows is not None or claim.resolve.compare]
STATE_EFFECT = math.log(1.25)
"""A state claims no figure: its plan must tell an effect of a quarter from none."""
CORRELATION = 0.76
"""Of the calls of a block: the published run needed 103 samples of the long text, two a block, for a p95."""
LOOKUP_ERROR = 25.0  # percentage points between the ends of a hit rate of one half


def planned_rows(plan_name: str) -> pd.DataFrame:
    """One row a cell and notebook of a plan, in the columns that claims filter on, with the blocks that it gets there:
    a block that an earlier notebook of the run measured is not measured again."""
    rows: list[dict[str, Any]] = []
    done: set[tuple[str, int]] = set()
    plan = load_plan(str(ROOT / "data" / "sweeps" / f"{plan_name}.yaml"))
    for job in plan.jobs("run", Path("/results")):
        for item in job.planned():
            own = {(item.cell.id, number) for number in range(item.blocks)} - done
            done |= own
            cell = item.cell.as_dict()
            cell |= {name: dict(cell[name]) for name in ("engine_settings", "provider_options")}
            shared = {"cell_id": item.cell.id, "recipe": recipe_of(item.cell.model), "notebook": job.notebook}
            rows.append({**cell, **shared, "plan": plan_name, "blocks": len(own)})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def planned() -> pd.DataFrame:
    return pd.concat([planned_rows(name) for name in PLANS], ignore_index=True)


@functools.cache
def noise() -> dict[tuple[str, str], float]:
    """Text and state -> standard deviation of log block values within a cell, from the published run."""
    blocks = pd.read_csv(ROOT / "results" / "published" / "0001" / "blocks.csv")
    blocks = blocks[blocks["counts"] & blocks["total_ms"].notna()]
    found = {}
    for place, rows in blocks.groupby(["text_preset", "state"]):
        sd, degrees = pooled_sd({str(name): list(group) for name, group in rows.groupby("cell_id")["total_ms"]})
        if degrees:
            found[str(place[0]), str(place[1])] = sd
    return found


@functools.cache
def speech_s_a_character() -> float:
    """From the article of the published run."""
    blocks = pd.read_csv(ROOT / "results" / "published" / "0001" / "blocks.csv")
    (article,) = blocks[blocks["text_preset"] == "article"].to_dict("records")
    characters = len((ROOT / "data" / "texts" / "article.txt").read_text(encoding="utf-8").rstrip("\n"))
    return float(article["total_ms"]) / 1000 / float(article["rtf"]) / characters


def machine_noise() -> float:
    return float(json.loads((ROOT / "tests" / "benchmarks" / "machine_noise.json").read_text())["block_sd"])


def sides_of(claim: Claim) -> list[dict[str, Any]]:
    way = claim.resolve
    return [dict(side or {}) for side in ([way.rows] if way.compare is None else [*_both(claim)])]


def _both(claim: Claim) -> tuple[dict[str, Any], dict[str, Any]]:
    between = claim.resolve.compare
    assert between is not None
    return dict(between.baseline), dict(between.candidate)


def why_undecided(claim: Claim, planned: pd.DataFrame) -> str:
    """Why the claim's plan cannot decide it, if it cannot."""
    mine = planned[planned["plan"] == claim.resolve.plan]
    if claim.metric == "error_share":
        calls = int((mine["blocks"] * mine["repeats"]).sum())
        bound = 100 * ((share_interval(0, calls).high or 1.0) if calls else 1.0)
        return "" if bound <= claim.target else f"{calls} calls exclude no more than {bound:.2f} %"
    sides = [matching_cells(mine, side, claim.resolve.notebook) for side in sides_of(claim)]
    for side, cells in zip(sides_of(claim), sides, strict=True):
        meant = math.prod(len(level) for level in side.values() if isinstance(level, list))
        if len(cells) != meant:
            return f"{len(cells)} cells match {side}, not {meant}"
    return _too_few(claim, sides)


def _too_few(claim: Claim, sides: Sequence[pd.DataFrame]) -> str:
    cells, blocks = sides[-1], min(int(side["blocks"].min()) for side in sides)
    first = cells.iloc[0]
    calls = blocks * int(first["repeats"])
    if claim.metric in EVENTS:
        seconds = calls * len(first["text"]) * speech_s_a_character()
        bound = (rate_interval(0).high or math.inf) * EVENTS[claim.metric][1] / seconds
        return "" if bound <= claim.target else f"{seconds:.0f} s without an event exclude no less than {bound:.1f}"
    if claim.metric in SHARES:
        half = share_interval(int(first["repeats"]) // 2, int(first["repeats"])).scaled(100)
        narrow = (half.high or 100.0) - (half.low or 0.0) <= LOOKUP_ERROR
        return "" if narrow and blocks >= 2 else f"{blocks} blocks of {first['repeats']} look-ups"
    if claim.metric in SOAKED and float(first["load_s"]) < LONG_ENOUGH * SOAK_S:
        return f"a load of {first['load_s']} s"
    if claim.statistic == "p95":
        confidence = 1 - ALPHA if claim.resolve.compare is None else 1 - ALPHA / 2
        effect = 1 + (int(first["repeats"]) - 1) * CORRELATION
        needed = samples_needed(0.95, confidence=confidence, effect=effect)
        return "" if calls >= needed else f"{calls} samples, {needed} needed for a p95"
    if claim.metric == "drift":
        return "" if blocks >= 1 else "no block"
    if blocks < blocks_for(len(cells)):
        return f"{blocks} blocks, {blocks_for(len(cells))} needed for the best of {len(cells)}"
    return "" if claim.resolve.compare is None else _too_noisy(claim, first, blocks, len(cells))


def _too_noisy(claim: Claim, cell: pd.Series[Any], pairs: int, candidates: int) -> str:
    """Why so many pairs tell the claimed gain from no gain too seldom: less than four times in five."""
    sd = noise().get((cell["text_preset"], cell["state"]), machine_noise())
    smallest = math.log1p(detectable(sd, pairs, alpha=ALPHA / candidates))
    effect = STATE_EFFECT if claim.kind == "state" else abs(math.log(claimed_ratio(claim)))
    return "" if smallest <= effect else f"{pairs} pairs at {sd:.1%} noise show {smallest:.3f}, claimed {effect:.3f}"


def claimed_ratio(claim: Claim) -> float:
    return {"% less": 1 - claim.target / 100, "% more": 1 / (1 + claim.target / 100), "times": 1 / claim.target}[
        claim.unit
    ]


@pytest.mark.parametrize("claim", TESTABLE, ids=lambda claim: claim.id)
def test_a_plan_has_the_cell_of_a_claim_and_blocks_enough_to_decide_it(claim: Claim, planned: pd.DataFrame) -> None:
    assert why_undecided(claim, planned) == ""


@pytest.mark.parametrize("claim", TESTABLE, ids=lambda claim: claim.id)
def test_a_plan_whose_blocks_are_cut_cannot_decide_it(claim: Claim, planned: pd.DataFrame) -> None:
    cut = 0 if claim.metric in ("drift", "error_share") else 1  # one long block, or one of a hundred calls, decides
    assert why_undecided(claim, planned.assign(blocks=planned["blocks"].clip(upper=cut)))


def test_a_claim_that_no_plan_measures_names_what_is_missing() -> None:
    for claim in CLAIMS:
        way = claim.resolve
        assert claim in TESTABLE or way.fact is not None or way.not_measurable is not None, claim.id


def test_a_claim_names_one_cell_even_where_a_run_has_its_aa_twin(planned: pd.DataFrame) -> None:
    assert (planned["replica"] > 0).any()
    (claim,) = [claim for claim in TESTABLE if claim.id == "rtf-near-real-time"]
    twin = planned[(planned["replica"] > 0) & (planned["text_preset"] == "long")]
    assert not twin.empty
    assert why_undecided(claim, planned) == ""
    assert "2 cells match" in why_undecided(claim, pd.concat([planned, twin.assign(replica=0)]))


def test_the_noise_of_the_published_run_is_known_for_the_texts_of_gains() -> None:
    assert {("short", "warm"), ("medium", "warm"), ("long", "warm")} <= set(noise())
    assert all(0.005 < sd < machine_noise() for sd in noise().values()), "the fallback is the larger noise"


def test_a_setting_that_no_plan_varies_is_listed_with_the_reason() -> None:
    varied = {"model", "provider", "intra_op_threads", "graph_level", "voices", "languages"}  # fields of a cell
    for path in (ROOT / "data" / "sweeps").glob("*.yaml"):
        for job in load_plan(str(path)).jobs("run", Path("/results")):
            for item in job.planned():
                varied |= {*current_names(dict(item.cell.engine_settings))}
                varied |= {"provider_options"} if item.cell.provider_options else set()
    section = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8").partition("## Settings that no plan varies")[2]
    rows = [row.split("|")[1:3] for row in section.splitlines() if row.startswith("| `")]
    assert all(reason.strip() for _, reason in rows)
    listed = {name.strip(" `") for names, _ in rows for name in names.split(",")}
    assert listed == {item.name for item in dataclasses.fields(EngineConfig)} - varied
