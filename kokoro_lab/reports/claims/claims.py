"""The published claims, as listed in data/claims.yaml: each with its source and how it is tested."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kokoro_lab.errors import PlanError
from kokoro_lab.files.documents import read_model
from kokoro_lab.paths import data_folder
from kokoro_lab.reports.claims.facts import FACTS
from kokoro_lab.reports.rows.derived_metrics import DERIVED, EVENTS, SHARES, SOAK, SOUND

__all__ = [
    "LEVEL_METRICS",
    "NOT_MEASURABLE",
    "NOT_YET",
    "Claim",
    "Claims",
    "Compare",
    "Filters",
    "Resolve",
    "Source",
    "SourceTable",
    "claims_file",
    "load_claims",
]

NOT_MEASURABLE = {
    "apple-or-gpu-hardware": "requires Apple or GPU hardware",
    "http-face": "concerns the HTTP server, not the engine",
    "training": "requires training a model",
    "published-weights": "requires the published weights",
    "service": "requires a service that keeps running around the engine",
    "search": "requires a search over all settings, which this package does not have yet",
}
"""The closed list of reasons why a claim cannot be tested here."""

NOT_YET = frozenset({"search"})
"""Reasons that name a missing part of this package: the claim is not measured yet. All others need something else."""

LEVEL_METRICS = frozenset(
    {"ttfa_ms", "total_ms", "infer_ms", "rtf", "rss_mb", "error_share", "drift", *DERIVED, *SHARES, *SOAK, *SOUND}
)
"""Metrics that can be read from the rows of a run."""

COUNTED = frozenset({"drift", "error_share", *EVENTS, *SHARES})
"""Metrics with an interval of their own, which is made for a single cell."""

Kind = Literal["target", "gate", "before", "after", "gain", "state"]
Direction = Literal["at most", "at least", "equal to", "between"]
Reason = Literal["apple-or-gpu-hardware", "http-face", "training", "published-weights", "service", "search"]
Scalar = str | int | float | bool
Level = Scalar | dict[str, Scalar]
Filters = dict[str, Level | list[Level]]

FILTER_COLUMNS = frozenset(
    {
        "provider",
        "provider_options",
        "intra_op_threads",
        "graph_level",
        "text_preset",
        "characters",
        "voice",
        "speed",
        "lang",
        "state",
        "precision",
        "model",
        "recipe",
        "delivery",
        "arrivals",
        "clients",
        "engine_settings",
        "process",
    }
)
"""Factor columns of the samples table that a claim may filter on, and the recipe of the model.

Factors that a claim does not name are at their defaults (`claim_reading.USUAL`), so that a filter without lists names
exactly one cell of a plan. A list of levels names several cells, of which the best counts, corrected for the choice.
"""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(_Strict):
    """A document that makes claims."""

    title: str
    machine: str
    date: str = ""


class Compare(_Strict):
    """Two sets of rows; the gain is that of the candidate over the baseline."""

    baseline: Filters
    candidate: Filters


class Resolve(_Strict):
    """How a claim is tested: exactly one of four ways; the first two name the notebook that measures it."""

    rows: Filters | None = None
    compare: Compare | None = None
    fact: str | None = None
    """Read from the package itself, see `facts`."""
    not_measurable: Reason | None = None
    notebook: str = ""
    plan: str = "full"
    """The plan in data/sweeps/ that has enough blocks of the cells."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [name for name in ("rows", "compare", "fact", "not_measurable") if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError(f"give exactly one of rows, compare, fact, not_measurable; got {ways or 'none'}")
        if (ways[0] in ("rows", "compare")) != bool(self.notebook):
            raise ValueError("rows and compare name the notebook that measures them; the other ways take no notebook")
        if self.fact is not None and self.fact not in FACTS:
            raise ValueError(f"unknown fact {self.fact!r}; choose one of {', '.join(FACTS)}")
        filters = [self.rows] if self.rows is not None else []
        if self.compare is not None:
            filters += [self.compare.baseline, self.compare.candidate]
        unknown = sorted({column for item in filters for column in item} - FILTER_COLUMNS)
        if unknown:
            raise ValueError(f"unknown factors {', '.join(unknown)}; choose from {', '.join(sorted(FILTER_COLUMNS))}")
        return self


class Claim(_Strict):
    """One claimed number or state, in our own words."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    topic: str
    kind: Kind
    sources: list[str] = Field(min_length=1)
    words: str
    metric: str
    statistic: Literal["median", "p95"] = "median"
    scenario: str
    unit: str
    direction: Direction
    value: float | str | list[float]
    machine: str = ""
    """The machine that the number was claimed for; that of the first source when empty."""
    resolve: Resolve

    @field_validator("value")
    @classmethod
    def _range(cls, value: float | str | list[float]) -> float | str | list[float]:
        if isinstance(value, list) and (len(value) != 2 or value[0] > value[1]):
            raise ValueError("a range needs two values, the lower value first")
        return value

    @model_validator(mode="after")
    def _testable(self) -> Self:
        testable = self.resolve.rows is not None or self.resolve.compare is not None
        if testable and self.metric not in LEVEL_METRICS:
            raise ValueError(f"unknown metric {self.metric!r}; choose one of {', '.join(sorted(LEVEL_METRICS))}")
        if self.kind == "state":
            if self.resolve.rows is not None:
                raise ValueError("a state cannot be tested by rows; use compare or fact")
            return self
        if testable and isinstance(self.value, str):
            raise ValueError("a claim about rows needs a number as its value; give one in the unit of the claim")
        if testable and self.direction == "equal to":
            raise ValueError("a claim about rows cannot be 'equal to'; use at most, at least or between")
        if self.direction == "between" and not isinstance(self.value, list):
            raise ValueError("direction 'between' needs a range; give two values")
        if (
            self.resolve.rows is not None
            and self.direction != "between"
            and (self.direction == "at least") != (self.metric in SHARES)
        ):
            raise ValueError(
                f"a claim about {self.metric} is better when it is "
                + ("larger; use at least" if self.metric in SHARES else "smaller; use at most")
            )
        if self.choices and (self.metric in COUNTED or self.statistic == "p95"):
            raise ValueError("this statistic has no interval for the best of several cells; name a single cell")
        if self.resolve.compare is not None and self.unit not in ("% less", "% more", "times"):
            raise ValueError("unknown unit of a gain; use '% less', '% more' or 'times'")
        return self

    @property
    def choices(self) -> list[str]:
        """Factors of which the claim lists several levels: the best of those cells counts."""
        way = self.resolve
        sides = [way.rows] if way.compare is None else [way.compare.baseline, way.compare.candidate]
        return sorted({name for side in sides for name, level in (side or {}).items() if isinstance(level, list)})

    @property
    def target(self) -> float:
        """The end of the claimed range that is easier to reach; ValueError for a state in words."""
        if isinstance(self.value, str):
            raise ValueError(f"claim {self.id} has no number as its value")
        if isinstance(self.value, list):
            return self.value[0] if self.direction == "at least" else self.value[1]
        return self.value

    @property
    def claimed(self) -> str:
        """The claimed value with its unit: `≤ 100 ms`, `≥ 10 to 20 % less`, `RTF ≤ 1`."""
        if isinstance(self.value, str):
            return self.value
        numbers = self.value if isinstance(self.value, list) else [self.value]
        text = " to ".join(f"{number:,g}" if abs(number) < 1e6 else f"{number:,.0f}" for number in numbers)
        sign = {"at most": "≤ ", "at least": "≥ ", "equal to": "", "between": ""}[self.direction]
        value = f"{sign}{text.replace(',', ' ')}"
        return f"RTF {value}" if self.unit == "s/s" else f"{value} {self.unit}"


class SourceLine(_Strict):
    """One line of a table in a source."""

    line: str
    stated: dict[str, str] = {}
    """Column -> its content, abbreviated."""
    claims: list[str] = []
    """Ids of the claims that the line makes."""
    why: str = ""
    """Why nothing in it can be measured, where it makes no claim."""

    @model_validator(mode="after")
    def _claims_or_reason(self) -> Self:
        if bool(self.claims) == bool(self.why):
            raise ValueError("give either claims or why; a line has exactly one of them")
        return self


class SourceTable(_Strict):
    """A table of a source."""

    source: str
    title: str
    first: str
    """Heading of the first column."""
    columns: list[str]
    rows: list[SourceLine] = Field(min_length=1)


class Claims(_Strict):
    """All claims, their sources, and the tables of the sources that contain them."""

    sources: dict[str, Source]
    claims: list[Claim]
    tables: list[SourceTable] = []

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        mistakes = [f"{name}: used twice" for name, count in Counter(c.id for c in self.claims).items() if count > 1]
        mistakes += [
            f"{claim.id}: unknown source {name!r}"
            for claim in self.claims
            for name in claim.sources
            if name not in self.sources
        ]
        known = {claim.id for claim in self.claims}
        for table in self.tables:
            if table.source not in self.sources:
                mistakes.append(f"table {table.title}: unknown source {table.source!r}")
            for line in table.rows:
                where = f"table {table.title}, {line.line}"
                mistakes += [f"{where}: unknown claim {name!r}" for name in line.claims if name not in known]
                mistakes += [f"{where}: unknown column {name!r}" for name in line.stated if name not in table.columns]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def machine(self, claim: Claim) -> str:
        """The machine that a claim was made for."""
        return claim.machine or self.sources[claim.sources[0]].machine

    def topics(self) -> list[str]:
        """Topics in the order of the file."""
        return list(dict.fromkeys(claim.topic for claim in self.claims))


def claims_file() -> Path:
    """Path of the claims file that reports use."""
    return data_folder() / "claims.yaml"


def load_claims(path: Path | None = None) -> Claims:
    """Read and check a claims file, `claims_file()` by default.

    Raises:
        PlanError: the file cannot be read, or has mistakes; all of them are listed with their places.
    """
    return read_model(path or claims_file(), Claims, what="claims file", error=PlanError)
