"""The index of published reports: every report once, and trends of cells that several of one machine share."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from kokoro_lab.cli import run
from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.reports.page.publish import published_folders
from kokoro_lab.reports.page.published_index import build_site, published_reports, trends

HEADER = "text_preset,label,state,model,environment,delivery,arrivals,cell_id,block,counts,total_ms,ttfa_ms,rtf,rss_mb"


def published(folder: Path, number: int, rtf: float, machine: str = "machine-a") -> Path:
    """A small published report: the files that an index reads."""
    target = folder / f"{number:04d}"
    target.mkdir(parents=True)
    rows = [
        f'short,"cpu, 2 threads",warm,stand-in,,whole,,c1,{at},True,100,100,{rtf + at / 1000},900' for at in range(3)
    ]
    blocks = "\n".join((HEADER, *rows, f'short,"cpu, 1 thread",warm,stand-in,,whole,,c2,0,False,1,1,{rtf},900')) + "\n"
    (target / "blocks.csv").write_text(blocks)
    (target / "index.html").write_text(f"<html>{number}</html>")
    manifest = {
        "run_id": f"run-{number}",
        "machines": [machine],
        "weights": ["stand-in"],
        "measured_at": [f"2026-11-{number:02d}T10:00:00Z"],
        "files": {"blocks.csv": hashlib.sha256(blocks.encode()).hexdigest()},
    }
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def test_an_index_links_every_report_and_draws_what_changed(tmp_path: Path) -> None:
    for number, rtf in ((1, 0.4), (2, 0.2)):
        published(tmp_path / "published", number, rtf)
    index = build_site(tmp_path / "published", tmp_path / "site")
    text = index.read_text(encoding="utf-8")
    assert text.index("0002/index.html") < text.index("0001/index.html"), "the newest first"
    assert (tmp_path / "site" / "0001" / "index.html").is_file()
    assert "2.00x faster" in text and "cpu, 1 thread" not in text and 'role="img" aria-label="short' in text
    assert [report.run_id for report in published_reports(tmp_path / "published")] == ["run-1", "run-2"]


def test_machines_are_never_joined_in_a_trend(tmp_path: Path) -> None:
    published(tmp_path, 1, 0.4)
    published(tmp_path, 2, 0.2, machine="machine-b")
    published(tmp_path, 3, 0.3, machine="machine-b")
    (line,) = trends(published_folders(tmp_path))
    assert [name for name, _ in line.values] == ["0002", "0003"] and line.values[0][1] == pytest.approx(0.201)


def test_a_changed_report_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    folder = published(tmp_path / "published", 1, 0.4)
    (folder / "blocks.csv").write_text(HEADER + "\n")
    with pytest.raises(InputError, match="was changed after publishing"):
        build_site(tmp_path / "published", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_no_report_is_no_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NothingMeasuredError, match="report --publish"):
        build_site(tmp_path / "none", tmp_path / "site")
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    published(tmp_path / "results" / "published", 1, 0.4)
    assert run(["report", "--site", str(tmp_path / "made")]) == 0
    assert (tmp_path / "made" / "index.html").is_file()
