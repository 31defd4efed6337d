"""The notebooks are committed clean, explain their parameters, run by themselves, and continue when interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from jupyter_client.manager import start_new_kernel

from kokoro_lab.runtime.providers import PROVIDERS
from kokoro_lab.store import Store
from kokoro_lab.sweeps.notebook.notebook_parameters import read_parameters
from kokoro_lab.sweeps.plan import load_plan, plans_folder
from kokoro_lab.sweeps.preset_texts import preset_names

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WITHOUT_JOB = {"gap_report", "index", "peers", "variants"}
"""Notebooks that measure nothing through a job of a sweep."""
FLAT = [path.stem for path in NOTEBOOKS if path.stem != "gap_report"]
"""Notebooks whose parameters `read_parameters` checks; a report is executed by its own command."""
CI = load_plan("ci")
QUICKLY = ("-p", "providers", "cpu", "-p", "blocks", "1", "-p", "repeats", "1")
"""Parameters of the notebook `providers` with which it measures a cell in seconds."""


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


def test_it_has_one_parameters_cell_and_text_that_says_what_it_shows(notebook: dict[str, Any]) -> None:
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


def executed(
    path: Path, folder: Path, environment: dict[str, str], *parameters: str, here: Path | None = None
) -> list[dict[str, Any]]:
    """The cells of the notebook after papermill, started in the folder `here`."""
    copy = folder / path.name
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(path), str(copy), *parameters]
    done = subprocess.run(command, cwd=here or path.parent, env=environment, capture_output=True, text=True)
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
    cells = executed(FOLDER / f"{name}.ipynb", tmp_path, elsewhere, "-r", "job_file", str(file))
    assert len([page for page in shown(cells, "text/html") if "<figure" in page]) >= 1
    answers = shown(cells, "text/markdown")
    assert answers and answers[-1].startswith("- ") and "tiny" in answers[-1]
    (run,) = Store(tmp_path / "results" / "tables").runs()
    assert run["run_id"] == "r1" and run["samples"] > 0 and run["error"] == 0


@pytest.mark.parametrize("name", FLAT)
def test_its_first_code_after_the_parameters_checks_them(name: str) -> None:
    first = _sources(name)[1]
    assert f'read_parameters(globals(), notebook="{name}")' in first
    assert ("open_job(" in first) == (name not in WITHOUT_JOB)


@pytest.mark.parametrize("name", FLAT)
def test_papermill_explains_each_of_its_parameters_with_type_and_valid_values(name: str) -> None:
    for parameter in papermill.inspect_notebook(FOLDER / f"{name}.ipynb").values():
        assert parameter["inferred_type_name"] in (
            "str",
            "int",
            "float",
            "bool",
            "list[str]",
            "list[int]",
            "list[dict]",
        )
        assert len(parameter["help"]) > 10, parameter
        if parameter["name"] == "texts":
            assert all(text in parameter["help"] for text in preset_names())
        if parameter["name"] == "providers":
            assert all(provider in parameter["help"] for provider in PROVIDERS if provider != "cpu")


@pytest.mark.parametrize("name", FLAT)
def test_papermill_sees_every_parameter_and_its_default_is_valid(name: str) -> None:
    namespace = namespace_after(_sources(name)[0])
    assert list(papermill.inspect_notebook(FOLDER / f"{name}.ipynb")) == list(namespace["__annotations__"])
    values = read_parameters(namespace, notebook=name).values
    assert {key: namespace[key] for key in values} == values


@pytest.mark.parametrize("name", [name for name in FLAT if name not in WITHOUT_JOB])
def test_its_job_is_made_of_its_parameters(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_MODEL", "tiny")
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path))
    declared, opened = _sources(name)[:2]
    usual = namespace_after(declared, opened)["work"]
    given = "text, models, seed, run_id = 'Good morning.', 'second', 3, 'mine'\n"
    changed = namespace_after(declared, given, opened)["work"]
    assert usual.run_id.startswith(f"lab-{name}-") and {item.cell.model for item in usual.planned()} == {"tiny"}
    cells = [item.cell for item in changed.planned()]
    assert {(cell.text, cell.text_preset, cell.model) for cell in cells} == {("Good morning.", "own", "second")}
    assert (changed.run_id, changed.order_seed, changed.results) == ("mine", 3, tmp_path)
    assert sum(cell.reference for cell in cells) == 1


def namespace_after(*sources: str) -> dict[str, Any]:
    """The globals of a kernel that has run these cells."""
    namespace: dict[str, Any] = {}
    for source in sources:
        exec(source, namespace)
    return namespace


def _sources(name: str) -> list[str]:
    """The code cells of a notebook, in order."""
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_it_runs_from_any_folder_with_flat_parameters(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    folder = tmp_path / "somewhere"
    folder.mkdir()
    given = ("-p", "text", "Good morning to you.", "-p", "threads", "2", "-p", "results_folder", "mine")
    cells = executed(FOLDER / "providers.ipynb", folder, elsewhere, *QUICKLY, *given, here=folder)
    assert any("# Parameters" in "".join(cell["source"]) for cell in cells)
    rows = Store(folder / "mine" / "tables").cells()
    spoken = {(row["text"], row["text_preset"], row["intra_op_threads"]) for row in rows.to_dict("records")}
    assert spoken == {("Good morning to you.", "own", 2)}
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["providers", "peers"])
def test_an_unknown_parameter_is_an_error_in_one_sentence(name: str, tmp_path: Path, elsewhere: dict[str, str]) -> None:
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(FOLDER / f"{name}.ipynb"), "out.ipynb"]
    done = subprocess.run([*command, "-p", "thred", "2"], cwd=tmp_path, env=elsewhere, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"Unknown parameter thred; notebook {name} has " in done.stderr
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    (error,) = (output for cell in cells for output in cell.get("outputs", []) if output["output_type"] == "error")
    (line,) = error["traceback"]
    assert line.startswith("Unknown parameter thred; ") and not (tmp_path / "results").exists()


@pytest.mark.slow
def test_the_rows_of_variants_are_in_the_tables_like_those_of_every_notebook(
    tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    given = ("-p", "recipes", "optimized", "-p", "tokens", "16", "-p", "blocks", "1", "-p", "run_id", "mine")
    cells = executed(FOLDER / "variants.ipynb", tmp_path, elsewhere, *given)
    (run,) = Store(tmp_path / "results" / "tables").runs()
    assert (run["run_id"], run["blocks"], run["error"]) == ("mine", 2, 0)
    assert "A verdict takes 6 blocks per variant: set `blocks` to 6." in shown(cells, "text/markdown")[-1]


@pytest.mark.slow
def test_interrupted_it_says_how_to_continue_and_run_all_continues(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    code = _sources("providers")
    given = "# Parameters\nproviders = ['cpu']\nthreads = [1]\nblocks = 4\nrepeats = 1\n"
    code.insert(1, given)
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path), env=elsewhere)
    try:
        group = os.getpgid(manager.provisioner.pid)  # which JupyterLab interrupts, too
        threading.Thread(target=_interrupt_after_a_block, args=(tmp_path / "results", group), daemon=True).start()
        replies = [client.execute_interactive(source, timeout=300, output_hook=_silent) for source in code[:4]]
        assert [reply["content"]["status"] for reply in replies] == ["ok", "ok", "ok", "error"]
        (line,) = replies[-1]["content"]["traceback"]
        assert re.search(r"^Interrupted; \d blocks? (is|are) stored; run this cell again to continue, or set ", line)
        (stopped,) = Store(tmp_path / "results" / "tables").runs()
        assert 1 <= stopped["blocks"] < 4
        replies = [client.execute_interactive(source, timeout=300, output_hook=_silent) for source in code]
        assert {reply["content"]["status"] for reply in replies} == {"ok"}
        (run,) = Store(tmp_path / "results" / "tables").runs()
        assert (run["run_id"], run["error"]) == (stopped["run_id"], 0) and run["blocks"] >= 4
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _silent(message: dict[str, Any]) -> None:
    """What a cell shows is not looked at."""


def _interrupt_after_a_block(results: Path, group: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        written = "".join(file.read_text(encoding="utf-8") for file in results.glob("runs/*/providers.progress.jsonl"))
        if '"kind": "finished"' in written:
            os.killpg(group, signal.SIGINT)
            return
        time.sleep(0.05)


@pytest.mark.parametrize("plan", sorted(path.stem for path in plans_folder().glob("*.yaml")))
def test_the_plans_name_notebooks_that_are_there_and_make_cells(plan: str, tmp_path: Path) -> None:
    jobs = load_plan(plan).jobs("r1", tmp_path)
    assert all(job.planned() for job in jobs)


@pytest.mark.slow
def test_the_index_names_every_other_notebook(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    page = "".join(shown(executed(FOLDER / "index.ipynb", tmp_path, elsewhere), "text/html"))
    for path in NOTEBOOKS:
        assert path.stem == "index" or f'href="{path.name}"' in page
