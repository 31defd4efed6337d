"""The tables of a published report follow from its rows, and a changed one is found by row and column."""

from __future__ import annotations

from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.reports.claims.resolution import resolve_all
from kokoro_lab.reports.page.published_tables import csv_difference, published_tables
from kokoro_lab.reports.rows.evidence import Evidence


def test_every_table_of_a_report_is_made_from_its_rows_alone(evidence: Evidence) -> None:
    resolutions = resolve_all(load_claims(), evidence)
    tables = published_tables(evidence, resolutions)
    assert tables.keys() == {"blocks.csv", "claims.csv", "bounds.csv", "verdicts.csv"}
    assert len(tables["blocks.csv"].splitlines()) == 1 + len(evidence.cells)
    assert len(tables["claims.csv"].splitlines()) == 1 + len(resolutions)


def test_a_difference_is_named_by_row_and_column() -> None:
    made = 'text,ms\n"a, b",1.23457\nc,2\n'
    assert csv_difference(made, made) == ""
    assert csv_difference(made.replace("1.23457", "1.23458"), made) == "", "another last digit is rounding"
    assert csv_difference(made.replace("1.23457", "1.2"), made) == "row 1 says ms '1.2', the tables give '1.23457'"
    assert csv_difference(made.replace("c,", "d,"), made) == "row 2 says text 'd', the tables give 'c'"
    assert csv_difference("text,ms\n", made) == "it has 0 rows, the tables give 2"
    assert csv_difference(made.replace("c,2", "c"), made) == "row 2 has 1 columns, the tables give 2"
