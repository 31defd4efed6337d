"""The process that tries a provider: one line about the session, one line a call, and errors as lines too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from contract_models import contract_model
from patience import PATIENCE_S

PROBE = (sys.executable, "-m", "kokoro_lab.runtime.provider_probe")


def told(model: Path, *inputs: Path, provider: str = "CPUExecutionProvider") -> list[dict[str, Any]]:
    done = subprocess.run(
        [*PROBE, str(model), provider, "1"],
        input="".join(f"{path}\n" for path in inputs), capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def feeds(folder: Path, name: str, tokens: int, **more: Any) -> Path:
    path = folder / f"{name}.npz"
    ids = np.zeros((1, tokens), np.int64)
    np.savez(path, tokens=ids, style=np.zeros((1, 256), np.float32), speed=np.ones(1, np.float32), **more)
    return path


def test_it_says_who_took_the_nodes_and_gives_the_outputs_of_each_call(tmp_path: Path) -> None:
    model = contract_model(tmp_path).path
    calls = [feeds(tmp_path, "short", 5, stranger=np.zeros(3)), feeds(tmp_path, "long", 9)]
    session, *answers = told(model, *calls)
    assert set(session["nodes"]) == {"CPUExecutionProvider"} and session["nodes"]["CPUExecutionProvider"] > 0
    assert session["elsewhere"] == []
    assert answers == [{}, {}]
    lengths = []
    for path in calls:
        with np.load(path.with_suffix(".npz.out")) as outputs:
            lengths.append(outputs["audio"].size)
    assert lengths[0] * 9 == lengths[1] * 5


def test_a_call_that_fails_is_a_line_and_the_next_one_works(tmp_path: Path) -> None:
    model = contract_model(tmp_path, "failure").path
    fails, works = feeds(tmp_path, "fails", 20), feeds(tmp_path, "works", 12)
    session, *answers = told(model, fails, tmp_path / "missing.npz", works)
    assert "error" not in session
    assert [bool(answer.get("error")) for answer in answers] == [True, True, False]
    assert not fails.with_suffix(".npz.out").stat().st_size
    assert works.with_suffix(".npz.out").stat().st_size


def test_a_model_or_a_provider_that_is_not_there_is_one_line_with_the_reason(tmp_path: Path) -> None:
    (only,) = told(tmp_path / "nowhere.onnx", feeds(tmp_path, "short", 5))
    assert "nowhere.onnx" in only["error"] and "\n" not in only["error"]
    (only,) = told(contract_model(tmp_path).path, provider="NoSuchExecutionProvider")
    assert "NoSuchExecutionProvider" in only["error"]
