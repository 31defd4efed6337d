"""What would keep a planned run from measuring, found without measuring: for `kokoro-lab sweep --dry-run`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence

from kokoro_lab.errors import BusyError, KokoroLabError, ModelNotFoundError
from kokoro_lab.measure.block.calls import engine_config
from kokoro_lab.measure.machine.lock import exclusive_measurement
from kokoro_lab.measure.peers.peer_files import is_peer
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.sampling.sampler import ROOM
from kokoro_lab.models.catalog import STAND_INS, resolve
from kokoro_lab.models.voices import load_voice
from kokoro_lab.paths import data_folder
from kokoro_lab.runtime.providers import available
from kokoro_lab.store.layout import Results, notebook_file
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.notebook.notebook_reading import read_notebook
from kokoro_lab.sweeps.own_texts import text_fault
from kokoro_lab.text.languages import canonical_language

__all__ = ["faults", "unavailable_providers"]

PARAMETER = "job_file"
"""The parameter by which papermill gives a notebook its job."""


def faults(jobs: Sequence[Job], results: Results, *, wait_s: float) -> list[str]:
    """Everything that is wrong with a run of these jobs, as messages, each once; empty: it can start.

    Args:
        jobs: the notebooks to be executed.
        results: where the run would be stored.
        wait_s: how long the run would wait for another measurement, s; only at 0 is a busy machine a fault.
    """
    cells = list({item.cell.id: item.cell for job in jobs for item in job.planned()}.values())
    found = [
        *_notebooks(jobs),
        *_models(cells),
        *_each((cell.voice for cell in cells), load_voice),
        *_each((cell.lang for cell in cells), canonical_language),
        *_each((cell for cell in cells if not is_peer(cell)), engine_config),
        *_texts(cells),
        *_disk(results, len(cells)),
        *_lock(wait_s),
    ]
    return list(dict.fromkeys(found))


def unavailable_providers(jobs: Sequence[Job]) -> list[str]:
    """The providers that this installation lacks: their blocks would be stored as unavailable."""
    here = available()
    wanted = (item.cell for job in jobs for item in job.planned() if not item.cell.environment)
    return sorted({cell.provider for cell in wanted} - set(here))


def _each(values: Iterable[object], check: Callable[..., object]) -> Iterator[str]:
    """The messages of a check on the distinct values."""
    for value in dict.fromkeys(values):
        try:
            check(value)
        except KokoroLabError as error:
            yield error.message


def _notebooks(jobs: Sequence[Job]) -> Iterator[str]:
    """Notebooks that papermill cannot start, or to which it cannot give their job."""
    for job in jobs:
        path = notebook_file(job.notebook)
        try:
            notebook = read_notebook(path)
        except KokoroLabError as error:
            yield error.message
            continue
        lines = "\n".join(cell.source for cell in notebook.cells if "parameters" in cell.tags)
        if not any(line.split("=")[0].split(":")[0].strip() == PARAMETER for line in lines.splitlines()):
            yield f"{path} has no parameter {PARAMETER!r}; add it in a cell with the tag 'parameters'"


def _models(cells: Sequence[Cell]) -> Iterator[str]:
    """Models that are not here; stand-ins are built when a run starts."""
    for name in sorted({cell.model for cell in cells if not is_peer(cell)} - STAND_INS.keys()):
        try:
            resolve(name)
        except ModelNotFoundError as error:
            yield _how_to_make(name) or error.message
        except KokoroLabError as error:
            yield error.message


def _how_to_make(name: str) -> str:
    """The message for a missing variant SOURCE-RECIPE, with the command that makes it; empty for another model."""
    recipes = sorted((path.stem for path in (data_folder() / "recipes").glob("*.yaml")), key=len, reverse=True)
    recipe = next((recipe for recipe in recipes if name.endswith(f"-{recipe}")), None)
    if recipe is None:
        return ""
    source = name.removesuffix(f"-{recipe}")
    return f"variant {name} is not built; build it with `kokoro-lab models quantize {source} --recipe {recipe}`"


def _texts(cells: Sequence[Cell]) -> Iterator[str]:
    for name, text in {(cell.text_preset or cell.text[:40], text) for cell in cells for text in cell.requests}:
        if fault := text_fault(text):
            yield f"text {name!r} {fault}; correct it"


def _disk(results: Results, cells: int) -> Iterator[str]:
    """Whether the results folder can be written, and has room for a recording and the rows of every cell."""
    folder = next(path for path in (results.root, *results.root.parents) if path.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        yield f"results folder {results.root} cannot be written; choose another with KOKORO_LAB_RESULTS"
        return
    free, needed = shutil.disk_usage(folder).free, ROOM * cells
    if free < needed:
        yield f"{folder} has {_mb(free)} left, and {cells} cells need up to {_mb(needed)}; free some space"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _lock(wait_s: float) -> Iterator[str]:
    try:
        with exclusive_measurement("a dry run"):
            return
    except BusyError as error:
        if not wait_s:
            yield error.message
    except KokoroLabError as error:
        yield error.message
