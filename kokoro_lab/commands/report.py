"""`kokoro-lab report`: render the report of a run, publish it, compare it with a published one, or verify one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from kokoro_lab.commands.console import notice, print_json, print_table
from kokoro_lab.errors import InputError, RegressedError
from kokoro_lab.reports.page.publish import CellChange, compare_published, publish
from kokoro_lab.reports.page.render import render
from kokoro_lab.reports.page.report_verification import verify
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import StoreReader
from kokoro_lab.store.layout import results
from kokoro_lab.store.run_facts.run_labels import chosen_run

__all__ = ["report", "verify_report"]

MOST_SHOWN = 20  # differences on a terminal

COLUMNS = ("text", "cell", "state", "figure", "ratio", "low", "high", "blocks")


def report(*, run_id: str | None, published: bool, compared: str | None, as_json: bool) -> None:
    """Render the report of a run, by default the newest complete one, and print its path.

    With `published`, store a copy under results/published/ too. With `compared` (the number or folder of a published
    report), print the ratio of new to old times for the cells that both reports have.

    Raises:
        InputError: there is no such published report.
    """
    place = results()
    run_id = chosen_run(StoreReader(place.tables), run_id) if run_id else None
    earlier = None if compared is None else _published(compared)
    notice(f"rendering the report of {f'run {run_id}' if run_id else 'the newest complete run'}")
    path = render(place.root, run_id or "")
    chosen = path.parent.name
    latest = place.reports / "latest" / "index.html"
    copy = publish(place.root, chosen, place.inside(place.published)) if published else None
    changes = [] if earlier is None else compare_published(earlier, Evidence.load(place.tables, chosen))
    if as_json:
        document = {"report": str(path), "latest": str(latest), "run_id": chosen}
        print_json(
            {
                **document,
                **({} if copy is None else {"published": str(copy)}),
                **(
                    {}
                    if earlier is None
                    else {"against": str(earlier), "rows": [change.as_dict() for change in changes]}
                ),
            }
        )
    elif earlier is not None:
        _show(changes, earlier)
    notice(f"wrote {path}")
    if copy is not None:
        size = sum(file.stat().st_size for file in copy.rglob("*") if file.is_file())
        notice(f"published as {copy}, {size / 1e3:.0f} kB; commit it to keep it")
    notice(f"open the report at {latest}")


def verify_report(name: str, *, as_json: bool) -> None:
    """Compute every figure of a report's folder again from its own tables, and print the differences.

    Raises:
        RegressedError: a figure differs.
        InputError, InconclusiveError: as `verify`.
    """
    folder = _published(name)
    verified = verify(folder)
    if as_json:
        print_json({"folder": str(folder), **asdict(verified)})
    else:
        for words in verified.differences[:MOST_SHOWN]:
            notice(words)
    for words in verified.notes:
        notice(words)
    if verified.differences:
        differences = "1 difference" if len(verified.differences) == 1 else f"{len(verified.differences)} differences"
        raise RegressedError(f"{folder} has {differences} in {verified.checked} figures; get the report again")
    notice(f"verified {verified.checked} figures of {folder} from its own tables")


def _published(name: str) -> Path:
    folder = Path(name) if Path(name).is_dir() else results().published / name
    if not folder.is_dir():
        raise InputError(f"no published report {name!r} under {results().published}; name its number or its folder")
    return folder


def _show(changes: list[CellChange], earlier: Path) -> None:
    title = f"Ratio to report {earlier.name} (measured at different times, not interleaved)"
    print_table([change.as_dict() for change in changes], COLUMNS, title=title)
