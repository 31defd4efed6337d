"""A notebook executed for a page: run by papermill in a process of its own, then read back as sections of HTML."""

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
from kokoro_lab.reports.fragments import Html

__all__ = ["Pages", "Section", "execute", "sections"]

TIMEOUT_S = 600.0  # a report takes seconds; a kernel that hangs must not hang its caller for good


@dataclass(frozen=True)
class Section:
    """What stands under one second-level heading of a notebook."""

    heading: str
    anchor: str
    body: Html


@dataclass(frozen=True)
class Pages:
    """A notebook as a page takes it: its title, what comes before the first section, and the sections."""

    title: str
    lead: Html
    sections: tuple[Section, ...]


def execute(notebook: Path, executed: Path, parameters: Mapping[str, str]) -> None:
    """Execute a notebook; `executed` keeps the outcome, half-executed when it fails.

    Raises:
        KokoroLabError: a cell failed; the message is that of the cell, and says where the executed copy is.
    """
    executed.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "papermill", str(notebook), str(executed), "--no-progress-bar"]
    for name, value in parameters.items():
        command += ["-r", name, value]
    # The kernel that our own interpreter brings comes first, whatever kernels the user has installed elsewhere.
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    try:
        done = subprocess.run(
            command, cwd=notebook.parent, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise KokoroLabError(
            f"Notebook {notebook.stem} did not end within {TIMEOUT_S:.0f} s; run it by hand."
        ) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["papermill gave no reason"])[-1]
        raise KokoroLabError(f"Notebook {notebook.stem} failed: {last} See {executed}.")


def sections(executed: Path) -> Pages:
    """Text and shown outputs of an executed notebook; code, prints and warnings stay in the notebook."""
    document = nbformat.read(executed, as_version=4)
    title = ""
    lead: list[str] = []
    found: list[tuple[str, list[str]]] = []
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
                found.append((name, body))
            if text:
                body.append(str(mistune.html(text)))
    made = tuple(Section(name, _anchor(name), Html("\n".join(parts))) for name, parts in found)
    return Pages(title, Html("\n".join(lead)), made)


def _parts(source: str) -> list[tuple[int, str, str]]:
    """(level, heading, text below it) of a Markdown cell; level 0 for what comes before a heading."""
    pieces = re.split(r"(?m)^(#{1,2}) +(.+)$", source)
    parts = [(0, "", pieces[0].strip())] if pieces[0].strip() else []
    for marks, name, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        parts.append((len(marks), name.strip(), text.strip()))
    return parts


def _shown(output: Any) -> str:
    """The richest form of one output; nothing for printed text and for values without a form of their own."""
    if output.output_type not in ("display_data", "execute_result"):
        return ""
    data = output.data
    for kind in ("text/html", "image/svg+xml"):
        if kind in data:
            return str(data[kind])
    return str(mistune.html(data["text/markdown"])) if "text/markdown" in data else ""


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
