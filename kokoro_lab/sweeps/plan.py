"""A sweep plan: YAML that names notebooks and what each measures, and the jobs made from it.

    name: quick
    about: one sentence for whoever chooses a plan
    budget_s: 180            # for all notebooks together
    seed: 20                 # of the order in which cells are measured
    model: default
    notebooks:
      - notebook: providers  # notebooks/providers.ipynb
        blocks: 2
        groups:
          - {text: [short, medium], intra_op_threads: [1, 2]}
          - {text: short, state: cold, blocks: 4}

With `adaptive: true` a notebook's measurement ends when its comparisons are decided, with `twins: true` it measures A/A
pairs at its shortest and longest text; both may also be set for a single notebook. With `processes: shared` one process
measures the warm cells of one model and number of threads in turn, which may be set for a notebook or a group, too. A
notebook with `looks: [9]` judges its comparisons after 9 rounds and at its end, and measures those that are decided at
the first look no further.

With `texts` a plan has texts of its own, which its groups name like presets: see `own_texts`.

A plan has at most 2,000 combinations of factor levels (`job.MOST_CELLS`), and a name is given once in each mapping.

A group is a cross product; its fields are those of `job.Group`. In the name of a model, `*` is the model of the plan:
`"*-int8"` is its variant. Blocks, repeats and warmup_cap apply to everything
below them. A notebook without a budget of its own gets an equal share of the rest.
"""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from kokoro_lab.errors import PlanError
from kokoro_lab.files.documents import listed, read_model, validated
from kokoro_lab.measure.records.cell import Processes
from kokoro_lab.paths import data_folder
from kokoro_lab.store.layout import RUN_ID, notebook_file
from kokoro_lab.sweeps.job import Group, Job, Retries, SamplingCounts, Seconds, cells_within, named_model
from kokoro_lab.sweeps.own_texts import WithTexts

__all__ = ["NotebookPlan", "Plan", "load_plan", "new_run_id", "plans_folder"]


LONGEST_NAME = 64
"""Characters of a plan's name: with the time, it names runs."""


class NotebookPlan(SamplingCounts):
    """One notebook and its part of the plan."""

    notebook: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    groups: Annotated[list[Group], Field(min_length=1)]
    budget_s: Seconds | None = None
    retries: Retries = 1
    twins: bool | None = None
    """As in `Plan`, which sets the default."""
    adaptive: bool | None = None
    looks: tuple[int, ...] = ()
    """Numbers of rounds after which the decided comparisons leave the notebook's measurement."""


class Plan(WithTexts):
    """A whole sweep."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Annotated[str, Field(pattern=RUN_ID, max_length=LONGEST_NAME)]
    about: str = ""
    budget_s: Seconds
    seed: int = 0
    model: str = "default"
    twins: bool = False
    """Measure the reference cells of each notebook's shortest and longest text twice, as A/A pairs."""
    adaptive: bool = False
    """End each notebook's measurement when its comparisons are decided; blocks and budget are then upper limits."""
    processes: Processes = "own"
    """As in `SamplingCounts`; a notebook or a group may say otherwise."""
    notebooks: Annotated[list[NotebookPlan], Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [part.notebook for part in self.notebooks]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        wrong = [f"notebook {name} is listed twice" for name in twice]
        wrong += [f"notebooks/{name}.ipynb does not exist" for name in names if not notebook_file(name).is_file()]
        own = sum(part.budget_s or 0.0 for part in self.notebooks)
        shared = [part for part in self.notebooks if part.budget_s is None]
        if own > self.budget_s or (shared and own >= self.budget_s):
            wrong.append(f"the notebooks' own budgets take {own:g} s of {self.budget_s:g} s, reduce them")
        if wrong:
            raise ValueError(listed(wrong))
        return self

    def with_texts(self, texts: Mapping[str, Mapping[str, str]]) -> Plan:
        """The plan with these texts instead of its own: every group measures each of them.

        Args:
            texts: name -> fields of `OwnText`.

        Raises:
            PlanError: a text cannot be measured.
        """
        document = self.model_dump(mode="json")
        document["texts"] = texts
        for part in document["notebooks"]:
            for group in part["groups"]:
                group["text"] = list(texts)
        return validated(Plan, document, what=f"plan {self.name} with these texts", error=PlanError)

    def jobs(self, run_id: str, results: Path) -> list[Job]:
        """One job per notebook, in the order of the plan.

        Raises:
            PlanError: too many combinations, invalid factor levels, or a text without a reference cell; all of them
                are listed.
        """
        cells_within([group for part in self.notebooks for group in part.groups], f"plan {self.name}")
        shared = [part for part in self.notebooks if part.budget_s is None]
        left = self.budget_s - sum(part.budget_s or 0.0 for part in self.notebooks)
        jobs, wrong = [], []
        for part in self.notebooks:
            values = {
                "run_id": run_id,
                "plan": self.name,
                "model": named_model(self.model),
                "results": results,
                "order_seed": self.seed,
                "notebook": part.notebook,
                "groups": part.groups,
                "texts": self.texts,
                "retries": part.retries,
                "twins": self.twins if part.twins is None else part.twins,
                "adaptive": self.adaptive if part.adaptive is None else part.adaptive,
                "processes": part.processes or self.processes,
                "looks": part.looks,
                "blocks": part.blocks,
                "repeats": part.repeats,
                "warmup_cap": part.warmup_cap,
                "budget_s": part.budget_s or left / len(shared),
            }
            job = validated(Job, values, what=f"plan {self.name}", error=PlanError)
            try:
                job.planned()
            except PlanError as error:
                wrong.append(error.message)
            jobs.append(job)
        if wrong:
            raise PlanError(listed(wrong))
        return jobs


def plans_folder() -> Path:
    """The folder of the plans that can be named without a path."""
    return data_folder() / "sweeps"


def load_plan(path: str | Path) -> Plan:
    """Read and check a plan: a path, or the name of a plan in data/sweeps/.

    Raises:
        PlanError: the file cannot be read, or has mistakes; all of them are listed, each with its place. So is the
            file of a text.
    """
    file = _plan_file(path)
    plan = read_model(file, Plan, what="plan", error=PlanError)
    return plan.model_copy(update={"texts": {name: text.read(file.parent) for name, text in plan.texts.items()}})


def new_run_id(plan: Plan) -> str:
    """Plan name and UTC time to the second, which sorts by time within a plan."""
    return f"{plan.name}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"


def _plan_file(path: str | Path) -> Path:
    given = Path(path)
    names = sorted(plan.stem for plan in plans_folder().glob("*.yaml"))
    if os.path.lexists(given):
        return given
    if str(given) in names:
        return plans_folder() / f"{given}.yaml"
    raise PlanError(f"unknown plan {given}; give a path, or one of {', '.join(names) or 'none'} in data/sweeps/")
