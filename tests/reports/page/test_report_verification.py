"""A report's folder can be verified anywhere: its figures follow from its tables, and its page shows them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet
from report_blocks import RUN

from kokoro_lab.cli import run
from kokoro_lab.errors import InconclusiveError, InputError
from kokoro_lab.paths import ROOT
from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.reports.claims.resolution import resolve_all
from kokoro_lab.reports.page import report_verification
from kokoro_lab.reports.page.publish import publish
from kokoro_lab.reports.page.report import Report
from kokoro_lab.reports.page.report_data import FIGURES, TABLES_FOLDER, read_evidence, read_figures, write_data
from kokoro_lab.reports.page.report_verification import MORE_SECTIONS, SECTIONS, verify
from kokoro_lab.reports.rows.derived_metrics import DERIVED, EVENTS, SHARES, SOAK, SOUND
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import Store
from kokoro_lab.sweeps.conclude import conclude


@pytest.fixture(scope="module")
def judged(quick: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the made-up run, with verdicts; the folder of its tables."""
    results = tmp_path_factory.mktemp("judged") / "results"
    shutil.copytree(quick.parent, results, ignore=shutil.ignore_patterns("reports"))
    store = Store(results / "tables")
    conclude(store, RUN, set(store.cells(RUN)["cell_id"]))
    return results / "tables"


@pytest.fixture(scope="module")
def evidence(judged: Path) -> Evidence:
    return Evidence.load(judged)


@pytest.fixture(scope="module")
def rendered(judged: Path, evidence: Evidence) -> Path:
    """The report's folder; the page has the sections as the notebook shows them, without their charts."""
    folder = judged.parent / "reports" / RUN
    folder.mkdir(parents=True)
    report = Report(evidence, load_claims())
    page = "\n".join(f"<h2>{name}</h2>{getattr(report, name)()}" for name in (*SECTIONS, *MORE_SECTIONS))
    (folder / "index.html").write_text(f"<html><body>{page}</body></html>", encoding="utf-8")
    write_data(folder, evidence, load_claims(), judged)
    return folder


@pytest.fixture
def copied(rendered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rendered, tmp_path / "elsewhere"))


def test_a_report_holds_wherever_it_is_copied(copied: Path) -> None:
    verified = verify(copied)
    assert verified.differences == () and verified.notes == () and verified.checked > 600
    assert run(["report", "--verify", str(copied)]) == 0


def test_a_published_report_holds(rendered: Path, tmp_path: Path) -> None:
    published = publish(rendered.parent.parent, RUN, tmp_path / "published")
    verified = verify(published)
    assert verified.differences == () and verified.checked > 600
    (published / "claims.csv").write_text("id\n")
    assert verify(published).differences == ("claims.csv: its SHA-256 differs from the manifest",)


def test_the_tables_have_every_column_that_claims_read(rendered: Path, evidence: Evidence) -> None:
    claims = load_claims()
    again, tables, changed = read_evidence(rendered, read_figures(rendered))
    assert changed == 0
    for claim in claims.claims:
        ways = [claim.resolve.rows] if claim.resolve.rows is not None else []
        if claim.resolve.compare is not None:
            ways += [claim.resolve.compare.baseline, claim.resolve.compare.candidate]
        for column in {column for way in ways for column in way}:
            assert column in again.samples.columns and column in again.cells.columns, claim.id
        if ways and claim.metric not in {"drift", "error_share", *DERIVED, *EVENTS, *SHARES, *SOAK, *SOUND}:
            assert claim.metric in tables["samples"].column_names, claim.id
    assert resolve_all(claims, again) == resolve_all(claims, evidence)
    assert {resolution.verdict for resolution in resolve_all(claims, again)} >= {"met", "missed"}


def test_a_figure_that_was_changed_in_the_page_is_found(copied: Path) -> None:
    page = copied / "index.html"
    text = page.read_text(encoding="utf-8")
    headline = str(read_figures(copied)["figures"]["headline"])
    assert headline in text
    page.write_text(text.replace(headline, headline.replace("1", "9").replace("2", "1")), encoding="utf-8")
    (words,) = verify(copied).differences
    assert words.startswith("section answer of the page: it says")
    assert run(["report", "--verify", str(copied)]) == 1


def test_a_figure_that_was_changed_in_the_data_is_found(copied: Path) -> None:
    document = json.loads((copied / FIGURES).read_text(encoding="utf-8"))
    name = next(name for name, value in document["figures"].items() if name.endswith("verdict") and value == "missed")
    document["figures"][name] = "met"
    (copied / FIGURES).write_text(json.dumps(document), encoding="utf-8")
    assert verify(copied).differences == (f"{name}: {FIGURES} says met, the tables give missed",)


def test_times_that_were_changed_in_the_tables_are_found(copied: Path) -> None:
    path = copied / TABLES_FOLDER / "samples.parquet"
    rows = parquet.read_table(path)
    at = rows.column_names.index("total_ms")
    parquet.write_table(rows.set_column(at, rows.schema.field(at), pc.multiply(rows["total_ms"], pa.scalar(0.2))), path)
    (words,) = verify(copied).differences
    assert words.startswith("the tables: the SHA-256 of")


def test_a_verdict_that_its_blocks_do_not_support_is_found(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def otherwise(*tables: pa.Table) -> list[dict[str, object]]:
        return [{**row, "verdict": "other"} for row in judged_again(*tables)]

    judged_again = report_verification.judged_again
    monkeypatch.setattr(report_verification, "judged_again", otherwise)
    differences = verify(copied).differences
    assert differences and all("the blocks give other" in words for words in differences)


def test_reports_of_earlier_versions_say_what_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(InconclusiveError, match=r"cannot be computed from its tables"):
        verify(ROOT / "results" / "published" / "0001")
    with pytest.raises(InputError, match="give the folder of a rendered or published report"):
        verify(tmp_path)
