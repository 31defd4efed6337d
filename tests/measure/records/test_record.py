"""Values that cross as JSON: nested records, tuples of every depth, and what is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from kokoro_lab.measure.records.record import Record


@dataclass(frozen=True)
class Point(Record):
    """Where something was."""

    at: tuple[float, float | None]
    name: str | int = ""


@dataclass(frozen=True)
class Route(Record):
    """Points with a count for each name."""

    points: tuple[Point, ...] = ()
    best: Point | None = None
    steps: tuple[tuple[int, str], ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    kept: tuple[int, ...] | None = None


FULL = Route((Point((0.5, None)), Point((1.0, 2.0), 3)), Point((0.0, 0.0)), ((1, "a"), (2, "b")), {"a": 1}, (1, 2))


@pytest.mark.parametrize("route", [Route(), FULL])
def test_a_record_comes_back_equal_from_json(route: Route) -> None:
    assert Route.from_dict(json.loads(json.dumps(route.as_dict()))) == route


def test_json_has_lists_and_dictionaries_in_the_order_of_the_fields() -> None:
    assert list(FULL.as_dict()) == ["points", "best", "steps", "counts", "kept"]
    assert FULL.as_dict()["points"] == [{"at": [0.5, None], "name": ""}, {"at": [1.0, 2.0], "name": 3}]
    assert FULL.as_dict()["steps"] == [[1, "a"], [2, "b"]]


def test_what_is_missing_takes_its_default_and_what_is_unknown_is_an_error() -> None:
    assert Route.from_dict({"kept": [1]}) == Route(kept=(1,))
    with pytest.raises(TypeError, match="colour"):
        Route.from_dict({"colour": "red"})


def test_a_dictionary_of_the_json_is_not_the_record_s_own() -> None:
    FULL.as_dict()["counts"]["a"] = 2
    assert FULL.counts == {"a": 1}
