"""Attacks on what a figure is said to be of: other bytes under the same name, and a start that is not cold.

Each overwrites a file as somebody would who wants the record to stay as it is: same name, same size, and the time of
the last modification set back.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx

from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup, SelfTestCheck
from kokoro_lab.errors import ModelError, PlanError
from kokoro_lab.files.writing import make_folder
from kokoro_lab.measure.machine.pagecache import COLD, resident_share
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.files.model_record import ADVICE, record_path
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store.layout import Results
from kokoro_lab.variants.fastest_variant import tune
from kokoro_lab.variants.make import make

__all__ = ["CHECKS", "overwrite"]

TEXT = "hello"
TOKENS = (16,)  # the shortest text of tuning


def overwrite(path: Path) -> None:
    """Change the weights in a model file; its name, size and time of modification stay."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    for place in range(middle, middle + 4096):
        data[place] ^= 1  # in the middle of a file there are only weights
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _resumed(setup: CheckSetup) -> CheckOutcome:
    path = _copy(setup.folder, "model.onnx")
    groups = [{"text": TEXT, "model": str(path)}]
    first = setup.measure("resumed", groups, blocks=1, retries=0)
    overwrite(path)
    tried = f"{path.name} was overwritten between two calls of one run"
    try:
        both = setup.measure("resumed", groups, blocks=2, retries=0)
    except PlanError as error:
        return CheckOutcome("shown", f"{tried}; the second was refused: {error.message}", len(first.blocks))
    pooled = sum(bool(block.result.repeats) for block in both.blocks)
    return CheckOutcome("failed", f"{tried}; {pooled} blocks of the two files are in one cell", len(both.blocks))


def _tuned(setup: CheckSetup) -> CheckOutcome:
    tried = "a variant's file was overwritten between two calls of models tune"
    source = resolve("tiny")
    with _own_home(setup.folder):
        place = make_folder(setup.folder / "home" / "models", error=ModelError, advice=ADVICE)
        for path in (source.path, record_path(source.path)):
            shutil.copy2(path, place / path.name)
        (variant,) = make("tiny", "optimized")
        tune("tiny", [variant.name], tokens=TOKENS, blocks=1)
        overwrite(variant.path)
        try:
            again = tune("tiny", [variant.name], tokens=TOKENS, blocks=1)
        except (ModelError, PlanError) as error:
            return CheckOutcome("shown", f"{tried}; the second was refused: {error.message}", 2)
    pairs = sum(row.pairs for row in again.rows)
    return CheckOutcome("failed", f"{tried}; its {pairs} pairs of blocks were credited to the new file", 2)


def _renamed(setup: CheckSetup) -> CheckOutcome:
    model = read_onnx(resolve("tiny").path)
    del model.metadata_props[:]
    path = setup.folder / "kokoro-v1.0.onnx"
    onnx.save(model, path)
    setup.measure("renamed", [{"text": TEXT, "model": str(path)}], blocks=1, retries=0)
    evidence = Evidence.load(Results(setup.folder).tables, "renamed")
    said = ", ".join(evidence.architectures)
    words = f"the tiny model without metadata was measured as {path.name}; its rows say architecture {said}"
    return CheckOutcome("failed" if "full" in evidence.architectures else "shown", words, 1)


def _cold_with_data(setup: CheckSetup) -> CheckOutcome:
    path = setup.folder / "apart.onnx"
    data = path.with_name("apart.onnx.data")
    onnx.save(
        read_onnx(resolve("tiny").path), path, save_as_external_data=True, location=data.name, size_threshold=1024
    )
    group = {"text": TEXT, "model": str(path), "state": "cold"}
    with data.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as held:
        sum(held[:: mmap.PAGESIZE])  # pages that a process has mapped cannot be dropped
        run = setup.measure("cold", [group], blocks=1, retries=0)
        share = resident_share(data)
    (block,) = run.blocks[:1]
    told = block.result.cold
    tried = f"{data.name} was held in the page cache ({'unknown' if share is None else f'{share:.0%}'} resident)"
    said = f"the row says {told.get('measured', 'nothing')}: {told.get('file_cache', '')}"
    return CheckOutcome("failed" if told.get("measured") == COLD else "shown", f"{tried}; {said}", len(run.blocks))


def _copy(folder: Path, name: str) -> Path:
    return Path(shutil.copy2(resolve("tiny").path, folder / name))


@contextlib.contextmanager
def _own_home(folder: Path) -> Iterator[None]:
    """A home and results of the check's own, for this process and those that it starts."""
    own = {"KOKORO_LAB_HOME": str(folder / "home"), "KOKORO_LAB_RESULTS": str(folder / "results")}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


CHECKS: Mapping[str, SelfTestCheck] = {
    "overwritten-model": SelfTestCheck("a resumed run does not pool two files of one name", 2, _resumed),
    "overwritten-variant": SelfTestCheck("tuning does not credit a file with the blocks of another", 4, _tuned),
    "tiny-renamed": SelfTestCheck("the tiny model under another name is not taken for the full one", 1, _renamed),
    "cold-data": SelfTestCheck("a start with external data in the page cache is not called cold", 1, _cold_with_data),
}
