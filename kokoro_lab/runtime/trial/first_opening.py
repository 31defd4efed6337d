"""The first opening of a model file that nobody knows: in a process of its own, once, and then remembered.

onnxruntime can crash, hang or fill the memory on a file that was made to do so. A file that is neither published nor
built or installed here is therefore opened, and run for one short call, by `trial_process` within limits. The verdict
is kept in the lab's home by the file's SHA-256 and onnxruntime's version; a file that did harm is refused by name.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kokoro_lab.errors import KokoroLabError, ModelError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import write_text
from kokoro_lab.models.catalog import models_folder, trial_records
from kokoro_lab.models.files.model_record import file_bytes, file_sha256, read_record
from kokoro_lab.models.files.published import published_name
from kokoro_lab.runtime.trial.verdict import TrialLimits, Verdict

if TYPE_CHECKING:
    from kokoro_lab.models.files.model_record import ModelFile

__all__ = ["ensure_harmless", "ensure_harmless_file"]

MOST_RECORD_BYTES = 1 << 16
SHA256 = re.compile(r"[0-9a-f]{64}")
DONE = {"crashed": "crashed on", "hung": "did not finish with", "memory": "ran out of memory on"}

Notice = Callable[[str], None]


def ensure_harmless(model: ModelFile, notice: Notice | None = None) -> None:
    """Try the model file if nobody knows it and it was not tried yet.

    Raises ModelError for a file that crashes or hangs onnxruntime or takes too much memory, now or when it was tried,
    and for a file that our reader refuses.
    """
    if _is_known(model):
        return
    for path in (model.path, *model.back):
        sha256 = model.sha256 if SHA256.fullmatch(model.sha256) and not model.back else file_sha256(path)
        ensure_harmless_file(path, sha256, kernels=model.needs_kernels, notice=notice)


def ensure_harmless_file(path: Path, sha256: str, *, kernels: bool = False, notice: Notice | None = None) -> None:
    """The same for any file with that SHA-256."""
    version = _onnxruntime_version()
    record = trial_records(sha256) / f"onnxruntime-{version}.json"
    verdict = _SEEN.get((sha256, version)) or _remembered(record)
    if verdict is None:
        if notice is not None:
            notice(f"opening {path.name} in a process of its own first, because its SHA-256 is not known")
        from kokoro_lab.runtime.trial.limited_process import TrialProcess

        with TrialProcess() as process:
            verdict = process.verdict(path, TrialLimits.of(file_bytes(path)), kernels=kernels)
        if verdict.kind == "refused":
            raise ModelError(verdict.detail)
        with suppress(KokoroLabError):  # a home that cannot be written: it is tried again next time
            write_text(record, json.dumps({**asdict(verdict), "file": path.name}))
    _SEEN[sha256, version] = verdict
    if verdict.kind != "harmless":
        raise ModelError(
            f"onnxruntime {version} {DONE[verdict.kind]} {path} ({verdict.detail}); use another file, "
            f"or delete {record} to try it again"
        )


_SEEN: dict[tuple[str, str], Verdict] = {}
"""(SHA-256, onnxruntime's version) -> verdict, in this process."""


def _is_known(model: ModelFile) -> bool:
    """Whether the file is published, or was built, imported or fetched by this program."""
    if published_name(model.sha256) is not None:
        return True
    return model.path.parent == models_folder() and bool(read_record(model.path))


def _remembered(record: Path) -> Verdict | None:
    try:
        document: Any = read_json(record, what="record of a trial", most=MOST_RECORD_BYTES)
    except KokoroLabError:
        return None
    if not isinstance(document, dict) or document.get("kind") not in {"harmless", *DONE}:
        return None
    return Verdict(document["kind"], str(document.get("detail", ""))[:200])


def _onnxruntime_version() -> str:
    loaded = sys.modules.get("onnxruntime")
    if loaded is not None:
        return str(loaded.__version__)
    from importlib import metadata

    try:
        return metadata.version("onnxruntime")
    except metadata.PackageNotFoundError:  # another build, in an environment
        import onnxruntime

        return str(onnxruntime.__version__)
