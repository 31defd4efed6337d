"""The plan `full` measures what every claim needs: planned cells are matched against the claims' filters."""

from __future__ import annotations

import pandas as pd
import pytest

from kokoro_lab.paths import ROOT
from kokoro_lab.reports.claims import Claim, load_claims
from kokoro_lab.reports.evidence import chosen, recipe_of
from kokoro_lab.sweeps.plan import load_plan

TESTABLE = [claim for claim in load_claims().claims if claim.resolve.rows is not None or claim.resolve.compare]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """One row a cell that one of the plans measures, in the columns that claims filter on."""
    rows = []
    for name in ("full", "soak"):
        plan = load_plan(str(ROOT / "data" / "sweeps" / f"{name}.yaml"))
        for job in plan.jobs("run", tmp_path_factory.mktemp("results")):
            for item in job.planned():
                cell = item.cell
                rows.append(
                    {
                        **cell.as_dict(),
                        "engine_settings": dict(cell.engine_settings),
                        "recipe": recipe_of(cell.model),
                        "notebook": job.notebook,
                        "plan": name,
                    }
                )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("claim", TESTABLE, ids=lambda claim: claim.id)
def test_a_plan_measures_what_a_claim_needs(claim: Claim, planned: pd.DataFrame) -> None:
    way = claim.resolve
    sides = [way.rows] if way.compare is None else [way.compare.baseline, way.compare.candidate]
    for side in sides:
        found = chosen(planned, side or {})
        assert not found.empty, f"no cell of the plans full and soak matches {side}"
        assert way.notebook in set(found["notebook"]), f"notebook {way.notebook} has no cell that matches {side}"
