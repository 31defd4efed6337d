"""Output of the commands: messages on standard error; results on standard output, as a table or one JSON document."""

from __future__ import annotations

import datetime
import importlib
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.files.reading import reason
from kokoro_lab.process.streams import silence, tell
from kokoro_lab.units import LONGEST_S

__all__ = [
    "DEFAULT_WAIT_S",
    "FORWARDED",
    "Json",
    "ReaderGoneError",
    "Wait",
    "finite",
    "forward",
    "json_text",
    "notice",
    "print_json",
    "print_markdown",
    "print_table",
    "sentence",
]


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")]
"""The option `--json` of a command."""

DEFAULT_WAIT_S = 600.0
"""Longer than the plans quick and ci take; whoever queues behind a longer run says so with `--wait`."""

FORWARDED: dict[str, Any] = {
    "hidden": True,
    "add_help_option": False,
    "context_settings": {"ignore_unknown_options": True, "allow_extra_args": True},
}
"""Options of a command that is an earlier spelling of another one and passes its arguments on; see `forward`."""


SHOWN_CHARACTERS = 200
_LONG = re.compile(r"\S{1000,}")
"""Longer than the names of files; what else is that long was given as one."""


class ReaderGoneError(Exception):
    """The reader of standard output has closed it. Not a BrokenPipeError: typer would end the process on that."""


def forward(module: str, command: str, context: typer.Context) -> None:
    """Import a module and run a command of its group `app` with the arguments of an earlier spelling."""
    group = typer.main.get_group(importlib.import_module(module).app)
    code = group.commands[command].main(list(context.args), prog_name=context.command_path, standalone_mode=False)
    if isinstance(code, int) and code:
        raise typer.Exit(code)


def notice(message: str) -> None:
    """Print one message as a line on standard error."""
    tell(sentence(message))


def finite(value: float) -> float:
    """The value of an option, unless it is NaN or infinite, which no range excludes; a callback of typer's."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number.")
    return value


Wait = Annotated[
    float,
    typer.Option(
        "--wait", min=0, max=LONGEST_S, callback=finite, metavar="SECONDS",
        help="Longest wait for another measurement on this machine to end; 0 refuses to wait.",
    ),
]  # fmt: skip
"""The option `--wait` of a command that measures."""


def sentence(message: str) -> str:
    """A message as one sentence on one line, with a capital first letter and a full stop."""
    words = _LONG.sub(lambda long: f"{long[0][:SHOWN_CHARACTERS]}...", " ".join(message.split()))
    words = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in words)
    if not words:
        return words
    return words[0].upper() + words[1:] + ("" if words[-1] in ".!?:" else ".")


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document to standard output; missing values are null, times are ISO 8601."""
    _out(json_text(document) + "\n")


def json_text(document: Mapping[str, Any]) -> str:
    """The text that `print_json` prints, for a file."""
    return json.dumps(_plain(document), ensure_ascii=False, indent=2)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str | None = None) -> None:
    """Print some columns of rows as a table to standard output; numbers are aligned right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in columns:
        numeric = any(isinstance(row.get(name), int | float) and not isinstance(row.get(name), bool) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*[_cell(row.get(name)) for name in columns])
    # A pipe has no width: make the table wide enough that nothing is cut.
    console = Console(width=None if sys.stdout.isatty() else 240, markup=False, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    _out(drawn.get())


def print_markdown(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str, notes: Sequence[str] = ()
) -> None:
    """Print some columns of rows as a Markdown table to standard output, for a comment in a code review."""

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
    except OSError as error:
        silence(sys.stdout)
        raise KokoroLabError(f"cannot write to standard output: {reason(error)}; free some space") from error


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
    """The value with JSON's types: NumPy and pandas scalars unwrapped, NaN and NaT as None."""
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
