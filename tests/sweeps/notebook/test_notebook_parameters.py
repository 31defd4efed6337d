"""The flat parameters of a notebook: typed, mistakes in one sentence, unknown names refused, a job file above them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kokoro_lab.errors import PlanError
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.notebook.notebook_parameters import NotebookParameters, ParameterError, open_job, read_parameters
from kokoro_lab.sweeps.progress import Progress, ProgressFile

DECLARED: dict[str, tuple[Any, Any]] = {
    "job_file": (str, ""),
    "texts": (list[str], ["short"]),
    "text": (str, ""),
    "providers": (list[str], ["cpu"]),
    "threads": (list[int], [1, 2]),
    "models": (list[str], []),
    "engine_settings": (list[dict], [{}]),
    "blocks": (int, 2),
    "repeats": (int, 3),
    "budget_s": (float, 20.0),
    "seed": (int, 0),
    "run_id": (str, ""),
    "results_folder": (str, ""),
    "clients": (list[int], [1]),
}
GROUPS = [{"text": "short", "intra_op_threads": [1, 2]}]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_MODEL", "tiny")


def namespace(*history: str, **given: Any) -> dict[str, Any]:
    """The globals of a kernel that has run the cell of the parameters, and then what papermill injected."""
    values = {name: default for name, (_, default) in DECLARED.items()}
    annotations = {name: kind for name, (kind, _) in DECLARED.items()}
    return {"__annotations__": annotations, "In": ["", *history], **values, **given}


def read(**given: Any) -> NotebookParameters:
    return read_parameters(namespace(**given), notebook="providers")


def test_a_value_is_an_attribute_and_another_name_is_not() -> None:
    given = read(threads=[4])
    assert (given.threads, given.budget_s, given.notebook) == ([4], 20.0, "providers")
    with pytest.raises(AttributeError, match="notebook providers has no parameter thread"):
        _ = given.thread


@pytest.mark.parametrize(
    ("name", "given", "read_as"),
    [
        ("threads", 2, [2]),
        ("threads", "1,2", [1, 2]),
        ("threads", "[1, 2]", [1, 2]),
        ("threads", (1, 2), [1, 2]),
        ("providers", "CPU, openvino", ["cpu", "openvino"]),
        ("models", "", []),
        ("models", "tiny", ["tiny"]),
        ("engine_settings", {"spinning": False}, [{"spinning": False}]),
        ("engine_settings", '{}, {"chunk_ms": 30}', [{}, {"chunk_ms": 30}]),
        ("clients", 3, [3]),
        ("budget_s", 9, 9.0),
    ],
)
def test_a_list_may_be_given_in_the_ways_that_a_command_line_has(name: str, given: Any, read_as: Any) -> None:
    assert getattr(read(**{name: given}), name) == read_as


WRONG: list[tuple[str, Any, str]] = [
    ("texts", "nothing", "texts.0: unknown text 'nothing', choose from article"),
    ("texts", [], "texts: .*at least 1 item"),
    ("text", 2026, "text: should be text, which papermill passes unchanged with -r instead of -p"),
    ("providers", "gpu", "providers.0: unknown provider 'gpu'"),
    ("threads", [-1], "threads.0: should be greater than or equal to 0"),
    ("threads", "two", "threads.0: should be a valid integer"),
    ("threads", "[1", "threads: .*malformed"),
    ("engine_settings", "spinning", "engine_settings.0: should be a valid dictionary"),
    ("blocks", 0, "blocks: should be greater than or equal to 1"),
    ("blocks", 2.5, "blocks: should be a valid integer"),
    ("budget_s", float("inf"), "budget_s: "),
    ("run_id", "../x", "run_id: invalid run id"),
    ("results_folder", __file__, "results_folder: .*is not a folder"),
    ("clients", "many", "clients.0: should be a valid integer"),
]


@pytest.mark.parametrize(("name", "given", "words"), WRONG)
def test_a_wrong_value_is_told_with_its_place(name: str, given: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words) as caught:
        read(**{name: given})
    assert caught.value.message.startswith("notebook providers has a mistake; correct ")


def test_all_mistakes_are_one_sentence_without_a_traceback() -> None:
    with pytest.raises(ParameterError) as caught:
        read(threads=[-1], blocks=0, providers="gpu")
    for name in ("threads", "blocks", "providers"):
        assert f"{name}" in caught.value.message
    (line,) = caught.value._render_traceback_()
    assert line.startswith("Notebook providers has 3 mistakes; ") and line.endswith(".") and "\n" not in line


def test_what_papermill_injected_under_another_name_is_refused() -> None:
    injected = "# Parameters\nthreads = 2\nthred = 2\nvoices = ['a']\n"
    with pytest.raises(ParameterError, match="unknown parameter thred, voices; notebook providers has job_file, texts"):
        read_parameters(namespace("threads: list[int] = [1]", injected, thred=2), notebook="providers")


def test_names_that_later_cells_made_are_no_parameters() -> None:
    later = namespace("# Parameters\nthreads = 2\n", "work = 3", work=3, evidence=4)
    assert read_parameters(later, notebook="providers").notebook == "providers"
    corrected = namespace("# Parameters\nthred = 2\n", "# Parameters\nthreads = 2\n")
    assert read_parameters(corrected, notebook="providers").notebook == "providers"


def test_a_text_of_ones_own_replaces_the_texts(places: Path) -> None:
    given = read(text="Good morning.")
    job = open_job(given, groups=[{"text": given.texts}])
    assert [(item.cell.text, item.cell.text_preset) for item in job.planned()] == [("Good morning.", "own")]


def test_every_parameter_of_the_job_comes_into_the_job(places: Path, tmp_path: Path) -> None:
    given = read(blocks=4, repeats=7, budget_s=9, seed=5, run_id="mine", results_folder=str(tmp_path / "there"))
    job = open_job(given, groups=GROUPS, warmup_cap=1)
    assert (job.run_id, job.results, job.budget_s, job.order_seed) == ("mine", tmp_path / "there", 9, 5)
    assert (job.plan, job.model, job.warmup_cap) == ("lab", "tiny", 1)
    assert {(item.blocks, item.cell.repeats, item.cell.model) for item in job.planned()} == {(4, 7, "tiny")}


def test_models_are_a_factor_unless_a_group_has_its_own(places: Path) -> None:
    groups = [*GROUPS, {"text": "short", "intra_op_threads": 4, "model": "other"}]
    planned = open_job(read(models="tiny,second"), groups=groups).planned()
    assert {(item.cell.model, item.cell.intra_op_threads) for item in planned} == {
        *(("tiny", 1), ("tiny", 2), ("second", 1), ("second", 2), ("other", 4))
    }


def test_without_a_run_id_the_run_is_new_and_named_by_its_notebook(places: Path) -> None:
    given = read()
    assert given.run.startswith("lab-providers-") and open_job(given, groups=GROUPS).run_id == given.run
    assert given.results == places


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_job_file_overrides_the_parameters_that_it_names(suffix: str, places: Path, tmp_path: Path) -> None:
    document = {"groups": [{"text": "hello"}], "blocks": 1, "order_seed": 3}
    path = tmp_path / f"job.{suffix}"
    path.write_text(json.dumps(document) if suffix == "json" else yaml.safe_dump(document))
    job = open_job(read(job_file=str(path), blocks=4, budget_s=33), groups=GROUPS, retries=0)
    assert [(item.cell.text_preset, item.blocks) for item in job.planned()] == [("hello", 1)]
    assert (job.order_seed, job.budget_s, job.retries) == (3, 33, 0)


def test_the_job_file_of_a_sweep_is_the_whole_job(places: Path, tmp_path: Path) -> None:
    values = {"run_id": "r1", "notebook": "providers", "plan": "p", "groups": GROUPS, "budget_s": 9, "model": "tiny"}
    job = Job(**values, results=tmp_path / "elsewhere")
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json())
    assert open_job(read(job_file=str(path)), groups=[{"text": "long"}], retries=0) == job


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ('{"notebook": "caching"}', "is for notebook caching, but this is providers; use it there"),
        ('{"budget": 3}', r"job file .*budget: unknown name"),
        ('{"groups": [{"text": "nothing"}]}', r"job file .*unknown text nothing"),
        ('{"groups": [{"text": "short", "provider": "openvino"}]}', "needs one cell on the CPU"),
        ("[]", r"job file .*should be a mapping"),
        ("{", r"job file .*job\.json"),
    ],
)
def test_a_wrong_job_file_is_one_sentence(document: str, words: str, places: Path, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(document)
    with pytest.raises(ParameterError, match=words):
        open_job(read(job_file=str(path)), groups=GROUPS)


def test_a_missing_job_file_is_one_sentence(places: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no file .*nothing\.yaml"):
        open_job(read(job_file=str(tmp_path / "nothing.yaml")), groups=GROUPS)


def test_mistakes_of_the_notebook_itself_are_listed(places: Path) -> None:
    with pytest.raises(PlanError, match=r"groups.*retries"):
        open_job(read(), groups=[], retries=-1)


class TestARunThatWasInterrupted:
    """In one kernel, whose globals have the parameters of the run before."""

    def again(self, before: NotebookParameters, **given: Any) -> str:
        return read_parameters(namespace(given=before, **given), notebook=before.notebook).run

    def before(self, places: Path, *events: Progress) -> NotebookParameters:
        given = read(run_id="mine")
        given = NotebookParameters(given.notebook, {**given.values, "run_id": ""}, given.results, "mine")
        (places / "runs" / "mine").mkdir(parents=True)
        file = ProgressFile(places / "runs" / "mine" / "providers.progress.jsonl")
        for event in events:
            file.write(event)
        return given

    def test_continues(self, places: Path) -> None:
        given = self.before(places, Progress("plan", 0, 4), Progress("finished", 2, 4))
        assert self.again(given) == "mine"

    def test_continues_before_its_first_block_too(self, places: Path) -> None:
        assert self.again(self.before(places)) == "mine"

    @pytest.mark.parametrize("last", [Progress("finished", 4, 4), Progress("budget", 2, 4), Progress("enough", 2, 4)])
    def test_is_a_new_run_once_it_is_complete(self, last: Progress, places: Path) -> None:
        assert self.again(self.before(places, Progress("plan", 0, 4), last)) != "mine"

    def test_is_a_new_run_with_other_parameters_or_another_id(self, places: Path) -> None:
        given = self.before(places, Progress("plan", 0, 4))
        assert self.again(given, threads=[8]) != "mine"
        assert self.again(given, results_folder=str(places.parent / "other")) != "mine"
        assert self.again(given, run_id="yours") == "yours"
