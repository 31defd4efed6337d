"""The measured process: `python -m kokoro_lab.measure.worker JOB.json SPAWNED_NS`, one cell, one block.

JOB holds {"cell", "result", "audio", "file_cache"}. The result (BlockResult as JSON) is written whole or not at all;
the audio is the last repeat's, float32 .npy. Whatever goes wrong with the cell is a result with a status; only what
ends the process ends it without one. Nothing heavy may be imported here that the engine itself does not need.
"""

from __future__ import annotations

import time

STARTED_NS = time.monotonic_ns()  # the interpreter is up; imports come after

import json  # noqa: E402
import os  # noqa: E402
import stat  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import traceback  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from kokoro_lab.errors import KokoroLabError, ProviderError  # noqa: E402
from kokoro_lab.measure.cell import BlockResult, Cell, ModelReading, ProviderReading  # noqa: E402

if TYPE_CHECKING:
    from kokoro_lab.engine.engine import Engine
    from kokoro_lab.measure.adapters.engine import PeerEngine
    from kokoro_lab.measure.states import Measured

__all__ = ["FOREIGN", "main"]

FOREIGN = (
    "pandas",
    "pyarrow",
    "deltalake",
    "papermill",
    "altair",
    "IPython",
    "ipykernel",
    "jupyterlab",
    "jupyter_client",
)
"""What must never be loaded in a measured process; what was is recorded in the result."""


PLAIN = "plain"
"""The variant of a file that no recipe made."""


def main(arguments: list[str]) -> int:
    """Measure the job's cell and write its result; 0, or 2 when called wrongly."""
    if len(arguments) != 2:
        print("usage: python -m kokoro_lab.measure.worker JOB.json SPAWNED_NS", file=sys.stderr)
        return 2
    _end_with_parent()
    job = json.loads(Path(arguments[0]).read_text())
    result = _measured(job, int(arguments[1]))
    target = Path(job["result"])
    temporary = target.with_suffix(".part")
    temporary.write_text(json.dumps(result.as_dict()))
    temporary.replace(target)
    return 0


def _measured(job: dict[str, Any], spawned_ns: int) -> BlockResult:
    try:
        from kokoro_lab.measure.adapters import ADAPTERS

        cell = Cell.from_dict(job["cell"])
        if cell.environment not in ADAPTERS:  # a peer's start is not to wait for our engine
            import kokoro_lab.engine.engine  # noqa: F401
        from kokoro_lab.measure.states import measure

        ready_ns = time.monotonic_ns()
        load_ms = {"spawn": (STARTED_NS - spawned_ns) / 1e6, "import": (ready_ns - STARTED_NS) / 1e6}
        block = measure(cell, spawned_ns=spawned_ns, load_ms=load_ms, file_cache=job.get("file_cache", ""))
        result = _result(cell, block)
        if block.last is not None and result.repeats:
            import numpy as np

            np.save(job["audio"], block.last.samples)
        block.engine.close()  # a warm-up in the background that is still in the model would abort the process
        return result
    except ProviderError as error:
        return BlockResult("unavailable", error.message, versions=_versions())
    except KokoroLabError as error:
        return BlockResult("error", error.message, versions=_versions())
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return BlockResult("error", f"{type(error).__name__}: {error} ({where})", versions=_versions())


def _result(cell: Cell, block: Measured) -> BlockResult:
    from kokoro_lab.measure.adapters.engine import PeerEngine
    from kokoro_lab.measure.calls import EmptyEngine
    from kokoro_lab.measure.effects import effective_digest
    from kokoro_lab.measure.memory import peak_rss_mb

    peak = peak_rss_mb()
    common: dict[str, Any] = {
        "warmup_ms": tuple(block.warmup_ms),
        "became_steady": block.became_steady,
        "load_ms": block.load_ms,
        "cold": block.cold,
        "rss_peak_mb": peak,
        "rss_steady_mb": statistics.median(repeat.rss_mb for repeat in block.repeats) if block.repeats else None,
        "durations": block.last.durations if block.last else None,
        "deliveries": tuple(
            (item.at_s, item.duration_s, item.audible_s) for item in (block.last.deliveries if block.last else ())
        ),
        "load": block.load,
        "energy_j": block.energy_j,
        "energy_source": block.energy_source,
        "versions": _versions(),
    }
    if isinstance(block.engine, EmptyEngine):
        model = ModelReading(cell.model, "", "none", "none", "none")
        return BlockResult(
            "ok", repeats=tuple(block.repeats), model=model, foreign_modules=_foreign_modules(), **common
        )
    if isinstance(block.engine, PeerEngine):
        return _peer_result(block.engine, block, common)
    session = block.engine.pool.primary
    effective = session.effective_provider()
    provider = ProviderReading(cell.provider, _short(effective.effective), effective.share, dict(effective.nodes))
    # A provider that took no node has no figure: what was timed was another one.
    ran = effective.status != "unavailable"
    sentences = {
        "ok": "",
        "partial": f"{cell.provider} took {effective.share:.0%} of the nodes.",
        "unavailable": f"{cell.provider} took no node. {effective.reason}".strip(),
    }
    return BlockResult(
        effective.status,
        sentences[effective.status],
        repeats=tuple(block.repeats) if ran else (),
        provider=provider,
        settings_digest=effective_digest(block.engine, cell, block.last),
        model=_model(block.engine),
        foreign_modules=_foreign_modules(),
        **common,
    )


def _model(engine: Engine) -> ModelReading:
    from kokoro_lab.models.records import read_record

    file, spoken = engine.model, engine.spoken
    recipe = (read_record(file.path) or {}).get("recipe") or {}
    return ModelReading(
        file.name,
        file.sha256,
        file.weights,
        file.architecture,
        file.precision,
        variant=str(recipe.get("name", PLAIN)),
        kernels=spoken.kernels,
        preoptimized=spoken.preoptimized,
    )


def _peer_result(peer: PeerEngine, block: Measured, common: dict[str, Any]) -> BlockResult:
    """A peer's block: no stages, no settings and no provider can be read back from it."""
    common["versions"] = {**common["versions"], **peer.versions}
    return BlockResult(
        "ok", repeats=tuple(block.repeats), model=peer.model, foreign_modules=_foreign_modules(), **common
    )


def _short(name: str) -> str:
    return name.removesuffix("ExecutionProvider").lower()


def _versions() -> dict[str, str]:
    import kokoro_lab

    found = {"python": ".".join(str(part) for part in sys.version_info[:3]), "kokoro_lab": kokoro_lab.__version__}
    for name in ("numpy", "onnxruntime"):
        if name in sys.modules:
            found[name] = str(sys.modules[name].__version__)
    if inside := os.environ.get("KOKORO_LAB_ENVIRONMENT"):
        found["environment"] = inside
    return found


def _foreign_modules() -> tuple[str, ...]:
    return tuple(name for name in FOREIGN if name in sys.modules)


def _end_with_parent() -> None:
    """End at once when the parent does, killed or not: it holds the other end of our standard input."""
    try:
        if not stat.S_ISFIFO(os.fstat(0).st_mode):
            return
    except OSError:
        return

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
