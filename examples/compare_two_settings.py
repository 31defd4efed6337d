"""Measure one thread against two and print the verdict: a sweep in miniature, with its own results folder.

python examples/compare_two_settings.py results-of-my-own --model tiny --blocks 6
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kokoro_lab.store import Store
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.run import measure


def main() -> None:
    """Read the arguments, measure, read the rows back, print what they say."""
    parser = argparse.ArgumentParser(description="Compare one thread with two.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--blocks", type=int, default=6, help="a verdict needs at least 6")
    given = parser.parse_args()

    groups = [{"text": "ultra-short", "intra_op_threads": [1, 2], "repeats": 3, "blocks": given.blocks}]
    asked = {"run_id": "threads", "notebook": "providers", "groups": groups, "budget_s": 600, "retries": 0}
    print(measure(Job.model_validate({**asked, "model": given.model, "results": given.results.resolve()})).sentence)

    store = Store(given.results / "tables")
    print(store.samples("threads").groupby("intra_op_threads")["total_ms"].describe())
    verdicts = store.verdicts("threads")
    for row in verdicts[verdicts["metric"] == "total_ms"].itertuples():
        print(f"{row.candidate_cell} against {row.base_cell}: {row.verdict} ({row.reason})")


if __name__ == "__main__":
    main()
