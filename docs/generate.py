"""Write what is generated from the code: reference/settings.md, reference/tables.md and reference/job.schema.json.

`make docs` runs this before it builds the site. The pages are not committed; tests/docs/test_reference_pages.py checks
that they contain every setting and every column, and that the schema accepts the jobs that the program reads.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.environment_variables import variables_of
from kokoro_lab.field_checks import Range
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.store.schema import SCHEMA_VERSION, TABLES, TableSchema
from kokoro_lab.sweeps.job import Job, SamplingCounts

__all__ = ["PAGES", "columns", "field_docstrings", "job_schema", "settings_page", "tables_page", "unit", "write_pages"]

HERE = Path(__file__).resolve().parent

WIDE = ("---", "hide: [toc]", "---", "")
"""Front matter of a page with a wide table: it hides the table of contents."""

UNITS = (
    ("_ms", "ms"),
    ("_mib", "MiB (2^20 bytes)"),
    ("_mb", "MB (10^6 bytes)"),
    ("_lufs", "LUFS"),
    ("_dbtp", "dBTP"),
    ("_tokens", "tokens"),
    ("_chars", "characters"),
    ("_words", "words"),
    ("_growth", "factor"),
    ("_scale", "factor"),
    ("_pressure", "share, 0 to 1"),
    ("_threads", "threads"),
    ("sample_rate", "Hz"),
    ("_segments", "segments"),
    ("_chunks", "chunks"),
    ("prebuffer", "chunks"),
    ("_uses", "uses a day"),
    ("phoneme_cache", "texts"),
    ("primer_cache", "segments"),
    ("concurrency", "calls"),
    ("priority", "nice value"),
    ("_s", "s"),
)
"""Ending of a setting's name -> its unit."""


JOB_FIELDS = {
    "run_id": "Name of the run; the blocks that it has stored are not measured again.",
    "notebook": "Name of the notebook, in notebooks/.",
    "plan": "Name of the sweep plan that the job is a part of.",
    "groups": "What is measured: each group is a cross product of factor levels.",
    "model": "Model of the groups that name none.",
    "adaptive": "Whether the measurement ends early, as soon as every comparison is decided.",
}
"""Fields of a job without a docstring of their own -> description."""


def field_docstrings(cls: type) -> dict[str, str]:
    """Field of a dataclass, inherited fields included -> the docstring below it."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base is object or base.__module__.startswith("pydantic"):
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for before, after in pairwise(node.body):
            if (
                isinstance(before, ast.AnnAssign)
                and isinstance(before.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                texts[before.target.id] = " ".join(str(after.value.value).split())
    return texts


def unit(name: str, hint: Any) -> str:
    """Unit of a numeric setting, or a description of the values of any other setting.

    Raises:
        KeyError: the unit of a number cannot be derived from its name; add the ending to UNITS.
    """
    if typing.get_origin(hint) is Annotated:
        bare, *marks = typing.get_args(hint)
        return unit(name, bare) + "".join(_range(mark) for mark in marks if isinstance(mark, Range))
    kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    if typing.get_origin(hint) in (types.UnionType, typing.Union) and len(kinds) == 1:
        return unit(name, kinds[0])
    if hint in (int, float):
        for ending, words in UNITS:
            if name.endswith(ending):
                return words
        raise KeyError(f"the unit of the setting {name} is unknown; add the ending of its name to UNITS")
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(f"`{level}`" for level in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return "names, separated by commas" if kinds[0] is str else "`name=value` pairs, separated by commas"
    return {bool: "on or off", Path: "path"}.get(hint, "name")


def _range(mark: Range) -> str:
    ends = (
        ""
        if math.isinf(mark.most)
        else f", {mark.least:,.15g} to {mark.most:,.15g}".replace(",", " ").replace(" ", ",", 1)
    )
    return ends + (f"; 0: {mark.zero}" if mark.zero else "")


def _default(item: Field[Any]) -> str:
    value = item.default if item.default is not MISSING else typing.cast("Callable[[], Any]", item.default_factory)()
    if isinstance(value, bool):
        return "on" if value else "off"
    if value in (None, (), ""):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_page() -> str:
    """Every field of EngineConfig as Markdown: name, variable, default, unit and meaning."""
    hints, texts = typing.get_type_hints(EngineConfig, include_extras=True), field_docstrings(EngineConfig)
    rows = []
    for item in fields(EngineConfig):
        words = re.sub(r"\s*\(default: [^()]*\)\.?$", "", texts[item.name])
        named = ", or ".join(f"`{variable}`" for variable in variables_of(item.name))
        rows.append((f"`{item.name}`", named, _default(item), unit(item.name, hints[item.name]), words))
    return "\n".join(
        [
            *WIDE,
            "# Settings",
            "",
            "Every field of [`EngineConfig`][kokoro_lab.engine.config.EngineConfig]. Set it in Python, as in",
            '`EngineConfig(model="tiny", intra_op_threads=2)`, or with its environment variable, which',
            "`EngineConfig.from_environment()` and the command line read: `KOKORO_` and the field's name in capitals.",
            "Flags take `1`, `true`, `yes`, `on` and their opposites. All mistakes are reported at once.",
            "",
            "A sweep can vary any setting through `engine_settings`: see [Vary a new factor](../how-to/new-factor.md).",
            "",
            *_table(("Setting", "Variable", "Default", "Unit or values", "What it does"), rows),
            "",
            "## Folders",
            "",
            *_table(
                ("Variable", "What it sets"),
                [
                    ("`KOKORO_LAB_HOME`", "folder of models, voices and caches (default: the user's cache directory)"),
                    ("`KOKORO_LAB_RESULTS`", "folder of tables, runs and reports (default: `results/`)"),
                    ("`KOKORO_LAB_LOCK`", "lock file that lets only one run measure at a time on a machine"),
                ],
            ),
            "",
        ]
    )


def columns() -> Mapping[str, Mapping[str, str]]:
    """Column -> its `unit` and `meaning`, from docs/columns.yaml."""
    described: Mapping[str, Mapping[str, str]] = yaml.safe_load((HERE / "columns.yaml").read_text(encoding="utf-8"))
    return described


def tables_page() -> str:
    """Every column of every result table as Markdown: name, type, unit and meaning."""
    described = columns()
    parts = [
        *WIDE,
        "# Tables",
        "",
        "The Delta tables in `results/tables/`, one folder per table. Every row has a `schema_version`; this package",
        f"writes version {SCHEMA_VERSION}, and older rows are brought up to date when they are read. An empty value",
        "means that the value was not available, never zero; columns that may be empty are marked.",
        "[Read the tables](../how-to/read-tables.md) shows how to open them with pandas, DuckDB and Polars.",
        "",
    ]
    for name, table in TABLES.items():
        parts += [f"## {name}", "", described[f"{name}."]["meaning"], "", _keys(table), ""]
        rows = []
        for field in table.columns:
            column = described[field.name]
            meaning = column["meaning"] + (" JSON text." if field.name in table.json else "")
            kind = str(field.type) + (", may be empty" if field.nullable else "")
            rows.append((f"`{field.name}`", kind, column["unit"], meaning))
        parts += [*_table(("Column", "Type", "Unit or values", "Meaning"), rows), ""]
    return "\n".join(parts)


def job_schema() -> str:
    """The JSON schema of a job file, which a notebook's `job_file` names.

    What the file leaves out has the value of the notebook's parameters.
    """
    schema: dict[str, Any] = Job.model_json_schema()
    del schema["required"]
    group = schema["$defs"]["Group"]
    for levels in group["properties"].values():
        kinds = levels.get("anyOf") or [
            {key: levels.pop(key) for key in ("type", "items", "minItems") if key in levels}
        ]
        several = [kind for kind in kinds if kind.get("type") == "array"]
        levels["anyOf"] = [*(kind["items"] for kind in several), *kinds]  # a single level may stand without brackets
    described = {**field_docstrings(SamplingCounts), **field_docstrings(Job)}
    for name, words in {**_only(described, schema["properties"]), **JOB_FIELDS}.items():
        schema["properties"][name]["description"] = words
    for name, words in _only({**field_docstrings(Cell), **described}, group["properties"]).items():
        group["properties"][name]["description"] = words
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["description"] = "A job: what one notebook measures. What it leaves out, the notebook's parameters say."
    return json.dumps(schema, indent=2) + "\n"


def _only(texts: Mapping[str, str], names: Mapping[str, Any]) -> dict[str, str]:
    return {name: words for name, words in texts.items() if name in names}


def _keys(table: TableSchema) -> str:
    partition = f" Partitioned by `{'`, `'.join(table.partition)}`." if table.partition else ""
    return f"A commit is keyed by {', '.join(f'`{name}`' for name in table.key)}.{partition}"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    cells = [heads, tuple("---" for _ in heads), *rows]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in cells]


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "tables.md": tables_page,
    "job.schema.json": job_schema,
}


def write_pages(folder: Path) -> None:
    """Write every generated page into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "reference")
