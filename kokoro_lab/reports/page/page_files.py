"""The files of a rendered report, and the list of them: only files on the list are ever replaced or removed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import remove_litter, write_text

__all__ = ["PAGES", "page_names", "write_pages"]

PAGES = "pages.json"
"""The list, beside the pages: name of each page -> its SHA-256."""

MOST_BYTES = 1 << 20


def write_pages(folder: Path, pages: Mapping[str, str]) -> None:
    """Write the pages of a report, and remove those of an earlier one that it no longer has.

    Other files in the folder stay, and so does a page that was changed since it was written.

    Raises:
        StoreError: the folder cannot be written.
    """
    remove_litter(folder)
    earlier = _listed(folder)
    sums = {name: _sum(text.encode("utf-8")) for name, text in pages.items()}
    # While pages are written, both the old and the new ones are ours.
    _write_list(folder, {**earlier, **sums})
    for name, text in pages.items():
        write_text(folder / name, text)
    for name in earlier.keys() - pages.keys():
        path = folder / name
        if path.is_file() and not path.is_symlink() and _sum(path.read_bytes()) == earlier[name]:
            path.unlink()
    _write_list(folder, sums)


def page_names(folder: Path) -> list[str]:
    """The names of the report's own pages; of a folder without a list, those of every page."""
    listed = _listed(folder) or {path.name: "" for path in folder.glob("*.html")}
    return sorted(name for name in listed if (folder / name).is_file())


def _listed(folder: Path) -> dict[str, str]:
    """The pages on the list, by plain names; none where there is no list or it was damaged."""
    if not (folder / PAGES).is_file():
        return {}
    try:
        document = read_json(folder / PAGES, what="list of pages", most=MOST_BYTES)
    except KokoroLabError:
        return {}
    if not isinstance(document, dict):
        return {}
    return {
        name: value
        for name, value in document.items()
        if isinstance(value, str) and name.endswith(".html") and name == Path(name).name and name.isprintable()
    }


def _write_list(folder: Path, sums: Mapping[str, str]) -> None:
    write_text(folder / PAGES, json.dumps(dict(sorted(sums.items())), indent=2) + "\n")


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
