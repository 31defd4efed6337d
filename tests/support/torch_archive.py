"""Writes PyTorch's zip format without PyTorch, so that reading it can be tested."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


class _Tensor:
    def __init__(self, array: np.ndarray, shown: tuple[int, ...] = ()) -> None:
        self.array = array
        self.shown = shown

    def __reduce__(self) -> tuple[Any, ...]:
        strides = tuple(step // self.array.itemsize for step in self.array.strides)
        shape = self.shown or self.array.shape
        strides = (0,) * len(shape) if self.shown else strides
        arguments = (_Storage(self.array), 0, shape, strides, False, OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


class _Storage:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=2)
        self.storages: list[np.ndarray] = []

    def persistent_id(self, thing: Any) -> Any:
        if not isinstance(thing, _Storage):
            return None
        self.storages.append(thing.array)
        return ("storage", sys.modules["torch"].FloatStorage, str(len(self.storages) - 1), "cpu", thing.array.size)


def _fake_torch() -> dict[str, ModuleType]:
    """Modules whose names a pickle can refer to; nothing in them is ever called."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")

    class FloatStorage:
        pass

    def _rebuild_tensor_v2() -> None:
        raise AssertionError

    for thing, module in ((FloatStorage, torch), (_rebuild_tensor_v2, utils)):
        thing.__module__, thing.__qualname__ = module.__name__, thing.__name__
        setattr(module, thing.__name__, thing)
    return {"torch": torch, "torch._utils": utils}


def save_object(path: Path, content: Any) -> None:
    """Save nested dicts of arrays as `torch.save` would."""
    stream = io.BytesIO()
    saved = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update(_fake_torch())
    try:
        pickler = _Pickler(stream)
        pickler.dump(_wrap(content))
    finally:
        for name, module in saved.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        for index, array in enumerate(pickler.storages):
            archive.writestr(f"archive/data/{index}", array.tobytes())


def save_tensor(path: Path, array: np.ndarray, *, shown: tuple[int, ...] = ()) -> None:
    """Save one float32 tensor; `shown` repeats its first value in that shape, as torch's expanded tensors do."""
    save_object(path, _Tensor(array, shown) if shown else array)


def _wrap(content: Any) -> Any:
    if isinstance(content, np.ndarray):
        return _Tensor(content)
    if isinstance(content, dict):
        return {key: _wrap(value) for key, value in content.items()}
    return content
