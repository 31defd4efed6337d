"""Attacks on stored results: times, blocks and verdicts changed behind the instrument's back, and runs made until one
pleases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup, SelfTestCheck
from kokoro_lab.errors import StoreError
from kokoro_lab.files.writing import write_text
from kokoro_lab.measure.statistics.comparison import BlockValue, compare, pair_up
from kokoro_lab.measure.statistics.reruns import attempt_alpha
from kokoro_lab.store import Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.exporting import export
from kokoro_lab.store.integrity.archives import MANIFEST
from kokoro_lab.store.integrity.importing import import_folder
from kokoro_lab.store.integrity.removal import remove_run
from kokoro_lab.store.integrity.results_check import check_results
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.current_verdicts import of_run

__all__ = ["CHECKS", "patient_false_rate"]

SHARE = 0.2
"""What the attacker multiplies measured times by."""

GROUPS = ({"text": "hello", "intra_op_threads": [1, 2]},)
RUN = "attacked"
TRIALS = 400
"""Rows of ten reruns; a true rate of 5 % gives 33 of 400 or more in 0.4 % of tests."""
MOST_FALSE = 32
PAIRS = 12
NOISE = 0.02
ATTEMPTS = 10


def _times(setup: CheckSetup) -> CheckOutcome:
    store, place, blocks = _measured(setup, 2)
    before = len(stored_blocks(store, RUN))
    victims = [path for path in (place.tables / "samples").rglob("*.parquet") if "_delta_log" not in path.parts]
    for path in victims:
        rows = parquet.read_table(path, partitioning=None)
        for name in ("total_ms", "ttfa_ms", "rtf"):
            at = rows.column_names.index(name)
            rows = rows.set_column(at, rows.schema.field(at), pc.multiply(rows[name], SHARE))
        parquet.write_table(rows, path)
    used = len(stored_blocks(Store(place.tables), RUN))
    told = [finding.problem for finding in check_results(place) if "changed after it was stored" in finding.problem]
    words = (
        f"All times inside the data files were multiplied by {SHARE}: {used} of {before} blocks are still used, and "
        f"`results check` says: {told[0] if told else 'nothing'}"
    )
    return CheckOutcome("shown" if not used and told else "failed", words, blocks)


def _imported(setup: CheckSetup) -> CheckOutcome:
    store, place, blocks = _measured(setup, 1)
    said = []
    for number, home in enumerate((place.tables, setup.folder / "elsewhere")):
        folder = setup.folder / f"export-{number}"
        export(store, folder, "parquet")
        _alter_export(folder)
        try:
            import_folder(Store(home), folder)
        except StoreError as error:
            said.append(error.message)
    first = said[0].partition("; ")[0] if said else "nothing"
    words = (
        "An export with other times and a new checksum was imported over the run, and into an empty store: "
        f"{len(said)} of 2 were refused ({first})"
    )
    return CheckOutcome("shown" if len(said) == 2 else "failed", words, blocks)


def _alter_export(folder: Path) -> None:
    """Make every time of an export shorter, and its manifest agree."""
    path = folder / "samples.parquet"
    rows = parquet.read_table(path)
    at = rows.column_names.index("total_ms")
    parquet.write_table(rows.set_column(at, rows.schema.field(at), pc.multiply(rows["total_ms"], SHARE)), path)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["tables"]["samples"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_text(folder / MANIFEST, json.dumps(manifest))


def _deleted(setup: CheckSetup) -> CheckOutcome:
    store, place, blocks = _measured(setup, 2)
    rows = store.rows("cells", run_id=RUN)
    slowest = rows.slice(rows.num_rows - 1).to_pylist()[0]  # the last: the chain itself does not miss it
    for name in ("samples", "cells"):
        table = store._tables[name]
        everything = table.read()
        kept = pc.invert(
            pc.and_(
                pc.equal(everything["cell_id"], slowest["cell_id"]), pc.equal(everything["block"], slowest["block"])
            )
        )
        table.overwrite(everything.filter(kept))
    told = [finding.problem for finding in check_results(place)]
    stale = of_run(Store(place.tables), RUN).notes
    words = (
        "The last block of a run was deleted from both tables: `results check` says "
        f"{told[0] if told else 'nothing'!r}, and a report {stale[0] if stale else 'nothing'!r}"
    )
    return CheckOutcome("shown" if told and stale else "failed", words, blocks)


def _verdict(setup: CheckSetup) -> CheckOutcome:
    store, place, blocks = _measured(setup, 2)
    table = store._tables["verdicts"]
    before = {row["metric"]: row["ratio"] for row in _cells(store.rows("verdicts"))}
    rows = [{**row, "verdict": "faster", "ratio": SHARE} if row in _cells(table.read()) else row
            for row in table.read().to_pylist()]  # fmt: skip
    table.overwrite(pa.Table.from_pylist(rows, table.schema.columns))
    told = [finding.problem for finding in check_results(place)]
    after = {row["metric"]: row["ratio"] for row in _cells(of_run(Store(place.tables), RUN).rows)}
    said = "what it said before" if after == before else "what was forged"
    words = (
        f"Every verdict was made faster, with a ratio of {SHARE}: a report says {said}, and `results check` says "
        f"{told[0] if told else 'nothing'!r}"
    )
    return CheckOutcome("shown" if told and after == before else "failed", words, blocks)


def _cells(verdicts: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = verdicts.to_pylist()
    return [row for row in rows if json.loads(row["details"])["kind"] == "cell"]


def _reruns(setup: CheckSetup) -> CheckOutcome:
    place, blocks, attempts = Results(setup.folder), 0, []
    for number in range(3):
        run = setup.measure(f"rerun-{number}", GROUPS, blocks=1, retries=0)
        blocks += len(run.blocks)
        attempts.append(run.rows("cell")[0]["details"].get("attempt"))
        remove_run(place, f"rerun-{number}")
    false = patient_false_rate(ATTEMPTS, TRIALS)
    words = (
        f"A plan was run three times, and each run removed: the verdicts call themselves attempts {attempts}. "
        f"Of {TRIALS} simulated rows of {ATTEMPTS} runs of two equal cells, {false:.1%} reach a false 'faster'."
    )
    counted = attempts == [1, 2, 3] and false * TRIALS <= MOST_FALSE
    return CheckOutcome("shown" if counted else "failed", words, blocks, details={"false": false})


def patient_false_rate(attempts: int, trials: int, *, pairs: int = PAIRS, seed: int = 11) -> float:
    """Share of simulated experimenters who rerun two equal cells, up to `attempts` times, until one run says faster."""
    random = np.random.default_rng(seed)
    false = 0
    for _ in range(trials):
        for attempt in range(1, attempts + 1):
            # Noise of 2 % and a margin of 0: the sign test alone decides, as hard as it can be for the level.
            sides = [
                [
                    BlockValue("short", at, float(np.exp(value)))
                    for at, value in enumerate(random.normal(0, NOISE, pairs))
                ]
                for _ in range(2)
            ]
            if compare(pair_up(*sides), margin=1e-9, alpha=attempt_alpha(attempt)).verdict == "faster":
                false += 1
                break
    return false / trials


def _measured(setup: CheckSetup, blocks: int) -> tuple[Store, Results, int]:
    """A store with one measured run of two cells."""
    run = setup.measure(RUN, GROUPS, blocks=blocks, retries=0)
    place = Results(setup.folder)
    return Store(place.tables), place, len(run.blocks)


CHECKS: Mapping[str, SelfTestCheck] = {
    "tampered-times": SelfTestCheck("times changed inside the data files are noticed and not used", 8, _times),
    "tampered-import": SelfTestCheck("an export that was changed is refused, whatever its checksums", 4, _imported),
    "deleted-block": SelfTestCheck("a block that was deleted is missed", 8, _deleted),
    "edited-verdict": SelfTestCheck("a verdict that was edited is noticed, and judged again", 8, _verdict),
    "rerun-until-faster": SelfTestCheck(
        "a plan that is run again and again is counted, and judged harder", 12, _reruns
    ),
}
