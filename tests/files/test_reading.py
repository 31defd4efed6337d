"""Reading what somebody else wrote: regular files, of a bounded size, and only errors of the package's tree."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from kokoro_lab.errors import InputError, ModelError, ModelNotFoundError, VoiceError
from kokoro_lab.files.reading import decoding, full_path, hash_file, is_regular, opened, read_bytes, read_text


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9")
    assert read_bytes(tmp_path / "text", what="text", most=8) == b"\xef\xbb\xbfcaf\xc3\xa9"
    assert read_text(tmp_path / "text", what="text", most=8) == "café"
    with pytest.raises(VoiceError, match="has 8 bytes, which is more than any voice pack has"):
        read_bytes(tmp_path / "text", what="voice pack", most=7, error=VoiceError)


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "endless"])
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = {"device": Path("/dev/null"), "endless": Path("/dev/zero"), "folder": tmp_path}.get(kind, tmp_path / "pipe")
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(ModelError, match="is not a regular file; give the file of a model"):
        read_bytes(path, what="model", most=1, error=ModelError)


def test_a_file_that_is_not_there_or_cannot_be_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no file"):
        read_bytes(tmp_path / "none", what="model", most=1, error=ModelError, missing=ModelNotFoundError)
    for name in ("null\0", "n" * 300, "text/under"):
        (tmp_path / "text").write_bytes(b"")
        with pytest.raises(InputError, match="cannot be opened"):
            read_bytes(tmp_path / name, what="text", most=1)


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("café".encode("latin-1"))
    with pytest.raises(InputError, match="is not UTF-8 text; convert it first"):
        read_text(tmp_path / "latin", what="lexicon", most=10)


def test_a_disk_that_fails_while_reading_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match="Input/output error"), opened(tmp_path / "file", what="file", most=9):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("problem", [zipfile.BadZipFile("bad"), KeyError("x"), MemoryError(), RecursionError("deep")])
def test_whatever_a_library_raises_becomes_one_error(problem: Exception) -> None:
    form = r"voice pack x is damaged or of another kind \(.+\); get the file again"
    with pytest.raises(VoiceError, match=form), decoding("voice pack x", error=VoiceError):
        raise problem


def test_our_own_errors_and_interruptions_pass_a_decoder_unchanged() -> None:
    for problem in (ModelNotFoundError("no file"), KeyboardInterrupt()):
        with pytest.raises(type(problem)) as raised, decoding("model x", error=ModelError):
            raise problem
        assert raised.value is problem


def test_a_file_is_hashed_within_its_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(3 << 20))
    digest = hashlib.sha256()
    hash_file(digest, tmp_path / "file", what="model", most=3 << 20)
    assert digest.hexdigest() == hashlib.sha256(bytes(3 << 20)).hexdigest()
    for path in (Path("/dev/zero"), tmp_path):
        with pytest.raises(ModelError, match="not a regular file"):
            hash_file(hashlib.sha256(), path, what="model", most=1 << 40, error=ModelError)


def test_a_file_that_grows_while_it_is_read_ends_at_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"x" * 10)

    class Digest:
        def update(self, _: bytes) -> None:
            with path.open("ab") as stream:
                stream.write(b"x" * 10)

    with pytest.raises(InputError, match="has more bytes than any log has"):
        hash_file(Digest(), path, what="log", most=100)  # type: ignore[arg-type]


def test_reading_a_small_file_takes_no_memory_for_the_largest(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    tracemalloc.start()
    read_bytes(tmp_path / "small", what="model", most=1 << 30)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_paths_of_any_kind_are_asked_after_without_an_exception(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert is_regular(tmp_path / "file")
    for name in ("none", "loop", "null\0", "n" * 300, "file/under", ".", "n/" * 3000):
        assert not is_regular(tmp_path / name)
        assert isinstance(full_path(str(tmp_path / name)), Path)
    assert full_path("~nosuchuser/x").name == "x"
    assert full_path("~").is_absolute()


def test_a_librarys_words_do_not_reach_the_terminal_as_commands() -> None:
    with pytest.raises(VoiceError) as raised, decoding("voice pack x", error=VoiceError):
        raise ValueError("bad name \x1b[2J\r\n\x07" + "y" * 10_000)
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 300
