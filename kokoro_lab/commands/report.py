"""`kokoro-lab report`: render a run's report, keep it as a published one, compare it with an earlier one."""

from __future__ import annotations

from pathlib import Path

from kokoro_lab.commands.console import notice, print_json, print_table
from kokoro_lab.errors import InputError
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.publish import Change, against, publish
from kokoro_lab.reports.render import render
from kokoro_lab.store.places import results

__all__ = ["report"]

COLUMNS = ("text", "cell", "state", "figure", "ratio", "low", "high", "blocks")


def report(*, run_id: str | None, published: bool, compared: str | None, as_json: bool) -> None:
    """Render the report of one run, the newest when none is named, and say where it is.

    With `published`, keep it under results/published/ too; with `compared` (a number or a folder), show what cells that
    are in both reports took, now over then.

    Raises:
        InputError: there is no such published report.
    """
    place = results()
    earlier = None if compared is None else _published(compared)
    notice(f"Rendering the report of {f'run {run_id}' if run_id else 'the newest run'}")
    path = render(place.root, run_id or "")
    chosen = path.parent.name
    latest = place.reports / "latest" / "index.html"
    kept = publish(place.root, chosen, place.published) if published else None
    changes = [] if earlier is None else against(earlier, Evidence.load(place.tables, chosen))
    if as_json:
        document = {"report": str(path), "latest": str(latest), "run_id": chosen}
        print_json(
            {
                **document,
                **({} if kept is None else {"published": str(kept)}),
                **({} if earlier is None else {"against": str(earlier), "rows": [one.as_dict() for one in changes]}),
            }
        )
    elif earlier is not None:
        _show(changes, earlier)
    notice(f"Kept as {path}")
    if kept is not None:
        size = sum(file.stat().st_size for file in kept.iterdir())
        notice(f"Published as {kept}, {size / 1e3:.0f} kB: commit it to keep it")
    notice(f"The report is {latest}")


def _published(name: str) -> Path:
    folder = Path(name) if Path(name).is_dir() else results().published / name
    if not folder.is_dir():
        raise InputError(f"There is no published report {name!r} under {results().published}.")
    return folder


def _show(changes: list[Change], earlier: Path) -> None:
    print_table([one.as_dict() for one in changes], COLUMNS, title=f"Now over report {earlier.name}: not interleaved")
