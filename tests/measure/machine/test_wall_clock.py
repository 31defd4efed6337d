"""Time stamps of a run do not go back, whatever happens to the system's clock."""

from __future__ import annotations

import datetime
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kokoro_lab.measure.machine import wall_clock
from kokoro_lab.measure.machine.wall_clock import SteadyClock

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
START = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


class System:
    """A system's clocks: `wall` can be set, `ticks` cannot."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.ticks = START, 100.0
        now = SimpleNamespace(now=lambda zone: self.wall)
        calendar = SimpleNamespace(datetime=now, UTC=datetime.UTC, timedelta=datetime.timedelta)
        monkeypatch.setattr(wall_clock, "datetime", calendar)
        monkeypatch.setattr(wall_clock, "time", SimpleNamespace(monotonic=lambda: self.ticks))

    def wait(self, seconds: float, step: float = 0.0) -> None:
        self.wall += datetime.timedelta(seconds=seconds + step)
        self.ticks += seconds


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    return System(monkeypatch)


def test_a_clock_that_is_set_back_goes_on_from_where_it_was(system: System) -> None:
    clock = SteadyClock()
    system.wait(10)
    assert clock.now() == START + datetime.timedelta(seconds=10)
    system.wait(5, step=-3600)
    assert clock.now() == START + datetime.timedelta(seconds=15)
    system.wait(5)
    assert clock.now() == START + datetime.timedelta(seconds=20)


def test_a_clock_that_jumps_ahead_is_followed(system: System) -> None:
    clock = SteadyClock()
    system.wait(10, step=7200)
    assert clock.now() == START + datetime.timedelta(seconds=7210)


def test_stamps_follow_one_another_whatever_the_clock_does(system: System) -> None:
    rng, clock = random.Random(5), SteadyClock()
    stamps = [START]
    for _ in range(300):
        waited = rng.uniform(0, 100)
        system.wait(waited, step=rng.choice([0, 0, rng.uniform(-90_000, 90_000)]))
        stamps.append(clock.now())
        assert (stamps[-1] - stamps[-2]).total_seconds() >= waited - 1e-5


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_a_real_clock_that_steps_back_an_hour_is_survived(tmp_path: Path) -> None:
    setting = tmp_path / "faketime"
    setting.write_text("+0\n")
    program = (
        "import sys; from pathlib import Path\n"
        "from kokoro_lab.measure.machine.wall_clock import SteadyClock\n"
        "clock = SteadyClock(); first = clock.now(); import datetime\n"
        "Path(sys.argv[1]).write_text('-1h\\n')\n"
        "assert datetime.datetime.now(datetime.UTC) < first\n"
        "assert clock.now() >= first\n"
    )
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(setting),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(Path(wall_clock.__file__).parents[3]),
    }
    subprocess.run([sys.executable, "-c", program, str(setting)], env=environment, check=True)
