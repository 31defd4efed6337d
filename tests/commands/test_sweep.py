"""The whole chain on the tiny model: command line, papermill, kernel, worker, store; stopped, killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
import yaml
from patience import PATIENCE_S, until

from kokoro_lab.store import Store

COMMAND = (sys.executable, "-c", "from kokoro_lab.cli import main; main()")

pytestmark = pytest.mark.slow


class Lab:
    """A results folder, a plan, and the command line in processes of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.results = folder / "results"
        self.plan_path = folder / "trial.yaml"
        (folder / "tmp").mkdir()
        # The lock that keeps two runs of a machine apart lies in the temporary directory.
        self.environment = {
            **os.environ,
            "KOKORO_LAB_HOME": str(home),
            "KOKORO_LAB_RESULTS": str(self.results),
            "TMPDIR": str(folder / "tmp"),
            "LAB_UNDER_TEST": str(folder),
        }

    def plan(self, *, whole: str = "tiny", **group: Any) -> None:
        group = {"text": "ultra-short", "intra_op_threads": [1, 2], "repeats": 2, "warmup_cap": 4, **group}
        notebook = {"notebook": "providers", "blocks": 2, "retries": 0, "groups": [group]}
        plan = {"name": "trial", "about": "a test", "budget_s": 3600, "model": whole, "notebooks": [notebook]}
        self.plan_path.write_text(yaml.safe_dump(plan))

    def start(self, *more: str, run_id: str = "r1") -> subprocess.Popen[str]:
        command = [*COMMAND, "sweep", str(self.plan_path), "--run-id", run_id, *more]
        return subprocess.Popen(
            command, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def sweep(self, *more: str) -> tuple[int, str, str]:
        with self.start(*more) as process:
            out, err = process.communicate(timeout=4 * PATIENCE_S)
            return process.returncode, out, err

    @property
    def store(self) -> Store:
        return Store(self.results / "tables")

    @property
    def executed(self) -> Path:
        return self.results / "runs" / "r1" / "providers.ipynb"

    def blocks(self) -> int:
        return len(self.store.done("r1"))

    def processes(self) -> list[psutil.Process]:
        """Every process that a sweep of this lab started, however deep, and whoever its parent is now."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("LAB_UNDER_TEST") == self.environment["LAB_UNDER_TEST"]:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def lab(tmp_path: Path, home: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, home)
    lab.plan()
    yield lab
    for process in lab.processes():
        process.kill()


def check_complete(lab: Lab) -> None:
    cells, samples = lab.store.cells("r1"), lab.store.samples("r1")
    assert sorted(cells.groupby("cell_id")["block"].agg(list)) == [[0, 1], [0, 1]]
    assert set(cells["status"]) == {"ok"} and set(cells["effective_provider"]) == {"cpu"}
    assert len(samples) == 8 and not samples.duplicated(["cell_id", "block", "repeat"]).any()


def test_a_sweep_measures_stores_and_shows_its_rows(lab: Lab) -> None:
    lab.plan(provider=["cpu", "openvino"], model=["tiny", "nowhere.onnx"], intra_op_threads=1)
    code, out, err = lab.sweep("--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["run"]["samples"] == 4 and document["notebooks"][0]["status"] == "ok"
    assert "[8/8]" in err and "unavailable" in err
    cells = lab.store.cells("r1")
    missing, absent = cells["model"] == "nowhere.onnx", cells["provider"] == "openvino"
    assert set(cells.loc[missing, "status"]) == {"error"} and cells.loc[missing, "error"].str.contains("nowhere").all()
    assert set(cells.loc[absent & ~missing, "status"]) == {"unavailable"}
    assert set(cells.loc[~absent & ~missing, "status"]) == {"ok"}
    assert set(lab.store.samples("r1")["architecture"]) == {"tiny"}
    notebook = nbformat.read(lab.executed, as_version=4)
    outputs = {cell["id"]: cell["outputs"] for cell in notebook.cells if cell.get("outputs")}
    assert all(output["output_type"] != "error" for shown in outputs.values() for output in shown)
    assert "<svg" in outputs["ttfa"][0]["data"]["text/html"]
    answer = outputs["answer"][0]["data"]["text/markdown"]
    assert "tiny architecture" in answer
    assert "Not available in this installation of onnxruntime: openvino" in answer
    (row,) = lab.store.notebooks("r1").to_dict("records")
    assert (row["status"], row["executed"]) == ("ok", "runs/r1/providers.ipynb")
    assert lab.processes() == []

    code, _, err = lab.sweep("--resume")
    assert code == 0, err
    again = lab.store.cells("r1")
    added = again[again["attempt"] > 0]
    assert sorted(zip(added["cell_id"], added["replaces"], strict=True)) == sorted(
        zip(cells.loc[missing, "cell_id"], cells.loc[missing, "block"], strict=True)
    ), "blocks that failed are measured again, and nothing else"
    assert len(again) == len(cells) + missing.sum()


def test_a_notebook_that_fails_leaves_its_half_executed_copy_and_rows_that_say_so(lab: Lab) -> None:
    lab.plan(voice="af_nobody", intra_op_threads=1)
    code, _, err = lab.sweep()
    assert code == 4, err
    assert "af_nobody" in err.splitlines()[-1]
    cells = lab.store.cells("r1")
    assert set(cells["status"]) == {"error"} and cells["error"].str.contains("af_nobody").all()
    (row,) = lab.store.notebooks("r1").to_dict("records")
    assert row["status"] == "error" and "completed no call" in row["error"]
    notebook = nbformat.read(lab.executed, as_version=4)
    kinds = {cell["id"]: {output["output_type"] for output in cell.get("outputs", [])} for cell in notebook.cells}
    assert "error" in kinds["measuring"], "the cell that looks for rows to show finds none"
    assert kinds["ran"] == kinds["ttfa"] == kinds["answer"] == set(), "what comes after it was not executed"


def test_two_sweeps_at_once_measure_one_after_the_other(lab: Lab) -> None:
    sampling = {"repeats": 1, "warmup_cap": 1, "blocks": 1, "retries": 0}
    notebooks = [
        {"notebook": "providers", "groups": [{"text": "short"}], **sampling},
        {"notebook": "history", "groups": [{"text": "ultra-short", "intra_op_threads": [2, 1]}], **sampling},
    ]
    plan = {"name": "trial", "about": "a test", "budget_s": 300, "model": "tiny", "notebooks": notebooks}
    lab.plan_path.write_text(yaml.safe_dump(plan))
    options = ("--tag", "pair", "--wait", "1800")  # on a busy machine the first takes minutes
    with lab.start(*options) as first, lab.start(*options, run_id="r2") as second:
        said = [process.communicate(timeout=1800)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    cells = lab.store.cells().sort_values("started_at")
    assert list(cells["run_id"]) in (["r1"] * 3 + ["r2"] * 3, ["r2"] * 3 + ["r1"] * 3)
    assert sum("Waiting for another measurement to end" in each for each in said) == 1
    runs = lab.store.runs()
    assert [(run["tags"], run["complete"]) for run in runs] == [(["pair"], True)] * 2
    assert lab.processes() == []


def test_a_sweep_of_a_model_that_is_missing_does_not_start(lab: Lab) -> None:
    lab.plan(whole="nowhere.onnx")
    code, _, err = lab.sweep()
    assert code == 2 and "nowhere.onnx" in err and not lab.executed.exists()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["ctrl-c", "term", "kill-9"])
def test_a_stopped_sweep_leaves_nothing_running_and_resumes_with_what_is_missing(lab: Lab, how: signal.Signals) -> None:
    with lab.start() as process:
        assert until(lambda: lab.blocks() >= 1, every_s=0.1)
        process.send_signal(how)
        _, err = process.communicate(timeout=PATIENCE_S)
    killed = how is signal.SIGKILL
    assert process.returncode == (-how if killed else 128 + how), err
    assert until(lambda: lab.processes() == [], every_s=0.1)
    kept = lab.blocks()
    before = lab.store.samples("r1")
    assert 1 <= kept < 4
    statuses = list(lab.store.notebooks("r1")["status"])
    assert statuses == ([] if killed else ["interrupted"])
    command = "kokoro-lab sweep --run-id r1 --resume"
    assert killed or err.endswith(f"; {kept} block{'s are' if kept > 1 else ' is'} stored, continue with {command}.\n")
    assert lab.executed.exists(), "the half-executed copy is kept"

    code, _, err = lab.sweep("--resume")
    assert code == 0, err
    assert f"[{kept}/4] planned" in err and "[4/4]" in err
    check_complete(lab)
    assert not list((lab.results / "runs").glob("*/block-*")), "what the killed run left is removed by the next"
    after = lab.store.samples("r1")
    keys = ["cell_id", "block", "repeat"]
    merged = before.merge(after, on=keys, suffixes=("", "_after"))
    assert len(merged) == len(before) and (merged["total_ms"] == merged["total_ms_after"]).all()
    assert lab.store.notebooks("r1")["status"].iloc[-1] == "ok"
