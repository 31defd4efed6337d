"""The measured process: `python -m kokoro_lab.measure.worker JOB.json SPAWNED_NS`, one block of each of its cells.

JOB holds {"cells": [{"cell", "result", "audio", "cold"}, ...]}: one cell with a process of its own, or the cells of a
visit, measured in turn. Each result (BlockResult as JSON) is written atomically; the audio is that of the last repeat,
float32 .npy, and beside it that of repeats with other samples. A cell that fails gives a result with an error status;
there is no result only when the process itself dies. Nothing heavy may be imported here that the engine itself does not
need.
"""

from __future__ import annotations

import time

STARTED_NS = time.monotonic_ns()  # the interpreter is running; imports follow

import importlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import stat  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import traceback  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from kokoro_lab._version import __version__  # noqa: E402
from kokoro_lab.errors import KokoroLabError, ProviderError, StoreError  # noqa: E402
from kokoro_lab.files.writing import write_text, written_whole  # noqa: E402
from kokoro_lab.measure.records.cell import (  # noqa: E402
    BlockResult,
    Cell,
    ModelReading,
    ProviderReading,
    VisitReading,
)
from kokoro_lab.process.exits import end_process  # noqa: E402

if TYPE_CHECKING:
    from kokoro_lab.engine.engine import Engine
    from kokoro_lab.measure.block.block_runner import BlockMeasurement
    from kokoro_lab.measure.block.kept_engine import KeptEngine
    from kokoro_lab.measure.peers.adapters.own_engine import PeerEngine
    from kokoro_lab.measure.records.identity import BlockIdentity

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
"""Modules that must never be loaded in a measured process; the result records any that were."""


PLAIN = "plain"
"""The variant name of a file that was built without a recipe."""


def main(arguments: list[str]) -> int:
    """Measure the job's cells and write their results; returns 0, or 2 for wrong usage."""
    if len(arguments) != 2:
        print("usage: python -m kokoro_lab.measure.worker JOB.json SPAWNED_NS", file=sys.stderr)
        return 2
    _end_with_parent()
    parts = json.loads(Path(arguments[0]).read_text())["cells"]
    process = _MeasuredProcess(int(arguments[1]), len(parts))
    for part in parts:
        result = process.measured(part)
        try:
            write_text(Path(part["result"]), json.dumps(result.as_dict()), durable=False)
        except StoreError as error:
            print(error.message, file=sys.stderr)
            return error.exit_code
    return 0


class _MeasuredProcess:
    """This process: when it was started, how many of its cells are measured, and the engine that they share."""

    def __init__(self, spawned_ns: int, cells: int) -> None:
        self._spawned_ns = spawned_ns
        self._ended_ns = spawned_ns
        self._left = cells
        self._place = -1
        self._kept: KeptEngine | None = None

    def measured(self, part: dict[str, Any]) -> BlockResult:
        """The result of the next cell, whatever happens to it."""
        self._place += 1
        self._left -= 1
        try:
            cell = Cell.from_dict(part["cell"])
            return self._visited(cell, part) if cell.process == "shared" else self._alone(cell, part)
        except Exception as error:
            return _failure(error)

    def _alone(self, cell: Cell, part: dict[str, Any]) -> BlockResult:
        _import_engine(cell)
        from kokoro_lab.measure.block.block_runner import measure

        load_ms = self._started_ms()
        block = measure(cell, spawned_ns=self._spawned_ns, load_ms=load_ms, made_cold=part.get("cold"))
        result = self._reported(cell, part, block)
        block.engine.close()  # a background warm-up that is still running the model would abort the process
        return result

    def _visited(self, cell: Cell, part: dict[str, Any]) -> BlockResult:
        """The result of a cell of a shared process, with its part of the process's time."""
        from kokoro_lab.measure.machine.interference import own_reading, snapshot

        before = snapshot()
        after = None
        try:
            _import_engine(cell)
            from kokoro_lab.measure.block.block_runner import measure
            from kokoro_lab.measure.block.kept_engine import KeptEngine

            self._kept = self._kept or KeptEngine()
            load_ms = self._started_ms() if self._place == 0 else {}
            block = measure(cell, spawned_ns=self._spawned_ns, load_ms=load_ms, load=self._kept.load)
            after = snapshot()
            result = self._reported(cell, part, block)
            if not self._left:
                self._kept.close()
        except Exception as error:
            result = _failure(error)
            if self._kept is not None:
                self._kept.close()
        began_ns, self._ended_ns = self._ended_ns, time.monotonic_ns()
        quiet = own_reading(before, after or snapshot())
        return replace(result, visit=VisitReading(self._place, (self._ended_ns - began_ns) / 1e9, quiet))

    def _started_ms(self) -> dict[str, float]:
        ready_ns = time.monotonic_ns()
        return {"spawn": (STARTED_NS - self._spawned_ns) / 1e6, "import": (ready_ns - STARTED_NS) / 1e6}

    def _reported(self, cell: Cell, part: dict[str, Any], block: BlockMeasurement) -> BlockResult:
        started_s = time.time() - (time.monotonic_ns() - self._spawned_ns) / 1e9
        result = replace(_result(cell, block), identity=_identity(cell, block, started_s))
        if block.last is not None and result.repeats:
            _write_audio(Path(part["audio"]), block)
        return result


def _import_engine(cell: Cell) -> None:
    from kokoro_lab.measure.peers.adapters import ADAPTERS

    if cell.environment not in ADAPTERS:  # the start of a peer engine must not include importing ours
        importlib.import_module("kokoro_lab.engine.engine")


def _failure(error: Exception) -> BlockResult:
    if isinstance(error, ProviderError):
        return BlockResult("unavailable", error.message, versions=_versions())
    if isinstance(error, KokoroLabError):
        return BlockResult("error", error.message, versions=_versions())
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return BlockResult("error", f"{type(error).__name__}: {error} ({where})", versions=_versions())


def _write_audio(path: Path, block: BlockMeasurement) -> None:
    """The last repeat's samples, and those of the repeats that differ from it."""
    import numpy as np

    from kokoro_lab.measure.block.renderings import audio_paths

    calls = [rendering.call for rendering in block.renderings] or [call for call in (block.last,) if call is not None]
    for target, call in zip(audio_paths(path), calls, strict=False):
        with written_whole(target, durable=False) as stream:
            np.save(stream, call.samples)


def _result(cell: Cell, block: BlockMeasurement) -> BlockResult:
    from kokoro_lab.measure.block.calls import EmptyEngine
    from kokoro_lab.measure.block.effects import effective_digest
    from kokoro_lab.measure.machine.peak_memory import peak_rss_mb
    from kokoro_lab.measure.peers.adapters.own_engine import PeerEngine

    steady = statistics.median(repeat.rss_mb for repeat in block.repeats) if block.repeats else None
    alone = cell.process == "own"  # otherwise the memory is that of several cells
    common: dict[str, Any] = {
        "warmup_ms": tuple(block.warmup_ms),
        "became_steady": block.became_steady,
        "load_ms": block.load_ms,
        "cold": block.cold,
        "rss_peak_mb": peak_rss_mb() if alone else None,
        "rss_steady_mb": steady if alone else None,
        "durations": block.last.durations if block.last else None,
        "deliveries": tuple(
            (item.at_s, item.duration_s, item.audible_s) for item in (block.last.deliveries if block.last else ())
        ),
        "renderings": tuple(rendering.reading for rendering in block.renderings),
        "load": block.load,
        "energy_j": block.energy_j,
        "energy_source": block.energy_source,
        "figures": block.figures,
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
    # A provider without nodes gets no figure: another provider was timed.
    ran = effective.status != "unavailable"
    explanations = {
        "ok": "",
        "partial": f"{cell.provider} was assigned {effective.share:.0%} of the nodes",
        "unavailable": "; ".join(filter(None, (f"{cell.provider} was assigned no nodes", effective.reason))),
    }
    return BlockResult(
        effective.status,
        explanations[effective.status],
        repeats=tuple(block.repeats) if ran else (),
        provider=provider,
        settings_digest=effective_digest(block.engine, cell, block.last, block.earlier),
        model=_model(block.engine),
        foreign_modules=_foreign_modules(),
        **common,
    )


def _model(engine: Engine) -> ModelReading:
    from kokoro_lab.models.files.model_record import read_record
    from kokoro_lab.models.verification_records import vouched

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
        verified=vouched(file),
    )


def _peer_result(peer: PeerEngine, block: BlockMeasurement, common: dict[str, Any]) -> BlockResult:
    """The block of a peer engine: stages, settings and provider cannot be read back from it."""
    common["versions"] = {**common["versions"], **peer.versions}
    return BlockResult(
        "ok", repeats=tuple(block.repeats), model=peer.model, foreign_modules=_foreign_modules(), **common
    )


def _identity(cell: Cell, block: BlockMeasurement, started_s: float) -> BlockIdentity | None:
    """What was measured, by its bytes: the voice as it was loaded. The rest is read after the timed part, so that
    nothing cold was warmed."""
    from kokoro_lab.measure.peers.adapters.own_engine import PeerEngine

    if isinstance(block.engine, PeerEngine):  # in its environment the packages are missing that the rest needs
        return block.engine.identity
    from kokoro_lab.measure.block.calls import EmptyEngine
    from kokoro_lab.measure.block.measured_bytes import measured_identity

    engine = block.engine
    if isinstance(engine, EmptyEngine):
        return measured_identity(cell, (), started_s)
    opened = [each.session.opened.path for each in engine.pool.members]
    return measured_identity(cell, opened, started_s, voice=engine.voice_sums.get(cell.voice))


def _short(name: str) -> str:
    return name.removesuffix("ExecutionProvider").lower()


def _versions() -> dict[str, str]:
    versions = {"python": ".".join(str(part) for part in sys.version_info[:3]), "kokoro_lab": __version__}
    for name in ("numpy", "onnxruntime"):
        if name in sys.modules:
            versions[name] = str(sys.modules[name].__version__)
    if inside := os.environ.get("KOKORO_LAB_ENVIRONMENT"):
        versions["environment"] = inside
    return versions


def _foreign_modules() -> tuple[str, ...]:
    return tuple(name for name in FOREIGN if name in sys.modules)


def _end_with_parent() -> None:
    """Exit as soon as the parent exits or is killed: it holds the other end of our standard input."""
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
    code = main(sys.argv[1:])
    end_process(code)  # a measured block must not become a failed one because the process aborts at its exit
