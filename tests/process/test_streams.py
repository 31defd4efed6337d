"""Commands whose standard streams are closed, full, narrow or of another encoding."""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kokoro_lab.process.streams import OPEN_FILES

COMMAND = (sys.executable, "-c", "from kokoro_lab.cli import main; main()")
CLOSED = {0: "<&-", 1: ">&-", 2: "2>&-"}
BAD = ("Traceback", "nexpected", "panicked", "Exception ignored", "lost sys.stderr")


def shell(line: str, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of sh, in which "$@" is the command with `arguments`, with its own home."""
    home = {"KOKORO_LAB_HOME": str(folder / "home"), "KOKORO_LAB_RESULTS": str(folder / "results")}
    done = subprocess.run(
        ["sh", "-c", line, "sh", *COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **home, **variables},
    )
    told = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert not [word for word in BAD if word in told], told
    return done


@pytest.mark.parametrize("closed", [set_ for size in (1, 2, 3) for set_ in itertools.combinations(CLOSED, size)])
def test_closed_streams_are_as_if_they_were_the_null_device(tmp_path: Path, closed: tuple[int, ...]) -> None:
    redirections = " ".join(CLOSED[number] for number in closed)
    done = shell(f'"$@" {redirections}', tmp_path, "voices", "--json")
    assert done.returncode == 0
    assert (done.stdout == b"") == (1 in closed)


@pytest.mark.parametrize("command", [("voices",), ("--help",)])
def test_a_full_standard_output_is_an_error_in_one_sentence(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = shell('"$@" >/dev/full', tmp_path, *command)
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, len(lines)) == (5, 1)
    assert "No space left on device; " in lines[0]


def test_a_full_standard_error_changes_no_exit_code(tmp_path: Path) -> None:
    assert shell('"$@" 2>/dev/full', tmp_path, "voices").returncode == 0
    for where in ("2>/dev/full", "<&- >&- 2>&-"):
        assert shell(f'"$@" {where}', tmp_path, "say", "hi", "-o", "a.xyz", "--model", "nosuch").returncode == 2


@pytest.mark.parametrize("command", [("voices",), ("--help",)])
def test_a_reader_that_leaves_early_is_no_failure(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = shell('{ "$@"; echo $? >&2; } | :', tmp_path, *command)
    assert done.stderr.decode().splitlines()[-1] == "0"


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii", "TERM": "dumb", "COLUMNS": "1", "LINES": "1"},
        {"PYTHONIOENCODING": "latin-1", "TERM": "", "COLUMNS": "nonsense"},
    ],
)
def test_a_terminal_of_another_kind_gets_what_it_can_show(tmp_path: Path, variables: dict[str, str]) -> None:
    assert shell('"$@"', tmp_path, "voices", **variables).returncode == 0
    unknown = shell('"$@"', tmp_path, "results", "show", "söng🎉", **variables)
    assert (unknown.returncode, unknown.stderr.count(b"\n")) == (2, 1)


def test_a_message_cannot_steer_the_terminal(tmp_path: Path) -> None:
    done = shell('"$@"', tmp_path, "say", "hi", "-o", str(tmp_path / "a.wav"), "--model", "\x1b[31mred\x07")
    assert b"\x1b" not in done.stderr
    assert b"\\x1b[31mred\\x07" in done.stderr


def test_the_limit_of_open_files_is_raised_as_far_as_the_system_allows(tmp_path: Path) -> None:
    program = (
        "import resource, subprocess, sys\n"
        "from kokoro_lab.process.streams import raise_file_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))\n"
        "raise_file_limit(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = 4096 if most == resource.RLIM_INFINITY else min(4096, most)
    for limits, expected in {
        (64, 64): (64, 64),
        (64, hard): (min(OPEN_FILES, hard), hard),
        (hard, hard): (hard, hard),
    }.items():
        command = [sys.executable, "-c", program, *map(str, limits)]
        assert subprocess.run(command, capture_output=True, text=True).stdout.split() == [*map(str, expected)]
