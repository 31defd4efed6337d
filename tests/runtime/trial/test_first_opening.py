"""A model file that nobody knows is opened in a process of its own first, once; what does harm is refused by name."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import hostile_models
import pytest

from kokoro_lab.errors import KokoroLabError, ModelError
from kokoro_lab.models.catalog import models_folder, remove, resolve, trial_records
from kokoro_lab.runtime.session import Session
from kokoro_lab.runtime.trial import first_opening, limited_process
from kokoro_lab.runtime.trial.first_opening import ensure_harmless
from kokoro_lab.runtime.trial.limited_process import TrialProcess
from kokoro_lab.runtime.trial.verdict import TrialLimits, Verdict

SHORT = TrialLimits(seconds=1.5, bytes=1 << 30)
"""For a file that never ends; what ends gets `LONG`, which only a hang reaches on a busy machine."""
LONG = TrialLimits(seconds=60.0, bytes=1 << 30)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(first_opening, "_SEEN", {})
    return tmp_path / "home"


@pytest.fixture(scope="module")
def process() -> Iterator[TrialProcess]:
    with TrialProcess() as started:
        yield started


def saved(folder: Path, name: str) -> Path:
    path = folder / f"{name}.onnx"
    make = hostile_models.plain if name == "plain" else hostile_models.HOSTILE[name]
    path.write_bytes(make().SerializeToString())
    return path


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("plain", {"harmless"}),
        ("function_bomb", {"refused"}),
        ("circular_functions", {"refused"}),
        ("nested_if", {"refused"}),
        ("endless_loop", {"hung"}),
        ("giant_constant", {"memory"}),
        ("giant_expansion", {"memory", "harmless"}),  # onnxruntime may refuse it itself
        ("claimed_tensor", {"refused"}),
        ("sparse_tensor", {"refused"}),
        ("cyclic_graph", {"harmless"}),  # an ordinary error
        ("duplicate_names", {"harmless"}),
        ("unknown_operator", {"harmless"}),
        ("impossible_version", {"harmless"}),
        ("context_node", {"harmless"}),
    ],
)
def test_each_kind_of_harm_has_its_verdict(tmp_path: Path, process: TrialProcess, name: str, kinds: set[str]) -> None:
    limits = SHORT if kinds == {"hung"} else LONG
    assert process.verdict(saved(tmp_path, name), limits).kind in kinds


def test_a_process_that_dies_is_a_crash_and_the_next_file_gets_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer = "import os, signal, sys; sys.stdin.readline(); os.kill(os.getpid(), signal.SIGSEGV)"
    ordinary = limited_process.COMMAND
    with TrialProcess() as process:
        monkeypatch.setattr(limited_process, "COMMAND", (ordinary[0], "-c", killer))
        assert process.verdict(saved(tmp_path, "plain"), LONG) == Verdict("crashed", "SIGSEGV")
        monkeypatch.setattr(limited_process, "COMMAND", ordinary)
        assert process.verdict(saved(tmp_path, "plain"), LONG) == Verdict("harmless")


def test_a_foreign_file_is_tried_once_and_then_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = resolve(str(saved(tmp_path, "plain")))
    notices: list[str] = []
    ensure_harmless(file, notices.append)
    assert notices == ["opening plain.onnx in a process of its own first, because its SHA-256 is not known"]
    (record,) = trial_records(file.sha256).iterdir()
    assert json.loads(record.read_text())["kind"] == "harmless"
    monkeypatch.setattr(limited_process, "COMMAND", ("false",))  # no process answers any more
    first_opening._SEEN.clear()
    ensure_harmless(file, notices.append)
    assert len(notices) == 1


@pytest.mark.parametrize("kind", ["crashed", "hung", "memory"])
def test_what_did_harm_is_refused_without_being_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file = resolve(str(saved(tmp_path, "plain")))
    tries: list[Path] = []

    def verdict(_: TrialProcess, path: Path, limits: TrialLimits, *, kernels: bool) -> Verdict:
        tries.append(path)
        return Verdict(kind, "why")  # type: ignore[arg-type]

    monkeypatch.setattr(TrialProcess, "verdict", verdict)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"plain\.onnx \(why\); use another file, or delete .+\.json to try it"):
            Session.open(file)
        first_opening._SEEN.clear()
    assert len(tries) == 1
    (record,) = trial_records(file.sha256).iterdir()
    record.unlink()
    first_opening._SEEN.clear()
    with pytest.raises(ModelError, match="use another file"):
        Session.open(file)
    assert len(tries) == 2


def test_a_function_bomb_is_refused_by_every_way_to_a_session(tmp_path: Path) -> None:
    file = resolve(str(saved(tmp_path, "function_bomb")))
    began = time.process_time()
    with pytest.raises(ModelError, match="expands to more than 50,000 nodes; choose another file"):
        Session.open(file)
    assert time.process_time() - began < 2.0
    assert not trial_records(file.sha256).exists()  # our own reader refuses it again, at once


def test_our_own_and_published_files_are_never_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def never(*_: object, **__: object) -> Verdict:
        raise AssertionError

    monkeypatch.setattr(TrialProcess, "verdict", never)
    tiny = resolve("tiny")
    ensure_harmless(tiny)
    published = next(iter(first_opening_published()))
    ensure_harmless(replace(tiny, path=tmp_path / "elsewhere.onnx", sha256=published))
    with pytest.raises(AssertionError):  # the same bytes elsewhere are nobody's
        shutil.copy(tiny.path, tmp_path / "copy.onnx")
        ensure_harmless(resolve(str(tmp_path / "copy.onnx")))


def first_opening_published() -> list[str]:
    from kokoro_lab.models.files.published import published_models

    return list(published_models())


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"kind": 5}', b'{"kind": "fine"}', b"\xff" * 100_000])
def test_a_damaged_record_is_no_record(tmp_path: Path, junk: bytes) -> None:
    file = resolve(str(saved(tmp_path, "plain")))
    ensure_harmless(file)
    (record,) = trial_records(file.sha256).iterdir()
    record.write_bytes(junk)
    assert first_opening._remembered(record) is None


def test_a_home_that_cannot_be_written_only_forgets(tmp_path: Path, home: Path) -> None:
    file = resolve(str(saved(tmp_path, "plain")))
    home.mkdir(exist_ok=True)
    (home / "trials").write_text("a file where the folder should be")
    ensure_harmless(file)


def test_removing_a_model_forgets_its_trial(tmp_path: Path) -> None:
    models_folder().mkdir(parents=True)
    saved(models_folder(), "plain")
    file = resolve("plain")
    ensure_harmless(file)
    (record,) = trial_records(file.sha256).iterdir()
    assert record in remove("plain")
    assert not record.exists()


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    with TrialProcess() as process, pytest.raises(KokoroLabError):
        process.verdict(saved(tmp_path, "plain"), LONG)
        assert process._process is not None
        number = process._process.pid
        raise ModelError("stop; now")
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
