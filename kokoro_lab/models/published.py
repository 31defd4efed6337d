"""The catalogue of published files (data/models.json): a file is what its SHA-256 says it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from kokoro_lab.paths import data_folder

__all__ = ["PublishedFile", "published_files", "published_models", "published_name", "published_voice_sums"]


@dataclass(frozen=True)
class PublishedFile:
    """A file somebody published, with where it was seen."""

    name: str
    url: str
    bytes: int
    sha256: str
    precision: str


def published_models() -> dict[str, PublishedFile]:
    """SHA-256 -> published model file."""
    return {file.sha256: file for file in published_files("models")}


def published_name(sha256: str) -> str | None:
    """What a file of that sum was published as: a model, or one of those whose size nobody told; None if unknown."""
    if (known := published_models().get(sha256)) is not None:
        return known.name
    return next((each["name"] for each in _catalogue()["sums"] if each["sha256"] == sha256), None)


def published_voice_sums() -> frozenset[str]:
    """SHA-256 of the published voice packs."""
    return frozenset(file.sha256 for file in published_files("voices"))


@cache
def published_files(kind: str) -> tuple[PublishedFile, ...]:
    """The catalogue's `models` or `voices`, in its order."""
    catalogue = _catalogue()
    hosts = catalogue["hosts"]
    return tuple(
        PublishedFile(
            entry["name"],
            hosts.get(entry["host"], "") + entry["file"],
            entry["bytes"],
            entry["sha256"],
            entry.get("precision", "fp32"),
        )
        for entry in catalogue[kind]
    )


@cache
def _catalogue() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((data_folder() / "models.json").read_text(encoding="utf-8"))
    return loaded
