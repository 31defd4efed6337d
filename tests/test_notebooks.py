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
from kokoro_lab.sweeps.plan import load_plan, plans_folder

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WITHOUT_JOB = {"gap_report", "index", "peers", "variants"}
"""Notebooks that measure nothing through a job of a sweep."""
CI = load_plan("ci")


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


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """Results and the lock of the machine in a folder of their own, and the tiny model."""
    (tmp_path / "tmp").mkdir()
    return {
        **os.environ,
        "KOKORO_MODEL": "tiny",
        "KOKORO_LAB_HOME": str(tmp_path / "home"),
        "KOKORO_LAB_RESULTS": str(tmp_path / "results"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def executed(path: Path, folder: Path, environment: dict[str, str], *parameters: str) -> list[dict[str, Any]]:
    """The cells of the notebook after papermill."""
    copy = folder / path.name
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(path), str(copy), *parameters]
    done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    cells: list[dict[str, Any]] = json.loads(copy.read_text(encoding="utf-8"))["cells"]
    return cells


def shown(cells: list[dict[str, Any]], kind: str) -> list[str]:
    found = [output["data"].get(kind) for cell in cells for output in cell.get("outputs", []) if "data" in output]
    return ["".join(item) for item in found if item]


@pytest.mark.slow
def test_it_runs_by_itself_with_its_defaults_as_in_jupyterlab(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    path = FOLDER / "providers.ipynb"
    cells = executed(path, tmp_path, elsewhere)
    assert shown(cells, "text/html") and shown(cells, "text/markdown")
    (run,) = Store(tmp_path / "results" / "tables").runs()
    assert run["run_id"].startswith(f"lab-{path.stem}-") and run["samples"] > 0 and run["error"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [part.notebook for part in CI.notebooks if part.notebook != "providers"])
def test_in_a_sweep_it_makes_its_rows_charts_and_answer(name: str, tmp_path: Path, elsewhere: dict[str, str]) -> None:
    (job,) = (job for job in CI.jobs("r1", tmp_path / "results") if job.notebook == name)
    file = tmp_path / "job.json"
    file.write_text(job.model_dump_json())
    cells = executed(FOLDER / f"{name}.ipynb", tmp_path, elsewhere, "-r", "job", str(file))
    assert len([page for page in shown(cells, "text/html") if "<figure" in page]) >= 1
    answers = shown(cells, "text/markdown")
    assert answers and answers[-1].startswith("- ") and "tiny" in answers[-1]
    (run,) = Store(tmp_path / "results" / "tables").runs()
    assert run["run_id"] == "r1" and run["samples"] > 0 and run["error"] == 0


@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS if path.stem not in WITHOUT_JOB])
def test_its_first_code_after_the_parameters_has_the_job_checked(name: str) -> None:
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert "open_job(" in code[1] and f'notebook="{name}"' in code[1]


@pytest.mark.parametrize("plan", sorted(path.stem for path in plans_folder().glob("*.yaml")))
def test_the_plans_name_notebooks_that_are_there_and_make_cells(plan: str, tmp_path: Path) -> None:
    jobs = load_plan(plan).jobs("r1", tmp_path)
    assert all(job.planned() for job in jobs)


@pytest.mark.slow
def test_the_index_names_every_other_notebook(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    page = "".join(shown(executed(FOLDER / "index.ipynb", tmp_path, elsewhere), "text/html"))
    for path in NOTEBOOKS:
        assert path.stem == "index" or f'href="{path.name}"' in page
