"""`make bench-peers`: our engine beside the others, measured, stored and shown.

`python -m kokoro_lab.commands.bench_peers --help` tells its options.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from kokoro_lab.commands.console import json_text, notice, print_json, print_table
from kokoro_lab.errors import InputError, KokoroLabError, NothingMeasuredError

if TYPE_CHECKING:
    from collections.abc import Generator

    from kokoro_lab.measure.cell import Block, Cell
    from kokoro_lab.measure.sampling import Event

__all__ = ["app", "bench_peers", "read_table"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

TABLE = "peers.json"
COLUMNS = (
    "engine",
    "figure",
    "text",
    "value",
    "unit",
    "ratio",
    "low",
    "high",
    "verdict",
    "pairs",
    "gate",
    "status",
    "contaminated",
)


@app.command()
def bench_peers(
    engine: Annotated[list[str] | None, typer.Option(help="A peer; repeat for several (default: all).")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Blocks of each cell; an interval takes 8 for four peers.")] = 8,
    budget_s: Annotated[float, typer.Option(min=0, help="Seconds of this call; each cell gets a block.")] = 3600.0,
    model: Annotated[str, typer.Option(help="Model whose weights all speak with.")] = "stand-in",
    threads: Annotated[int, typer.Option(min=0, help="Of every engine; 0: as many as there are processors.")] = 0,
    text: Annotated[list[str] | None, typer.Option(help="A text preset; repeat for several.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed calls a block.")] = 2,
    warmup_cap: Annotated[int, typer.Option(min=1, help="Most warm-up calls before them.")] = 2,
    run_id: Annotated[str | None, typer.Option(help="Name of the run; one that exists is continued.")] = None,
    install: Annotated[bool, typer.Option(help="Install the environments that are missing.")] = True,
    use_contaminated: Annotated[
        bool, typer.Option(help="Compare blocks of a machine that was not quiet, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Measure the peers and ours in interleaved blocks; keep the blocks in the store and the table beside the run."""
    from kokoro_lab.measure.peertable import ENGINES, TEXTS, peer_cells, peer_rows
    from kokoro_lab.store.places import results
    from kokoro_lab.sweeps.texts import preset_text

    engines = list(engine or ENGINES)
    run = run_id or f"peers-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    texts = dict(sorted(((name, preset_text(name)) for name in text or TEXTS), key=lambda item: len(item[1])))
    cells = peer_cells(model, texts, engines, threads=threads or _processors(), repeats=repeats, warmup_cap=warmup_cap)
    missing = _made_ready(engines, cells, install)
    folder = results().run(run)
    measured = list(_measured(cells, folder, rounds, budget_s, retries=0 if use_contaminated else 1))
    if not any(block.result.repeats for block in measured):
        raise NothingMeasuredError(f"run {run} measured nothing; look at its blocks in {folder}")
    rows = [dataclasses.asdict(row) for row in peer_rows(measured, use_contaminated=use_contaminated)]
    document = {
        "run_id": run,
        "model": dataclasses.asdict(next(block.result.model for block in measured if block.result.model)),
        "threads": threads or _processors(),
        "blocks": len(measured),
        "contaminated": sum(block.quiet.contaminated for block in measured),
        "contaminated_used": use_contaminated,
        "noise": _noise(measured),
        "missing": missing,
        "rows": rows,
    }
    path = folder / TABLE
    path.write_text(json_text(document), encoding="utf-8")
    if as_json:
        print_json(document)
    else:
        print_table(rows, COLUMNS, title=f"Peers over ours, run {run}")
    for name, reason in missing.items():
        notice(f"{name} is not in the table: {reason}")
    notice(f"The table is in {path}; {document['contaminated']} of {len(measured)} blocks were contaminated")


def read_table(run: str = "") -> dict[str, Any]:
    """The table of one run, of the newest one when `run` is empty. Raises InputError when there is none."""
    from kokoro_lab.store.places import results

    places = [results().run(run) / TABLE] if run else results().runs.glob(f"*/{TABLE}")
    found = sorted((path for path in places if path.is_file()), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(f"there is no peers' table{f' of run {run!r}' if run else ''} yet; make one: make bench-peers")
    table: dict[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return table


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _made_ready(engines: Sequence[str], cells: Sequence[Cell], install: bool) -> dict[str, str]:
    """Install and prepare what can be, before any clock runs; engine -> why it could not be."""
    from kokoro_lab.measure.environments import add
    from kokoro_lab.measure.peers import is_peer, prepare
    from kokoro_lab.models.catalog import resolve

    for name in {cell.model for cell in cells}:
        resolve(name, notice=notice)
    missing: dict[str, str] = {}
    for name in engines:
        try:
            if install:
                add(name, notice=notice)
            for cell in cells:
                if cell.environment == name and is_peer(cell):
                    prepare(cell)
        except KokoroLabError as error:
            missing[name] = error.message
    return missing


def _measured(cells: Sequence[Cell], folder: Path, rounds: int, budget_s: float, *, retries: int) -> Iterator[Block]:
    """Every block of the run, those of an earlier call first; each is kept before the next one starts."""
    from kokoro_lab.measure import fingerprint
    from kokoro_lab.measure.journal import Journal
    from kokoro_lab.measure.sampling import sample
    from kokoro_lab.store import RunRecord, Store
    from kokoro_lab.store.places import results

    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / "blocks.jsonl")
    kept = journal.read({cell.id for cell in cells})
    yield from kept
    store = Store(results().tables)
    machine, software, code = fingerprint.machine(), fingerprint.software(), fingerprint.code()
    store.append_machine(machine, software)
    record = RunRecord(
        run_id=folder.name,
        plan="peers",
        notebook="bench-peers",
        machine_id=machine.sha,
        software_id=software.sha,
        git_commit=code.facts["commit"],
        git_dirty=code.facts["dirty"],
        run_dir=str(folder),
    )
    source = sample(
        cells,
        blocks=rounds,
        seed=0,
        run_dir=folder,
        done={block.key for block in kept},
        contaminated={block.key for block in kept if block.quiet.contaminated},
        budget_s=budget_s,
        on_event=_tell,
        retries=retries,
    )
    with contextlib.closing(cast("Generator[Block]", source)):
        for block in source:
            store.append_block(record, block)
            journal.append(block)
            yield block


def _tell(event: Event) -> None:
    from kokoro_lab.measure.peertable import engine_of

    if event.kind == "finished" and event.cell is not None:
        cell = event.cell
        what = f"{engine_of(cell)}, {cell.text_preset}, {cell.state}, {cell.delivery}"
        notice(f"[{event.done}/{event.total}] {what}: {event.message}")
    elif event.kind != "start":
        notice(event.message)


def _noise(blocks: Sequence[Block]) -> dict[str, Any]:
    """Text -> the noise floor and the smallest effect that could have been seen, of RTF (rule 6)."""
    from kokoro_lab.measure.verdicts import judge_run

    return {text: dataclasses.asdict(floor) for text, floor in judge_run(blocks, "rtf").noise.items()}


def main() -> None:
    """Entry point."""
    from kokoro_lab.commands.console import sentence

    try:
        app()
    except KokoroLabError as error:
        print(f"kokoro-lab: {sentence(error.message)}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
