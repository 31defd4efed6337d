"""Reads tensors out of PyTorch's zip files without PyTorch, and without running anything they contain.

The pickle inside such a file can name any function to call. This reader knows the handful of names that describe
tensors and refuses every other.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.errors import ModelError

__all__ = ["read_torch_file"]

STORAGE_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
MOST_BYTES = 2 << 30  # a Kokoro checkpoint has 327 MB; a larger archive is something else


@dataclass(frozen=True)
class _Storage:
    dtype: np.dtype[Any]
    key: str
    count: int


def read_torch_file(path: Path) -> Any:
    """The object saved in `path`, with NumPy arrays for tensors: a dict, a nesting of dicts, or one array.

    Raises ModelError for anything but tensors in plain containers, and for a damaged file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
                raise ModelError(f"{path.name} unpacks to more than 2 GiB and is not a Kokoro file")
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ModelError(f"{path.name} is not a PyTorch file: it holds {len(pickles)} data.pkl entries")
            with archive.open(pickles[0]) as stream:
                return _Reader(stream, archive, pickles[0].removesuffix("data.pkl")).load()
    except ModelError:
        raise
    except (OSError, zipfile.BadZipFile, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path.name} is damaged or not a PyTorch file: {error}") from error


class _Reader(pickle.Unpickler):
    def __init__(self, stream: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(stream)
        self._archive = archive
        self._root = root
        self._bytes = 0
        """Of the tensors that were made: a small storage can be shown as a large tensor, and shown again and again."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return self._rebuild
        if module == "torch._utils" and name == "_rebuild_parameter":
            return _parameter
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise ModelError(f"the file asks to call {module}.{name}, which no tensor needs; it was not read")

    def persistent_load(self, saved: Any) -> _Storage:
        kind, dtype, key, _device, count = saved
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise ModelError(f"the file holds an unknown kind of storage: {kind}")
        return _Storage(dtype, str(key), int(count))

    def _rebuild(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
    ) -> NDArray[Any]:
        raw = self._archive.read(f"{self._root}data/{storage.key}")
        flat = np.frombuffer(raw, storage.dtype)
        if flat.size < storage.count:
            raise ModelError("the file is truncated: a tensor is shorter than it says")
        reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1 if shape else offset + 1
        if min((offset, *shape, *strides), default=0) < 0 or (0 not in shape and reach > flat.size):
            raise ModelError("the file is damaged: a tensor reaches beyond its storage")
        step = storage.dtype.itemsize
        self._bytes += math.prod(shape) * step
        if self._bytes > MOST_BYTES:
            raise ModelError("the file's tensors take more than 2 GiB, so it is no Kokoro file; it was not read")
        view = np.lib.stride_tricks.as_strided(flat[offset:], shape, tuple(s * step for s in strides))
        return np.array(view)


def _parameter(data: NDArray[Any], *_: Any) -> NDArray[Any]:
    return data
