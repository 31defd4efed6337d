"""Names, tags and notes of runs: what people call a run. They change neither its id nor what seals its blocks.

A name belongs to one run; a tag to any number of them, and stands for the newest. Either may be given wherever a run is
named; where a run has that id, the id counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.files.documents import listed
from kokoro_lab.store.layout import is_label, is_run_id
from kokoro_lab.store.store import Store
from kokoro_lab.store.store_reader import StoreReader

__all__ = ["NO_LABELS", "Labels", "check_labels", "chosen_run", "label_run", "named_run", "refuse_taken", "stored_run"]

MOST_TAGS = 20
LONGEST_NOTE = 500  # characters
TAKEN = ("reference",)
"""Words that mean something else where a run may be named."""


@dataclass(frozen=True)
class Labels:
    """What a run is called, apart from its id."""

    name: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""


NO_LABELS = Labels()


def check_labels(labels: Labels) -> Labels:
    """The labels, with each tag once; raises InputError, which lists every mistake."""
    given = [("name", labels.name)] * bool(labels.name) + [("tag", tag) for tag in labels.tags]
    wrong = [f"{what} {word[:80]!r} is invalid" for what, word in given if not is_label(word) or word in TAKEN]
    if wrong:
        wrong[-1] += ", use at most 40 letters, digits and dashes, the first no dash, and neither 'latest' nor " + (
            "'reference'"
        )
    tags = tuple(dict.fromkeys(labels.tags))
    if len(tags) > MOST_TAGS:
        wrong.append(f"{len(tags)} tags are more than {MOST_TAGS}")
    if len(labels.note) > LONGEST_NOTE:
        wrong.append(f"the note has {len(labels.note):,} characters, more than {LONGEST_NOTE}")
    if not labels.note.isprintable():
        wrong.append("the note has line breaks or control characters")
    if wrong:
        raise InputError(f"these labels cannot be used: {'; '.join(wrong)}; correct {_them(wrong)}")
    return replace(labels, tags=tags)


def label_run(
    store: Store,
    run_id: str,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    name: str | None = None,
    note: str | None = None,
) -> Labels:
    """Change what a run is called; None leaves the name or the note, an empty text removes it. Returns the labels.

    Raises:
        InputError: a label is invalid, belongs to another run, or is to be removed and not there.
        StoreError: the store cannot be written.
    """
    with store.locked():
        known = _labels(store.run_row(run_id))
        if unknown := [tag for tag in remove if tag not in known.tags]:
            tags = ", ".join(known.tags) or "none"
            raise InputError(f"run {run_id!r} has no tag {', '.join(unknown)}; its tags are {tags}")
        kept = tuple(tag for tag in known.tags if tag not in remove)
        labels = Labels(known.name if name is None else name, (*kept, *add), known.note if note is None else note)
        labels = check_labels(labels)
        refuse_taken(store, run_id, labels, known)
        if labels != known:
            store.update_run(run_id, **{**asdict(labels), "tags": list(labels.tags)})
    return labels


def named_run(store: StoreReader, text: str) -> str | None:
    """The run with this id or name, or the newest with this tag, if possible a complete one; None where there is none.

    Raises InputError for a name that several runs have, which imports may bring.
    """
    if not is_run_id(text):
        return None
    if store.columns("cells", ("run_id",), [("run_id", "=", text)]):
        return text
    if not is_label(text):
        return None
    runs = store.runs()
    named = [run["run_id"] for run in runs if run["name"] == text]
    if len(named) > 1:
        raise InputError(f"{len(named)} runs are named {text!r}: {', '.join(named[:5])}; give the id of one of them")
    return named[0] if named else store.newest([run for run in runs if text in run["tags"]])


def chosen_run(store: StoreReader, text: str | None) -> str | None:
    """The run that a user names by its id, its name or a tag, the newest run where nothing is named.

    A text that names no run is returned as it is; None: nothing was named, and nothing is stored.
    """
    if not text:
        return store.latest_run()
    return named_run(store, text) or text


def stored_run(store: StoreReader, text: str) -> str:
    """The run of an id, a name or a tag; raises NothingMeasuredError where there is none."""
    run_id = named_run(store, text)
    if run_id is None:
        raise NothingMeasuredError(f"run {text[:80]!r} has no rows; see the stored runs with `kokoro-lab results list`")
    return run_id


def _labels(row: dict[str, Any] | None) -> Labels:
    return NO_LABELS if row is None else Labels(row["name"], tuple(row["tags"]), row["note"])


def refuse_taken(store: StoreReader, run_id: str, labels: Labels, known: Labels = NO_LABELS) -> None:
    """Raise InputError for a label that already stands for something else; those that the run has are `known`."""
    name = labels.name if labels.name != known.name else ""
    new = {tag for tag in labels.tags if tag not in known.tags} | ({name} - {""})
    if not new:
        return
    wrong = []
    for run in store.runs():
        if run["run_id"] in new:
            wrong.append(f"{run['run_id']!r} is the id of a run")
        if run["run_id"] != run_id and run["name"] in new:
            wrong.append(f"{run['name']!r} is the name of run {run['run_id']!r}")
        if name and name in run["tags"]:
            wrong.append(f"{name!r} is a tag of run {run['run_id']!r}")
    if wrong:
        raise InputError(f"these labels are taken: {listed(wrong)}; choose others")


def _them(wrong: Sequence[str]) -> str:
    return "it" if len(wrong) == 1 else "them"
