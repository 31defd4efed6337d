"""Priority: the threads of the engine have it, and a refusal has a name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kokoro_lab.errors import SettingError
from kokoro_lab.runtime.priority import set_priority, threads_by_priority

SCRIPT = """
import json
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
with Engine.load(EngineConfig(model="tiny", priority={priority}, intra_op_threads=3)) as engine:
    engine.synthesize("Hello.")
    print(json.dumps(engine.status().threads_by_priority))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not say it by thread")
def test_onnxruntimes_threads_have_the_priority_asked_for() -> None:
    lower = min(os.getpriority(os.PRIO_PROCESS, 0) + 3, 19)
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(priority=lower)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    ).stdout
    threads = {int(nice): count for nice, count in json.loads(out).items()}
    assert threads[lower] >= 3  # the caller's, and two of onnxruntime's own


def test_nothing_is_changed_unless_asked_for() -> None:
    threads = threads_by_priority()
    if threads is not None:
        assert os.getpriority(os.PRIO_PROCESS, 0) in threads


def test_a_refusal_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refuse)
    with pytest.raises(SettingError, match=r"the system refuses priority .* \(Permission denied\)"):
        set_priority(-5)
