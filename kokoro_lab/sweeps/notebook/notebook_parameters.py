"""The flat parameters of a notebook: what its `parameters` cell declares, with the values that papermill injects.

A notebook declares a parameter by an annotated assignment: `blocks: int = 2  # fresh processes per cell`. papermill
assigns the given values in a cell of its own and only warns of names that the notebook does not have; the first cell
after it calls `read_parameters`, which refuses them. `open_job` makes the notebook's job from the parameters; a job
file overrides them.
"""

from __future__ import annotations

import ast
import datetime
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from kokoro_lab.errors import KokoroLabError, PlanError
from kokoro_lab.files.documents import parse_yaml, validated
from kokoro_lab.measure.records.cell import Scalar
from kokoro_lab.runtime.providers import parse
from kokoro_lab.store.layout import Results, check_run_id, results
from kokoro_lab.sweeps.job import LONGEST_LEVEL, Job, Seconds, document_of, named_model, own_model
from kokoro_lab.sweeps.own_texts import OWN
from kokoro_lab.sweeps.preset_texts import MOST_BYTES, preset_names
from kokoro_lab.sweeps.progress import ProgressFile

__all__ = ["KNOWN", "NotebookParameters", "ParameterError", "open_job", "read_parameters"]

INJECTED = "# Parameters\n"
"""How the cell begins in which papermill assigns the given values."""


class ParameterError(PlanError):
    """A notebook's parameters have mistakes. A notebook shows the sentence without the way to it."""

    def _render_traceback_(self) -> list[str]:
        return [f"{self.message[:1].upper()}{self.message[1:]}."]


def _listed(value: Any) -> Any:
    """A list; from a command line also a single value, or several in one word: `cpu,openvino`."""
    if isinstance(value, str):
        value = _checked(lambda: parse_yaml(f"[{value}]", what=repr(value), error=PlanError))
        value = value[0] if len(value) == 1 and isinstance(value[0], list) else value
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise ValueError("should be text, which papermill passes unchanged with -r instead of -p")
    return value


def _preset(name: str) -> str:
    if name not in preset_names():
        raise ValueError(f"unknown text {name!r}, choose from {', '.join(preset_names())}, or pass your own as `text`")
    return name


def _provider(name: str) -> str:
    return str(_checked(lambda: parse(name).name))


def _folder(name: str) -> str:
    if name and not Path(name).expanduser().is_dir() and os.path.lexists(Path(name).expanduser()):
        raise ValueError(f"{name} is not a folder")
    return name


def _run_id(name: str) -> str:
    return str(_checked(lambda: check_run_id(name))) if name else name


def _checked(check: Callable[[], Any]) -> Any:
    """Convert our errors to ValueError, which pydantic collects."""
    try:
        return check()
    except KokoroLabError as error:
        raise ValueError(error.message) from error


Text = Annotated[str, BeforeValidator(_text)]
Word = Annotated[Text, Field(max_length=LONGEST_LEVEL)]


def _several(kind: Any, least: int = 1) -> Any:
    return Annotated[list[kind], BeforeValidator(_listed), Field(min_length=least)]


KNOWN: Mapping[str, Any] = {
    "job_file": Word,
    "texts": _several(Annotated[Word, AfterValidator(_preset)]),
    "text": Annotated[Text, Field(max_length=MOST_BYTES)],
    "providers": _several(Annotated[Word, AfterValidator(_provider)]),
    "provider_options": _several(dict[str, str]),
    "threads": _several(Annotated[int, Field(ge=0, le=256)]),
    "models": _several(Word, least=0),
    "engine_settings": _several(dict[str, Scalar]),
    "blocks": Annotated[int, Field(ge=1, le=1000)],
    "repeats": Annotated[int, Field(ge=1, le=10_000)],
    "budget_s": Seconds,
    "seed": Annotated[int, Field(ge=-(2**63), lt=2**63)],
    "run_id": Annotated[Word, AfterValidator(_run_id)],
    "results_folder": Annotated[Word, AfterValidator(_folder)],
    "tokens": Literal[16, 50, 150, 400],
    "least_snr_db": Annotated[float, Field(gt=0, lt=100)],
}
"""Parameter -> type and range. A notebook's other parameters have the type that it annotates."""


@dataclass(frozen=True)
class NotebookParameters:
    """The checked parameters of a notebook, each an attribute by its name."""

    notebook: str
    values: Mapping[str, Any]
    results: Path
    """The results folder, absolute."""
    run: str
    """The id of the run: the one that was given, the one that was interrupted in this kernel, or a new one."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(f"notebook {self.notebook} has no parameter {name}") from None


def read_parameters(namespace: Mapping[str, Any], *, notebook: str) -> NotebookParameters:
    """Check the parameters of the notebook whose `globals()` these are; a given `text` replaces the `texts`.

    Raises:
        ParameterError: a parameter that the notebook does not have, or a value that is wrong; all are listed.
    """
    kinds = {name: kind for name, kind in namespace.get("__annotations__", {}).items() if name in namespace}
    unknown = sorted(_injected(namespace.get("In", ())) - set(kinds))
    if unknown:
        raise ParameterError(f"unknown parameter {', '.join(unknown)}; notebook {notebook} has {', '.join(kinds)}")
    fields: dict[str, Any] = {name: (_kind(name, kind), ...) for name, kind in kinds.items()}
    model = create_model("Parameters", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)
    given = {name: namespace[name] for name in kinds}
    checked: BaseModel = validated(model, given, what=f"notebook {notebook}", error=ParameterError)
    values = {name: getattr(checked, name) for name in kinds}
    if values.get("text") and "texts" in values:
        values["texts"] = [OWN]
    named = values.get("results_folder")
    folder = Path(named).expanduser().absolute() if named else results().root
    earlier = [each for each in namespace.values() if isinstance(each, NotebookParameters)]
    run = values.get("run_id") or _interrupted(earlier, notebook, values, folder) or _new(notebook)
    return NotebookParameters(notebook, values, folder, run)


def open_job(given: NotebookParameters, *, groups: list[dict[str, Any]], **fixed: Any) -> Job:
    """The job of a notebook: `groups` and other `fixed` fields of `Job`, the parameters, and above them its job file.

    A job without a file uses the model that KOKORO_MODEL names, if any and if `models` is empty.

    Raises:
        ParameterError: mistakes in the parameters or the file, or a file for another notebook; all are listed.
    """
    values = given.values
    models = [named_model(name) for name in values.get("models", ())]
    document: Any = {
        "run_id": given.run,
        "notebook": given.notebook,
        "plan": "lab",
        "model": models[0] if models else own_model(),
        "results": given.results,
        "texts": {OWN: {"text": text}} if (text := values.get("text", "")) else {},
        "order_seed": values.get("seed", 0),
        "groups": [{"model": models, **group} if models else group for group in groups],
        **{name: values[name] for name in ("blocks", "repeats", "budget_s") if name in values},
        **fixed,
    }
    what = f"notebook {given.notebook}"
    if path := values.get("job_file"):
        what = f"job file {path}"
        own = _said(lambda: document_of(path))
        document = {**document, **own} if isinstance(own, dict) else own
    job = validated(Job, document, what=what, error=ParameterError)
    if job.notebook != given.notebook:
        raise ParameterError(f"{what} is for notebook {job.notebook}, but this is {given.notebook}; use it there")
    _said(job.planned)
    return job


def _kind(name: str, annotated: Any) -> Any:
    """The type of a parameter for pydantic."""
    several = annotated is list or get_origin(annotated) is list
    return KNOWN.get(name, Annotated[annotated, BeforeValidator(_listed)] if several else annotated)


def _said(make: Callable[[], Any]) -> Any:
    """What `make` returns; its error as one of the parameters."""
    try:
        return make()
    except PlanError as error:
        raise ParameterError(error.message) from error


def _injected(history: Any) -> set[str]:
    """Names that papermill assigned in this kernel; none where somebody runs the notebook by hand."""
    cell = next((source for source in reversed(history) if source.startswith(INJECTED)), "")
    return set(_assigned(cell))


def _assigned(source: str) -> Iterator[str]:
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))


def _interrupted(
    earlier: list[NotebookParameters], notebook: str, values: Mapping[str, Any], folder: Path
) -> str | None:
    """The run that this kernel began with the same parameters and did not finish."""
    for given in earlier:
        if (given.notebook, given.values, given.results) == (notebook, values, folder):
            file = ProgressFile(Results(folder).run(given.run) / f"{notebook}.progress.jsonl")
            last = next(reversed(list(file.new())), None)
            if last is None or (last.done < last.total and last.kind not in ("budget", "enough")):
                return given.run
    return None


def _new(notebook: str) -> str:
    return f"lab-{notebook}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
