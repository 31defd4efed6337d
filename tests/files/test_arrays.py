"""NumPy arrays from strangers: the header is matched and measured, never evaluated."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kokoro_lab.errors import VoiceError
from kokoro_lab.files.arrays import parse_npy


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version, allow_pickle=True)
    return stream.getvalue()


@given(
    array=arrays.arrays(
        st.sampled_from(["<f4", ">f4", "<f8", "<f2", "<i8", "|u1", "|b1"]), arrays.array_shapes(min_dims=0, min_side=0)
    ),
    version=st.sampled_from([(1, 0), (2, 0)]),
    columns=st.booleans(),
)
def test_what_numpy_writes_is_read(array: np.ndarray, version: tuple[int, int], columns: bool) -> None:
    array = np.asfortranarray(array) if columns else array
    np.testing.assert_array_equal(parse_npy(npy(array, version), "pack"), array)


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        npy(np.ones(3))[:-1],
        npy(np.ones(3)) + b"\0",
        npy(np.array([{}], object)),
        npy(np.array(["text"])),
        npy(np.zeros(2, [("a", "<f4")])),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (5000000000000,), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999999999,), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        header("{'descr': '<f1', 'fortran_order': False, 'shape': (0,), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1, " * 40 + "), }") + bytes(8),
        header("(" * 60_000),
        header("__import__('os').system('touch harmed')"),
    ],
)
def test_everything_else_is_refused(data: bytes) -> None:
    with pytest.raises(VoiceError, match=r"^pack .+; get the file again"):
        parse_npy(data, "pack", error=VoiceError)
