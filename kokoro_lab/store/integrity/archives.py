"""Reading exported tables that somebody else made: bounded, and checked to the last row before anything is used.

An archive is a folder that `results export` wrote: a manifest and one file a table. All of it is refused with the first
thing that is wrong: the manifest and its names, kinds and sizes of files, their checksums, the number and expanded size
of the rows, columns, each row (see `row_checks`), rows that occur twice, samples without their block, and seals that do
not hold: of blocks, of the chain of each run up to the head in the manifest, and of verdicts (see `seals`).
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from kokoro_lab.errors import InputError, StoreError
from kokoro_lab.files.documents import parse_json
from kokoro_lab.files.reading import decoding, read_bytes
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.store.integrity.json_shapes import decode
from kokoro_lab.store.integrity.row_checks import checked_rows
from kokoro_lab.store.integrity.seals import Key, Originals, RowKey, altered_blocks, missing_links, run_seals
from kokoro_lab.store.integrity.verdict_states import CHANGED, EDITED, verdict_states
from kokoro_lab.store.schema import SCHEMA_VERSION, TABLES, TableSchema

__all__ = ["MANIFEST", "Archive", "read_archive", "read_folder"]

MANIFEST = "manifest.json"
OF_THE_CELL = (
    *("text", "text_preset", "voice", "speed", "lang", "seed", "provider", "intra_op_threads", "graph_level"),
    *("environment", "delivery", "arrivals", "rate_hz", "load_s", "clients", "state", "replica", "reference"),
)
"""Columns of `cells` that repeat a field of the configuration."""
NEEDED = ("samples", "cells")
"""Tables that a folder must have."""

MOST_MANIFEST_BYTES = 1 << 20
MOST_FILE_BYTES = 512 << 20
MOST_ROWS = 5_000_000
MOST_TABLE_BYTES = 2 << 30  # of a table in memory
LONGEST_TEXT = 4 << 20  # bytes of one value; the longest of ours is a block's details, with every call of a load
SUM = re.compile(r"[0-9a-f]{64}")
EXPORT_AGAIN = "export the run again"
SMALLER = "export one run at a time with --run"


@dataclass(frozen=True)
class Archive:
    """The checked tables of a folder, in the current schema."""

    tables: Mapping[str, pa.Table]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """The folder's manifest; empty where it has none."""
    manifest_sha256: str = ""
    originals: Originals = field(default_factory=dict)
    """Rows whose texts were changed for this copy, with the digests that they had before."""
    uncovered: frozenset[Key] = frozenset()
    """Blocks that no digest covers: an earlier version changed texts of theirs, and kept no digest of the rows."""

    @property
    def gaps(self) -> dict[str, list[int]]:
        """Run -> the links of its chain whose blocks were lost before it was exported."""
        return missing_links(self.tables["cells"])


def read_folder(folder: Path) -> dict[str, pa.Table]:
    """The tables of a folder in the current schema: the files of its manifest, or without a manifest its CSV files.

    Raises:
        InputError: it has no tables, or something in it is wrong.
        StoreError: a file is not its table, or a row is wrong.
    """
    return dict(read_archive(folder).tables)


def read_archive(folder: Path, *, whole: bool = True) -> Archive:
    """Read and check a folder of exported tables; what it raises is that of `read_folder`.

    Runs may lack as many blocks as the manifest says. Without `whole`, rows may differ from what was stored: those that
    it lists as changed for this copy.
    """
    data = _manifest_bytes(folder)
    manifest = {} if data is None else _manifest(data, folder / MANIFEST)
    tables: dict[str, pa.Table] = {}
    for name, schema in TABLES.items():
        entry = manifest["tables"].get(name) if manifest else {"file": f"{name}.csv"}
        if entry is None or (not manifest and not (folder / entry["file"]).is_file()):
            continue
        tables[name] = _table(folder / entry["file"], schema, entry)
    missing = [name for name in NEEDED if name not in tables]
    if missing:
        raise InputError(
            f"folder {folder} has no table {' and no table '.join(missing)}; give a folder of exported tables"
        )
    _check_together(folder, tables)
    originals, uncovered = ({}, frozenset()) if whole else _changed(manifest, folder / MANIFEST)
    archive = Archive(tables, manifest, "" if data is None else hashlib.sha256(data).hexdigest(), originals, uncovered)
    _check_seals(folder, archive)
    return archive


def _manifest_bytes(folder: Path) -> bytes | None:
    path = folder / MANIFEST
    if not path.is_symlink() and not path.exists():
        return None
    return read_bytes(_own_file(path), what="manifest", most=MOST_MANIFEST_BYTES)


def _manifest(data: bytes, path: Path) -> dict[str, Any]:
    """The manifest, with tables of ours only, each with the name of its file and its checksum."""
    what = f"manifest {path}"
    document = parse_json(data, what=what, advice=EXPORT_AGAIN)
    tables = document.get("tables") if isinstance(document, dict) else None
    if not isinstance(tables, dict) or not all(isinstance(entry, dict) for entry in tables.values()):
        raise InputError(f"{what} lists no tables; {EXPORT_AGAIN}")
    version = document.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise InputError(
            f"{what} is of schema version {str(version)[:20]}, but this kokoro-lab knows only {SCHEMA_VERSION}; "
            "upgrade kokoro-lab"
        )
    for name, entry in tables.items():
        if name not in TABLES:
            raise InputError(f"{what} lists an unknown table {name[:80]!r}; {EXPORT_AGAIN}")
        if entry.get("file") not in [f"{name}.{form}" for form in ("csv", "parquet")]:
            raise InputError(
                f"{what} names {str(entry.get('file'))[:80]!r} as the file of table {name}; {EXPORT_AGAIN}"
            )
        if not isinstance(entry.get("sha256"), str) or not SUM.fullmatch(entry["sha256"]):
            raise InputError(f"{what} has no SHA-256 of {entry['file']}; {EXPORT_AGAIN}")
        if not isinstance(entry.get("rows", 0), int):
            raise InputError(f"{what} has no number of rows of {entry['file']}; {EXPORT_AGAIN}")
    return dict(document)


def _changed(manifest: Mapping[str, Any], path: Path) -> tuple[dict[RowKey, str], frozenset[Key]]:
    """The rows that were changed for this copy, with the digests that they had, and the blocks without any."""
    with decoding(f"manifest {path}", advice=EXPORT_AGAIN):
        originals = {
            (str(run_id), str(cell_id), int(block), None if repeat is None else int(repeat)): digest
            for run_id, cell_id, block, repeat, digest in manifest.get("originals") or ()
        }
        uncovered = {
            (str(run_id), str(cell_id), int(block)) for run_id, cell_id, block in manifest.get("changed") or ()
        }
    if not all(isinstance(digest, str) and SUM.fullmatch(digest) for digest in originals.values()):
        raise InputError(f"manifest {path} lists a changed row without its SHA-256; {EXPORT_AGAIN}")
    return originals, frozenset(uncovered)


def _own_file(path: Path) -> Path:
    if path.is_symlink():
        raise InputError(f"{path} is a symbolic link; copy the file itself into the folder")
    return path


def _table(path: Path, schema: TableSchema, entry: Mapping[str, Any]) -> pa.Table:
    """One file as its table; `entry` is that of the manifest, which may have a checksum and a number of rows."""
    if not path.is_symlink() and not path.exists():
        raise InputError(f"{path.name} of the manifest is missing in {path.parent}; {EXPORT_AGAIN}")
    data = read_bytes(_own_file(path), what="exported table", most=MOST_FILE_BYTES)
    if "sha256" in entry and hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise InputError(f"the SHA-256 of {path} differs from the manifest; {EXPORT_AGAIN}")
    what = f"{path}, as table {schema.name},"
    with decoding(what, error=StoreError, advice="export it again"):
        raw = (_parquet if path.suffix == ".parquet" else _csv)(data, path, schema)
        _check_columns(raw.schema, path, schema)
        _check_sizes(raw, path)
        if raw.num_rows != entry.get("rows", raw.num_rows):
            raise StoreError(f"{path} has {raw.num_rows} rows, and {entry['rows']} by its manifest; {EXPORT_AGAIN}")
        rows, flaws = checked_rows(_plain(raw), schema)
    if flaws:
        row, flaw = min(flaws.items())
        raise StoreError(f"row {row + 1} of {path} cannot be used: {flaw.column} {flaw.problem}; {EXPORT_AGAIN}")
    keys = _keys(rows, schema)
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise StoreError(f"{path} has the row {', '.join(map(str, twice))} twice; {EXPORT_AGAIN}")
    return rows


def _parquet(data: bytes, path: Path, schema: TableSchema) -> pa.Table:
    """Texts stay encoded by their distinct values: a short file can repeat a long text in every one of its rows."""
    metadata = parquet.read_metadata(io.BytesIO(data))
    groups = (metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    _check_bounds(path, metadata.num_rows, sum(groups))
    names = metadata.schema.to_arrow_schema().names
    texts = [field.name for field in schema.columns if pa.types.is_string(field.type) and field.name in names]
    file = parquet.ParquetFile(io.BytesIO(data), read_dictionary=texts)
    _check_columns(file.schema_arrow, path, schema)
    return file.read()


def _csv(data: bytes, path: Path, schema: TableSchema) -> pa.Table:
    return csv.read_csv(
        io.BytesIO(data),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types={field.name: field.type for field in schema.columns},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _check_bounds(path: Path, rows: int, size: int) -> None:
    if rows > MOST_ROWS:
        raise StoreError(f"{path} has {rows:,} rows, more than {MOST_ROWS:,}; {SMALLER}")
    if size > MOST_TABLE_BYTES:
        raise StoreError(f"{path} has {size:,} bytes when unpacked, more than {MOST_TABLE_BYTES:,}; {SMALLER}")


def _check_columns(found: pa.Schema, path: Path, schema: TableSchema) -> None:
    names = found.names
    unknown = [name for name in names if name not in schema.columns.names]
    if unknown:
        raise StoreError(f"{path} has an unknown column {unknown[0][:80]!r}; {EXPORT_AGAIN}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise StoreError(f"{path} has the column {twice[0]} twice; {EXPORT_AGAIN}")
    required = [field.name for field in schema.columns if not field.nullable]
    missing = [name for name in required if name not in names]
    if missing:
        raise StoreError(f"{path} lacks the columns {', '.join(missing)}; {EXPORT_AGAIN}")
    for name in names:
        kind, wanted = found.field(name).type, schema.columns.field(name).type
        if not _fits(kind, wanted):
            raise StoreError(f"{path} has {kind} in column {name}, where {wanted} belongs; {EXPORT_AGAIN}")


def _fits(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column of one type can hold the values of another: nothing is guessed from texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    groups = (pa.types.is_integer, pa.types.is_string, pa.types.is_boolean, pa.types.is_timestamp)
    return (
        kind == wanted
        or pa.types.is_null(kind)
        or any(is_kind(kind) and is_kind(wanted) for is_kind in groups)
        or (pa.types.is_floating(wanted) and (pa.types.is_floating(kind) or pa.types.is_integer(kind)))
    )


def _check_sizes(raw: pa.Table, path: Path) -> None:
    """No text is too long, and the table fits into memory when every row has its own copy of its texts."""
    size = raw.nbytes
    for name in raw.column_names:
        for chunk in raw[name].chunks:
            if not pa.types.is_dictionary(chunk.type) and not pa.types.is_string(chunk.type):
                continue
            encoded = pa.types.is_dictionary(chunk.type)
            lengths = pc.binary_length((chunk.dictionary if encoded else chunk).cast(pa.binary()))
            if (pc.max(lengths).as_py() or 0) > LONGEST_TEXT:
                raise StoreError(f"{path} has a text of over {LONGEST_TEXT:,} bytes in column {name}; {EXPORT_AGAIN}")
            if encoded:
                size += pc.sum(lengths.take(chunk.indices).cast(pa.int64())).as_py() or 0
    _check_bounds(path, raw.num_rows, size)


def _plain(raw: pa.Table) -> pa.Table:
    """The table without dictionaries."""
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column for column in raw.columns
    ]
    return pa.Table.from_arrays(columns, names=raw.column_names)


def _keys(rows: pa.Table, schema: TableSchema) -> list[tuple[Any, ...]]:
    names = (*schema.key, "repeat") if schema.name == "samples" else schema.key
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def _check_together(folder: Path, tables: Mapping[str, pa.Table]) -> None:
    """Every sample belongs to a block of the same folder, and agrees with it; every block agrees with its cell."""
    cells, samples = tables["cells"], tables["samples"]
    places = {key: at for at, key in enumerate(_keys(cells, TABLES["cells"]))}
    at = []
    for key in _keys(samples, TABLES["samples"]):
        if key[:3] not in places:
            raise StoreError(f"{folder} has samples of block {_block(key)}, but not the block; {EXPORT_AGAIN}")
        at.append(places[key[:3]])
    shared = [name for name in samples.column_names if name in cells.column_names and name != "schema_version"]
    blocks = cells.select(shared).take(pa.array(at, pa.int64()))
    for name in shared:
        differs = pc.invert(pc.equal(samples[name], blocks[name]))
        only_one = pc.not_equal(pc.is_null(samples[name]), pc.is_null(blocks[name]))
        wrong = pc.indices_nonzero(pc.or_(pc.fill_null(differs, False), only_one))
        if len(wrong):
            key = _keys(samples.slice(wrong[0].as_py(), 1), TABLES["samples"])[0]
            raise StoreError(
                f"{folder} has samples that differ in {name} from their block, {_block(key)}; {EXPORT_AGAIN}"
            )
    _check_cells(folder, cells)


def _check_seals(folder: Path, archive: Archive) -> None:
    """Every block is what was stored, no run lacks one unsaid, and every verdict follows from its blocks."""
    tables, heads = archive.tables, archive.manifest.get("seals")
    cells, samples, heads = tables["cells"], tables["samples"], heads if isinstance(heads, dict) else {}
    for key, problem in altered_blocks(cells, samples, archive.originals).items():
        if key not in archive.uncovered:
            raise StoreError(f"{folder} has block {_block(key)}, and {problem}; {EXPORT_AGAIN}")
    seals = run_seals(cells)
    for run_id, head in heads.items():
        if run_id not in seals or not isinstance(head, dict) or head.get("head") != seals[run_id].head:
            raise StoreError(f"{folder} has another chain of run {run_id!r} than its manifest says; {EXPORT_AGAIN}")
    for run_id, links in archive.gaps.items():
        if heads.get(run_id, {}).get("missing") != len(links):
            raise StoreError(
                f"{folder} lacks the block that was stored as link {links[0]} of run {run_id}; {EXPORT_AGAIN}"
            )
    _check_verdicts(folder, archive)


def _check_verdicts(folder: Path, archive: Archive) -> None:
    """Every verdict is what was stored, and follows from its blocks."""
    tables = archive.tables
    verdicts = tables.get("verdicts")
    if verdicts is None:
        return
    states = verdict_states(verdicts, tables["cells"], tables["samples"], archive.originals)
    for row, state in zip(verdicts.to_pylist(), states, strict=True):
        if state == EDITED or (state == CHANGED and not archive.uncovered):
            what = "was changed after it was stored" if state == EDITED else "does not follow from its blocks"
            raise StoreError(
                f"{folder} has a verdict on cell {row['candidate_cell']} in run {row['run_id']} that {what}; "
                f"{EXPORT_AGAIN}"
            )


def _check_cells(folder: Path, cells: pa.Table) -> None:
    """The columns of a block say what its configuration says."""
    named = {name: cells[name].to_pylist() for name in OF_THE_CELL}
    known: dict[str, Cell] = {}
    for at, text in enumerate(cells["configuration"].to_pylist()):
        if text not in known:
            known[text] = Cell.from_dict(decode(text))
        for name, values in named.items():
            if values[at] != getattr(known[text], name):
                key = _keys(cells.slice(at, 1), TABLES["cells"])[0]
                raise StoreError(
                    f"{folder} has another {name} in the row of block {_block(key)} than in its configuration; "
                    f"{EXPORT_AGAIN}"
                )


def _block(key: tuple[Any, ...]) -> str:
    return f"{key[2]} of cell {key[1]} in run {key[0]}"
