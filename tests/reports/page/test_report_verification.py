"""A report's folder can be verified anywhere: its figures follow from its tables, and its page shows them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from kokoro_lab.reports.page.report_verification import SECTIONS, verify
from kokoro_lab.reports.rows.derived_metrics import DERIVED, EVENTS, SHARES, SOAK, SOUND
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import Store
from kokoro_lab.store.integrity.seals import sealed_verdicts
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
    page = "\n".join(f"<h2>{name}</h2>{getattr(report, name)()}" for name in SECTIONS)
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
    differences = verify(published).differences
    assert differences[0] == "claims.csv: its SHA-256 differs from the manifest"
    assert len(differences) == 2 and differences[1].startswith("claims.csv: it has 0 rows, the tables give")


def test_the_tables_have_every_column_that_claims_read(rendered: Path, evidence: Evidence) -> None:
    claims = load_claims()
    again, archive = read_evidence(rendered, read_figures(rendered))
    assert not archive.originals and not archive.uncovered
    for claim in claims.claims:
        ways = [claim.resolve.rows] if claim.resolve.rows is not None else []
        if claim.resolve.compare is not None:
            ways += [claim.resolve.compare.baseline, claim.resolve.compare.candidate]
        for column in {column for way in ways for column in way}:
            assert column in again.samples.columns and column in again.cells.columns, claim.id
        if ways and claim.metric not in {"drift", "error_share", *DERIVED, *EVENTS, *SHARES, *SOAK, *SOUND}:
            assert claim.metric in archive.tables["samples"].column_names, claim.id
    assert resolve_all(claims, again) == resolve_all(claims, evidence)
    assert {resolution.verdict for resolution in resolve_all(claims, again)} >= {"met", "missed"}


def test_a_figure_that_was_changed_in_the_page_is_found(copied: Path) -> None:
    page = copied / "index.html"
    text = page.read_text(encoding="utf-8")
    headline = str(read_figures(copied)["figures"]["headline"])
    assert headline in text
    page.write_text(text.replace(headline, headline.replace("1", "9").replace("2", "1")), encoding="utf-8")
    words, *more = verify(copied).differences
    assert words.startswith("section answer of the page: it says") and all("it also says" in each for each in more)
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
    def otherwise(*given: Any) -> pa.Table:
        rows = judged_again(*given)
        at = rows.column_names.index("verdict")
        return rows.set_column(at, rows.schema.field(at), pa.array(["other"] * rows.num_rows))

    judged_again = report_verification.judged_again
    monkeypatch.setattr(report_verification, "judged_again", otherwise)
    differences = verify(copied).differences
    assert differences and all("the blocks give other" in words for words in differences)


def sealed_anew(folder: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Change the verdicts of a report as somebody would who knows how they are sealed and summed."""
    path, manifest = folder / TABLES_FOLDER / "verdicts.parquet", folder / TABLES_FOLDER / "manifest.json"
    rows = parquet.read_table(path)
    changed = sealed_verdicts(pa.Table.from_pylist(change(rows.to_pylist()), rows.schema))
    parquet.write_table(changed, path)
    document = json.loads(manifest.read_text())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    document["tables"]["verdicts"] |= {"rows": changed.num_rows, "sha256": sha256}
    manifest.write_text(json.dumps(document))


def test_verdicts_that_were_added_or_removed_or_say_more_in_their_details_are_found(copied: Path) -> None:
    def forged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        first, second, _, *rest = (row for row in rows if row["verdict"] != "noise")
        details = {**json.loads(second["details"]), "p_equivalence": 0.123, "rates": {}}
        added = {**first, "metric": "energy_j", "verdict": "faster"}
        noise = [row for row in rows if row["verdict"] == "noise"]
        return [added, first, {**second, "details": json.dumps(details)}, *rest, *noise]

    sealed_anew(copied, forged)
    differences = [words for words in verify(copied).differences if words.startswith("verdict on")]
    assert any(words.endswith("energy_j: the blocks give no such verdict") for words in differences)
    assert any("details.p_equivalence is 0.123" in words or "details.rates is {}" in words for words in differences)
    assert any(words.endswith("and the table lacks it") for words in differences)


@pytest.mark.parametrize("added", ["<h1>{}</h1>", "<p>Note: <b>{}</b></p>"])
def test_another_headline_on_the_page_is_found_and_a_hidden_true_one_does_not_count(copied: Path, added: str) -> None:
    page = copied / "index.html"
    text = page.read_text(encoding="utf-8")
    headline = str(read_figures(copied)["figures"]["headline"])
    forged = headline.translate(str.maketrans("123456789", "912345678"))
    page.write_text(text.replace("<body>", f"<body>{added.format(forged)}"), encoding="utf-8")
    assert [words for words in verify(copied).differences if words.startswith("the page: it also says")]
    page.write_text(text.replace("<body>", "<body><!-- ").replace("</body>", " --></body>"), encoding="utf-8")
    assert any(words.startswith("section answer") for words in verify(copied).differences)


def test_what_is_not_compared_is_said(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--verify", str(copied)]) == 0
    said = capsys.readouterr().err.lower()
    assert all(word in said for word in ("not compared: charts", "recordings", "prose"))


def test_names_are_removed_from_copies_without_breaking_their_seals(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = "CoreML is not part|differences of"
    monkeypatch.setattr("kokoro_lab.reports.page.publish._without_names", lambda text: re.sub(pattern, "user", text))
    folder = publish(rendered.parent.parent, RUN, tmp_path / "published")
    _, archive = read_evidence(folder, read_figures(folder))
    assert len(archive.originals) == 1 and "1 row" in verify(folder).notes[0]
    reasons = archive.tables["verdicts"]["reason"].to_pylist()
    assert any("user" in reason for reason in reasons) and not any("differences of" in reason for reason in reasons)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../b"])
def test_a_manifest_that_names_files_elsewhere_is_refused_before_they_are_read(copied: Path, name: str) -> None:
    (copied / "manifest.json").write_text(json.dumps({"files": {name: "0" * 64}}))
    with pytest.raises(InputError, match="is no file of the report"):
        verify(copied)


@pytest.mark.parametrize("lost", ["run_id", "sounds", "versions", "notes", "figures", ""])
def test_a_damaged_document_of_figures_is_one_sentence(copied: Path, lost: str) -> None:
    document = json.loads((copied / FIGURES).read_text(encoding="utf-8"))
    (copied / FIGURES).write_text(json.dumps({**document, lost: 3} if lost else [document]), encoding="utf-8")
    with pytest.raises(InputError, match="render the report again"):
        verify(copied)


def test_damaged_tables_and_claims_are_sentences_too(copied: Path) -> None:
    manifest = copied / TABLES_FOLDER / "manifest.json"
    document = json.loads(manifest.read_text())
    del document["tables"]["machines"]
    manifest.write_text(json.dumps(document))
    assert "has no table machines" in verify(copied).differences[-1]
    manifest.unlink()
    assert verify(copied).differences[-1].startswith("the tables: ")
    (copied / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="lists no files"):
        verify(copied)


def test_reports_of_earlier_versions_say_what_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(InconclusiveError, match=r"cannot be computed from its tables"):
        verify(ROOT / "results" / "published" / "0001")
    with pytest.raises(InputError, match="give the folder of a rendered or published report"):
        verify(tmp_path)
