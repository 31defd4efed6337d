"""From the rows of a run to one HTML page that needs nothing else: no network, no script, no file beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.fragments import TEMPLATES, Html, fragment
from kokoro_lab.reports.notebook import Pages, execute, sections
from kokoro_lab.reports.sections import notebook_page
from kokoro_lab.reports.theme import DARK, LIGHT
from kokoro_lab.store.places import Results, notebook_file

__all__ = ["page", "render"]

NOTEBOOK = "gap_report"

BANNERS = {
    "tiny": (
        "Tiny architecture.",
        "A test of the chain on a model of milliseconds: no figure here says anything of Kokoro.",
    ),
    "stand-in": (
        "Stand-in weights.",
        "Kokoro-82M to the last tensor shape, with seeded weights: times and memory are those of the model, "
        "its sound is not speech.",
    ),
    "imported": ("Imported weights.", "Weights from a file of the user's, which is not one of the published ones."),
    "published": ("Published weights.", "Told by their SHA-256."),
}


def render(results: str | Path, run_id: str = "") -> Path:
    """Render the report of one run, the newest when `run_id` is empty.

    Args:
        results: the results folder; the tables, the run's audio and the reports are in it.
        run_id: which run.

    Returns:
        The path of reports/<run id>/index.html, with a page for each executed notebook beside it; reports/latest/ holds
        the same pages.

    Raises:
        NothingMeasuredError: there is no such run, or it has no rows.
        KokoroLabError: the report's notebook failed.
    """
    places = Results(Path(results).resolve())
    evidence = Evidence.load(places.tables, run_id)
    executed = places.run(evidence.run_id) / f"{NOTEBOOK}.ipynb"
    parameters = {"run_id": evidence.run_id, "tables": str(places.tables)}
    execute(notebook_file(NOTEBOOK), executed, parameters)
    pages = {"index.html": page(evidence, sections(executed))}
    for name in dict.fromkeys(str(row["notebook"]) for row in evidence.notebooks):
        kept = places.run(evidence.run_id) / f"{name}.ipynb"
        if kept.is_file():
            pages[notebook_page(name)] = page(evidence, sections(kept), back="index.html")
    folders = [places.reports / name for name in (evidence.run_id, "latest")]
    for folder in folders:
        for name, text in pages.items():
            _write(folder / name, text)
        for old in folder.glob("*.html"):
            if old.name not in pages:
                old.unlink()
    return folders[0] / "index.html"


def page(evidence: Evidence, pages: Pages, *, back: str = "") -> str:
    """The whole page, from a notebook's sections.

    Args:
        evidence: the run.
        pages: the notebook.
        back: file of the report that the page belongs to; empty for the report itself.
    """
    started = evidence.cells["started_at"].min()
    kind = _kind(evidence)
    strong, text = BANNERS[kind]
    return str(
        fragment(
            "page",
            title=pages.title,
            back=back,
            run_id=evidence.run_id,
            when=f"{started:%d %B %Y}",
            css=Html(_css()),
            banner={"kind": kind, "strong": strong, "text": text},
            lead=pages.lead,
            sections=pages.sections,
            footer=_footer(evidence),
        )
    )


def _kind(evidence: Evidence) -> str:
    """What the banner warns of: the least that any row rests on."""
    if "tiny" in evidence.architectures:
        return "tiny"
    return next(kind for kind in ("stand-in", "imported", "published") if kind in evidence.weights)


def _css() -> str:
    text = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        text = text.replace("{{ " + name + " }}", _variables(colours))
    return text


def _variables(colours: Mapping[str, str]) -> str:
    return "  " + " ".join(f"--kl-{name}: {value};" for name, value in colours.items())


def _footer(evidence: Evidence) -> str:
    cited = ", ".join(f"{name} {version}" for name, version in evidence.versions.items() if version is not None)
    again = f"kokoro-lab report --run {evidence.run_id}"
    return f"Made from table versions {cited}. The same rows give the same numbers: {again}"


def _write(path: Path, text: str) -> None:
    """The page appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(part).chmod(0o644)
    Path(part).replace(path)
