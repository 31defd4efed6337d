"""Reads tensors from PyTorch's zip files without PyTorch, and without running any code that they contain.

The pickle inside such a file is a program: it can name any function to call, build containers that take for ever to
hash, and ask for any amount of memory. This reader is an interpreter of the few instructions that `torch.save` writes
for tensors in plain containers, and refuses all others.
"""

from __future__ import annotations

import math
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.errors import KokoroLabError, ModelError, ModelNotFoundError
from kokoro_lab.files.reading import decoding, opened
from kokoro_lab.files.zip_archives import Archive, ArchiveLimits, archive

__all__ = ["MOST_CHECKPOINT_BYTES", "read_torch_file"]

STORAGE_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
MOST_CHECKPOINT_BYTES = 400 << 20  # a Kokoro checkpoint has 327 MB
MOST_ENTRIES = 5_000  # one for each tensor; Kokoro has 548 of them
MOST_PICKLE_BYTES = 1 << 20  # Kokoro's has 0.1 MB
MOST_INSTRUCTIONS = 200_000
MOST_DIMENSIONS = 16


def read_torch_file(
    path: Path,
    *,
    what: str = "checkpoint",
    most: int = MOST_CHECKPOINT_BYTES,
    error: type[KokoroLabError] = ModelError,
    missing: type[KokoroLabError] = ModelNotFoundError,
) -> Any:
    """The object saved in `path`, with NumPy arrays for tensors: a dict, a nesting of dicts, or a single array.

    Each storage is read once; a tensor that has its storage's order is a read-only view of it. `most` bounds the bytes
    of the file, of all storages, and of all tensors.

    Raises `missing` when there is no such file, and `error` for anything but tensors in plain containers, and for
    damaged files.
    """
    label = f"{what} {path.name}"
    limits = ArchiveLimits(MOST_ENTRIES, most)
    with (
        opened(path, what=what, most=most, error=error, missing=missing) as stream,
        archive(stream, label, limits, error=error) as entries,
    ):
        pickles = [name for name in entries.names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise error(
                f"{path.name} is not a PyTorch file, it has {len(pickles)} data.pkl entries; choose a .pth or .pt"
            )
        if entries.size(pickles[0]) > MOST_PICKLE_BYTES:
            raise error(f"{label} has a description of more than {MOST_PICKLE_BYTES:,} bytes; choose another file")
        with decoding(label, error=error):
            return _Interpreter(entries, pickles[0].removesuffix("data.pkl"), most, error).run()


class _Function(Enum):
    """What a file may call."""

    TENSOR = ("torch._utils", "_rebuild_tensor_v2")
    PARAMETER = ("torch._utils", "_rebuild_parameter")
    DICT = ("collections", "OrderedDict")


@dataclass(frozen=True)
class _Storage:
    dtype: np.dtype[Any]
    key: str
    count: int


class _Interpreter:
    """Runs the instructions of a pickle on a stack of plain values, tensors and storages."""

    def __init__(self, entries: Archive, root: str, most: int, error: type[KokoroLabError]) -> None:
        self._entries = entries
        self._root = root
        self._most = most
        self._error = error
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._storages: dict[str, bytes] = {}
        self._bytes = 0
        """Bytes of the tensors so far: a small storage can be viewed as a large tensor, again and again."""

    def run(self) -> Any:
        """The object that the pickle describes."""
        data = self._entries.read(f"{self._root}data.pkl")
        for number, (instruction, argument, _) in enumerate(pickletools.genops(data)):
            if number > MOST_INSTRUCTIONS:
                raise self._error("the file has more instructions than any list of tensors; choose another file")
            name = instruction.name
            if name in CONSTANTS:
                self._stack.append(CONSTANTS[name])
            elif name in LITERALS:
                self._stack.append(argument)
            elif name in EMPTY:
                self._stack.append(EMPTY[name]())
            elif name == "STOP":
                break
            elif name in INSTRUCTIONS:
                INSTRUCTIONS[name](self, argument)
            elif name not in {"PROTO", "FRAME"}:
                raise self._error(f"the file has the instruction {name}, which no tensor needs; do not use it")
        return self._stack.pop()

    def mark(self, _: Any) -> None:
        """Remember the height of the stack."""
        self._marks.append(len(self._stack))

    def memoize(self, number: int | None) -> None:
        """Store the top of the stack under a number, the next one when it is None."""
        self._memo[len(self._memo) if number is None else number] = self._stack[-1]

    def recall(self, number: int) -> None:
        """Push what was stored under a number."""
        self._stack.append(self._memo[number])

    def tuple_of(self, count: int) -> None:
        """Replace the topmost values by a tuple of them."""
        self._stack.append(tuple(self._above(len(self._stack) - count)))

    def tuple_to_mark(self, _: Any) -> None:
        """Replace the values above the mark by a tuple of them."""
        self._stack.append(tuple(self._above(self._marks.pop())))

    def append(self, several: bool) -> None:
        """Move the value on top, or those above the mark, into the list below."""
        values = self._above(self._marks.pop() if several else len(self._stack) - 1)
        if not isinstance(self._stack[-1], list):
            raise self._error("the file appends to what is no list; get the file again")
        self._stack[-1].extend(values)

    def set_items(self, several: bool) -> None:
        """Move the key and value on top, or the pairs above the mark, into the dict below."""
        values = self._above(self._marks.pop() if several else len(self._stack) - 2)
        if not isinstance(self._stack[-1], dict):
            raise self._error("the file sets an item of what is no dict; get the file again")
        self._stack[-1].update(self._pair(pair) for pair in zip(values[::2], values[1::2], strict=True))

    def find(self, names: str | None) -> None:
        """Push the function or type that is named `module name`, or by the two values on top."""
        module, name = self._above(len(self._stack) - 2) if names is None else names.split(" ", 1)
        if module == "torch" and name in STORAGE_TYPES:
            self._stack.append(STORAGE_TYPES[name])
            return
        try:
            self._stack.append(_Function((module, name)))
        except ValueError:
            raise self._error(
                f"the file calls {str(module)[:60]}.{str(name)[:60]}, which is unsafe and which no tensor needs; "
                "do not use it"
            ) from None

    def call(self, _: Any) -> None:
        """Replace a function and its arguments by the result."""
        function, arguments = self._above(len(self._stack) - 2)
        if not isinstance(arguments, tuple):
            raise self._error("the file calls a function without arguments; get the file again")
        if function is _Function.TENSOR:
            self._stack.append(self._tensor(*arguments[:4]))
        elif function is _Function.PARAMETER and arguments:
            self._stack.append(arguments[0])
        elif function is _Function.DICT:
            pairs = arguments[0] if arguments else []
            if not isinstance(pairs, list):
                raise self._error("the file makes a dict of what is no list; get the file again")
            self._stack.append(OrderedDict(self._pair(pair) for pair in pairs))
        else:
            raise self._error("the file calls what is no function; do not use it")

    def set_state(self, _: Any) -> None:
        """Drop the attributes of a dict; PyTorch stores versions of its modules in them."""
        target, _state = self._above(len(self._stack) - 2)
        if not isinstance(target, OrderedDict):
            raise self._error("the file sets attributes of what is no dict; do not use it")
        self._stack.append(target)

    def storage(self, _: Any) -> None:
        """Replace the description of a storage by a reference to it."""
        kind, dtype, key, _device, count = self._stack.pop()
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(key, str) or type(count) is not int:
            raise self._error("the file has an unknown kind of storage; save it with torch.save")
        self._stack.append(_Storage(dtype, key, count))

    def _above(self, height: int) -> list[Any]:
        if not 0 <= height <= len(self._stack):
            raise self._error("the file takes more values than it has; get the file again")
        values = self._stack[height:]
        del self._stack[height:]
        return values

    def _pair(self, pair: Any) -> tuple[Any, Any]:
        key, value = pair
        if not isinstance(key, str | int):  # tuples within tuples may take for ever to hash
            raise self._error("the file has a dict whose keys are no names; save it with torch.save")
        return key, value

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> NDArray[Any]:
        if not isinstance(storage, _Storage) or not _are_sizes((offset,)) or not _are_sizes(shape, strides):
            raise self._error("the file is damaged, a tensor has no shape; get the file again")
        flat = self._values(storage)
        reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
        if 0 not in shape and reach > flat.size:
            raise self._error("the file is damaged, a tensor reaches beyond its storage; get the file again")
        step = storage.dtype.itemsize
        self._bytes += math.prod(shape) * step
        if self._bytes > self._most:
            raise self._error(f"the file's tensors take more than {self._most:,} bytes; choose another file")
        if 0 in shape:
            return np.zeros(shape, storage.dtype)
        view = np.lib.stride_tricks.as_strided(flat[offset:], shape, tuple(s * step for s in strides), writeable=False)
        return view if view.flags.c_contiguous else np.array(view)

    def _values(self, storage: _Storage) -> NDArray[Any]:
        if storage.key not in self._storages:
            self._storages[storage.key] = self._entries.read(f"{self._root}data/{storage.key}")
        raw = self._storages[storage.key]
        flat = np.frombuffer(raw, storage.dtype, len(raw) // storage.dtype.itemsize)
        if flat.size < storage.count:
            raise self._error("the file is truncated, a tensor is shorter than declared; get the file again")
        return flat


def _are_sizes(*several: Any) -> bool:
    """Whether each is a tuple of a few integers from zero up."""
    return all(
        isinstance(each, tuple) and len(each) <= MOST_DIMENSIONS and all(type(n) is int and n >= 0 for n in each)
        for each in several
    )


CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
LITERALS = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
)
INSTRUCTIONS: dict[str, Callable[[_Interpreter, Any], None]] = {
    "APPEND": lambda run, _: run.append(False),
    "APPENDS": lambda run, _: run.append(True),
    "BINGET": _Interpreter.recall,
    "BINPERSID": _Interpreter.storage,
    "BINPUT": _Interpreter.memoize,
    "BUILD": _Interpreter.set_state,
    "GLOBAL": _Interpreter.find,
    "LONG_BINGET": _Interpreter.recall,
    "LONG_BINPUT": _Interpreter.memoize,
    "MARK": _Interpreter.mark,
    "MEMOIZE": _Interpreter.memoize,
    "REDUCE": _Interpreter.call,
    "SETITEM": lambda run, _: run.set_items(False),
    "SETITEMS": lambda run, _: run.set_items(True),
    "STACK_GLOBAL": _Interpreter.find,
    "TUPLE": _Interpreter.tuple_to_mark,
    "TUPLE1": lambda run, _: run.tuple_of(1),
    "TUPLE2": lambda run, _: run.tuple_of(2),
    "TUPLE3": lambda run, _: run.tuple_of(3),
}
