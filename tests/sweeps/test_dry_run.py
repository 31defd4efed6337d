"""A dry run finds what would keep a run from measuring, all of it, and measures nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kokoro_lab.cli import run as command
from kokoro_lab.measure.machine.lock import exclusive_measurement, lock_path
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps import dry_run
from kokoro_lab.sweeps.dry_run import faults, unavailable_providers
from kokoro_lab.sweeps.job import Job

Jobs = Callable[..., list[Job]]


@pytest.fixture
def jobs(places: Path) -> Jobs:
    def jobs(**group: Any) -> list[Job]:
        values = {
            "run_id": "r1",
            "notebook": "providers",
            "model": "tiny",
            "groups": [{"text": "ultra-short", **group}],
            "budget_s": 10,
            "results": places,
        }
        return [Job.model_validate(values)]

    return jobs


@pytest.fixture(autouse=True)
def _own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))


def found(jobs: list[Job], *, wait_s: float = 0.0) -> list[str]:
    return faults(jobs, Results(jobs[0].results), wait_s=wait_s)


def test_a_plan_that_can_run_has_no_faults(jobs: Jobs, places: Path) -> None:
    assert found(jobs(provider=["cpu", "coreml"])) == []
    assert "coreml" in unavailable_providers(jobs(provider=["cpu", "coreml"]))
    assert not places.exists()


def test_every_fault_of_models_voices_languages_and_settings_is_listed(jobs: Jobs) -> None:
    wrong = jobs(
        model=["tiny", "tiny-int8", "nowhere.onnx"],
        voice=["af_heart", "af_nobody"],
        lang=["en-us", "tlh"],
        engine_settings=[{}, {"no_such_setting": 1}],
    )
    listed = found(wrong)
    for words in (
        "variant tiny-int8 is not built; build it with `kokoro-lab models quantize tiny --recipe int8`",
        "nowhere.onnx",
        "unknown voice 'af_nobody'",
        "unknown language 'tlh'",
        "no_such_setting",
    ):
        assert sum(words in fault for fault in listed) >= 1, words
    assert len(listed) == len(set(listed))


def test_a_notebook_that_papermill_cannot_use_is_a_fault(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = {
        "cells": [{"cell_type": "code", "source": "other = 1", "metadata": {"tags": ["parameters"]}}],
        "metadata": {"kernelspec": {"name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = tmp_path / "own.ipynb"
    path.write_text(json.dumps(notebook))
    monkeypatch.setattr(dry_run, "notebook_file", lambda name: path)
    (fault,) = found(jobs())
    assert "no parameter 'job_file'" in fault
    path.write_text("{")
    (fault,) = found(jobs())
    assert "correct the notebook" in fault


def test_a_full_disk_is_a_fault_before_it_is_full(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    (fault,) = found(jobs())
    assert "has 1 MB left, and 1 cells need up to 2 MB; free some space" in fault


def test_a_results_folder_that_is_a_file_is_a_fault(jobs: Jobs, places: Path) -> None:
    places.write_text("")
    (fault,) = found(jobs())
    assert "cannot be written; choose another with KOKORO_LAB_RESULTS" in fault


def test_a_busy_machine_is_a_fault_only_for_who_does_not_wait(jobs: Jobs) -> None:
    with exclusive_measurement("run r9"):
        assert found(jobs(), wait_s=600) == []
        (fault,) = found(jobs(), wait_s=0)
    assert "run r9" in fault


def test_a_lock_that_cannot_be_taken_is_a_fault(jobs: Jobs) -> None:
    lock_path().mkdir()
    (fault,) = found(jobs(), wait_s=600)
    assert "cannot lock" in fault


def test_the_command_lists_every_fault_and_exits_with_2(
    tmp_path: Path, places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "trial.yaml"
    group = "{text: ultra-short, voice: af_nobody, lang: tlh}"
    plan.write_text(
        f"{{name: trial, budget_s: 9, model: tiny, notebooks: [{{notebook: providers, groups: [{group}]}}]}}"
    )
    assert command(["sweep", str(plan), "--dry-run", "--json"]) == 2
    said = capsys.readouterr()
    assert len(json.loads(said.out)["faults"]) == 2
    assert "Unknown voice 'af_nobody'" in said.err and "Unknown language 'tlh'" in said.err
    assert said.err.splitlines()[-1] == ("kokoro-lab: Plan trial has 2 faults here; correct what is listed above.")
    assert not places.exists()
    assert command(["sweep", "ci", "--model", "tiny", "--text", "Good morning!", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "text own" in said.err and "Nothing was found that would keep this plan from running" in said.err
