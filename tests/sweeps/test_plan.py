"""Plans: what they become, and that every mistake is listed at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kokoro_lab.errors import PlanError
from kokoro_lab.measure.gate import reference_of
from kokoro_lab.sweeps.job import Job, open_job
from kokoro_lab.sweeps.plan import PLANS, load_plan, new_run_id
from kokoro_lab.sweeps.texts import preset_text

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(**changed: Any) -> Path:
        plan = {
            "name": "trial",
            "budget_s": 60,
            "model": "tiny",
            "notebooks": [{"notebook": "providers", "groups": [{"text": "short", "intra_op_threads": [1, 2]}]}],
        }
        path = tmp_path / "trial.yaml"
        path.write_text(yaml.safe_dump({**plan, **changed}))
        return path

    return write


def one(notebook: str = "providers", **part: Any) -> list[dict[str, Any]]:
    return [{"notebook": notebook, **part}]


def job_of(path: Path) -> Job:
    (job,) = load_plan(path).jobs("r1", Path("/results"))
    return job


@pytest.mark.parametrize(("name", "characters"), [("ultra-short", 2), ("short", 61), ("medium", 141), ("long", 242)])
def test_the_preset_texts_have_the_lengths_they_are_known_for(name: str, characters: int) -> None:
    assert len(preset_text(name)) == characters


def test_a_group_becomes_the_cross_product_of_its_factors(write: Write) -> None:
    groups = [{"text": ["short", "long"], "intra_op_threads": [1, 2], "state": ["warm", "cold"], "repeats": 7}]
    planned = job_of(write(notebooks=one(groups=groups, blocks=3))).planned()
    assert len(planned) == 8 and len({item.cell.id for item in planned}) == 8
    assert {(item.blocks, item.cell.repeats, item.cell.model) for item in planned} == {(3, 7, "tiny")}
    assert {item.cell.text for item in planned} == {preset_text("short"), preset_text("long")}


def test_each_text_has_one_reference_its_first_warm_cell_on_the_cpu(write: Write) -> None:
    groups = [
        {"text": ["short", "medium"], "provider": ["openvino", "cpu"], "state": ["cold", "warm"]},
        {"text": "long", "state": "cold"},
    ]
    cells = [item.cell for item in job_of(write(notebooks=one(groups=groups))).planned()]
    references = set(reference_of(cells).values())
    assert {(cell.text_preset, cell.provider, cell.state) for cell in references} == {
        ("short", "cpu", "warm"),
        ("medium", "cpu", "warm"),
        ("long", "cpu", "cold"),
    }


def test_a_combination_that_two_groups_name_is_measured_once(write: Write) -> None:
    groups = [{"text": "short", "blocks": 4}, {"text": ["short", "long"], "blocks": 2}]
    planned = job_of(write(notebooks=one(groups=groups))).planned()
    assert {(item.cell.text_preset, item.blocks) for item in planned} == {("short", 4), ("long", 2)}


def test_budgets_left_out_share_what_the_others_leave(write: Write) -> None:
    plan = load_plan(write(notebooks=one(groups=[{"text": "short"}]), budget_s=90))
    assert [job.budget_s for job in plan.jobs("r1", Path("/results"))] == [90.0]


def test_every_mistake_of_a_plan_is_listed_with_where_it_is(write: Write) -> None:
    groups = [
        {"text": ["shrot"], "provider": ["gpu"], "intra_op_threads": [-1]},
        {"text": "short", "state": "lukewarm", "colour": "red"},
    ]
    with pytest.raises(PlanError) as caught:
        load_plan(write(notebooks=one(groups=groups, blocks=0), budget_s=-1))
    message = caught.value.message
    for part in ("7 mistakes", "no text called shrot", "no provider 'gpu'", "groups.1.state", "groups.1.colour",
                 "notebooks.0.blocks", "groups.0.intra_op_threads", "budget_s"):  # fmt: skip
        assert part in message


def test_a_notebook_that_is_missing_or_there_twice_is_a_mistake(write: Write) -> None:
    groups = [{"text": "short"}]
    with pytest.raises(PlanError, match=r"there is no notebooks/nothing\.ipynb"):
        load_plan(write(notebooks=one("nothing", groups=groups)))
    with pytest.raises(PlanError, match="providers is there twice"):
        load_plan(write(notebooks=one(groups=groups) * 2))
    with pytest.raises(PlanError, match="own budgets take 61 s of 60 s"):
        load_plan(write(notebooks=one(groups=groups, budget_s=61)))


def test_cells_that_cannot_be_planned_are_all_named(write: Write) -> None:
    groups = [
        {"text": "short", "provider": "openvino"},
        {"text": "long", "provider_options": {"threads": "2"}},
    ]
    with pytest.raises(PlanError, match=r"has no option 'threads'.*needs one cell on the CPU"):
        job_of(write(notebooks=one(groups=groups)))


def test_files_that_are_not_plans_are_refused_in_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(PlanError, match="cannot be read") as caught:
        load_plan(broken)
    assert "\n" not in caught.value.message
    broken.write_text("just words")
    with pytest.raises(PlanError, match="has a mistake"):
        load_plan(broken)
    with pytest.raises(PlanError, match=r"There is no plan .*quick"):
        load_plan("nonsense")


def test_a_plan_is_found_by_its_name(write: Write) -> None:
    assert load_plan("quick").name == "quick"


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_committed_plans_are_sound_and_named_like_their_files(path: Path) -> None:
    plan = load_plan(path)
    assert plan.name == path.stem and plan.about
    assert all(job.planned() for job in plan.jobs(new_run_id(plan), Path("/results")))


def test_a_job_survives_its_file_and_a_foreign_one_is_refused(write: Write, tmp_path: Path) -> None:
    job = job_of(write())
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json())
    assert Job.read(path) == job
    assert open_job(str(path), notebook="providers") == job
    with pytest.raises(PlanError, match="is for notebook providers, and this is caching"):
        open_job(str(path), notebook="caching")
    path.write_text('{"run_id": "../x"}')
    with pytest.raises(PlanError, match=r"run_id.*notebook.*groups"):
        Job.read(path)
    with pytest.raises(PlanError, match="cannot be read"):
        Job.read(tmp_path / "nothing.json")


def test_a_notebook_without_a_job_takes_its_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KOKORO_MODEL", "tiny")
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path))
    job = open_job("", notebook="providers", groups=[{"text": "short"}], budget_s=20)
    assert (job.model, job.results, job.plan) == ("tiny", tmp_path, "lab")
    assert job.run_id.startswith("lab-providers-")
    with pytest.raises(PlanError, match=r"groups.*budget_s"):
        open_job("", notebook="providers", groups=[], budget_s=0)
