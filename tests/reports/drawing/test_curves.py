"""Lines over a quantity: a colour a name, an axis that does not exaggerate, and a table that somebody can read."""

from __future__ import annotations

from typing import Any

import pytest

from kokoro_lab.reports.drawing.curves import Curve, curves
from kokoro_lab.reports.drawing.theme import NARROW, SERIES, WIDE, ChartFigure, colour

RISING = Curve("rising", [(1.0, 10.0), (2.0, 12.0), (10.0, 14.0)])
FLAT = Curve("flat", [(1.0, 11.0), (10.0, 11.0)])


def drawn(*lines: Curve, width: int = WIDE, **how: Any) -> dict[str, Any]:
    document = curves(lines, title="T 1", x="Calls", y="Time, ms", **how).chart(width).to_dict()
    assert isinstance(document, dict)
    return document


def across(document: dict[str, Any], axis: str) -> dict[str, Any]:
    encoded: dict[str, Any] = document["layer"][0]["encoding"][axis]
    return encoded


def marks(document: dict[str, Any]) -> list[str]:
    return [layer["mark"]["type"] for layer in document["layer"]]


def test_a_name_keeps_one_colour_and_different_names_differ() -> None:
    key = across(drawn(RISING, FLAT), "color")["scale"]
    assert key["domain"] == ["rising", "flat"] and key["range"] == [colour(SERIES[0]), colour(SERIES[1])]
    again = across(drawn(RISING, FLAT, RISING), "color")["scale"]
    assert again["domain"] == ["rising", "flat"] and len(set(again["range"])) == 2


def test_a_line_may_take_the_colour_of_another_place() -> None:
    chosen = Curve("chosen", FLAT.points, colour=4)
    assert across(drawn(RISING, chosen), "color")["scale"]["range"] == [colour(SERIES[0]), colour(SERIES[4])]


def test_the_vertical_axis_starts_at_zero_unless_asked_not_to_or_values_lie_below() -> None:
    def reach(*lines: Curve, **how: Any) -> list[float]:
        domain: list[float] = across(drawn(*lines, **how), "y")["scale"]["domain"]
        return domain

    assert reach(RISING)[0] == 0.0 and reach(RISING)[1] > 14.0
    low, high = reach(RISING, from_zero=False)
    assert 0.0 < low < 10.0 and high > 14.0
    low, high = reach(Curve("below", [(1.0, -3.0), (2.0, 5.0)]))
    assert low < -3.0 and high > 5.0
    low, high = reach(Curve("nothing", [(1.0, 0.0)]), from_zero=False)
    assert low < high, "one value is no empty axis"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [("line", ["line", "point"]), ("dots", ["point"]), ("steps", ["line"]), ("rule", ["line"])],
)
def test_each_shape_has_its_marks(shape: Any, expected: list[str]) -> None:
    document = drawn(Curve("a", RISING.points, shape))
    assert marks(document) == expected
    assert (document["layer"][0]["mark"].get("interpolate") == "step-after") == (shape == "steps")


def test_a_logarithmic_axis_holds_all_points() -> None:
    scale = across(drawn(RISING, log_x=True), "x")["scale"]
    assert scale["type"] == "log" and scale["domain"][0] <= 1.0 and scale["domain"][1] >= 10.0


def test_a_legend_has_fewer_columns_where_there_is_less_room() -> None:
    lines = [Curve(f"a rather long name, number {number}", FLAT.points) for number in range(6)]
    wide, narrow = (across(drawn(*lines, width=width), "color")["legend"]["columns"] for width in (WIDE, NARROW))
    assert narrow == 1 < wide <= 4


def rows(figure: ChartFigure) -> list[tuple[str, ...]]:
    return [tuple(row) for row in figure.rows]


def test_few_points_all_stand_in_the_table_and_of_many_the_first_middle_and_last() -> None:
    few = curves([RISING, FLAT], title="T 1", x="Calls", y="Time, ms", note="N.")
    assert len(few.rows) == 5 and rows(few)[1] == ("rising", "2.00", "12.0") and few.note == "N."
    long = Curve("long", [(float(at), 100.0 + at) for at in range(101)])
    many = curves([long, FLAT], title="T 1", x="Calls", y="Time, ms", note="N.")
    assert [row[1] for row in rows(many) if row[0] == "long"] == ["0", "50.0", "100"]
    assert many.note.startswith("N.") and many.note != few.note


def test_the_words_have_where_each_line_starts_and_ends() -> None:
    alt = curves([RISING, FLAT], title="T 1", x="Calls", y="Time, ms").alt
    assert alt.startswith("T 1")
    assert all(number in alt for number in ("10.0", "14.0", "11.0"))
