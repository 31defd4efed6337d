"""Two cells in words: only the factors in which they differ, and how to choose one of them on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["Row", "command", "differing", "names_by_reference", "setting_name"]

Row = Mapping[str, Any]
"""One block's row of table `cells`, as `Evidence.cells` has it."""

FACTORS = (
    "model",
    "provider",
    "provider_options",
    "intra_op_threads",
    "graph_level",
    "engine_settings",
    "environment",
    "delivery",
    "arrivals",
    "voice",
    "speed",
    "lang",
)
"""Factors that a name may have, in the order in which it has them."""

UNITS = {"_mb": "MB", "_mib": "MiB", "_ms": "ms", "_s": "s", "_hz": "Hz"}
THREADS = {0: "default threads", 1: "1 thread"}
HELLO = '"Hello world!" -o hello.wav'


def differing(candidate: Row, base: Row) -> tuple[str, str]:
    """The names of both cells by the factors in which they differ: `("kernels-int16", "plain fp32")`."""
    changed = _changed(candidate, base)
    names = setting_name(candidate, changed, base), setting_name(base, changed, candidate)
    if names[0] != names[1]:
        return names
    return ", ".join(str(candidate.get(name)) for name in changed), ", ".join(str(base.get(name)) for name in changed)


def names_by_reference(rows: Iterable[Row]) -> dict[str, str]:
    """The name of each cell by what differs from the reference of its text; of the reference, by its usual factors.

    `rows` are those of `Evidence.cells`. A cell whose text has no reference keeps its label.
    """
    known = {str(row["cell_id"]): row for row in rows}
    references = {row["text_preset"]: row for row in known.values() if row["reference"] and row["state"] == "warm"}
    names = {}
    for cell_id, row in known.items():
        base = references.get(row["text_preset"])
        if base is None:
            names[cell_id] = str(row["label"])
        elif base is row:
            names[cell_id] = setting_name(row, ["model", "intra_op_threads"])
        else:
            name = differing(row, base)[0] if _changed(row, base) else setting_name(row, ["model", "intra_op_threads"])
            names[cell_id] = name + ("" if row["state"] == "warm" else f", {row['state']} start")
    return names


def setting_name(row: Row, factors: list[str], other: Row | None = None) -> str:
    """The levels of these factors in words; of settings, those that the other cell does not share."""
    return ", ".join(part for name in factors for part in _levels(row, name, other or {})) or str(row["label"])


def command(candidate: Row, base: Row) -> str:
    """The command that speaks with the candidate's own settings; empty where none does."""
    changed = _changed(candidate, base)
    options, variables = [], []
    for name in changed:
        value = candidate.get(name)
        if name in ("model", "provider", "voice", "speed", "lang"):
            options.append(f"--{name} {value}")
        elif name == "delivery":
            options += ["--stream"] if value == "stream" else []
        elif name in ("intra_op_threads", "graph_level"):
            variables.append(f"KOKORO_{name.upper()}={value}")
        elif name == "engine_settings":
            ours, theirs = value or {}, base.get(name) or {}
            variables += [
                f"KOKORO_{key.upper()}={_written(level)}" for key, level in ours.items() if theirs.get(key) != level
            ]
        else:
            return ""
    return " ".join([*variables, "kokoro-lab say", *options, HELLO])


def _changed(candidate: Row, base: Row) -> list[str]:
    return [name for name in FACTORS if candidate.get(name) != base.get(name)]


def _written(level: Any) -> str:
    return ("on" if level else "off") if isinstance(level, bool) else str(level)


def _levels(row: Row, name: str, other: Row) -> Iterator[str]:
    value = row.get(name)
    if name == "model":
        yield _model(row)
    elif name == "intra_op_threads":
        yield THREADS.get(int(value or 0), f"{value} threads")
    elif name in ("engine_settings", "provider_options"):
        ours, theirs = value or {}, other.get(name) or {}
        for key in dict.fromkeys((*ours, *theirs)):
            if ours.get(key) != theirs.get(key):
                yield _setting(key, ours[key]) if key in ours else f"default {_words(key)}"
    elif name == "delivery":
        yield "streamed" if value == "stream" else "not streamed"
    elif name == "environment":
        yield str(value) or "this environment"
    elif name == "arrivals":
        yield f"{value} load" if value else "one call at a time"
    elif name == "graph_level":
        yield f"graph level {value}"
    else:
        yield str(value)


def _model(row: Row) -> str:
    """A variant by its recipe, a plain model by its precision, of a model that has another name by that name."""
    recipe, name, precision = (str(row.get(key) or "") for key in ("recipe", "model", "precision"))
    return recipe or (f"plain {precision}" if precision else name)


def _setting(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"{_words(key)} {'on' if value else 'off'}"
    unit = next((unit for end, unit in UNITS.items() if key.endswith(end)), "")
    return f"{_words(key)} {value} {unit}".rstrip()


def _words(key: str) -> str:
    end = next((end for end in UNITS if key.endswith(end)), "")
    return key.removesuffix(end).replace("_", " ")
