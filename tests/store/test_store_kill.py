"""Exactly once: real processes, killed with SIGKILL at chosen and at random moments, and two writers at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from patience import until

from kokoro_lab.store import Store

WRITER = Path(__file__).parents[1] / "support" / "store_writer.py"
RANDOM_KILLS = int(os.environ.get("KOKORO_LAB_TEST_KILLS", "7"))
"""CI runs a few; set KOKORO_LAB_TEST_KILLS=50 for the long proof."""


def start(root: Path, log: Path, last: int, nonce: int, *more: str, first: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(WRITER), str(root), str(log), str(first), str(last), str(nonce), *more]
    return subprocess.Popen(command)


def wait_for(log: Path, lines: int) -> None:
    assert until(lambda: log.exists() and len(log.read_text().splitlines()) >= lines)


def check_complete(root: Path, log: Path, blocks: int) -> None:
    """Every block once, with all of its samples from one process, and those that were acknowledged as new unchanged."""
    store = Store(root)
    cells, samples = store.cells(), store.samples()
    assert sorted(cells["block"]) == list(range(blocks))
    assert Counter(samples["block"]) == {number: number % 3 + 1 for number in range(blocks)}
    assert samples.groupby("block")["total_ms"].nunique().eq(1).all()
    assert not samples.duplicated(["run_id", "cell_id", "block", "repeat"]).any()
    nonces = samples.groupby("block")["total_ms"].first()
    new = [line.split() for line in log.read_text().splitlines() if line.endswith(" 1")]
    for number, nonce, _ in new:
        assert nonces[int(number)] == float(nonce), f"block {number} was acknowledged, then changed"
    assert len({number for number, *_ in new}) == len(new), "a block was acknowledged as new twice"


@pytest.mark.parametrize("moment", [1, 2, 3, 4])
def test_a_writer_killed_between_the_commits_of_a_block_leaves_nothing_lost_or_doubled(
    tmp_path: Path, moment: int
) -> None:
    root, log = tmp_path / "tables", tmp_path / "log"
    assert start(root, log, 1, 1, "kill", str(moment)).wait() == -signal.SIGKILL
    store = Store(root)
    marked = moment == 4
    assert len(store.done("r1")) == int(marked)
    assert len(store.samples()) == int(marked), "samples of a block that is not done must not be seen"
    assert start(root, log, 1, 2).wait() == 0
    check_complete(root, log, 1)
    assert set(store.samples()["total_ms"]) == {1.0 if marked else 2.0}


def test_writers_killed_at_random_and_started_again_leave_every_block_once(tmp_path: Path) -> None:
    root, log = tmp_path / "tables", tmp_path / "log"
    chance, written = random.Random(20), 0
    for nonce in range(1, RANDOM_KILLS + 1):
        before = len(log.read_text().splitlines()) if log.exists() else 0
        # Begins with blocks that are there, and goes on until it is killed: every kill hits a writer at work.
        process = start(root, log, 10_000, nonce, first=max(0, written - 2))
        wait_for(log, before + 1)
        time.sleep(chance.uniform(0.0, 0.6))
        process.kill()
        process.wait()
        written = len(Store(root).done("r1"))
    assert start(root, log, written + 2, 99, first=max(0, written - 2)).wait() == 0
    check_complete(root, log, written + 2)


def test_a_process_that_read_the_tables_ends_well(tmp_path: Path) -> None:
    # An Arrow thread that still held a Python object ended four of ten such processes with SIGABRT.
    root, log = tmp_path / "tables", tmp_path / "log"
    endings = [start(root, log, 1, 1).wait() for _ in range(12)]
    assert endings == [0] * 12


def test_two_writers_of_the_same_blocks_keep_each_once(tmp_path: Path) -> None:
    root, logs = tmp_path / "tables", [tmp_path / "log1", tmp_path / "log2"]
    processes = [start(root, log, 12, nonce) for nonce, log in enumerate(logs, 1)]
    assert [process.wait() for process in processes] == [0, 0]
    both = tmp_path / "log"
    both.write_text("".join(log.read_text() for log in logs))
    check_complete(root, both, 12)
