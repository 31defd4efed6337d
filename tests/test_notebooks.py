"""The notebooks are committed clean, and run by themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from kokoro_lab.store import Store

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_there_are_notebooks() -> None:
    assert "providers" in {path.stem for path in NOTEBOOKS}


def test_it_is_a_valid_notebook_with_an_id_a_cell(notebook: dict[str, Any]) -> None:
    nbformat.validate(notebook)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)


def test_it_has_no_outputs_no_counts_and_no_traces_of_a_machine(notebook: dict[str, Any]) -> None:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
        assert set(cell["metadata"]) <= {"tags"}
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    assert set(notebook["metadata"]["language_info"]) == {"name"}


def test_it_has_one_parameters_cell_with_the_job_and_text_that_says_what_it_shows(notebook: dict[str, Any]) -> None:
    tagged = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1 and tagged[0]["source"]
    first = notebook["cells"][0]
    assert first["cell_type"] == "markdown" and "".join(first["source"]).startswith("# ")
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds.count("markdown") * 3 >= kinds.count("code"), "charts without words"


def test_it_times_nothing_itself(notebook: dict[str, Any]) -> None:
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    for word in ("perf_counter", "time.time", "%time", "timeit", "import time"):
        assert word not in code


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem == "providers"], ids=lambda path: path.stem)
def test_it_runs_by_itself_with_its_defaults_as_in_jupyterlab(path: Path, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    environment = {
        **os.environ,
        "KOKORO_MODEL": "tiny",
        "KOKORO_LAB_HOME": str(tmp_path / "home"),
        "KOKORO_LAB_RESULTS": str(tmp_path / "results"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    executed = tmp_path / path.name
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(path), str(executed)]
    done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    shown = {kind for cell in cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
    assert {"text/html", "text/markdown"} <= shown
    (run,) = Store(tmp_path / "results" / "tables").runs()
    assert run["run_id"].startswith(f"lab-{path.stem}-") and run["samples"] > 0 and run["error"] == 0
