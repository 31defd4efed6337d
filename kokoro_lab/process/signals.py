"""Ctrl-C, SIGTERM and SIGHUP end a command in the same orderly way: as an exception in its main thread.

So whatever cleans up after Ctrl-C (a `with` block, a `finally`) cleans up after the others, too. The exit code is 128
plus the signal's number: 130, 143, 129. A second signal of the same kind ends the process at once; what is then left
lying about is removed at the next start. A signal that the parent wanted ignored (nohup) stays ignored.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from kokoro_lab.process.exits import end_process
from kokoro_lab.process.streams import close_streams, open_streams, raise_file_limit

__all__ = ["ENDING", "Interruption", "command", "interruptible", "interruption_of"]

ENDING: dict[int, str] = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by SIGTERM",
    **({signal.SIGHUP: "ended by SIGHUP"} if hasattr(signal, "SIGHUP") else {}),
}
"""The signals that end a command, with what it then says."""


class Interruption(KeyboardInterrupt):
    """The user or the system ends the program. Not a KokoroLabError: nothing that handles errors may handle it."""

    def __init__(self, number: int = signal.SIGINT, advice: str = "") -> None:
        super().__init__(number, advice)
        self.number = number
        self.advice = advice
        """What to do about what was interrupted, without a full stop; may be empty."""

    @property
    def message(self) -> str:
        """What happened; what to do."""
        return "; ".join(filter(None, (ENDING.get(self.number, "interrupted"), self.advice)))

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number."""
        return 128 + self.number


_received: list[int] = []
"""Signals that this process has received, where a library may have swallowed or disguised the exception."""


def interruption_of(error: BaseException) -> Interruption | None:
    """The interruption that an error stands for; None for any other error.

    Libraries disguise an interruption: a command line as its own exception, an import as an ImportError, a native
    module as a SystemError. An error after a signal is taken for its consequence.
    """
    cause: BaseException | None = error
    for _ in range(20):
        if isinstance(cause, Interruption):
            return cause
        if isinstance(cause, KeyboardInterrupt):
            return Interruption(_received[0] if _received else signal.SIGINT)
        if cause is None:
            break
        cause = cause.__cause__ or cause.__context__
    return Interruption(_received[0]) if _received else None


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise an Interruption for SIGTERM and SIGHUP, too, for the duration of the block: inside somebody else's program,
    such as a notebook's kernel.

    Changes nothing in another thread than the main one, where handlers cannot be set, nor a handler that the program
    has set itself.
    """
    changed = []
    if threading.current_thread() is threading.main_thread():
        changed = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def command(run: Callable[[], int]) -> NoReturn:
    """Run the program's main function, and end the process with the exit code that it returns or a signal causes."""
    try:
        sys.unraisablehook = _silent_about_interruptions
        _handle_with(_interrupt)
        open_streams()
        raise_file_limit()
        code = run()
        code = close_streams() or code
    except KeyboardInterrupt as error:  # while modules are imported, before anything can be half made
        interruption = interruption_of(error) or Interruption()
        _say(interruption.message)
        code = interruption.exit_code
    # The work is done: a signal from here on ends the clean-up, and changes nothing about the result.
    _handle_with(lambda *_: os._exit(code))
    end_process(code)


def _silent_about_interruptions(unraisable: sys.UnraisableHookArgs) -> None:
    """An interruption that comes inside a destructor cannot be raised: nothing was interrupted."""
    if not isinstance(unraisable.exc_value, Interruption):
        sys.__unraisablehook__(unraisable)


def _handle_with(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interruption(number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if number in _received:
        os._exit(128 + number)
    _received.append(number)
    if len(_received) == 1:
        raise Interruption(number)


def _say(message: str) -> None:
    """Print to standard error without its buffer, which the interrupted code may be writing to."""
    with suppress(OSError):
        os.write(2, f"kokoro-lab: {message[0].upper()}{message[1:]}.\n".encode())
