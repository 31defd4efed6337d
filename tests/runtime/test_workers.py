"""Workers: a process that ends while the model runs, ends well."""

from __future__ import annotations

import subprocess
import sys

import pytest
from patience import PATIENCE_S

SCRIPT = """
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
engine = Engine.load(EngineConfig(model="tiny", warmup="{warmup}"))
stream = engine.stream("Hello there my friend, " * 60)
next(stream)
{then}
"""


@pytest.mark.parametrize(
    ("warmup", "then"),
    [
        ("none", ""),
        ("none", "stream.close(); engine.close()"),
        ("none", "del stream"),
        ("background", "engine.close()"),
    ],
)
def test_a_process_ends_well_in_the_middle_of_a_stream(warmup: str, then: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(warmup=warmup, then=then)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
