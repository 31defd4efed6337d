"""Numbers that somebody stated, as data/claims.yaml holds them: each with its source and with how it is tested."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kokoro_lab.errors import PlanError
from kokoro_lab.reports.derived import DERIVED, SOAK, SOUND
from kokoro_lab.reports.facts import FACTS

__all__ = [
    "CLAIMS_FILE",
    "LEVEL_METRICS",
    "NOT_MEASURABLE",
    "REPLAYS",
    "Claim",
    "Claims",
    "Compare",
    "Filters",
    "Resolve",
    "Source",
    "Table",
    "load_claims",
]

CLAIMS_FILE = Path(__file__).resolve().parents[2] / "data" / "claims.yaml"

NOT_MEASURABLE = {
    "apple-or-gpu-hardware": "needs Apple or GPU hardware",
    "http-face": "is about the HTTP face, not the engine",
    "training": "needs a model to be trained",
    "published-weights": "needs the published weights",
}
"""The closed list of reasons why a claim cannot be tested here."""

LEVEL_METRICS = frozenset(
    {"ttfa_ms", "total_ms", "infer_ms", "rtf", "rss_mb", "error_share", "drift", *DERIVED, *SOAK, *SOUND}
)
"""Metrics that rows of a run give."""

REPLAYS = ("phonemes", "speech", "primer")
"""Caches through which requests are replayed to see how often they answer."""

Kind = Literal["target", "gate", "before", "after", "gain", "state"]
Direction = Literal["at most", "at least", "equal to", "between"]
Reason = Literal["apple-or-gpu-hardware", "http-face", "training", "published-weights"]
Scalar = str | int | float | bool
Level = Scalar | dict[str, Scalar]
Filters = dict[str, Level | list[Level]]

FILTER_COLUMNS = frozenset(
    {
        "provider",
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
    }
)
"""Factor columns of the samples table that a claim may filter on, and the recipe of the model.

Of what a claim leaves out it takes the usual: no recipe, no load, default engine settings, default graph.
"""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """A document that states claims."""

    title: str
    machine: str
    date: str = ""


class Compare(_Strict):
    """Two sets of rows: the gain is that of the candidate over the baseline."""

    baseline: Filters
    candidate: Filters


class Resolve(_Strict):
    """How a claim is tested: exactly one of the five ways, and for the first three the notebook that measures it."""

    rows: Filters | None = None
    compare: Compare | None = None
    replay: Literal["phonemes", "speech", "primer"] | None = None
    """Requests drawn from Zipf laws, put through the engine's own cache; the rows say how large an entry is."""
    fact: str | None = None
    """Read from the package itself, see `facts`."""
    not_measurable: Reason | None = None
    notebook: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [
            name for name in ("rows", "compare", "replay", "fact", "not_measurable") if getattr(self, name) is not None
        ]
        if len(ways) != 1:
            raise ValueError(f"give exactly one of rows, compare, replay, fact, not_measurable; got {ways or 'none'}")
        if (ways[0] in ("rows", "compare", "replay")) != bool(self.notebook):
            raise ValueError("rows, compare and replay name the notebook that measures them, the other ways do not")
        if self.fact is not None and self.fact not in FACTS:
            raise ValueError(f"no fact is called {self.fact}: there are {', '.join(FACTS)}")
        filters = [self.rows] if self.rows is not None else []
        if self.compare is not None:
            filters += [self.compare.baseline, self.compare.candidate]
        unknown = sorted({column for item in filters for column in item} - FILTER_COLUMNS)
        if unknown:
            raise ValueError(f"no factor is called {', '.join(unknown)}")
        return self


class Claim(_Strict):
    """One stated number or state, in words of our own."""

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
    """What the number was stated for; inherited from the first source when empty."""
    resolve: Resolve

    @field_validator("value")
    @classmethod
    def _range(cls, value: float | str | list[float]) -> float | str | list[float]:
        if isinstance(value, list) and (len(value) != 2 or value[0] > value[1]):
            raise ValueError("a range has two values, the lower one first")
        return value

    @model_validator(mode="after")
    def _testable(self) -> Self:
        testable = self.resolve.rows is not None or self.resolve.compare is not None
        if testable and self.metric not in LEVEL_METRICS:
            raise ValueError(f"no rows give the metric {self.metric}: one of {', '.join(sorted(LEVEL_METRICS))}")
        if self.kind == "state":
            if self.resolve.rows is not None:
                raise ValueError("a state is compared, or is a fact")
            return self
        if testable and isinstance(self.value, str):
            raise ValueError("a claim about rows has a number as its value")
        if testable and self.direction == "equal to":
            raise ValueError("a claim about rows says at most, at least or between")
        if self.direction == "between" and not isinstance(self.value, list):
            raise ValueError("between takes two values")
        if self.resolve.rows is not None and self.direction == "at least":
            raise ValueError("every metric of a row is better when it is smaller: say at most")
        if self.resolve.compare is not None and self.unit not in ("% less", "% more", "times"):
            raise ValueError("a compared claim states its gain as '% less', '% more' or 'times'")
        return self

    @property
    def bar(self) -> float:
        """The end of the stated range that is easier to reach; ValueError for a state in words."""
        if isinstance(self.value, str):
            raise ValueError(f"claim {self.id} states no number")
        if isinstance(self.value, list):
            return self.value[0] if self.direction == "at least" else self.value[1]
        return self.value

    @property
    def stated(self) -> str:
        """What was stated, with its unit: `at most 100 ms`, `at least 10 to 20 % less`."""
        if isinstance(self.value, str):
            return self.value
        numbers = self.value if isinstance(self.value, list) else [self.value]
        text = " to ".join(f"{number:,g}" if abs(number) < 1e6 else f"{number:,.0f}" for number in numbers)
        sign = {"at most": "≤ ", "at least": "≥ ", "equal to": "", "between": ""}[self.direction]
        unit = " s for 1 s" if self.unit == "s/s" else f" {self.unit}"
        return f"{sign}{text.replace(',', ' ')}{unit}"


class Line(_Strict):
    """One line of a document's table."""

    line: str
    stated: dict[str, str] = {}
    """Column -> what stands there, in short."""
    claims: list[str] = []
    """The claims it makes, by id."""
    why: str = ""
    """Why nothing of it can be measured, where it makes no claim."""

    @model_validator(mode="after")
    def _told(self) -> Self:
        if bool(self.claims) == bool(self.why):
            raise ValueError("a line names its claims, or says why it makes none")
        return self


class Table(_Strict):
    """A table as it stands in a document."""

    source: str
    title: str
    first: str
    """Heading of the first column."""
    columns: list[str]
    rows: list[Line] = Field(min_length=1)


class Claims(_Strict):
    """All claims, the documents they come from, and the tables in which those state them."""

    sources: dict[str, Source]
    claims: list[Claim]
    tables: list[Table] = []

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        mistakes = [f"{name}: used twice" for name, count in Counter(c.id for c in self.claims).items() if count > 1]
        mistakes += [
            f"{claim.id}: no source is called {name}"
            for claim in self.claims
            for name in claim.sources
            if name not in self.sources
        ]
        known = {claim.id for claim in self.claims}
        for one in self.tables:
            if one.source not in self.sources:
                mistakes.append(f"table {one.title}: no source is called {one.source}")
            for line in one.rows:
                where = f"table {one.title}, {line.line}"
                mistakes += [f"{where}: no claim is called {name}" for name in line.claims if name not in known]
                mistakes += [f"{where}: no column is called {name}" for name in line.stated if name not in one.columns]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def machine(self, claim: Claim) -> str:
        """The machine that a claim was stated for."""
        return claim.machine or self.sources[claim.sources[0]].machine

    def topics(self) -> list[str]:
        """Topics in the order of the file."""
        return list(dict.fromkeys(claim.topic for claim in self.claims))


def load_claims(path: Path = CLAIMS_FILE) -> Claims:
    """Read and check the claims.

    Raises:
        PlanError: the file cannot be read, or holds mistakes; all of them are listed, each with where it is.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PlanError(f"The claims file {path} cannot be read: {error}.") from error
    try:
        return Claims.model_validate(document)
    except ValidationError as error:
        mistakes = [_mistake(item["loc"], item["msg"], document) for item in error.errors()]
        raise PlanError(f"The claims file {path.name} has {len(mistakes)} mistakes: {'; '.join(mistakes)}.") from error


def _mistake(where: tuple[int | str, ...], message: str, document: object) -> str:
    """One mistake, its claim called by id where it has one."""
    parts = [str(part) for part in where]
    if len(where) > 1 and where[0] == "claims" and isinstance(where[1], int) and isinstance(document, dict):
        entry = document["claims"][where[1]]
        name = entry.get("id", f"number {where[1] + 1}") if isinstance(entry, dict) else f"number {where[1] + 1}"
        parts = [str(name), *parts[2:]]
    return f"{' '.join(parts) or 'the whole file'}: {message.removeprefix('Value error, ')}"
