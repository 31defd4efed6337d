"""Variants as dots: each has its name and its place, and what nothing beats is filled."""

from __future__ import annotations

import re

from kokoro_lab.reports.drawing.theme import ChartFigure
from kokoro_lab.reports.figures.variant_charts import front_figure, sensitivity_figure

PLACES = [
    {"recipe": "reference", "speed": 1.0, "snr_db": 120.0, "peak_mb": 900.0},
    {"recipe": "optimized", "speed": 1.25, "snr_db": 95.0, "peak_mb": 850.0},
    {"recipe": "int8", "speed": 1.1, "snr_db": 22.0, "peak_mb": 400.0},
]
GROUPS = [
    {"group": "vocoder", "saved": 0.3, "snr_db": 25.0},
    {"group": "decoder", "saved": 0.1, "snr_db": 40.0},
    {"group": "text", "saved": 0.01, "snr_db": 10.0},
]


def table(figure: ChartFigure) -> list[dict[str, object]]:
    """The rows behind the dots."""
    document = figure.chart(640).to_dict()
    (rows,) = document["datasets"].values()
    return list(rows)


def test_every_variant_is_a_dot_at_its_speed_and_quality() -> None:
    rows = {row["name"]: row for row in table(front_figure(PLACES, {"reference", "optimized"}))}
    assert {name: (row["x"], row["y"], row["filled"]) for name, row in rows.items()} == {
        "reference": (1.0, 120.0, True),
        "optimized": (1.25, 95.0, True),
        "int8": (1.1, 22.0, False),
    }


def test_the_title_names_the_fastest_of_the_front_and_not_a_faster_one_that_is_beaten() -> None:
    title = front_figure([*PLACES, {**PLACES[2], "recipe": "fastest", "speed": 9.0}], {"reference", "optimized"}).title
    assert "optimized" in title and "1.25" in title and "fastest" not in title


def test_groups_are_placed_by_the_time_they_save_in_percent() -> None:
    figure = sensitivity_figure(GROUPS, {"vocoder", "decoder"})
    assert [(row["name"], row["x"], row["filled"]) for row in table(figure)] == [
        ("vocoder", 30.0, True), ("decoder", 10.0, True), ("text", 1.0, False),
    ]  # fmt: skip
    assert re.search(r"\b2 of 3\b", figure.title)
