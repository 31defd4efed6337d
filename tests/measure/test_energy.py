from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.measure.energy import EnergyMeter


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    for name, energy in (("intel-rapl:0", 5_000_000), ("intel-rapl:0:0", 1), ("intel-rapl:1", 9_000_000)):
        zone = tmp_path / name
        zone.mkdir()
        (zone / "energy_uj").write_text(f"{energy}\n")
        (zone / "max_energy_range_uj").write_text("10000000\n")
    return tmp_path


def test_packages_are_added_up_and_their_parts_are_not_counted_twice(powercap: Path) -> None:
    meter = EnergyMeter.find(powercap)
    before = meter.read()
    (powercap / "intel-rapl:0/energy_uj").write_text("6500000\n")
    (powercap / "intel-rapl:1/energy_uj").write_text("500000\n")  # wrapped around
    assert meter.joules(before, meter.read()) == pytest.approx(1.5 + 1.5)
    assert meter.source == "rapl"


def test_a_machine_that_does_not_tell_is_said_to(tmp_path: Path) -> None:
    meter = EnergyMeter.find(tmp_path)
    assert meter.joules(meter.read(), meter.read()) is None
    assert meter.source != "rapl"
