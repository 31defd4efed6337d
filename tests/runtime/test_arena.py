"""The arena: its limit reaches onnxruntime, stays with its session, and is met with a named error."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.errors import InferenceError, SettingError
from kokoro_lab.models.catalog import ModelFile
from kokoro_lab.runtime.arena import size_for_machine_mib
from kokoro_lab.runtime.session import Session
from kokoro_lab.runtime.settings import SessionSettings

LONG = [50] * 510  # tokens; a block of 22 MB on the tiny model
SHORT = [50] * 20


def test_each_session_keeps_the_limit_it_was_opened_with(tiny: ModelFile, style: NDArray[np.float32]) -> None:
    small = Session.open(tiny, SessionSettings(arena_limit_mib=48))
    large = Session.open(tiny, SessionSettings(arena_limit_mib=2048))
    free = Session.open(tiny)
    for session in (large, free):
        assert len(session.run(LONG, style, 1.0).audio) > 0
        assert session.arena_refusals == 0
    with pytest.raises(InferenceError, match="need more than the arena's 48 MiB; raise arena_limit_mib"):
        small.run(LONG, style, 1.0)
    assert small.arena_refusals == 1
    assert np.array_equal(small.run(SHORT, style, 1.0).audio, free.run(SHORT, style, 1.0).audio)
    assert [one.read_back()["arena_limit_mib"] for one in (small, large, free)] == ["48", "2048", "0"]
    assert len({small.digest(), large.digest(), free.digest()}) == 3


def test_an_arena_that_grows_as_requested_gives_the_same_samples(tiny: ModelFile, style: NDArray[np.float32]) -> None:
    session = Session.open(tiny, SessionSettings(arena_extend="requested"))
    assert session.read_back()["arena_extend"] == "requested"
    assert np.array_equal(session.run(SHORT, style, 1.0).audio, Session.open(tiny).run(SHORT, style, 1.0).audio)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"arena_extend": "triple"}, "use one of double, requested"),
        ({"arena_limit_mib": -1}, r"use a whole number of MiB from 0 \(no limit\)"),
        ({"arena": False, "arena_limit_mib": 64}, "turn arena on"),
    ],
)
def test_a_setting_that_cannot_be_kept_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        SessionSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("total_gib", "cores", "tokens", "used", "size"),
    [
        (8, 8, 255, 0.5, 384),
        (12, 8, 255, 0.5, 512),
        (16, 8, 255, 0.5, 768),
        (64, 64, 510, 0.5, 4096),
        (64, 1, 16, 0.95, 215),
        (16, 8, 255, 0.75, 691),
        (16, 8, 255, 0.85, 614),
    ],
)
def test_the_specification_s_factors(total_gib: float, cores: int, tokens: int, used: float, size: int) -> None:
    assert size_for_machine_mib(total_gib, cores, tokens, used) == size


def test_an_engine_says_what_its_arena_is_limited_to() -> None:
    with Engine.load(EngineConfig(model="tiny", arena_auto=True)) as engine:
        assert engine.synthesize("Hello.").duration_s > 0
        assert engine.status().arena.limit_mib > 100
    with Engine.load(EngineConfig(model="tiny", arena_limit_mib=48)) as engine:
        with pytest.raises(InferenceError, match="48 MiB"):
            engine.synthesize("several words and no end " * 20)
        assert engine.synthesize("Hello.").duration_s > 0  # the next one works
        assert engine.status().arena.refusals == 1
    with pytest.raises(SettingError, match="set one of them"):
        EngineConfig(arena_auto=True, arena_limit_mib=64)


def test_an_arena_that_shrinks_holds_less_after_a_long_call(tiny: ModelFile) -> None:
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from kokoro_lab.models.catalog import resolve\n"
        "from kokoro_lab.runtime.memory import read_memory\n"
        "from kokoro_lab.runtime.session import Session\n"
        "from kokoro_lab.runtime.settings import SessionSettings\n"
        "session = Session.open(resolve('tiny'), SessionSettings(arena_shrink=sys.argv[1] == 'shrinks'))\n"
        "style = np.zeros((1, 256), np.float32)\n"
        "before = read_memory().rss_bytes\n"
        "session.run([1] * 510, style, 1.0)\n"
        "if sys.argv[1] == 'gives back':\n"
        "    session.release_memory()\n"
        "print((read_memory().rss_bytes - before) / 2**20)\n"
    )

    def held_mib(how: str) -> float:
        done = subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=True)
        return float(done.stdout)

    kept = held_mib("keeps")
    assert held_mib("shrinks") < 0.5 * kept
    assert held_mib("gives back") < 0.5 * kept
