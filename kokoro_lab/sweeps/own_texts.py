"""Texts of one's own in a plan: written into it, in files beside it, or given on the command line.

    texts:
      greeting: {text: "Good morning!"}
      station: {file: station.txt, lang: en-gb}

A group names such a text like a preset. In the rows its `text_preset` is `own`, or `own-` and its name, so that it is
never taken for a preset, and `text` is the text itself. A file is read once, when the plan is: a run that is continued
has the text with which it started.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, field_validator, model_validator

from kokoro_lab.errors import KokoroLabError, PlanError
from kokoro_lab.files.reading import read_text
from kokoro_lab.sweeps.preset_texts import MOST_BYTES, preset_names, preset_text
from kokoro_lab.text.languages import canonical_language
from kokoro_lab.text.sanitize import sanitize, speakable

__all__ = ["OWN", "OwnText", "WithTexts", "given_texts", "refuse_unknown", "row_name", "text_fault"]

OWN = "own"
"""The preset that rows have for a text of one's own."""

MOST_TEXTS = 100
TextName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]

_NAMES: ContextVar[frozenset[str]] = ContextVar("names of the plan's own texts", default=frozenset())
"""While a plan or a job is read: its own texts, which its groups may name."""


class OwnText(BaseModel):
    """One text, or the file that has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = None
    file: Annotated[str, Field(max_length=1_000)] | None = None
    """Path of a UTF-8 file, relative to the plan's folder."""
    lang: str | None = None
    """Language; None: that of the group."""

    @field_validator("text")
    @classmethod
    def _spoken(cls, text: str | None) -> str | None:
        text = None if text is None else text.rstrip("\n")
        if text is not None and (fault := text_fault(text)):
            raise ValueError(fault)
        return text

    @field_validator("lang")
    @classmethod
    def _known_language(cls, lang: str | None) -> str | None:
        try:
            return lang if lang is None else canonical_language(lang)
        except KokoroLabError as error:
            raise ValueError(error.message) from error

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.text is None) == (self.file is None):
            raise ValueError("needs either a text or a file")
        return self

    def read(self, folder: Path) -> OwnText:
        """The text with its file read; raises PlanError for a file that is no text or has nothing to speak."""
        if self.file is None:
            return self
        return OwnText(text=_file_text(folder / self.file), lang=self.lang)


class WithTexts(BaseModel):
    """A document with texts of its own, which the groups in it may name."""

    texts: Annotated[dict[TextName, OwnText], Field(max_length=MOST_TEXTS)] = Field(default_factory=dict)
    """Name -> text."""

    @model_validator(mode="wrap")
    @classmethod
    def _with_names(cls, document: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        texts = document.get("texts") if isinstance(document, dict) else None
        token = _NAMES.set(frozenset(texts) if isinstance(texts, dict) else frozenset())
        try:
            return handler(document)
        finally:
            _NAMES.reset(token)

    @field_validator("texts")
    @classmethod
    def _distinct(cls, texts: dict[str, OwnText]) -> dict[str, OwnText]:
        if len({row_name(name) for name in texts}) < len(texts):
            raise ValueError("two names differ only in a leading 'own-', rename one")
        return texts

    def named_text(self, name: str) -> tuple[str, str, str | None]:
        """(text, preset in the rows, language if it has one of its own) of a text that a group names."""
        own = self.texts.get(name)
        if own is None:
            return preset_text(name), name, None
        if own.text is None:
            raise PlanError(f"text {name!r} is in a file that has not been read; write it into the plan")
        return own.text, row_name(name), own.lang


def refuse_unknown(names: Sequence[str]) -> None:
    """Raise ValueError for names that are neither those of presets nor of the document that is being read."""
    known = [*sorted(_NAMES.get()), *preset_names()]
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"unknown text {', '.join(unknown)}, choose from {', '.join(known)}")


def given_texts(texts: Sequence[str], files: Sequence[Path] = ()) -> Mapping[str, dict[str, str]]:
    """Texts of the command line, as in a plan: `own`, `own-2`, ... in their order, each once.

    Raises PlanError for a text that has nothing to speak, and a file that is no text.
    """
    for text in texts:
        if fault := text_fault(text):
            raise PlanError(f"the text {_shown(text)} {fault}; give --text another text")
    every = dict.fromkeys([*(text.rstrip("\n") for text in texts), *map(_file_text, files)])
    if len(every) > MOST_TEXTS:
        raise PlanError(f"{len(every)} texts are more than {MOST_TEXTS}; give fewer")
    return {OWN if not place else f"{OWN}-{place + 1}": {"text": text} for place, text in enumerate(every)}


def row_name(name: str) -> str:
    """What rows have as the preset of an own text."""
    return name if name == OWN or name.startswith(f"{OWN}-") else f"{OWN}-{name}"


def text_fault(text: str) -> str:
    """Why a text cannot be measured, as the end of a sentence; empty where it can."""
    size = 0
    with contextlib.suppress(UnicodeEncodeError):
        size = len(text.encode())
    if text and not size:
        return "is not Unicode text"
    if size > MOST_BYTES:
        return f"has {size:,} bytes, more than {MOST_BYTES:,}"
    if any(not (each.isprintable() or each in "\n\t") and each.isascii() for each in text):
        return "has control characters"
    return "" if speakable(sanitize(text)) else "has nothing to speak"


def _file_text(path: Path) -> str:
    text = read_text(path, what="text", most=MOST_BYTES, error=PlanError).rstrip("\n")
    if fault := text_fault(text):
        raise PlanError(f"the text in {path} {fault}; correct the file")
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
