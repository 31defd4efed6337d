"""The catalogue of published files (data/models.json), which are identified by their SHA-256."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.paths import data_folder

__all__ = ["PublishedFile", "published_files", "published_models", "published_name", "published_voice_checksums"]


@dataclass(frozen=True)
class PublishedFile:
    """A published file, with the source of its entry."""

    name: str
    url: str
    bytes: int
    sha256: str
    precision: str


@dataclass(frozen=True)
class _Entry:
    """An entry of the catalogue; one of `sums` has only a name and a SHA-256."""

    name: str
    sha256: str
    host: str = ""
    file: str = ""
    bytes: int = 0
    precision: str = "fp32"


@dataclass(frozen=True)
class _Catalogue:
    """The whole file."""

    comment: str
    hosts: dict[str, str]
    models: tuple[_Entry, ...]
    voices: tuple[_Entry, ...]
    sums: tuple[_Entry, ...]


def published_models() -> dict[str, PublishedFile]:
    """SHA-256 -> published model file."""
    return {file.sha256: file for file in published_files("models")}


def published_name(sha256: str) -> str | None:
    """The published name of the file with that SHA-256 (models of unknown size included); None if unknown."""
    if (known := published_models().get(sha256)) is not None:
        return known.name
    return next((each.name for each in _catalogue().sums if each.sha256 == sha256), None)


def published_voice_checksums() -> frozenset[str]:
    """SHA-256 of the published voice packs."""
    return frozenset(file.sha256 for file in published_files("voices"))


@cache
def published_files(kind: str) -> tuple[PublishedFile, ...]:
    """The catalogue's `models` or `voices`, in its order. Raises InputError for a catalogue with mistakes."""
    catalogue = _catalogue()
    entries: tuple[_Entry, ...] = getattr(catalogue, kind)
    return tuple(
        PublishedFile(
            entry.name,
            catalogue.hosts.get(entry.host, "") + entry.file,
            entry.bytes,
            entry.sha256,
            entry.precision,
        )
        for entry in entries
    )


@cache
def _catalogue() -> _Catalogue:
    path = data_folder() / "models.json"
    return as_record(_Catalogue, read_json(path, what="model catalogue"), what=f"model catalogue {path}")
