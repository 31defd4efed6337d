"""What says that a model file's output is right: its origin, or a record of its verification, by the file's SHA-256.

A record belongs to bytes, not to a name: a file that is overwritten has none. A model cannot vouch for itself, nor can
one that nothing vouches for.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kokoro_lab._version import __version__
from kokoro_lab.errors import KokoroLabError, ModelError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import make_folder, write_text
from kokoro_lab.models.catalog import STAND_IN_REVISION, STAND_INS, joined_sum, models_folder
from kokoro_lab.models.files.byte_sums import recorded_sum
from kokoro_lab.models.files.model_record import ADVICE, ModelFile, read_record
from kokoro_lab.models.files.published import published_models, published_name
from kokoro_lab.paths import home

__all__ = ["VerificationRecord", "record_verification", "verification_path", "verified_snr_db", "vouched"]

VERDICTS = ("equivalent", "close", "different")


@dataclass(frozen=True)
class VerificationRecord:
    """The outcome of a model's comparison with the model that it stands for."""

    sha256: str
    """Of the verified file."""
    verdict: str
    """equivalent, close or different."""
    reasons: tuple[str, ...]
    against: str
    """SHA-256 of the reference."""
    verified_at: str
    """UTC, ISO 8601."""
    version: str
    """Of this package, whose probes and limits were used."""
    snr_db: float | None = None
    """Lowest signal-to-noise ratio over the probes, from equal sources, dB; None where it was not recorded."""


def verification_path(sha256: str) -> Path:
    """The file of the record for the model with that SHA-256."""
    return home() / "verified" / f"{sha256}.json"


def vouched(file: ModelFile) -> str:
    """What is known of the file's output: equivalent (to what it stands for), close, different, or "" for nothing.

    Published files are known by their bytes, stand-ins by their revision, imports by the proof that they were installed
    with or by the published weights that they were read from; anything else needs a record. The file's bytes are
    hashed, as size and time stamp can be those of other bytes: of a file with another sum than its record's nothing is
    known.
    """
    if _actual_sum(file) != file.sha256:
        return ""
    made: dict[str, Any] = read_record(file.path) or {}
    if file.sha256 in published_models() or _built_here(file, made):
        return "equivalent"
    record = _recorded(file)
    return "" if record is None else record.verdict


def verified_snr_db(file: ModelFile) -> float | None:
    """The signal-to-noise ratio of a file whose verification found it equivalent, dB; None where none is recorded."""
    record = _recorded(file)
    return record.snr_db if record is not None and record.verdict == "equivalent" else None


def record_verification(
    file: ModelFile, reference: ModelFile, verdict: str, reasons: Sequence[str], *, snr_db: float | None = None
) -> str:
    """Write the record of a comparison with `reference`; returns why there is none, empty when it was written.

    Raises ModelError when it cannot be written.
    """
    if file.sha256 == reference.sha256:
        return "a model says nothing about itself; name another one with --against"
    if vouched(reference) != "equivalent":
        return f"nothing says that {reference.name} is right; run `kokoro-lab models verify {reference.name}` first"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = VerificationRecord(file.sha256, verdict, tuple(reasons), reference.sha256, now, __version__, snr_db)
    path = verification_path(file.sha256)
    make_folder(path.parent, error=ModelError, advice=ADVICE)
    write_text(path, json.dumps(asdict(record), indent=1), error=ModelError, advice=ADVICE)
    return ""


def _actual_sum(file: ModelFile) -> str:
    """The SHA-256 of the file's bytes, computed as for its record; empty where it cannot be read."""
    try:
        sums = [recorded_sum(path) for path in (file.path, *file.back)]
    except ModelError:
        return ""
    return sums[0] if len(sums) == 1 else joined_sum(*sums)


def _recorded(file: ModelFile) -> VerificationRecord | None:
    """The record of the file's verification; None where there is none that can be read and is about these bytes."""
    try:
        stored = read_json(verification_path(file.sha256), what="verification record")
        record = as_record(VerificationRecord, stored, what="verification record")
    except KokoroLabError:
        return None
    return record if record.sha256 == file.sha256 and record.verdict in VERDICTS else None


def _built_here(file: ModelFile, made: dict[str, Any]) -> bool:
    """Whether the record of the file as it is now says that this package made it, not as a variant."""
    if made.get("sha256") != file.sha256 or made.get("recipe"):
        return False
    if file.name in STAND_INS and file.path == models_folder() / f"{file.name}.onnx":
        return bool(made.get("revision") == STAND_IN_REVISION)
    source: dict[str, Any] = made.get("source") or {}
    proved = made.get("proof") is not None or published_name(str(source.get("sha256", ""))) is not None
    return file.weights == "imported" and "precision" in source and proved
