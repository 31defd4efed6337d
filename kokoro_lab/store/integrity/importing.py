"""`results import`: add the tables of an archive to a store, each row once, marked with where it comes from."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path
from typing import Any

from kokoro_lab._version import __version__
from kokoro_lab.errors import InputError
from kokoro_lab.store.integrity.archives import MANIFEST, read_archive
from kokoro_lab.store.store import Store

__all__ = ["import_folder"]

LOGGER = logging.getLogger(__name__)


def import_folder(store: Store, folder: Path) -> dict[str, int]:
    """Add the tables of a folder to the store: table -> rows added. Nothing is added unless all of it can be.

    Every block gets an `origin`: the folder, the SHA-256 of its manifest, when it was exported and imported, and by
    which versions, and which blocks it had lost. A run with an origin is never the newest run by itself.

    Raises:
        InputError: there is no manifest, or something in the folder is wrong.
        StoreError: a row is wrong, or the store has a different run with the same id.
    """
    if not folder.is_dir() or not (folder / MANIFEST).exists():
        raise InputError(f"folder {folder} has no {MANIFEST}; give a folder that `kokoro-lab results export` wrote")
    archive = read_archive(folder)
    origin: dict[str, Any] = {
        "folder": str(folder.resolve()),
        "manifest_sha256": archive.manifest_sha256,
        "imported_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "imported_by": __version__,
        "exported_at": _text(archive.manifest.get("exported_at")),
        "exported_by": _text(archive.manifest.get("kokoro_lab")),
        **({"missing": archive.gaps} if archive.gaps else {}),
    }
    for run_id, links in archive.gaps.items():
        lost = f"1 block of run {run_id!r} was" if len(links) == 1 else f"{len(links)} blocks of run {run_id!r} were"
        LOGGER.warning(f"{lost} lost before the run was exported; the rest is imported")
    return store.merge(archive.tables, origin=origin)


def _text(value: Any) -> str:
    """What the manifest says of itself, as a short text."""
    return "".join(character for character in str(value or "")[:80] if character.isprintable())
