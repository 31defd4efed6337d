"""Reading the audio of a measured block: float32 samples in a .npy file, which may be damaged by now."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from kokoro_lab.errors import AudioError
from kokoro_lab.files.reading import decoding, opened

__all__ = ["MOST_BYTES", "read_saved"]

MOST_BYTES = 1 << 30
"""Over three hours of speech."""


def read_saved(path: Path) -> npt.NDArray[np.float32]:
    """The samples of a file as the worker stored them, float32[S].

    Raises AudioError for a file that is missing, or is not one array of numbers as long as its header says.
    """
    what = f"saved audio {path}"
    with (
        opened(path, what="saved audio", most=MOST_BYTES, error=AudioError) as stream,
        decoding(what, error=AudioError, advice="measure the cell again"),
    ):
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read_header(stream)
        data = stream.read(MOST_BYTES)
        if kind.kind != "f" or len(data) != math.prod(shape) * kind.itemsize:
            raise AudioError(f"{what} is not as long as its header says, or holds no samples; measure the cell again")
        return np.frombuffer(data, kind).astype(np.float32)
