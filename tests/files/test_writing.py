"""Files appear whole or not at all, and what a dead writer left is told from what a living one writes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kokoro_lab.errors import AudioError, ModelError, StoreError
from kokoro_lab.files.writing import make_folder, remove_litter, scratch_folder, write_bytes, write_text, written_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("problem", [KeyboardInterrupt, ValueError, ZeroDivisionError])
def test_a_file_that_was_not_finished_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, problem: type[BaseException]
) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"old")
    with pytest.raises(problem), written_whole(path) as stream:
        stream.write(b"half")
        raise problem
    assert (names(tmp_path), path.read_bytes()) == (["mine"], b"old")
    with written_whole(path) as stream:
        stream.write(b"whole")
        assert path.read_bytes() == b"old"
    assert (names(tmp_path), path.read_bytes()) == (["mine"], b"whole")


def test_a_new_file_has_the_permissions_of_an_ordinary_one(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "é")
    (tmp_path / "ordinary").write_text("é")
    ours, ordinary = (tmp_path / "ours").stat(), (tmp_path / "ordinary").stat()
    assert (ours.st_mode, ours.st_size) == (ordinary.st_mode, 2)


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "語" * 85, "🎉" * 63, "two\nlines"])
def test_the_folder_is_created_and_the_longest_name_of_a_file_system_fits(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a" / "b" / name
    write_bytes(path, b"x")
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("bad", ["in/file", "null\0"])
def test_a_place_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path: Path, bad: str) -> None:
    (tmp_path / "in").write_bytes(b"not a folder")
    with pytest.raises(AudioError, match=r"cannot write .*; take another disk"):
        write_bytes(tmp_path / bad, b"x", error=AudioError, advice="take another disk")
    assert names(tmp_path) == ["in"]
    with pytest.raises(StoreError, match="cannot create folder"):
        make_folder(tmp_path / "in" / "folder")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(ModelError, match="File too large"):
            write_bytes(path, bytes(4097), error=ModelError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (names(tmp_path), path.read_bytes()) == (["mine"], b"old")


def test_litter_of_a_killed_writer_is_removed_and_a_file_in_work_stays(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from kokoro_lab.files.writing import written_whole\n"
        "with written_whole(Path(sys.argv[1])) as stream: print('writing', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "killed")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        (part,) = names(tmp_path)
        assert remove_litter(tmp_path) == []
        writer.kill()
    (tmp_path / ".model.onnx.part").write_bytes(b"a download to be resumed")
    assert remove_litter(tmp_path) == [tmp_path / part]
    assert names(tmp_path) == [".model.onnx.part"]


def test_a_folder_that_is_not_there_has_no_litter(tmp_path: Path) -> None:
    assert remove_litter(tmp_path / "none") == []
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_cause_with_a_remedy_of_its_own_is_told_with_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"File name too long; choose a shorter name"):
        write_bytes(tmp_path / ("n" * 256), b"x")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from kokoro_lab.files.writing import write_bytes\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (3, {hard}))\n"
        "write_bytes(Path(sys.argv[1]), b'x')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "x")], capture_output=True, text=True)
    assert "Too many open files; raise the limit of open files with ulimit -n" in ended.stderr
    assert names(tmp_path) == []


def test_a_scratch_folder_is_gone_afterwards_and_an_impossible_one_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path / "new") as folder:
        (folder / "file").write_bytes(b"x")
        assert folder.parent == tmp_path / "new"
        raise ZeroDivisionError
    assert names(tmp_path / "new") == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AudioError, match=r"cannot create a folder in .*; elsewhere"):
        scratch_folder(tmp_path / "file", error=AudioError, advice="elsewhere").__enter__()
