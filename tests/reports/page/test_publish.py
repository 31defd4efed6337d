"""A published report: small, complete, told apart from the next, and without names of hosts, users or homes."""

from __future__ import annotations

import csv
import getpass
import hashlib
import json
import platform
import re
import shutil
from pathlib import Path

import pytest
from pyarrow import parquet

from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.paths import ROOT
from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.reports.page.publish import (
    COMMON_USERS,
    MOST_BYTES,
    compare_published,
    publish,
    published_folders,
    scrubbed,
    with_fewer_clips,
)
from kokoro_lab.reports.page.report_data import write_data
from kokoro_lab.reports.rows.evidence import Evidence

PAGE = '<h1>Report</h1><a href="providers.html">providers</a> <a href="soak.html">soak</a> {home}'


@pytest.fixture(scope="module")
def places(quick: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of this module's own with the made-up run: others render reports beside its tables."""
    copied = tmp_path_factory.mktemp("places") / "results"
    shutil.copytree(quick.parent, copied, ignore=shutil.ignore_patterns("reports"))
    return copied


@pytest.fixture(scope="module")
def kept(quick: Path, places: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up run, published; its report links a notebook that fits and one that does not."""
    reports = places / "reports" / "made-run"
    reports.mkdir(parents=True)
    for name, text in (
        ("index.html", PAGE.format(home=Path.home() / "models")),
        ("providers.html", "small"),
        ("soak.html", "x" * MOST_BYTES),
    ):
        (reports / name).write_text(text, encoding="utf-8")
    write_data(reports, Evidence.load(quick, "made-run"), load_claims(), quick)
    return publish(places, "made-run", tmp_path_factory.mktemp("kept") / "published")


@pytest.fixture(scope="module")
def later(kept: Path, places: Path) -> Path:
    """The same run, published again."""
    return publish(places, "made-run", kept.parent)


def test_a_published_report_is_small_whole_and_numbered(kept: Path, later: Path, quick: Path) -> None:
    manifest = json.loads((kept / "manifest.json").read_text(encoding="utf-8"))
    assert (
        kept.name == "0001" and manifest["run_id"] == "made-run" and manifest["table_versions"]["samples"] is not None
    )
    files = {path.relative_to(kept).as_posix(): path for path in kept.rglob("*") if path.is_file()}
    assert manifest["files"].keys() == files.keys() - {"manifest.json"}
    assert "tables/samples.parquet" in files and manifest["seal"]["blocks"] == len(Evidence.load(quick).cells)
    for name, told in manifest["files"].items():
        assert hashlib.sha256((kept / name).read_bytes()).hexdigest() == told, name
    assert sum(path.stat().st_size for path in files.values()) <= MOST_BYTES
    assert later.name == "0002"
    assert [path.name for path in published_folders(kept.parent)] == ["0001", "0002"]


def test_the_same_rows_give_the_same_tables(kept: Path, later: Path) -> None:
    for name in ("blocks.csv", "claims.csv", "verdicts.csv"):
        assert (later / name).read_bytes() == (kept / name).read_bytes(), name


def test_a_notebook_that_does_not_fit_is_left_out_with_its_link(kept: Path) -> None:
    page = (kept / "index.html").read_text(encoding="utf-8")
    assert (kept / "providers.html").is_file() and 'href="providers.html"' in page
    assert not (kept / "soak.html").exists() and "soak.html" not in page and "soak" in page


def test_clips_are_left_out_until_a_page_fits_and_those_of_references_last() -> None:
    player = '<audio controls aria-label="{}" src="data:audio/ogg;base64,' + "A" * 1000 + '"></audio>'
    page = player.format("short: the reference of this text") + player.format("one") + player.format("two")
    assert with_fewer_clips(page, 10_000) == page
    assert "two" not in with_fewer_clips(page, 2600) and "one" in with_fewer_clips(page, 2600)
    fewest = with_fewer_clips(page, 1400)
    assert "the reference of this text" in fewest and fewest.count("was left out to keep this page small") == 2


def test_names_of_home_and_checkout_are_not_kept(kept: Path) -> None:
    assert "~/models" in (kept / "index.html").read_text(encoding="utf-8")
    assert scrubbed(f"{ROOT}/results") == "./results"
    clip = f'src="data:audio/ogg;base64,AA{Path.home()}/A"'
    assert scrubbed(clip) == clip, "letters of a recording that happen to spell a name"


def test_no_published_report_names_a_host_a_user_or_a_home(kept: Path) -> None:
    names = {str(Path.home()), str(ROOT), platform.node(), getpass.getuser()} - COMMON_USERS - {"localhost", ""}
    folders = [kept, *published_folders(ROOT / "results" / "published")]
    for path in (file for folder in folders for file in folder.rglob("*") if file.is_file()):
        if path.suffix == ".parquet":
            columns = parquet.read_table(path).to_pydict()
            text = " ".join(str(value) for values in columns.values() for value in set(values))
        else:
            text = re.sub(r'base64,[^"]*', "", path.read_text(encoding="utf-8"))
        for name in names:
            assert not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), f"{path} names {name}"
        assert not re.search(r"/(home|Users)/\w", text), path


def test_a_report_against_an_earlier_one_of_the_same_rows_shows_no_change(kept: Path, later: Path, quick: Path) -> None:
    changes = compare_published(kept, Evidence.load(quick))
    assert {one.text_preset for one in changes} == {"ultra-short", "short", "medium", "long"}
    assert all(one.times.center == pytest.approx(1, rel=1e-5) for one in changes)
    assert [one.as_dict()["ratio"] for one in compare_published(kept, later)] == [pytest.approx(1)] * len(changes)


def test_a_disturbed_block_is_kept_and_not_compared(kept: Path) -> None:
    rows = list(csv.DictReader((kept / "blocks.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["counts"] for row in rows if row["contaminated"] == "True"] == ["False"]


def test_a_report_that_was_changed_or_is_none_is_refused(kept: Path, quick: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(kept, tmp_path / "changed")
    (changed / "blocks.csv").write_text("changed\n", encoding="utf-8")
    with pytest.raises(InputError, match="was changed after publishing"):
        compare_published(changed, Evidence.load(quick))
    with pytest.raises(InputError, match="is not a published report"):
        compare_published(tmp_path, Evidence.load(quick))


def test_a_run_without_a_report_cannot_be_published(places: Path, tmp_path: Path) -> None:
    (places / "reports" / "made-run" / "index.html").unlink(missing_ok=True)
    with pytest.raises(NothingMeasuredError, match="has no report yet"):
        publish(places, "made-run", tmp_path)
