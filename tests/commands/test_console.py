"""Output of the commands: valid JSON, complete tables, and messages of one line."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import pytest

from kokoro_lab.commands.console import (
    ReaderGoneError,
    json_text,
    notice,
    print_json,
    print_markdown,
    print_table,
    sentence,
)

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("there is no model", "There is no model."),
        ("Is it there?", "Is it there?"),
        ("two\n  lines", "Two lines."),
        ("as follows:", "As follows:"),
        ("", ""),
    ],
)
def test_a_message_is_one_sentence_on_one_line(message: str, line: str) -> None:
    assert sentence(message) == line


def test_messages_go_to_standard_error_and_documents_to_standard_output(capsys: Captured) -> None:
    notice("reading")
    print_json({"rows": []})
    said = capsys.readouterr()
    assert (said.err, json.loads(said.out)) == ("Reading.\n", {"rows": []})


def test_json_has_null_for_what_has_no_value_and_plain_types_for_all_else() -> None:
    document = {
        "missing": [None, float("nan"), float("inf"), np.float32("nan"), pd.NaT, pd.NA if False else None],
        "numbers": [np.int64(3), np.float64(0.5), np.bool_(True)],
        "when": datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC),
        "sets": {"one"},
        3: ("a", "é"),
    }
    text = json_text(document)
    assert "é" in text
    assert json.loads(text) == {
        "missing": [None] * 6,
        "numbers": [3, 0.5, True],
        "when": "2026-11-21T00:00:00+00:00",
        "sets": ["one"],
        "3": ["a", "é"],
    }


def test_a_table_in_a_pipe_has_every_character_of_every_cell(capsys: Captured) -> None:
    long = "x" * 150
    print_table(
        [{"name": long, "ok": True, "ms": 12345.6, "share": 0.123456, "tags": ["a", "b"], "left": 1, "none": None}],
        ("name", "ok", "ms", "share", "tags", "none"),
        title="[bold]No markup[/bold]",
    )
    out = capsys.readouterr().out
    assert long in out.replace("\n", "")
    cells = [cell.strip() for cell in next(line for line in out.splitlines() if "x" * 20 in line).split("│")[1:-1]]
    assert cells[1:] == ["yes", "12 346", "0.1235", "a, b", ""]
    assert "[bold]No markup[/bold]" in out


def test_a_markdown_cell_cannot_end_its_row(capsys: Captured) -> None:
    print_markdown([{"a_b": "one | two\nthree", "c": 2}], ("a_b", "c"), title="Title", notes=["a note"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "### Title"
    assert "| a b | c |" in lines and "| --- | --- |" in lines
    assert "| one \\| two three | 2 |" in lines
    assert lines[-1] == "- a note"


def test_a_reader_that_is_gone_has_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", gone)
    with pytest.raises(ReaderGoneError):
        print_json({})
