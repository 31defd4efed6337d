"""A sweep plan: YAML that names notebooks and what each is to measure, and the jobs it becomes.

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

With `adaptive: true` a notebook's measuring ends when its comparisons are decided, with `twins: true` it measures A/A
pairs at its shortest and longest text; either may also be said of one notebook.

A group is a cross product; its fields are those of `job.Group`. Blocks, repeats and warmup_cap hold for what is
below them. A notebook without a budget of its own gets an equal share of what the others leave.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kokoro_lab.errors import PlanError
from kokoro_lab.paths import data_folder
from kokoro_lab.store.places import notebook_file
from kokoro_lab.sweeps.job import RUN_ID, Group, Job, Sampling, mistakes, named_model

__all__ = ["PLANS", "NotebookPlan", "Plan", "load_plan", "new_run_id"]

PLANS = data_folder() / "sweeps"


class NotebookPlan(Sampling):
    """One notebook and its part of the plan."""

    notebook: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    groups: Annotated[list[Group], Field(min_length=1)]
    budget_s: Annotated[float, Field(gt=0)] | None = None
    retries: Annotated[int, Field(ge=0)] = 1
    twins: bool | None = None
    """As in `Plan`; left out: what the plan says."""
    adaptive: bool | None = None


class Plan(BaseModel):
    """A whole sweep."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=RUN_ID)]
    about: str = ""
    budget_s: Annotated[float, Field(gt=0)]
    seed: int = 0
    model: str = "default"
    twins: bool = False
    """Measure the reference cells of each notebook's shortest and longest text twice, as A/A pairs."""
    adaptive: bool = False
    """End each notebook's measuring when its comparisons are decided; blocks and budget are then upper limits."""
    notebooks: Annotated[list[NotebookPlan], Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [part.notebook for part in self.notebooks]
        twice = sorted({name for name in names if names.count(name) > 1})
        wrong = [f"notebook {name} is there twice" for name in twice]
        wrong += [f"there is no notebooks/{name}.ipynb" for name in names if not notebook_file(name).is_file()]
        own = sum(part.budget_s or 0.0 for part in self.notebooks)
        shared = [part for part in self.notebooks if part.budget_s is None]
        if own > self.budget_s or (shared and own >= self.budget_s):
            wrong.append(f"the notebooks' own budgets take {own:g} s of {self.budget_s:g} s")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def jobs(self, run_id: str, results: Path) -> list[Job]:
        """One job a notebook, in the order of the plan.

        Raises:
            PlanError: factor levels that make no cell, or a text without a reference cell; all of them are listed.
        """
        shared = [part for part in self.notebooks if part.budget_s is None]
        left = self.budget_s - sum(part.budget_s or 0.0 for part in self.notebooks)
        jobs, wrong = [], []
        for part in self.notebooks:
            job = Job(
                run_id=run_id,
                plan=self.name,
                model=named_model(self.model),
                results=results,
                order_seed=self.seed,
                notebook=part.notebook,
                groups=part.groups,
                retries=part.retries,
                twins=self.twins if part.twins is None else part.twins,
                adaptive=self.adaptive if part.adaptive is None else part.adaptive,
                blocks=part.blocks,
                repeats=part.repeats,
                warmup_cap=part.warmup_cap,
                budget_s=part.budget_s or left / len(shared),
            )
            try:
                job.planned()
            except PlanError as error:
                wrong.append(error.message)
            jobs.append(job)
        if wrong:
            raise PlanError(" ".join(wrong))
        return jobs


def load_plan(path: str | Path) -> Plan:
    """Read and check a plan: a path, or the name of one in data/sweeps/.

    Raises:
        PlanError: the file cannot be read, or holds mistakes; all of them are listed, each with where it is.
    """
    path = _plan_file(path)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        words = " ".join(str(error).split())
        raise PlanError(f"The plan {path} cannot be read: {words}.") from error
    try:
        return Plan.model_validate(document)
    except ValidationError as error:
        found = mistakes(error)
        count = "a mistake" if len(found) == 1 else f"{len(found)} mistakes"
        raise PlanError(f"The plan {path} has {count}: {'; '.join(found)}.") from error


def new_run_id(plan: Plan) -> str:
    """Plan and UTC time to the second: sorts by time within a plan."""
    return f"{plan.name}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"


def _plan_file(path: str | Path) -> Path:
    given = Path(path)
    named = PLANS / f"{given}.yaml"
    if not given.exists() and len(given.parts) == 1 and not given.suffix and named.exists():
        return named
    if not given.exists():
        known = ", ".join(sorted(plan.stem for plan in PLANS.glob("*.yaml")))
        raise PlanError(f"There is no plan {given}: give a path, or one of {known or 'none'} in data/sweeps/.")
    return given
