"""The generated pages name every setting and every column, each with what it is counted in."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Annotated

import jsonschema
import pytest

from kokoro_lab.engine.config import EngineConfig, variable
from kokoro_lab.field_checks import Range
from kokoro_lab.store.schema import TABLES
from kokoro_lab.sweeps.job import Group, Job
from kokoro_lab.sweeps.plan import load_plan, plans_folder

GENERATOR = Path(__file__).parents[2] / "docs" / "generate.py"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", GENERATOR)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_generator()


def rows(page: str) -> dict[str, list[str]]:
    """First cell of each row of the page's tables, without its marks -> the other cells."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in page.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines}


@pytest.mark.parametrize("item", fields(EngineConfig), ids=lambda item: item.name)
def test_every_setting_is_there_with_variable_default_unit_and_meaning(item: object) -> None:
    name = item.name  # type: ignore[attr-defined]
    name_of_variable, default, unit, meaning = rows(generate.settings_page())[name]
    assert name_of_variable.startswith(f"`{variable(name)}`")
    assert default and unit
    assert len(meaning) > 10 and "(default" not in meaning


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_table_is_there_with_kind_unit_and_meaning(table: str) -> None:
    section = generate.tables_page().partition(f"## {table}\n")[2].partition("\n## ")[0]
    shown = rows(section)
    assert list(shown) == TABLES[table].columns.names
    for name, (kind, unit, meaning) in shown.items():
        assert kind and unit and meaning.endswith((".", "text.")), name
        assert ("may be empty" in kind) == TABLES[table].columns.field(name).nullable


def test_no_column_is_described_that_no_table_has() -> None:
    there = {name for table in TABLES.values() for name in table.columns.names} | {f"{name}." for name in TABLES}
    assert set(generate.columns()) == there


def test_the_unit_of_a_number_follows_its_name_and_an_unknown_one_is_refused() -> None:
    assert (generate.unit("chunk_ms", float), generate.unit("release_idle_s", float)) == ("ms", "s")
    assert generate.unit("loudness_lufs", float | None) == "LUFS"
    assert generate.unit("queue_chunks", Annotated[int, Range(1, 100_000)]) == "chunks, 1 to 100 000"
    assert generate.unit("tune_s", Annotated[float, Range(0, 600, zero="no tuner")]) == "s, 0 to 600; 0: no tuner"
    with pytest.raises(KeyError, match="add the ending of its name to UNITS"):
        generate.unit("warp", int)


def test_docstrings_of_inherited_fields_are_read() -> None:
    @dataclass(frozen=True)
    class Base:
        width: int = 1
        """How wide."""

    @dataclass(frozen=True)
    class Derived(Base):
        height: int = 2
        """How
        high."""

    assert generate.field_docstrings(Derived) == {"width": "How wide.", "height": "How high."}


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    document = json.loads(generate.job_schema())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


@pytest.mark.parametrize("plan", sorted(path.stem for path in plans_folder().glob("*.yaml")))
def test_the_schema_accepts_the_job_files_that_a_sweep_writes(
    plan: str, schema: jsonschema.Draft202012Validator, tmp_path: Path
) -> None:
    for job in load_plan(plan).jobs("r1", tmp_path):
        schema.validate(json.loads(job.model_dump_json()))


def test_the_schema_accepts_what_people_write_and_nothing_else(schema: jsonschema.Draft202012Validator) -> None:
    group = {"text": "short", "intra_op_threads": 2, "model": "tiny", "engine_settings": {"spinning": False}}
    assert schema.is_valid({"groups": [group]})
    own = {"texts": {"own": {"text": "Good morning."}}, "groups": [{**group, "text": ["own"]}]}
    assert schema.is_valid({"blocks": 5, **own})
    for wrong in ({"budget": 3}, {"groups": []}, {"groups": [{"text": 3}]}, {"groups": [{}]}, {"blocks": 0}):
        assert not schema.is_valid(wrong), wrong


def test_the_schema_describes_every_field_of_a_job(schema: jsonschema.Draft202012Validator) -> None:
    assert set(schema.schema["properties"]) == set(Job.model_fields)
    assert all(len(field["description"]) > 10 for field in schema.schema["properties"].values())
    assert set(schema.schema["$defs"]["Group"]["properties"]) == set(Group.model_fields)
