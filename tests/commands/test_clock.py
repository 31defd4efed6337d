"""A clock that is behind the stored runs is told before a sweep, once."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest
from store_blocks import RECORD, block

from kokoro_lab.commands import sweep
from kokoro_lab.store import Store


@pytest.mark.parametrize(("hours", "told"), [(-1, False), (1, True)])
def test_a_run_from_the_future_stays_the_newest_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hours: int, told: bool
) -> None:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path))
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    Store(tmp_path / "tables").append_block(RECORD, dataclasses.replace(block(0), started_at=at.isoformat()))
    sweep._tell_about_places("mine")
    said = capsys.readouterr().err
    assert ("The clock is behind the start of run r1" in said and "--run mine" in said) == told
    assert said.count("\n") == told
    sweep._tell_about_places("r1")
    assert capsys.readouterr().err == "", "a run that is resumed is its own"
