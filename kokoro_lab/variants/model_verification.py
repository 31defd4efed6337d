"""Compare an installed model with the one that it was derived from, and record the verdict for its bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from kokoro_lab.errors import InputError, KokoroLabError, ModelError
from kokoro_lab.files.reading import decoding
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.models.files.model_record import read_record
from kokoro_lab.models.graph.architecture import architecture_named
from kokoro_lab.models.rewrite.partition import read_whole
from kokoro_lab.models.verification_records import record_verification, vouched
from kokoro_lab.runtime.trial.first_opening import ensure_harmless
from kokoro_lab.variants.probes import check_probes
from kokoro_lab.variants.verify import Verification, verify

__all__ = ["VerifiedModel", "ensure_verified", "verify_model"]

MOST_DB = 300.0
"""Recorded for equal samples; JSON has no infinity."""

Notice = Callable[[str], None]


@dataclass(frozen=True)
class VerifiedModel:
    """A comparison, and what came of its record."""

    file: ModelFile
    reference: ModelFile
    result: Verification
    unrecorded: str
    """Why there is no record of it; empty when there is one."""


def verify_model(file: ModelFile, against: str = "", *, notice: Notice | None = None) -> VerifiedModel:
    """Compare a graph of ours with the model `against`, by default its source, and record the verdict.

    Raises InputError when its source is not known, and what `resolve` and `verify` raise.
    """
    recorded = (read_record(file.path) or {}).get("source", {})
    source = recorded.get("name", "")
    if not against and "precision" in recorded:
        raise InputError(
            f"{file.name} was imported from {source}; verify that file, or name a reference model with --against"
        )
    if not (against or source):
        raise InputError(f"{file.name} has no record of its source; name a reference model with --against")
    reference = resolve(against or source, notice=notice)
    ensure_harmless(reference, notice)
    with decoding(f"model file {file.path.name}", error=ModelError, advice="build it again"):
        result = verify(
            read_whole(reference), read_whole(file), check_probes(), arch=architecture_named(file.architecture)
        )
    worst = min([MOST_DB, *(reading.snr_db for reading in result.readings)])
    snr_db = worst if math.isfinite(worst) else None
    unrecorded = record_verification(file, reference, result.verdict, result.reasons, snr_db=snr_db)
    return VerifiedModel(file, reference, result, unrecorded)


def ensure_verified(file: ModelFile, *, notice: Notice | None = None) -> str:
    """The verdict of the file's verification, which is made now where there is none; "" where none can be made."""
    if known := vouched(file):
        return known
    if notice is not None:
        notice(f"comparing {file.name} with its source")
    try:
        made = verify_model(file, notice=notice)
    except KokoroLabError as error:
        if notice is not None:
            notice(f"{file.name} was not verified: {error.message}")
        return ""
    if notice is not None:
        notice(f"{file.name} compared with {made.reference.name}: {made.result.verdict}")
    return "" if made.unrecorded else made.result.verdict
