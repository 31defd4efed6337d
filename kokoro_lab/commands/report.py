"""`kokoro-lab report`: render the report of a run, publish it, compare it with another, verify one, or index them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from kokoro_lab.commands.console import notice, print_json, print_table
from kokoro_lab.errors import InputError, NothingMeasuredError, RegressedError
from kokoro_lab.files.writing import write_text
from kokoro_lab.reports.page.publish import CellChange, compare_published, publish
from kokoro_lab.reports.page.published_index import build_site
from kokoro_lab.reports.page.render import render
from kokoro_lab.reports.page.report_verification import verify
from kokoro_lab.reports.page.side_by_side import side_by_side
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import StoreReader
from kokoro_lab.store.layout import is_run_id, results
from kokoro_lab.store.run_facts.run_labels import chosen_run

__all__ = ["report", "report_site", "verify_report"]

AGAINST = "against.html"
"""The page of a comparison, beside the report."""

MOST_SHOWN = 20  # differences on a terminal

COLUMNS = ("text", "cell", "state", "figure", "ratio", "low", "high", "blocks")


def report(*, run_id: str | None, published: bool, compared: str | None, as_json: bool) -> None:
    """Render the report of a run, by default the newest complete one, and print its path.

    With `published`, store a copy under results/published/ too. With `compared` (the number or folder of a published
    report, or another run), print the ratio of new to old times for the cells that both have, and write a page that
    shows them side by side.

    Raises:
        InputError: there is no such published report, and no such run.
    """
    place = results()
    run_id = chosen_run(StoreReader(place.tables), run_id) if run_id else None
    earlier = None if compared is None else _earlier(compared)
    notice(f"rendering the report of {f'run {run_id}' if run_id else 'the newest complete run'}")
    path = render(place.root, run_id or "")
    chosen = path.parent.name
    latest = place.reports / "latest" / "index.html"
    copy = publish(place.root, chosen, place.inside(place.published)) if published else None
    changes = [] if earlier is None else compare_published(earlier, Evidence.load(place.tables, chosen))
    beside = None
    if earlier is not None and compared is not None:
        beside = path.parent / AGAINST
        write_text(beside, side_by_side(changes, compared, chosen))
    if as_json:
        document = {"report": str(path), "latest": str(latest), "run_id": chosen}
        print_json(
            {
                **document,
                **({} if copy is None else {"published": str(copy)}),
                **(
                    {}
                    if earlier is None
                    else {
                        "against": str(earlier) if isinstance(earlier, Path) else earlier.run_id,
                        "page": str(beside),
                        "rows": [change.as_dict() for change in changes],
                    }
                ),
            }
        )
    elif earlier is not None:
        _show(changes, compared or "")
    if beside is not None:
        notice(f"wrote {beside}, with both side by side")
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
    for words in (*verified.notes, verified.not_compared):
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


def report_site(folder: str, *, as_json: bool) -> None:
    """Write an index of all published reports, with trends, into a folder.

    Raises:
        NothingMeasuredError, InputError: as `build_site`.
    """
    index = build_site(results().published, Path(folder))
    if as_json:
        print_json({"site": str(index)})
    notice(f"wrote {index}")


def _earlier(name: str) -> Path | Evidence:
    """A published report by number or folder, else a run of the store."""
    if Path(name).is_dir() or (results().published / name).is_dir():
        return _published(name)
    if is_run_id(name):
        try:
            return Evidence.load(results().tables, name)
        except NothingMeasuredError as error:
            raise InputError(
                f"no published report and no run {name!r}; see `kokoro-lab results list` for the runs"
            ) from error
    return _published(name)


def _show(changes: list[CellChange], earlier: str) -> None:
    title = f"Ratio to {earlier} (measured at different times, not interleaved)"
    print_table([change.as_dict() for change in changes], COLUMNS, title=title)
