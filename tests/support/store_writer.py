"""A process that appends blocks until it is done or killed; run by the tests of kill -9.

    python store_writer.py ROOT ACKNOWLEDGED FIRST LAST NONCE [kill AFTER_WRITE]

Block n gets n % 3 + 1 samples whose total_ms is NONCE. After each append its number, NONCE and whether it was new go to
ACKNOWLEDGED. With `kill`, the process kills itself before (odd) or after (even) its table write (AFTER_WRITE + 1) // 2.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from store_blocks import RECORD, block

from kokoro_lab.store import Store
from kokoro_lab.store.table import Table


def die_at(moment: int) -> None:
    """Kill this process before (odd) or after (even) its table write number (moment + 1) // 2."""
    write, halves = Table._write, 0

    def counted(self: Table, *args: object, **kwargs: object) -> int:
        nonlocal halves
        for half in (1, 2):
            halves += 1
            if half == 2:
                version = write(self, *args, **kwargs)
            if halves == moment:
                os.kill(os.getpid(), signal.SIGKILL)
        return version

    Table._write = counted


def main() -> None:
    root, acknowledged, first, last, nonce = sys.argv[1:6]
    if len(sys.argv) > 6:
        die_at(int(sys.argv[7]))
    store = Store(root)
    with Path(acknowledged).open("a") as log:
        log.write("ready\n")
        log.flush()
        for number in range(int(first), int(last)):
            new = store.append_block(RECORD, block(number, repeats=number % 3 + 1, total_ms=float(nonce)))
            log.write(f"{number} {nonce} {int(new)}\n")
            log.flush()


if __name__ == "__main__":
    main()
