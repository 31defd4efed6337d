"""Temporary folders that end with their work, or with the next start when their owner was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forking import in_child
from patience import until

from kokoro_lab.files.scratch import ClaimedFolder, remove_abandoned

HOLDER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from kokoro_lab.files.scratch import ClaimedFolder\n"
    "with ClaimedFolder(Path(sys.argv[1]), prefix='block-') as folder:\n"
    "    (folder / 'inner').mkdir()\n"
    "    (folder / 'inner' / 'file').write_text('x')\n"
    "    time.sleep(600)\n"
)


def test_a_folder_lives_as_long_as_its_work(tmp_path: Path) -> None:
    with ClaimedFolder(tmp_path, prefix="block-") as folder:
        (folder / "file").write_text("x")
        assert remove_abandoned(tmp_path, "block-") == []
        assert folder.is_dir()
        assert in_child(lambda: remove_abandoned(tmp_path, "block-")) == "[]"
    assert not folder.exists()
    with pytest.raises(ValueError, match="scripted"), ClaimedFolder(tmp_path, prefix="block-"):
        raise ValueError("scripted")
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_leaves_the_folder_to_its_parent(tmp_path: Path) -> None:
    def child() -> str:
        work.__exit__(None, None, None)
        return "left"

    work = ClaimedFolder(tmp_path, prefix="block-")
    folder = work.__enter__()
    assert in_child(child) == "left"
    assert folder.is_dir()
    assert remove_abandoned(tmp_path, "block-") == [], "still locked by its owner"
    work.__exit__(None, None, None)
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "block-note").write_text("a file")
    (tmp_path / "block-link").symlink_to(tmp_path / "audio")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)]) as process:
        assert until(lambda: list(tmp_path.glob("block-*/inner/file")))
        assert remove_abandoned(tmp_path, "block-") == []
        os.kill(process.pid, signal.SIGKILL)
    (removed,) = remove_abandoned(tmp_path, "block-")
    assert not removed.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"audio", "block-note", "block-link"}


def test_a_place_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"), ClaimedFolder(tmp_path / "missing", prefix="block-"):
        pass
    assert remove_abandoned(tmp_path / "missing", "block-") == []
