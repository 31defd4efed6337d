"""A report replaces and removes pages of its own, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kokoro_lab.reports.page.page_files import PAGES, page_names, write_pages


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_page_that_the_report_no_longer_has_is_removed(tmp_path: Path) -> None:
    write_pages(tmp_path / "r", {"index.html": "1", "old.html": "2"})
    write_pages(tmp_path / "r", {"index.html": "3"})
    assert names(tmp_path / "r") == {"index.html", PAGES} and page_names(tmp_path / "r") == ["index.html"]
    assert (tmp_path / "r" / "index.html").read_text() == "3"


def test_pages_of_others_and_changed_pages_stay(tmp_path: Path) -> None:
    write_pages(tmp_path, {"index.html": "1", "old.html": "2"})
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "old.html").write_text("edited by hand")
    write_pages(tmp_path, {"index.html": "3"})
    assert (tmp_path / "mine.html").read_text() == "mine"
    assert (tmp_path / "old.html").read_text() == "edited by hand"
    assert page_names(tmp_path) == ["index.html"], "only its own pages are published"


@pytest.mark.parametrize(
    "listed",
    [
        "{not json",
        "[]",
        json.dumps({"../outside.html": "x", "/etc/x.html": "y", "notes.txt": "z", "a\nb.html": "x", "other.html": 3}),
        "[" * 30_000,
    ],
)
def test_a_list_that_names_files_elsewhere_removes_nothing(tmp_path: Path, listed: str) -> None:
    folder = tmp_path / "reports" / "r"
    folder.mkdir(parents=True)
    (tmp_path / "reports" / "outside.html").write_text("outside")
    for name in ("notes.txt", "other.html"):
        (folder / name).write_text("mine")
    (folder / PAGES).write_text(listed)
    write_pages(folder, {"index.html": "1"})
    assert names(folder) == {"index.html", PAGES, "notes.txt", "other.html"}
    assert (tmp_path / "reports" / "outside.html").read_text() == "outside"


def test_a_page_that_was_replaced_by_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside.html").write_text("outside")
    folder = tmp_path / "r"
    write_pages(folder, {"index.html": "1", "old.html": "2"})
    for name in ("index.html", "old.html"):
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "outside.html")
    write_pages(folder, {"index.html": "3"})
    assert (tmp_path / "outside.html").read_text() == "outside"
    assert not (folder / "index.html").is_symlink() and (folder / "old.html").is_symlink()


def test_a_folder_without_a_list_has_all_its_pages(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("a")
    assert page_names(tmp_path) == ["a.html"]
