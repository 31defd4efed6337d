"""Runs in a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["run_summaries"]


def run_summaries(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Every run in rows of table `cells`, in their order: start, blocks by status, samples, models and weights."""
    summaries = []
    for run_id, rows in cells.groupby("run_id", sort=False):
        statuses = rows["status"].value_counts()
        summaries.append(
            {
                "run_id": str(run_id),
                "started_at": rows["started_at"].min().isoformat(),
                "plan": str(rows["plan"].iloc[0]),
                "notebooks": sorted(set(rows["notebook"])),
                "cells": int(rows["cell_id"].nunique()),
                "blocks": len(rows),
                **{status: int(statuses.get(status, 0)) for status in ("ok", "partial", "unavailable", "error")},
                "samples": int(rows["samples"].sum()),
                "models": sorted(set(rows["model"])),
                "weights": sorted(set(rows["weights"]) - {""}),
                "architectures": sorted(set(rows["architecture"]) - {""}),
            }
        )
    return summaries
