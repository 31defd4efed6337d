"""Zip archives from strangers: counted and summed before anything is inflated."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from processor_time import processor_s

from kokoro_lab.errors import VoiceError
from kokoro_lab.files.zip_archives import ArchiveLimits, archive

LIMITS = ArchiveLimits(entries=10, inflated=1 << 20)


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as entries:
        for name, data in members.items():
            entries.writestr(name, data)
    return stream.getvalue()


def read(path: Path, data: bytes, name: str = "a", limits: ArchiveLimits = LIMITS) -> bytes:
    path.write_bytes(data)
    with path.open("rb") as stream, archive(stream, "voice pack x", limits, error=VoiceError) as entries:
        return entries.read(name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.zip"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_whole(path: Path, method: int) -> None:
    path.write_bytes(packed({"a": b"first" * 1000, "b": b""}, method))
    with path.open("rb") as stream, archive(stream, "voice pack x", LIMITS, error=VoiceError) as entries:
        assert entries.names == ["a", "b"]
        assert (entries.size("a"), entries.read("a"), entries.read("b")) == (5000, b"first" * 1000, b"")
        with pytest.raises(VoiceError, match="lacks 'c'"):
            entries.read("c")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (packed({str(n): b"" for n in range(11)}), "has 11 entries, more than 10"),
        (packed({"a": bytes(1 << 19), "b": bytes((1 << 19) + 1)}), "unpacks to more than 1,048,576 bytes"),
        (packed({"a": b"x" * 100}, zipfile.ZIP_BZIP2), "another method than deflate"),
        (packed({"a": b"x" * 100}, zipfile.ZIP_LZMA), "another method than deflate"),
        (packed({str(n): b"" for n in range(5000)}), "has a directory of"),
        (b"PK\x03\x04", "damaged or of another kind"),
        (b"", "damaged or of another kind"),
    ],
)
def test_what_is_beyond_the_limits_is_refused(path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(VoiceError, match=problem):
        read(path, data)


def test_two_members_of_one_name_are_refused(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as entries:
        entries.writestr("a", b"1")
        entries.writestr("a", b"2")
    with pytest.raises(VoiceError, match="two entries of one name"):
        read(path, path.read_bytes())


def test_a_member_that_inflates_to_more_than_it_declares_is_not_inflated(path: Path) -> None:
    data = bytearray(packed({"a": bytes(1 << 28)}))  # 256 MB in 0.25 MB
    for signature, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", data, data.index(signature) + place, 10)
    took_s = min(processor_s(lambda: read(path, bytes(data))) for _ in range(3))
    assert took_s < 0.1, "256 MB take longer"
    with pytest.raises(VoiceError, match="damaged"):
        read(path, bytes(data))


def test_an_encrypted_or_damaged_member_is_an_error(path: Path) -> None:
    whole = packed({"a": b"0123456789" * 100}, zipfile.ZIP_STORED)
    locked, flipped = bytearray(whole), bytearray(whole)
    for signature, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        locked[locked.index(signature) + place] |= 1
    flipped[500] ^= 1
    for data in (locked, flipped):
        with pytest.raises(VoiceError, match="damaged or of another kind"):
            read(path, bytes(data))
