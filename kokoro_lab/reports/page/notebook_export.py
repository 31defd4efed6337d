"""A notebook executed for a page: run by papermill in its own process, then read back as sections of HTML."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mistune
import nbformat

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.files.reading import decoding, read_text
from kokoro_lab.files.writing import make_folder
from kokoro_lab.reports.drawing.document import Section
from kokoro_lab.reports.drawing.fragments import Html

__all__ = ["ExportedNotebook", "execute", "sections"]

MOST_BYTES = 256 << 20  # of an executed notebook, charts and players included
TIMEOUT_S = 600.0  # a report takes seconds; a kernel that hangs must not block its caller forever


@dataclass(frozen=True)
class ExportedNotebook:
    """An executed notebook: its title, what comes before the first section, and the sections."""

    title: str
    lead: Html
    sections: tuple[Section, ...]


def execute(notebook: Path, executed: Path, parameters: Mapping[str, str]) -> None:
    """Execute a notebook into the file `executed`, which is left half-executed when a cell fails.

    Raises:
        KokoroLabError: a cell failed; the message is the cell's, with the path of the executed copy.
    """
    make_folder(executed.parent)
    command = [sys.executable, "-m", "papermill", str(notebook), str(executed), "--no-progress-bar"]
    for name, value in parameters.items():
        command += ["-r", name, value]
    # Prefer the kernel of this interpreter over kernels that the user has installed elsewhere.
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    try:
        completed = subprocess.run(
            command, cwd=notebook.parent, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise KokoroLabError(f"notebook {notebook.stem} timed out after {TIMEOUT_S:.0f} s; run it by hand") from error
    if completed.returncode:
        last = (completed.stderr.strip().splitlines() or ["papermill reported no reason"])[-1]
        raise KokoroLabError(f"notebook {notebook.stem} failed; see {executed}: {last}")


def sections(executed: Path) -> ExportedNotebook:
    """Text and displayed outputs of an executed notebook, without code, printed text and warnings.

    A section is folded when the cell of its heading has the tag `folded`.

    Raises:
        KokoroLabError: the file is not a notebook, or no longer one.
    """
    text = read_text(executed, what="notebook", most=MOST_BYTES, error=KokoroLabError)
    with decoding(f"notebook {executed}", error=KokoroLabError, advice="execute it again"):
        return _sections(nbformat.reads(text, as_version=4))


def _sections(document: Any) -> ExportedNotebook:
    title = ""
    lead: list[str] = []
    bodies: list[tuple[str, list[str], bool]] = []
    body = lead
    for cell in document.cells:
        if cell.cell_type == "code":
            body += [_shown(output) for output in cell.outputs]
            continue
        if cell.cell_type != "markdown":
            continue
        for level, name, text in _parts(cell.source):
            if level == 1:
                title = name
            elif level == 2:
                body = []
                bodies.append((name, body, "folded" in cell.metadata.get("tags", ())))
            if text:
                body.append(str(mistune.html(text)))
    parsed = tuple(Section(name, _anchor(name), Html("\n".join(parts)), folded) for name, parts, folded in bodies)
    return ExportedNotebook(title, Html("\n".join(lead)), parsed)


def _parts(source: str) -> list[tuple[int, str, str]]:
    """(level, heading, text below it) of a Markdown cell; level 0 for what comes before a heading."""
    pieces = re.split(r"(?m)^(#{1,2}) +(.+)$", source)
    parts = [(0, "", pieces[0].strip())] if pieces[0].strip() else []
    for marks, name, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        parts.append((len(marks), name.strip(), text.strip()))
    return parts


def _shown(output: Any) -> str:
    """The richest representation of one output; empty for printed text and for plain values."""
    if output.output_type not in ("display_data", "execute_result"):
        return ""
    data = output.data
    for kind in ("text/html", "image/svg+xml"):
        if kind in data:
            return str(data[kind])
    return str(mistune.html(data["text/markdown"])) if "text/markdown" in data else ""


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
