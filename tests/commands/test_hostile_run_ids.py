"""Whatever a run is called, no command writes, deletes or follows anything outside the results folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest
from archive_mutations import listing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_blocks import block, cell, keep

from kokoro_lab.cli import run
from kokoro_lab.errors import InputError
from kokoro_lab.reports.page.render import render
from kokoro_lab.store import Store
from kokoro_lab.store.exporting import export
from kokoro_lab.store.layout import Results, check_run_id, is_run_id

HOSTILE = (
    *("../../../x", "/tmp/x", "..", ".", "", "-x", ".x", "a/b", "a\\b", "a\nb", "a\n", "a\x00b", "latest", "LATEST"),
    *(
        "a" * 81,
        "x" * 5_000,
        "C:\\x",
        "C:x",
        "a ",
        " a",
        "é",
        "x\u202ey",
        "\u2024\u2024/x",
        "a:b",
        "~",
        "~root/x",
        "$HOME",
    ),
    *("run_id=r1", "r1@0", "a%2fb", "'; drop", '"><script>', "*", "?", "[r1]", "{a}", "r1/../../outside"),
)

COMMANDS = (
    ("report", "--run"),
    ("gate", "--run"),
    ("results", "show", "cells", "--run"),
    ("results", "remove", "--yes", "--"),
    ("sweep", "quick", "--model", "tiny", "--dry-run", "--run-id"),
    ("sweep", "quick", "--model", "tiny", "--run-id"),
    ("sweep", "quick", "--model", "tiny", "--resume", "--run-id"),
    ("compare", "reference", "intra_op_threads=1", "--run"),
)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder with a run, and a tree outside it that nothing may touch."""
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "lab" / "results"))
    keep(Store(tmp_path / "lab" / "results" / "tables"), "r1", block(0), block(0, of=cell(2, reference=True)))
    for name in ("outside", "x", "lab/outside", "lab/x", "lab/results/x", "lab/results/runs/x"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "mine.html").write_text("mine")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command))
def test_no_command_takes_a_hostile_run_id(
    lab: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(lab)
    for name in HOSTILE:
        if not name and command[-1] != "--":
            continue  # an empty option is the default
        code = run([*command, name])
        said = capsys.readouterr().err
        assert code == 2, (name, said)
        assert "nexpected" not in said and "run id" in said, (name, said)
    assert listing(lab) == before


@pytest.mark.parametrize("kind", ["run:", ""])
def test_a_side_of_a_comparison_follows_no_hostile_name(
    lab: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(lab)
    for name in HOSTILE:
        assert run(["compare", "--", f"{kind}{name}", "run:r1"]) in (2, 4), name[:99]
        assert "nexpected" not in capsys.readouterr().err, name[:99]
    assert listing(lab) == before


def test_no_archive_brings_a_hostile_run_id(lab: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    export(Store(lab / "lab" / "results" / "tables"), archive)
    tables = {name: (archive / f"{name}.csv").read_text() for name in ("cells", "samples")}
    (archive / "manifest.json").unlink()
    before = listing(lab / "lab")
    for name in HOSTILE:
        for table, text in tables.items():
            quoted = '"' + name.replace('"', '""') + '"'
            (archive / f"{table}.csv").write_text(text.replace('"r1"', quoted), newline="")
        _signed(archive)
        assert run(["results", "import", str(archive)]) in (2, 5), name
        assert run(["compare", str(archive), "run:r1"]) in (2, 5), name
    assert listing(lab / "lab") == before
    assert (lab / "outside" / "mine.html").read_text() == (lab / "x" / "mine.html").read_text() == "mine"


def _signed(archive: Path) -> None:
    entries = {
        path.stem: {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in archive.glob("*.csv")
    }
    (archive / "manifest.json").write_text(json.dumps({"tables": entries}))


@pytest.mark.parametrize("name", ["../../../x", "/x", "..", "a\nb", "latest", "x" * 200])
def test_a_hostile_run_that_is_already_stored_is_neither_listed_nor_rendered(lab: Path, name: str) -> None:
    store = Store(lab / "lab" / "results" / "tables")
    for table in ("cells", "samples"):
        rows = store._tables[table].read()
        at = rows.column_names.index("run_id")
        store._tables[table].append(rows.set_column(at, "run_id", pa.array([name] * rows.num_rows, pa.string())))
    before = listing(lab)
    assert [each["run_id"] for each in store.runs()] == ["r1"] and store.latest_run() == "r1"
    with pytest.raises(InputError, match="invalid run id"):
        render(lab / "lab" / "results", name)
    assert listing(lab) == before
    assert run(["results", "check", "--repair"]) == 0
    after = listing(lab)
    assert {key for key in before if "results/tables" not in key} <= after.keys()
    assert run(["results", "check"]) == 0


@pytest.mark.parametrize("place", ["reports/r1", "reports/latest", "reports", "runs/r1", "runs"])
def test_a_folder_that_is_a_link_to_elsewhere_is_refused(lab: Path, place: str) -> None:
    link = lab / "lab" / "results" / place
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir():
        link.rename(lab / "lab" / "results" / "aside")
    link.symlink_to(lab / "outside")
    before = listing(lab)
    with pytest.raises(InputError, match="leads out of the results folder"):
        render(lab / "lab" / "results", "r1")
    assert listing(lab) == before


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text(max_size=100) | st.sampled_from(HOSTILE))
def test_a_valid_name_is_one_plain_folder_and_any_other_is_refused(tmp_path: Path, name: str) -> None:
    results = Results(tmp_path)
    if not is_run_id(name):
        for use in (check_run_id, results.run, results.report):
            with pytest.raises(InputError, match="invalid run id"):
                use(name)
        return
    assert results.run(name).parent == results.runs and results.run(name).name == name
    assert results.report(name) != results.reports / "latest"
