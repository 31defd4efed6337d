"""Damaged PyTorch checkpoints, among them programs that no PyTorch has written."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from torch_archive import save_object

from chaos.attack import Attack, Outcome
from chaos.fuzzing import fuzz
from chaos.mutation import mutate, mutate_zip
from kokoro_lab.models.graph.architecture import TINY, parameters
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.importing.importer import TORCH_PARTS, recover

__all__ = ["ATTACK", "attempt", "prepare"]

SMALL = 100  # values; larger tensors are left out of the small checkpoint, so that damage hits its description
MOST_TENSORS = 8  # of each part, in the small checkpoint


@dataclass(frozen=True)
class Checkpoints:
    """Whole checkpoints, and where damaged ones are written."""

    folder: Path
    whole: bytes
    small: bytes


def prepare(folder: Path) -> Checkpoints:
    """The tiny architecture's checkpoint, and one of its small tensors alone."""
    state = seeded_state(TINY, 1)

    def saved(most: int, tensors: int) -> bytes:
        parts = {}
        for part in TORCH_PARTS:
            names = [name for name in parameters(TINY) if name.startswith(f"{part}.") and state[name].size <= most]
            parts[part] = {f"module.{name.removeprefix(f'{part}.')}": state[name] for name in names[:tensors]}
        save_object(folder / "whole.pth", parts)
        return (folder / "whole.pth").read_bytes()

    return Checkpoints(folder, saved(1 << 40, 10_000), saved(SMALL, MOST_TENSORS))


def attempt(checkpoints: Checkpoints, chance: random.Random) -> None:
    """Damage a checkpoint and recover the parameters from it."""
    kind = chance.random()
    if kind < 0.15:
        damaged = _with_program(checkpoints.small, _program(chance))
    elif kind < 0.16:
        damaged = mutate_zip(checkpoints.whole, chance)
    else:
        damaged = (mutate_zip if kind < 0.75 else mutate)(checkpoints.small, chance)
    path = checkpoints.folder / "damaged.pth"
    path.write_bytes(damaged)
    recover(path, TINY)


def _with_program(data: bytes, program: bytes) -> bytes:
    """The archive with another pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, program if name.endswith("/data.pkl") else old.read(name))
    return stream.getvalue()


def _program(chance: random.Random) -> bytes:
    """Instructions in random order, with arguments of extreme sizes."""
    numbers = [0, 1, 255, 2**31 - 1]
    pieces: list[bytes] = [b"\x80\x02"]
    for _ in range(chance.randint(1, 200)):
        number = struct.pack("<I", chance.choice(numbers))
        pieces.append(
            chance.choice(
                [
                    *(bytes([code]) for code in b"()]}NtauesbRQ012.\x85\x86\x87\x88\x89\x81\x93\x94l"),
                    b"K\x05", b"J" + number, b"q" + number[:1], b"r" + number, b"h" + number[:1], b"j" + number,
                    b"X\x01\0\0\0a", b"X" + number, b"\x8c\x01a", b"\x8a" + number, b"\x8b" + number,
                    b"B" + number, b"\x96" + number * 2, b"\x95" + number * 2, b"G" + number * 2,
                    b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n",
                    b"cos\nsystem\n", b"cbuiltins\neval\n", b"I99999\n", b"L" + b"9" * 5000 + b"L\n", b"P1\n",
                ]
            )
        )  # fmt: skip
    if chance.random() < 0.2:  # a tuple that takes for ever to hash, as a key
        pieces += [b"}", b"K\x01", *[b"q\x01h\x01\x86"] * 100, b"K\x01s"]
    if chance.random() < 0.2:
        pieces = [pickle.dumps([[0] * chance.randrange(2000)] * 3, protocol=chance.choice([0, 1, 2, 4]))[:-1]]
    return b"".join([*pieces, b"."])


def _run(tries: int, seed: int, folder: Path) -> Outcome:
    return fuzz("chaos.attacks.checkpoints", tries, seed, folder)


ATTACK = Attack(
    name="checkpoints",
    what="Damaged PyTorch checkpoints, and programs in their place, are read or refused by name, each in 2 s and 1 GB.",
    full=5000,
    short=300,
    run=_run,
)
