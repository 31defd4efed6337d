"""NumPy's .npy files that somebody else wrote: the header is matched, never evaluated, and sizes are checked first."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.errors import InputError, KokoroLabError

__all__ = ["parse_npy"]

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 1024  # bytes; of an array of numbers it has 118
MOST_DIMENSIONS = 16
HEADER = re.compile(
    rb"\{'descr': '([<>|=][fiub][1248])', 'fortran_order': (True|False), 'shape': \(([0-9L, ]*)\), ?\}\s*"
)


def parse_npy(data: bytes, what: str, *, error: type[KokoroLabError] = InputError) -> NDArray[Any]:
    """The array of numbers in the bytes of an .npy file, read-only and without a copy.

    Args:
        data: the file's bytes.
        what: its kind and place, as in "voice pack af.npy".
        error: the error to raise.
    """
    wide = data[6:7] in {b"\x02", b"\x03"}  # version 2 and 3 have a length of four bytes
    start = 12 if wide else 10
    length = int.from_bytes(data[8:start], "little")
    if data[:6] != MAGIC or length > LONGEST_HEADER or len(data) < start + length:
        raise error(f"{what} is not a NumPy array; get the file again")
    header = HEADER.fullmatch(data, start, start + length)
    if header is None:
        raise error(f"{what} is not an array of numbers; get the file again")
    sizes = [word.strip(b" L") for word in header[3].split(b",") if word.strip(b" L")]
    if len(sizes) > MOST_DIMENSIONS or any(len(size) > 15 or not size.isdigit() for size in sizes):
        raise error(f"{what} has an impossible shape; get the file again")
    shape = tuple(int(size) for size in sizes)
    if math.prod(shape) * int(header[1][2:]) != len(data) - start - length:
        raise error(f"{what} is shorter or longer than its header declares; get the file again")
    try:
        flat = np.frombuffer(data, header[1].decode("ascii"), offset=start + length)
    except (TypeError, ValueError) as problem:  # a type that does not exist, as a float of one byte
        raise error(f"{what} is not an array of numbers; get the file again") from problem
    return flat.reshape(shape, order="F" if header[2] == b"True" else "C")
