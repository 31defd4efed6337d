"""Starts the process that makes the exact form of the default model: aside, once somebody has heard a text, or now.

It is `kokoro-lab models prepare`, in a process of its own, because it needs onnx, some seconds of both cores and
gigabytes of memory, none of which an engine should have. Nothing is started where there is no room for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.paths import home
from kokoro_lab.units import MB

if TYPE_CHECKING:
    from kokoro_lab.models.files.model_record import ModelFile

__all__ = ["Preparation", "no_room", "prepare_aside", "prepare_now"]

DISK_FACTOR = 2.2
"""Bytes that are written, over the source's: the variant and its pre-optimised form."""
MEMORY_FACTOR = 9.0
"""Peak memory over the source's bytes: 2.8 GB at full size, where the verification runs both graphs in parts."""

Notice = Callable[[str], None]


class Preparation:
    """Makes the exact form aside after an engine's first text; any number of threads may call `spoken`."""

    def __init__(self, source: ModelFile | None, notice: Notice | None = None) -> None:
        """source: the model without an exact form; None where nothing is to be made."""
        self._source = source
        self._notice = notice or (lambda _: None)
        self._lock = threading.Lock()

    def spoken(self) -> None:
        """A text was spoken: start the process, the first time."""
        if self._source is None:
            return
        with self._lock:
            source, self._source = self._source, None
        if source is not None:
            self._notice(prepare_aside(source))


def prepare_aside(source: ModelFile) -> str:
    """Start the process and return at once, with a message that says what happens. It survives its parent."""
    if reason := no_room(source):
        return f"the exact form of {source.name} was not prepared: {reason}"
    command = _command(source, "--background")
    if not command:
        return f"the exact form of {source.name} was not prepared: this program is not run by a Python interpreter"
    null = subprocess.DEVNULL
    try:
        process = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
    except OSError as error:
        return f"the exact form of {source.name} was not prepared: {error.strerror}"
    threading.Thread(target=process.wait, name="kokoro-preparation", daemon=True).start()  # leaves no zombie
    return (
        f"preparing the exact form of {source.name} on compiled kernels in the background, once; "
        "later processes use it, and KOKORO_PREPARE=off leaves it out"
    )


def prepare_now(source: ModelFile, notice: Notice | None = None) -> None:
    """Run the process to its end, with its messages to `notice`; a failure is one of them."""
    say = notice or (lambda _: None)
    if reason := no_room(source):
        say(f"the exact form of {source.name} was not prepared: {reason}")
        return
    command = _command(source)
    if not command:
        return
    try:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr or ():
                say(line.strip().rstrip("."))
    except OSError as error:
        say(f"the exact form of {source.name} was not prepared: {error.strerror}")


def no_room(source: ModelFile) -> str:
    """Why there is not enough disk or memory to make the exact form of `source`; empty when there is."""
    folder = home()
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    needed, free = DISK_FACTOR * source.bytes, shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return f"{existing} cannot be written"
    if free < needed:
        return f"it needs {needed / MB:.0f} MB of disk, and {existing} has {free / MB:.0f} MB free"
    needed, free = MEMORY_FACTOR * source.bytes, _available_memory()
    if free < needed:
        return f"it needs {needed / MB:.0f} MB of memory, and {free / MB:.0f} MB are available"
    return ""


def _available_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _command(source: ModelFile, *options: str) -> list[str]:
    """The process's command line; empty in a program without a Python interpreter."""
    return [sys.executable, "-m", "kokoro_lab", "models", "prepare", source.name, *options] if sys.executable else []
