from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import pytest

from kokoro_lab.measure.machine.interference import Snapshot, own_reading, reading, snapshot, with_waiting

BEFORE = Snapshot(wall=100.0, cpus=2, busy=50.0, steal=1.0, own_self=5.0, own_children=7.0, pressure={"cpu": 3.0})
"""Ten seconds later there will have been twenty seconds of CPU time."""


def after(**gained: float) -> Snapshot:
    names = {name: getattr(BEFORE, name) + value for name, value in gained.items()}
    return replace(BEFORE, wall=110.0, **names)


def test_the_workers_cpu_time_is_not_contamination() -> None:
    quiet = reading(BEFORE, after(busy=19.0, own_children=18.8))
    assert not quiet.contaminated
    assert quiet.other_cpu_share == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("gained", "contaminated", "reason"),
    [
        ({"busy": 10.58, "own_children": 10.0}, False, ""),
        ({"busy": 10.62, "own_children": 10.0}, True, "other processes used 3.1%"),
        ({"busy": 10.7, "own_children": 10.0, "own_self": 0.7}, True, "the waiting process used 3.5%"),
        ({"busy": 10.0, "own_children": 10.0, "steal": 0.18}, False, ""),
        ({"busy": 10.0, "own_children": 10.0, "steal": 0.22}, True, "the hypervisor took 1.1%"),
    ],
)
def test_the_limits_are_three_and_one_percent(gained: dict[str, float], contaminated: bool, reason: str) -> None:
    quiet = reading(BEFORE, after(**gained))
    assert quiet.contaminated is contaminated
    assert quiet.reason.startswith(reason)


def test_less_than_the_clock_can_resolve_contaminates_nothing() -> None:
    short = replace(BEFORE, wall=100.2, busy=50.03)
    assert not reading(BEFORE, short).contaminated


def test_pressure_is_the_share_of_the_wall_time_in_which_something_stalled() -> None:
    assert reading(BEFORE, replace(after(), pressure={"cpu": 5.0})).cpu_pressure == pytest.approx(0.2)
    assert reading(BEFORE, replace(after(), pressure={})).cpu_pressure is None


def test_a_real_hog_is_seen_and_a_real_child_of_ours_is_counted_as_ours() -> None:
    burn = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"
    start = snapshot()
    subprocess.run([sys.executable, "-c", burn.format(0.5)], check=True)
    middle = snapshot()
    assert middle.own_children - start.own_children > 0.5
    with subprocess.Popen([sys.executable, "-c", burn.format(600)]) as hog:
        before = snapshot()
        time.sleep(1.0)
        quiet = reading(before, snapshot())
        hog.kill()
    assert quiet.contaminated
    assert quiet.other_cpu_share is not None
    assert quiet.other_cpu_share > 0.1


def test_a_measured_process_reads_its_own_time_and_the_waiting_process_completes_it() -> None:
    own = own_reading(BEFORE, after(busy=19.0, own_self=18.8))
    assert (own.contaminated, own.harness_cpu_share) == (False, None)
    assert own.other_cpu_share == pytest.approx(0.01)
    asleep = with_waiting(own, reading(BEFORE, after(busy=19.0, own_children=18.8)))
    assert (asleep.contaminated, asleep.harness_cpu_share) == (False, 0.0)
    awake = with_waiting(own, reading(BEFORE, after(busy=19.7, own_children=18.8, own_self=0.7)))
    assert awake.contaminated and awake.reason == "the waiting process used 3.5% of the CPU time"
    disturbed = own_reading(BEFORE, after(busy=19.0, own_self=17.0))
    assert disturbed.contaminated and with_waiting(disturbed, reading(BEFORE, after())).contaminated
