"""A disk that becomes full at any byte: a sentence with the path and what to do, and no file that is half made."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from places import full_disk, listing
from store_blocks import RECORD, block

from kokoro_lab.audio.wav import encode_audio, formats, write_audio
from kokoro_lab.errors import AudioError, KokoroLabError, ModelError, StoreError
from kokoro_lab.models.catalog import build_stand_in, models_folder, resolve
from kokoro_lab.models.files.model_record import write_record
from kokoro_lab.runtime.preoptimized import find
from kokoro_lab.runtime.tuning_record import Tuned, tuned_path, write_tuned
from kokoro_lab.store import NotebookRun, Store
from kokoro_lab.store.exporting import export
from kokoro_lab.sweeps.progress import Progress, ProgressFile
from kokoro_lab.variants.make_preoptimized import preoptimized

NOISE = np.random.default_rng(3).uniform(-0.5, 0.5, 24_000).astype(np.float32)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def refused(write: Callable[[], object], most: int, kind: type[KokoroLabError]) -> bool:
    """Whether the writer failed when files could have `most` bytes, by an error of its kind that says what to do."""
    try:
        with full_disk(most):
            write()
    except KokoroLabError as error:
        assert type(error) is kind
        assert ("File too large" in error.message or "written" in error.message) and "; " in error.message
        return True
    return False


@pytest.mark.parametrize("form", formats())
def test_audio_is_written_whole_or_not_at_all(tmp_path: Path, form: str) -> None:
    size = len(encode_audio(NOISE, form))
    path = tmp_path / f"a.{form}"
    path.write_bytes(b"before")
    for most in (0, 1, *random.Random(form).sample(range(2, size), 6), size - 1):
        assert refused(lambda: write_audio(path, NOISE), most, AudioError), most
        assert listing(tmp_path) == {path.name: b"before"}
    assert not refused(lambda: write_audio(path, NOISE), size, AudioError)
    assert path.stat().st_size == size


def test_a_model_and_its_records_are_written_whole_or_not_at_all(home: Path) -> None:
    for most in (0, 1_000, 100_000):
        assert refused(lambda: build_stand_in("tiny"), most, ModelError)
        assert not [name for name in listing(home) if not name.endswith(".lock")]
    file = build_stand_in("tiny")
    before = listing(home)
    tuned = Tuned("tiny", file.sha256, "2026-01-01", "m", None, None, ("tiny",))
    for most in (0, 1, 50, 200):
        assert refused(lambda: write_record(file, note="x" * 500), most, ModelError)
        assert refused(lambda: write_tuned(file, tuned), most, ModelError) or tuned_path().exists()
        tuned_path().unlink(missing_ok=True)
        assert {name: data for name, data in listing(home).items() if name != "tuned.json"} == before
    assert resolve("tiny").sha256 == file.sha256


def test_a_pre_optimised_model_is_written_whole_or_not_at_all(home: Path) -> None:
    file = build_stand_in("tiny")
    sizes = {path.suffix: path.stat().st_size for path in preoptimized(file).parent.iterdir()}
    for path in preoptimized(file).parent.iterdir():
        path.unlink()
    for most in (0, 100, sizes[".onnx"] // 2, sizes[".onnx"] - 1):
        with pytest.raises(KokoroLabError, match="; "), full_disk(most):
            preoptimized(file)
        assert find(file).path is None
        assert models_folder().is_dir()
    assert preoptimized(file).is_file()


def test_a_table_is_readable_after_a_full_disk_and_takes_the_row_afterwards(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    store.append_block(RECORD, block(0))
    moment = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    run = NotebookRun("r1", "providers", "p", "ok", "", "x.ipynb", moment, 2.5)
    failures = 0
    for number, most in enumerate((0, 1, *random.Random(4).sample(range(2, 20_000), 10)), start=1):
        row = block(number)
        failures += refused(lambda row=row: store.append_block(RECORD, row), most, StoreError)  # type: ignore[misc]
        again = Store(tmp_path / "tables")
        rows = len(again.cells("r1"))
        assert again.append_block(RECORD, row) == (rows < number + 1)
        assert len(again.cells("r1")) == number + 1
        assert len(again.samples("r1")) == 3 * (number + 1)
    assert failures >= 3
    assert refused(lambda: store.append_notebook(run), 10, StoreError)
    assert store.append_notebook(run) == 0


def test_an_export_and_progress_say_that_the_disk_is_full(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    store.append_block(RECORD, block(0))
    for most in (0, 100, 1_000):
        assert refused(lambda: export(store, tmp_path / "out"), most, StoreError)
        assert not (tmp_path / "out" / "manifest.json").exists()
        assert not list((tmp_path / "out").glob(".*"))
    assert not refused(lambda: export(store, tmp_path / "out"), 1 << 20, StoreError)
    progress = ProgressFile(tmp_path / "progress.jsonl")
    progress.write(Progress("start", 0, 1))
    assert refused(lambda: progress.write(Progress("finished", 1, 1)), 80, StoreError)
    progress.write(Progress("finished", 1, 1))
    assert [event.kind for event in progress.new()] == ["start", "finished"]
