"""An archive is read within bounds and checked to its last row; what is refused changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from archive_mutations import Archives, listing, tried
from pyarrow import parquet

from kokoro_lab.errors import InputError, StoreError
from kokoro_lab.store import Store
from kokoro_lab.store.integrity import archives as reading
from kokoro_lab.store.integrity.archives import MANIFEST, read_archive, read_folder


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return Archives(tmp_path_factory.mktemp("archives"))


def test_an_export_is_read_whole_in_both_formats(archives: Archives) -> None:
    first, second = (read_folder(archives.exports[form]) for form in ("csv", "parquet"))
    assert first.keys() == second.keys() and all(first[name].equals(second[name]) for name in first)


@pytest.mark.parametrize("seed", range(60))
def test_a_mutated_archive_is_refused_by_name_or_imported_and_readable(archives: Archives, seed: int) -> None:
    _, wrong = tried(archives, f"fast:{seed}", thorough=False)
    assert not wrong


@pytest.mark.slow
def test_mutated_archives_leave_a_store_that_every_reader_reads(archives: Archives) -> None:
    assert [wrong for number in range(100) if (wrong := tried(archives, f"slow:{number}")[1])] == []


def manifest_of(folder: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads((folder / MANIFEST).read_text())
    return document


@pytest.mark.parametrize("name", ["../secret.csv", "/etc/passwd", "samples.csv", "cells.CSV", "", None, 3])
def test_a_manifest_names_only_our_own_files(archives: Archives, name: object) -> None:
    folder = archives.copy("csv")
    manifest = manifest_of(folder)
    manifest["tables"]["cells"]["file"] = name  # type: ignore[index]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="as the file of table cells"):
        read_archive(folder)


def test_a_link_is_not_followed(archives: Archives, tmp_path: Path) -> None:
    for name in ("cells.csv", MANIFEST):
        folder = archives.copy("csv")
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
        with pytest.raises(InputError, match="is a symbolic link"):
            read_archive(folder)


@pytest.mark.parametrize(("limit", "value"), [("MOST_ROWS", 3), ("MOST_FILE_BYTES", 100), ("MOST_TABLE_BYTES", 1000)])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_more_than_the_limits_is_refused(
    archives: Archives, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, form: str
) -> None:
    monkeypatch.setattr(reading, limit, value)
    with pytest.raises((InputError, StoreError), match="more than"):
        read_archive(archives.exports[form])  # type: ignore[index]


def test_a_short_file_that_unpacks_to_gigabytes_is_refused_before_it_is_unpacked(archives: Archives) -> None:
    folder = archives.copy("parquet")
    rows = parquet.read_table(folder / "cells.parquet")
    many = pa.concat_tables([rows.slice(0, 1)] * 4000)
    text = pa.DictionaryArray.from_arrays(pa.array([0] * many.num_rows, pa.int32()), pa.array(["a" * 3_000_000]))
    bomb = many.set_column(many.column_names.index("error"), "error", text)
    parquet.write_table(bomb, folder / "cells.parquet", compression="zstd")
    assert (folder / "cells.parquet").stat().st_size < 1_000_000
    (folder / MANIFEST).unlink()
    with pytest.raises(StoreError, match="bytes when unpacked"):
        reading._table(folder / "cells.parquet", reading.TABLES["cells"], {"file": "cells.parquet"})


def test_samples_agree_with_their_block_and_blocks_with_their_cell(archives: Archives) -> None:
    tables = read_folder(archives.exports["csv"])
    samples, cells = tables["samples"], tables["cells"]
    at = samples.column_names.index("gate")
    other = samples.set_column(
        at, samples.schema.field("gate"), pa.array(["different"] * samples.num_rows, pa.string())
    )
    with pytest.raises(StoreError, match="differ in gate from their block"):
        reading._check_together(Path("x"), {**tables, "samples": other})
    with pytest.raises(StoreError, match="but not the block"):
        reading._check_together(Path("x"), {**tables, "cells": cells.slice(0, 2)})
    at = cells.column_names.index("voice")
    voices = pa.array(["am_adam"] * cells.num_rows, pa.string())
    with pytest.raises(StoreError, match="another voice"):
        reading._check_cells(Path("x"), cells.set_column(at, cells.schema.field("voice"), voices))


def test_the_mutations_do_not_touch_what_they_are_compared_with(archives: Archives) -> None:
    before = {form: listing(place) for form, place in archives.exports.items()}, listing(archives.home)
    for number in range(5):
        tried(archives, f"again:{number}", thorough=False)
    assert before == ({form: listing(place) for form, place in archives.exports.items()}, listing(archives.home))
    assert Store(archives.home / "tables").latest_run() == "own-run"
