"""A job: what one notebook is asked to measure in one run. It crosses from the command line to the notebook as JSON.

A job holds groups; a group is a cross product of factor levels. All groups together give the cells, each of them
once: a combination that two groups name belongs to the first.
"""

from __future__ import annotations

import datetime
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from kokoro_lab.errors import KokoroLabError, PlanError
from kokoro_lab.measure.cell import Arrivals, Cell, Delivery, State
from kokoro_lab.measure.verdicts import with_twins
from kokoro_lab.models.catalog import default_model
from kokoro_lab.runtime.providers import parse
from kokoro_lab.store.places import results
from kokoro_lab.sweeps.texts import preset_names, preset_text

__all__ = ["RUN_ID", "Group", "Job", "PlannedCell", "Sampling", "mistakes", "named_model", "open_job", "own_model"]

RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"
"""A run id names a folder and a partition."""

FACTORS = (
    *("provider", "provider_options", "intra_op_threads", "graph_level", "engine_settings", "environment"),
    *("delivery", "arrivals", "rate_hz", "load_s", "clients", "state", "voice", "speed", "lang", "seed"),
    *("replica", "text", "model"),
)
"""Fields of a group that are crossed; cells are planned in this order, the last one varying fastest."""

DEFAULT_BLOCKS = 2
"""A round and its mirror image: the least with which a linear drift cancels."""
DEFAULT_REPEATS = 3
DEFAULT_WARMUP_CAP = 5


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Levels = BeforeValidator(_listed)
"""A single level may be written without brackets."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sampling(_Strict):
    """How often things are measured; where a value is left out, that of the level above holds."""

    blocks: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Fresh processes a cell."""
    repeats: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Timed calls a block; a cold block has one."""
    warmup_cap: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most warm-up calls of a warm block."""


class Group(Sampling):
    """A cross product of factor levels."""

    text: Annotated[list[str], Levels, Field(min_length=1)]
    """Names of texts in data/texts/."""
    provider: Annotated[list[str], Levels, Field(min_length=1)] = ["cpu"]
    provider_options: Annotated[list[dict[str, str]], Levels, Field(min_length=1)] = [{}]
    intra_op_threads: Annotated[list[Annotated[int, Field(ge=0)]], Levels, Field(min_length=1)] = [0]
    graph_level: Annotated[list[str], Levels, Field(min_length=1)] = ["all"]
    engine_settings: Annotated[list[dict[str, str | bool | int | float]], Levels, Field(min_length=1)] = [{}]
    """Other fields of EngineConfig."""
    environment: Annotated[list[str], Levels, Field(min_length=1)] = [""]
    delivery: Annotated[list[Delivery], Levels, Field(min_length=1)] = ["whole"]
    arrivals: Annotated[list[Arrivals], Levels, Field(min_length=1)] = [""]
    rate_hz: Annotated[list[Annotated[float, Field(ge=0)]], Levels, Field(min_length=1)] = [0.0]
    load_s: Annotated[list[Annotated[float, Field(ge=0)]], Levels, Field(min_length=1)] = [0.0]
    clients: Annotated[list[Annotated[int, Field(ge=1)]], Levels, Field(min_length=1)] = [1]
    state: Annotated[list[State], Levels, Field(min_length=1)] = ["warm"]
    model: Annotated[list[str], Levels, Field(min_length=1)] | None = None
    """Left out: the model of the whole job."""
    voice: Annotated[list[str], Levels, Field(min_length=1)] = ["af_heart"]
    speed: Annotated[list[Annotated[float, Field(gt=0)]], Levels, Field(min_length=1)] = [1.0]
    lang: Annotated[list[str], Levels, Field(min_length=1)] = ["en-us"]
    seed: Annotated[list[int], Levels, Field(min_length=1)] = [0]
    replica: Annotated[list[Annotated[int, Field(ge=0)]], Levels, Field(min_length=1)] = [0]

    @field_validator("provider")
    @classmethod
    def _known_providers(cls, names: list[str]) -> list[str]:
        return [_checked(lambda name=name: parse(name).name) for name in names]

    @field_validator("text")
    @classmethod
    def _known_texts(cls, names: list[str]) -> list[str]:
        unknown = sorted(set(names) - set(preset_names()))
        if unknown:
            raise ValueError(f"there is no text called {', '.join(unknown)}: there are {', '.join(preset_names())}")
        return names

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Factor levels of each cell, as keyword arguments of `Cell` without model, text and sampling."""
        levels = [getattr(self, name) or [None] for name in FACTORS]
        for combination in itertools.product(*levels):
            yield dict(zip(FACTORS, combination, strict=True))


@dataclass(frozen=True)
class PlannedCell:
    """A cell, and how many blocks it gets."""

    cell: Cell
    blocks: int


class Job(Sampling):
    """What one notebook measures in one run; raises PlanError through `read` and `cells`, listing every mistake."""

    run_id: Annotated[str, Field(pattern=RUN_ID)]
    notebook: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    plan: str = ""
    groups: Annotated[list[Group], Field(min_length=1)]
    model: str = "default"
    budget_s: Annotated[float, Field(gt=0)]
    """Seconds for the measuring, all blocks of the notebook in the run together."""
    order_seed: int = 0
    """Seed of the order in which cells are measured."""
    retries: Annotated[int, Field(ge=0)] = 1
    """How often a contaminated block is measured again."""
    twins: bool = False
    """Whether the reference cells of the shortest and the longest text are measured twice, as A/A pairs."""
    adaptive: bool = False
    """Whether the measuring may end before its blocks and its budget do: when every comparison is decided."""
    results: Path
    """The results folder: tables and runs are in it."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A job from its JSON file.

        Raises:
            PlanError: the file cannot be read, or holds mistakes.
        """
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise PlanError(f"The job file {path} cannot be read: {error.strerror or error}.") from error
        except ValidationError as error:
            raise PlanError(f"The job file {path} is malformed: {'; '.join(mistakes(error))}.") from error

    def planned(self) -> list[PlannedCell]:
        """The cells, each once, with exactly one reference cell for each group that is gated together.

        The reference of a text is its first warm cell on the CPU, or, where there is none, its first on the CPU.

        Raises:
            PlanError: factor levels that make no cell, or a text without a cell that others can be compared with.
        """
        found: dict[str, PlannedCell] = {}
        wrong: list[str] = []
        for group in self.groups:
            for levels in group.combinations():
                try:
                    cell = self._cell(group, levels)
                except (KokoroLabError, ValueError) as error:
                    wrong.append(str(error).rstrip("."))
                    continue
                blocks = group.blocks or self.blocks or DEFAULT_BLOCKS
                found.setdefault(cell.id, PlannedCell(cell, blocks))
        cells = [planned.cell for planned in found.values()]
        references: dict[object, str] = {}
        for key in dict.fromkeys(cell.gate_key for cell in cells):
            on_cpu = [cell for cell in cells if cell.gate_key == key and cell.provider == "cpu"]
            on_cpu.sort(key=lambda cell: cell.state != "warm")
            if on_cpu:
                references[key] = on_cpu[0].id
            else:
                wrong.append(f"text {key[0][:40]!r} needs one cell on the CPU, which the others are compared with")
        if wrong:
            raise PlanError(f"Notebook {self.notebook} cannot be planned: {'; '.join(dict.fromkeys(wrong))}.")
        marked = [
            PlannedCell(
                replace(planned.cell, reference=references[planned.cell.gate_key] == planned.cell.id), planned.blocks
            )
            for planned in found.values()
        ]
        return marked + _twins(marked) if self.twins else marked

    def _cell(self, group: Group, levels: dict[str, Any]) -> Cell:
        preset = levels.pop("text")
        options = parse(levels["provider"], levels.pop("provider_options")).options
        return Cell(
            **{
                **levels,
                "model": levels["model"] or self.model,
                "provider_options": tuple(options.items()),
                "engine_settings": tuple(levels["engine_settings"].items()),
                "text": preset_text(preset),
                "text_preset": preset,
                "repeats": group.repeats or self.repeats or DEFAULT_REPEATS,
                "warmup_cap": group.warmup_cap or self.warmup_cap or DEFAULT_WARMUP_CAP,
            }
        )


def open_job(path: str, *, notebook: str, **defaults: Any) -> Job:
    """The job that a notebook was given, or, with none, one of its own from `defaults` (fields of `Job`).

    A job of its own is a run of its own, and takes the model that KOKORO_MODEL names, if any.

    Raises:
        PlanError: mistakes in either, or a job that is meant for another notebook; all of them are listed.
    """
    if path:
        job = Job.read(path)
        if job.notebook != notebook:
            raise PlanError(f"The job file {path} is for notebook {job.notebook}, and this is {notebook}.")
    else:
        own = {
            "run_id": f"lab-{notebook}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}",
            "notebook": notebook,
            "plan": "lab",
            "model": own_model(),
            "results": results().root,
        }
        try:
            job = Job.model_validate({**own, **defaults})
        except ValidationError as error:
            raise PlanError(f"The notebook's own job is malformed: {'; '.join(mistakes(error))}.") from error
    job.planned()
    return job


def own_model() -> str:
    """The model of a notebook that was given no job: the one that KOKORO_MODEL names, else the default one."""
    return named_model(os.environ.get("KOKORO_MODEL") or "default")


def named_model(name: str) -> str:
    """The model that "default" stands for here and now, so that a run says what it measured; other names unchanged."""
    return default_model() if name == "default" else name


def mistakes(error: ValidationError) -> list[str]:
    """Every mistake that pydantic found, each with where it is."""
    found = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "the whole file"
        found.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return found


def _twins(planned: list[PlannedCell]) -> list[PlannedCell]:
    """The A/A twins that these cells lack, each with as many blocks as the cell it repeats."""
    blocks = {item.cell: item.blocks for item in planned}
    added = with_twins([item.cell for item in planned])[len(planned) :]
    return [PlannedCell(twin, blocks[replace(twin, replica=0, reference=True)]) for twin in added]


def _checked(check: Any) -> Any:
    """Turn an error of ours into one that pydantic collects with the others."""
    try:
        return check()
    except KokoroLabError as error:
        raise ValueError(str(error).rstrip(".")) from error
