"""The rows of a run as one self-contained HTML page: no network, no other file; the one script is in it."""

from __future__ import annotations

from pathlib import Path

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.reports.drawing.document import document
from kokoro_lab.reports.drawing.fragments import fragment, note
from kokoro_lab.reports.page.notebook_export import ExportedNotebook, execute, sections
from kokoro_lab.reports.page.page_files import write_pages
from kokoro_lab.reports.page.publish import with_fewer_clips
from kokoro_lab.reports.page.report_data import write_data
from kokoro_lab.reports.page.run_facts import machine_name
from kokoro_lab.reports.page.sections import notebook_page
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store.layout import LATEST, Results, notebook_file

__all__ = ["page", "render"]

NOTEBOOK = "gap_report"
PRODUCT = "Kokoro-82M text to speech on ONNX Runtime"
MOST_PAGE_BYTES = 1_500_000
"""Of the report's own page: recordings beyond it are left out, those of references last."""

BANNERS = {
    "tiny": (
        "Tiny architecture.",
        "An end-to-end test on a tiny model: no figure here says anything about Kokoro.",
    ),
    "unknown": (
        "Unknown architecture.",
        "The shapes of the weights are not those of Kokoro-82M: no figure here says anything about Kokoro.",
    ),
    "stand-in": (
        "Stand-in weights.",
        "The architecture of Kokoro-82M with random weights: times and memory are the model's, its speech is noise.",
    ),
    "imported": (
        "Imported weights.",
        "Weights imported from the user's own file, which is not one of the published files.",
    ),
    "published": ("Published weights.", "Recognised by their SHA-256."),
}


def render(results: str | Path, run_id: str = "") -> Path:
    """Render the report of one run, the newest when `run_id` is empty.

    Args:
        results: the results folder; the tables, the run's audio and the reports are in it.
        run_id: which run.

    Returns:
        The path of reports/<run id>/index.html, with a page for each executed notebook and the data that it was made
        from beside it (see `report_data`); reports/latest/ holds the same.

    Raises:
        InputError: the run id is invalid, or a folder of the report is a link that leads elsewhere.
        NothingMeasuredError: there is no such run, or it has no rows.
        KokoroLabError: the report's notebook failed.
    """
    places = Results(Path(results).resolve())
    evidence = Evidence.load(places.tables, run_id)
    folders = [places.inside(folder) for folder in (places.report(evidence.run_id), places.reports / LATEST)]
    executed = places.inside(places.run(evidence.run_id) / f"{NOTEBOOK}.ipynb")
    parameters = {"run_id": evidence.run_id, "tables": str(places.tables)}
    execute(notebook_file(NOTEBOOK), executed, parameters)
    pages = {"index.html": with_fewer_clips(page(evidence, sections(executed)), MOST_PAGE_BYTES)}
    for name in dict.fromkeys(str(row["notebook"]) for row in evidence.notebooks):
        executed_notebook = places.run(evidence.run_id) / f"{name}.ipynb"
        if executed_notebook.is_file():
            pages[notebook_page(name)] = page(evidence, _readable_sections(name, executed_notebook), back="index.html")
    claims = load_claims()
    for folder in folders:
        write_pages(folder, pages)
        write_data(folder, evidence, claims, places.tables)
    return folders[0] / "index.html"


def _readable_sections(name: str, executed: Path) -> ExportedNotebook:
    """The sections of an executed notebook; where its file was damaged since, a page that says so."""
    try:
        return sections(executed)
    except KokoroLabError as error:
        return ExportedNotebook(name, note(error.message), ())


def page(evidence: Evidence, notebook: ExportedNotebook, *, back: str = "") -> str:
    """The whole page, built from an executed notebook.

    Args:
        evidence: the run.
        pages: the notebook.
        back: file of the report that the page belongs to; empty for the report itself.
    """
    started = evidence.cells["started_at"].min()
    kind = _kind(evidence)
    strong, text = BANNERS[kind]
    about = fragment(
        "about", back=back, run_id=evidence.run_id, when=f"{started:%d %B %Y}", kind=kind, strong=strong, text=text
    )
    return document(
        notebook.title if back else PRODUCT,
        name=evidence.run_id,
        about=about,
        lead=notebook.lead,
        sections=notebook.sections,
        machine="" if back else machine_name(evidence),
        footer=_footer(evidence),
    )


def _kind(evidence: Evidence) -> str:
    """Which banner to show: that of the least trustworthy rows."""
    for architecture in ("tiny", "unknown"):
        if architecture in evidence.architectures:
            return architecture
    return next(kind for kind in ("stand-in", "imported", "published") if kind in evidence.weights)


def _footer(evidence: Evidence) -> str:
    cited = ", ".join(f"{name} {version}" for name, version in evidence.versions.items() if version is not None)
    again = f"kokoro-lab report --run {evidence.run_id}"
    return f"Made from table versions {cited}. To reproduce it from the same rows: {again}"
