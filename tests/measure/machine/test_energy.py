from __future__ import annotations

import plistlib
import time
from pathlib import Path
from typing import Any

import pytest
from patience import until

from kokoro_lab.measure.machine.energy import find_meter, mean_watts


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    for name, energy in (("intel-rapl:0", 5_000_000), ("intel-rapl:0:0", 1), ("intel-rapl:1", 9_000_000)):
        zone = tmp_path / name
        zone.mkdir()
        (zone / "energy_uj").write_text(f"{energy}\n")
        (zone / "max_energy_range_uj").write_text("10000000\n")
    return tmp_path


def powermetrics_sample(ms: int, **processor: Any) -> bytes:
    """One sample in the form in which powermetrics writes it, cut to what is of interest."""
    return plistlib.dumps({"is_delta": True, "elapsed_ns": ms * 1_000_000, "hw_model": "Mac", "processor": processor})


def test_packages_are_added_up_and_their_parts_are_not_counted_twice(powercap: Path) -> None:
    meter = find_meter(powercap, platform="linux")
    meter.begin()
    (powercap / "intel-rapl:0/energy_uj").write_text("6500000\n")
    (powercap / "intel-rapl:1/energy_uj").write_text("500000\n")  # wrapped around
    assert meter.end() == pytest.approx(1.5 + 1.5)
    assert meter.source == "rapl"


def test_a_machine_that_does_not_tell_is_said_to(tmp_path: Path) -> None:
    meter = find_meter(tmp_path, platform="linux")
    meter.begin()
    assert meter.end() is None
    assert meter.source == "this machine has no RAPL counters"


def test_power_is_the_mean_of_the_samples_by_their_length() -> None:
    apple = [powermetrics_sample(250, cpu_power=3900.0, combined_power=4000.0) for _ in range(3)]
    louder = powermetrics_sample(750, cpu_power=7000.0, combined_power=8000.0)
    assert mean_watts(b"\0".join([*apple, louder])) == pytest.approx(6.0)
    assert mean_watts(powermetrics_sample(250, package_watts=11.5)) == pytest.approx(11.5)


def test_what_is_no_whole_sample_is_left_out() -> None:
    whole = powermetrics_sample(250, combined_power=4000.0)
    assert mean_watts(whole + b"\0" + whole[: len(whole) // 2]) == pytest.approx(4.0)
    assert mean_watts(powermetrics_sample(250, clusters=[])) is None
    assert mean_watts(b"") is None


def test_energy_on_macos_is_power_times_the_time_that_passed(tmp_path: Path) -> None:
    (tmp_path / "sample").write_bytes(powermetrics_sample(250, combined_power=4000.0))
    meter: Any = find_meter(platform="darwin", command=("sh", "-c", f"cat {tmp_path}/sample; exec sleep 600"))
    before = time.monotonic()
    meter.begin()
    began = time.monotonic()
    assert until(lambda: mean_watts(meter._output))
    ended = time.monotonic()
    joules = meter.end()
    after = time.monotonic()
    assert meter.source == "powermetrics"
    assert joules is not None
    assert 4.0 * (ended - began) <= joules <= 4.0 * (after - before)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("false",), "sudo would ask for a password"),
        (("sleep", "600"), "ended before its first sample"),
        (("/no/such/sudo",), "cannot be started"),
    ],
)
def test_without_a_figure_from_powermetrics_it_is_said_why(command: tuple[str, ...], why: str) -> None:
    meter: Any = find_meter(platform="darwin", command=command)
    meter.begin()
    if command == ("false",):
        assert until(lambda: meter._process.poll())
    assert meter.end() is None
    assert why in meter.source
