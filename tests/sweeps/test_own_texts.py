"""Texts of one's own: in a plan, in files beside it, on the command line; bad ones are refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kokoro_lab.errors import PlanError
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.own_texts import given_texts, row_name, text_fault
from kokoro_lab.sweeps.plan import Plan, load_plan
from kokoro_lab.sweeps.preset_texts import preset_text


def document(*texts: str, **changed: Any) -> dict[str, Any]:
    notebooks = [{"notebook": "providers", "groups": [{"text": list(texts), "intra_op_threads": [1, 2]}]}]
    return {"name": "trial", "budget_s": 60, "model": "tiny", "notebooks": notebooks, **changed}


def write(folder: Path, *texts: str, **changed: Any) -> Path:
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(document(*texts, **changed), allow_unicode=True))
    return path


def cells(plan: Plan) -> set[tuple[str, str, str]]:
    (job,) = plan.jobs("r1", Path("/results"))
    again = Job.model_validate_json(job.model_dump_json())
    assert again.planned() == job.planned(), "the notebook's process reads the same texts from the job file"
    return {(item.cell.text_preset, item.cell.text, item.cell.lang) for item in job.planned()}


def test_a_plan_has_texts_of_its_own_beside_presets(tmp_path: Path) -> None:
    (tmp_path / "station.txt").write_text("Mind the gap.\n")
    texts = {
        "own": {"text": "Good morning!\n"},
        "station": {"file": "station.txt", "lang": "en_GB"},
        "short": {"text": "This is not the preset."},
    }
    plan = load_plan(write(tmp_path, "own", "station", "short", "long", texts=texts))
    assert cells(plan) == {
        ("own", "Good morning!", "en-us"),
        ("own-station", "Mind the gap.", "en-gb"),
        ("own-short", "This is not the preset.", "en-us"),
        ("long", preset_text("long"), "en-us"),
    }


def test_a_file_is_read_when_the_plan_is_and_stored_with_it(tmp_path: Path) -> None:
    (tmp_path / "station.txt").write_text("Mind the gap.")
    plan = load_plan(write(tmp_path, "station", texts={"station": {"file": "station.txt"}}))
    (tmp_path / "station.txt").unlink()
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert cells(plan) == {("own-station", "Mind the gap.", "en-us")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({"text": " "}, "texts.x.text: has nothing to speak"),
        ({"text": "..."}, "has nothing to speak"),
        ({"text": "one\x1etwo"}, "has control characters"),
        ({}, "needs either a text or a file"),
        ({"text": "Hi.", "file": "x.txt"}, "needs either a text or a file"),
        ({"text": "Hi.", "lang": "tlh"}, "unknown language 'tlh'"),
        ({"text": "Hi.", "voice": "af_heart"}, "texts.x.voice: unknown name"),
        ({"file": "missing.txt"}, "missing.txt"),
        ({"file": "empty.txt"}, "has nothing to speak; correct the file"),
    ],
)
def test_a_text_that_cannot_be_measured_is_refused_with_its_place(
    tmp_path: Path, text: dict[str, str], words: str
) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(PlanError) as caught:
        load_plan(write(tmp_path, "x", texts={"x": text}))
    assert words in caught.value.message and "\n" not in caught.value.message


def test_a_group_names_only_texts_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="unknown text y, choose from x, "):
        load_plan(write(tmp_path, "y", texts={"x": {"text": "Hi."}}))
    with pytest.raises(PlanError, match="unknown text x, choose from"):
        load_plan(write(tmp_path, "x"))
    with pytest.raises(PlanError, match="a leading 'own-', rename one"):
        load_plan(write(tmp_path, "a", texts={"a": {"text": "Hi."}, "own-a": {"text": "Ho."}}))


def test_texts_of_the_command_line_replace_those_of_the_plan(tmp_path: Path) -> None:
    (tmp_path / "station.txt").write_text("Mind the gap.\n")
    given = given_texts(["Good morning!", "Good night!", "Good morning!"], [tmp_path / "station.txt"])
    plan = load_plan(write(tmp_path, "x", "long", texts={"x": {"text": "Hi."}})).with_texts(given)
    assert {(preset, text) for preset, text, _ in cells(plan)} == {
        *(("own", "Good morning!"), ("own-2", "Good night!"), ("own-3", "Mind the gap."))
    }
    assert given_texts([]) == {}


@pytest.mark.parametrize("text", ["", " \n", "?!", "a\x00b", "\x1b[31mred", "x" * ((1 << 20) + 1), "\ud800"])
def test_a_bad_text_on_the_command_line_is_one_sentence(text: str) -> None:
    with pytest.raises(PlanError) as caught:
        given_texts([text])
    assert caught.value.message.endswith("; give --text another text") and len(caught.value.message) < 200


def test_the_names_in_the_rows_are_never_those_of_presets() -> None:
    assert [row_name(name) for name in ("own", "own-2", "short")] == ["own", "own-2", "own-short"]
    assert text_fault("Grüße, 世界!\n\tEnd.") == ""
