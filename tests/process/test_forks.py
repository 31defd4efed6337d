"""A fork while an engine works: the child is refused by name or loads an engine of its own, and always ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from forking import in_child
from patience import PATIENCE_S

from kokoro_lab.errors import InferenceError
from kokoro_lab.process.forks import Birthplace, after_fork
from kokoro_lab.runtime.idle import IdleTimer


def test_what_is_from_before_a_fork_is_refused_there_and_not_here() -> None:
    born = Birthplace()
    assert born.is_here
    born.require("engine")

    def child() -> str:
        try:
            born.require("engine")
        except InferenceError as error:
            return error.message
        return "allowed"

    assert in_child(child).startswith("the engine was loaded before a fork")


def test_what_lives_is_renewed_in_the_child_only() -> None:
    class Held:
        lock = threading.Lock()

        def renew(self) -> None:
            self.lock = threading.Lock()

    held, dropped = Held(), Held()
    after_fork(held, Held.renew)
    after_fork(dropped, Held.renew)
    del dropped
    with held.lock:
        assert in_child(lambda: held.lock.acquire(timeout=1.0)) == "True"
        assert held.lock.locked()


def test_an_idle_timer_of_the_parent_does_nothing_in_the_child() -> None:
    idle = IdleTimer(0.01, lambda: None)
    idle.touch()
    with idle._changed:  # as at an unlucky moment

        def child() -> str:
            idle.touch()
            idle.stop()
            return "ended"

        assert in_child(child) == "ended"
    idle.stop()


def test_the_child_neither_stops_nor_awaits_the_workers_of_its_parent() -> None:
    code = (
        "import os, sys, threading\n"
        "from kokoro_lab.runtime.workers import start_worker\n"
        "over = threading.Event()\n"
        "worker = start_worker('test', over.wait, lambda: (print('stopped by', os.getpid() == me), over.set()))\n"
        "me = os.getpid()\n"
        "child = os.fork()\n"
        "if not child: sys.exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), worker.is_alive(), flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.stdout.splitlines() == ["7 True", "stopped by True"], done.stderr


@pytest.mark.parametrize(("children", "seed"), [("5", "1"), pytest.param("40", "7", marks=pytest.mark.slow)])
def test_children_forked_while_an_engine_works_end_by_name(children: str, seed: str) -> None:
    """In a process of its own: a child of a big test process would copy everything that pytest has."""
    done = subprocess.run(
        [sys.executable, "-m", "forking", children, seed],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        check=False,
    )
    said, words, *failed = done.stdout.splitlines()
    assert (said, words) == (children, "children"), done.stderr
    assert not failed, done.stdout + done.stderr
