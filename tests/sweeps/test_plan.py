"""Plans: what they become, and that every mistake is listed at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from kokoro_lab.errors import PlanError
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.sampling.audio_gate import reference_of
from kokoro_lab.sweeps.job import FACTORS, OF_THE_JOB, Group, Job, SamplingCounts
from kokoro_lab.sweeps.plan import load_plan, new_run_id, plans_folder
from kokoro_lab.sweeps.preset_texts import preset_text

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


def test_a_group_has_each_factor_of_a_cell_with_the_cell_s_default() -> None:
    factors = {item.name for item in fields(Cell)} - OF_THE_JOB
    assert set(FACTORS) == factors == set(Group.model_fields) - set(SamplingCounts.model_fields)
    (levels,) = Group(text="short").combinations()  # type: ignore[call-arg]
    assert Cell(**{**levels, "model": "tiny", "provider_options": (), "engine_settings": ()}) == Cell("tiny", "short")


def test_cells_are_planned_text_and_model_fastest() -> None:
    assert FACTORS[:3] == ("provider", "provider_options", "intra_op_threads")
    assert FACTORS[-8:] == ("state", "voice", "speed", "lang", "seed", "replica", "text", "model")


@pytest.mark.parametrize("name", [name for name in FACTORS if name not in ("text", "model")])
def test_a_level_that_no_cell_takes_is_refused_with_its_place(write: Write, name: str) -> None:
    wrong = {"provider_options": [1], "engine_settings": [{"arena": None}], "speed": [0], "clients": [0]}
    levels = wrong.get(name, [[]] if name in ("seed", "voice", "lang", "environment") else ["no such level", -1])
    with pytest.raises(PlanError, match=rf"notebooks\.0\.groups\.0\.{name}"):
        load_plan(write(notebooks=one(groups=[{"text": "short", name: levels}])))


def test_a_plan_may_use_the_former_or_the_present_name_of_a_setting(write: Write) -> None:
    ids = []
    for settings in ({"arena_limit_mb": 64}, {"arena_limit_mib": 64}):
        groups = [{"text": "short"}, {"text": "short", "engine_settings": settings}]
        ids.append([item.cell.id for item in job_of(write(notebooks=one(groups=groups))).planned()])
    assert ids[0] == ids[1]


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
    for part in ("7 mistakes", "unknown text shrot", "unknown provider 'gpu'", "groups.1.state", "groups.1.colour",
                 "notebooks.0.blocks", "groups.0.intra_op_threads", "budget_s"):  # fmt: skip
        assert part in message


def test_a_notebook_that_is_missing_or_there_twice_is_a_mistake(write: Write) -> None:
    groups = [{"text": "short"}]
    with pytest.raises(PlanError, match=r"notebooks/nothing\.ipynb does not exist"):
        load_plan(write(notebooks=one("nothing", groups=groups)))
    with pytest.raises(PlanError, match="providers is listed twice"):
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
    with pytest.raises(PlanError, match=r"is malformed: .*, line 1") as caught:
        load_plan(broken)
    assert "\n" not in caught.value.message
    broken.write_text("just words")
    with pytest.raises(PlanError, match="has a mistake"):
        load_plan(broken)
    with pytest.raises(PlanError, match=r"unknown plan .*quick"):
        load_plan("nonsense")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget_s": 1e300}, "budget_s: should be less than or equal to 2592000"),
        ({"budget_s": float("nan")}, "budget_s: should be a finite number"),
        ({"budget_s": float("inf")}, "budget_s: should be a finite number"),
        ({"retries": 10**9}, "retries: should be less than or equal to 100"),
        ({"blocks": 10**9}, "blocks: should be less than or equal to 1000"),
        ({"repeats": 10**9}, "repeats: should be less than or equal to 10000"),
        ({"groups": [{"text": "short", "clients": 10**9}]}, "clients.0: should be less than or equal to 10000"),
        ({"groups": [{"text": "short", "speed": float("inf")}]}, "speed.0: should be a finite number"),
        ({"groups": [{"text": "short", "seed": 2**63}]}, "seed.0: should be less than 9223372036854775808"),
        ({"groups": [{"text": "short", "voice": "x" * 1_001}]}, "voice.0: string should have at most 1000 characters"),
        ({"groups": [{"text": "short", "intra_op_threads": []}]}, "intra_op_threads: .*at least 1 item"),
    ],
)
def test_a_number_that_no_sweep_has_is_refused_with_its_range(write: Write, change: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        load_plan(write(notebooks=one(**{"groups": [{"text": "short"}], **change})))


def test_a_plan_of_very_many_cells_is_counted_and_refused_before_it_is_expanded(write: Write) -> None:
    seeds = list(range(500))
    groups = [{"text": "short", "seed": seeds, "replica": seeds, "speed": [1 + at / 1000 for at in range(400)]}]
    plan = load_plan(write(notebooks=one(groups=groups)))
    with pytest.raises(PlanError, match="has 100,000,000 combinations of factor levels, more than 2,000; remove"):
        plan.jobs("r1", Path("/results"))
    many = {"text": "short", "seed": list(range(150)), "blocks": 1000}
    with pytest.raises(PlanError, match="150,000 blocks are more than 100,000"):
        load_plan(write(notebooks=one(groups=[many]))).jobs("r1", Path("/results"))


def test_a_name_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.yaml").write_text("name: a\nbudget_s: 5\nbudget_s: 500\n")
    with pytest.raises(PlanError, match="'budget_s' is given twice, line 3"):
        load_plan(tmp_path / "twice.yaml")


def test_a_plan_is_found_by_its_name(write: Write) -> None:
    assert load_plan("quick").name == "quick"


@pytest.mark.parametrize("path", sorted(plans_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_the_committed_plans_are_sound_and_named_like_their_files(path: Path) -> None:
    plan = load_plan(path)
    assert plan.name == path.stem and plan.about
    assert all(job.planned() for job in plan.jobs(new_run_id(plan), Path("/results")))


def test_a_job_survives_its_file_and_a_foreign_one_is_refused(write: Write, tmp_path: Path) -> None:
    job = job_of(write())
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json())
    assert Job.read(path) == job
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job.model_dump(mode="json")))
    assert Job.read(tmp_path / "job.yaml") == job
    path.write_text('{"run_id": "../x"}')
    with pytest.raises(PlanError, match=r"run_id.*notebook.*groups"):
        Job.read(path)
    with pytest.raises(PlanError, match=r"no file .*nothing"):
        Job.read(tmp_path / "nothing.json")


def test_the_results_folder_of_a_job_is_the_same_for_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    values = {"run_id": "r", "notebook": "providers", "groups": [{"text": "short"}], "budget_s": 9}
    assert Job(**values, results="here").results == Path.cwd() / "here"
    assert Job(**values, results="~/here").results == Path("/home/somebody/here")


def test_a_job_says_what_it_measures(tmp_path: Path) -> None:
    values = {"run_id": "r", "notebook": "providers", "budget_s": 9, "model": "tiny", "results": tmp_path}
    assert Job(**values, groups=[{"text": "short"}], blocks=1).sentence.startswith("Run r: 1 cell in 1 block of model")
    job = Job(**values, groups=[{"text": "short", "model": ["tiny", "other"]}], blocks=3)
    assert job.sentence == "Run r: 2 cells in 6 blocks of model tiny, other, 9 s at most."


def test_a_plan_a_notebook_or_a_group_says_whose_process_it_is(write: Write) -> None:
    groups = [
        {"text": ["short", "long"]},
        {"text": "short", "state": "cold"},
        {"text": "requests", "arrivals": "closed", "clients": 2},
        {"text": "short", "environment": "kokoro-onnx"},
        {"text": "medium", "processes": "own"},
    ]
    planned = job_of(write(notebooks=one(groups=groups), processes="shared")).planned()
    kinds = {(item.cell.text_preset, item.cell.state, item.cell.environment): item.cell.process for item in planned}
    shared = {place for place, kind in kinds.items() if kind == "shared"}
    assert shared == {("short", "warm", ""), ("long", "warm", "")}
    assert {item.cell.process for item in job_of(write(notebooks=one(groups=groups))).planned()} == {"own"}
    of_notebook = job_of(write(notebooks=one(groups=groups[:1], processes="shared")))
    assert {item.cell.process for item in of_notebook.planned()} == {"shared"}
    assert Job.model_validate_json(of_notebook.model_dump_json()).planned() == of_notebook.planned()


@pytest.mark.parametrize(("looks", "wrong"), [([4], ""), ([2, 4], ""), ([5], "x"), ([4, 2], "x"), ([0], "x")])
def test_looks_rise_and_come_before_the_end(write: Write, looks: list[int], wrong: str) -> None:
    path = write(notebooks=one(groups=[{"text": "short"}], blocks=5, looks=looks))
    if not wrong:
        assert job_of(path).looks == tuple(looks)
        return
    with pytest.raises(PlanError, match="must rise and come before block 5"):
        job_of(path)


def test_a_run_with_looks_is_not_adaptive(write: Write) -> None:
    path = write(notebooks=one(groups=[{"text": "short"}], blocks=5, looks=[3], adaptive=True))
    with pytest.raises(PlanError, match="adaptive runs have no looks, remove one of the two"):
        job_of(path)


def test_a_star_in_a_model_s_name_is_the_model_of_the_plan(write: Write) -> None:
    path = write(notebooks=one(groups=[{"text": "short", "model": ["*", "*-int8", "stand-in"]}]))
    assert [item.cell.model for item in job_of(path).planned()] == ["tiny", "tiny-int8", "stand-in"]
