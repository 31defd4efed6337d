"""How commands talk: messages on standard error, results on standard output, as a table or as one JSON document."""

from __future__ import annotations

import datetime
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ReaderGoneError", "json_text", "notice", "print_json", "print_markdown", "print_table", "sentence"]


class ReaderGoneError(Exception):
    """Whoever read standard output has enough. Not a BrokenPipeError: typer would end the process on that."""


def notice(message: str) -> None:
    """One line for whoever watches, on standard error."""
    print(sentence(message), file=sys.stderr, flush=True)


def sentence(message: str) -> str:
    """A message as one sentence on one line: a capital in front, a full stop behind."""
    words = " ".join(message.split())
    if not words:
        return words
    return words[0].upper() + words[1:] + ("" if words[-1] in ".!?:" else ".")


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on standard output; what has no value is null, times are ISO 8601."""
    _out(json_text(document) + "\n")


def json_text(document: Mapping[str, Any]) -> str:
    """What `print_json` prints, for a file."""
    return json.dumps(_plain(document), ensure_ascii=False, indent=2)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str | None = None) -> None:
    """Some columns of rows as a table on standard output; numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in columns:
        numeric = any(isinstance(row.get(name), int | float) and not isinstance(row.get(name), bool) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*[_cell(row.get(name)) for name in columns])
    # A pipe has no width: give the table what it needs, so that nothing is cut.
    console = Console(width=None if sys.stdout.isatty() else 240, markup=False, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    _out(drawn.get())


def print_markdown(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str, notes: Sequence[str] = ()
) -> None:
    """Some columns of rows as a Markdown table on standard output, for a comment in a code review."""

    def line(cells: Sequence[str]) -> str:
        escaped = (" ".join(cell.replace("|", "\\|").split()) for cell in cells)
        return f"| {' | '.join(escaped)} |\n"

    head = line([name.replace("_", " ") for name in columns]) + line(["---"] * len(columns))
    body = "".join(line([_cell(row.get(name)) for name in columns]) for row in rows)
    _out(f"### {title}\n\n{head}{body}" + "".join(f"\n- {note}" for note in notes) + ("\n" if notes else ""))


def _out(text: str) -> None:
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        raise ReaderGoneError from None


def _cell(value: Any) -> str:
    value = _plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """The value as JSON has it: NumPy and pandas scalars unwrapped, not-a-number and not-a-time as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if value is None or value != value:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, bool | int | float | str):
        return value
    return str(value)
