"""Damage for files: bytes that flip, vanish, repeat and lie, and members of zip archives that are damaged inside."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
from collections.abc import Callable

__all__ = ["mutate", "mutate_zip"]

MAGIC = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
LONGEST_RUN = 64  # bytes
MOST_STEPS = 6
EDGE = 600  # bytes at each end, where headers and directories lie
LARGEST = 4 << 20  # bytes that a file may grow to


def mutate(data: bytes, chance: random.Random) -> bytes:
    """The data after one to six random steps."""
    for _ in range(chance.randint(1, MOST_STEPS)):
        data = chance.choice(STEPS)(data, chance)[:LARGEST]
    return data


def mutate_zip(data: bytes, chance: random.Random) -> bytes:
    """A zip archive whose members, names or headers are damaged, with checksums that are right again or are not."""
    if chance.random() < 0.3:
        return _lying_header(data, chance)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as entries:
            members = [(entry.filename, entries.read(entry.filename)) for entry in entries.infolist()]
    except Exception:
        return mutate(data, chance)
    place = chance.randrange(len(members))
    name, content = members[place]
    action = chance.choice(["content", "content", "content", "name", "drop", "double", "swap"])
    if action == "content":
        members[place] = (name, mutate(content, chance))
    elif action == "name":
        members[place] = (mutate(name.encode(), chance)[:100].decode("utf-8", "replace").strip("\0") or "x", content)
    elif action == "drop":
        del members[place]
    elif action == "double":
        members.append((f"{name}{chance.choice(['', '.npy', '/', '2'])}", content))
    else:
        members[place] = (name, chance.choice(members)[1])
    stream = io.BytesIO()
    method = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    if len(members) < 3 and chance.random() < 0.05:
        method = zipfile.ZIP_LZMA
    with zipfile.ZipFile(stream, "w", method, compresslevel=1) as entries:
        written: set[str] = set()
        for each, value in members:
            if each not in written:
                entries.writestr(zipfile.ZipInfo(each), value, method)
                written.add(each)
    whole = stream.getvalue()
    return mutate(whole, chance) if chance.random() < 0.2 else whole


def _lying_header(data: bytes, chance: random.Random) -> bytes:
    """One field of one header says something else."""
    signatures = [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"]
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        signature = chance.choice(signatures)
        places = [found.start() for found in re.finditer(re.escape(signature), data)][:200]
        if places:
            place = chance.choice(places) + chance.randrange(4, 30)
            value = chance.choice([*MAGIC, len(data), chance.getrandbits(16)]) & 0xFFFFFFFF
            changed[place : place + 4] = struct.pack("<I", value)
    return bytes(changed)


def _place(data: bytes, chance: random.Random) -> int:
    """A place, more often near the ends."""
    where = chance.random()
    if where < 0.4:
        return chance.randrange(min(len(data), EDGE) + 1)
    if where < 0.7:
        return max(0, len(data) - chance.randrange(EDGE))
    return chance.randrange(len(data) + 1)


def _flip(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return data
    place = min(_place(data, chance), len(data) - 1)
    return data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]


def _overwrite(data: bytes, chance: random.Random) -> bytes:
    place, length = _place(data, chance), chance.randint(1, LONGEST_RUN)
    run = chance.randbytes(length) if chance.random() < 0.5 else bytes([chance.choice([0, 0xFF, 0x41])]) * length
    return data[:place] + run + data[place + length :]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: _place(data, chance)] if chance.random() < 0.7 else data[_place(data, chance) :]


def _insert(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + chance.randbytes(chance.randint(1, LONGEST_RUN)) + data[place:]


def _remove(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + data[place + chance.randint(1, LONGEST_RUN) :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    run = data[place : place + chance.randint(1, LONGEST_RUN)]
    return data[:place] + run * chance.choice([2, 3, 50, 1000]) + data[place:]


def _number(data: bytes, chance: random.Random) -> bytes:
    width = chance.choice([1, 2, 4, 8])
    order = "little" if chance.random() < 0.8 else "big"
    value = (chance.choice(MAGIC) & ((1 << (8 * width)) - 1)).to_bytes(width, order)  # type: ignore[arg-type]
    place = _place(data, chance)
    return data[:place] + value + data[place + width :]


def _splice(data: bytes, chance: random.Random) -> bytes:
    source, target = _place(data, chance), _place(data, chance)
    length = chance.randint(1, 4 * LONGEST_RUN)
    return data[:target] + data[source : source + length] + data[target + length :]


STEPS: list[Callable[[bytes, random.Random], bytes]] = [
    _flip, _flip, _overwrite, _cut, _insert, _remove, _repeat, _number, _number, _splice,
]  # fmt: skip
