from __future__ import annotations

import hashlib
import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from misbehaving import Server, serving

from kokoro_lab.errors import ModelError, ModelNotFoundError
from kokoro_lab.models.catalog import models_folder, resolve
from kokoro_lab.models.fetch import download, fetch, fetch_voices, mirrored, part_path
from kokoro_lab.models.files.published import PublishedFile, published_files, published_name

CONTENT = np.random.default_rng(0).bytes(700_000)
FILE = PublishedFile(
    "small", "https://example.invalid/a/small.onnx", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "fp32"
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    with serving(CONTENT) as server:
        monkeypatch.setenv("KOKORO_LAB_MIRROR", server.url)
        yield server


def _visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") if folder.is_dir() else []


def test_a_fetched_model_is_installed_with_its_record_and_its_progress_told(server: Server) -> None:
    told: list[tuple[int, int]] = []
    file = fetch("small", progress=lambda done, total: told.append((done, total)), catalogue=[FILE])
    assert file.path.read_bytes() == CONTENT
    assert (file.weights, file.sha256) == ("published", FILE.sha256)
    assert resolve("small") == file
    assert _visible(models_folder()) == ["small.json", "small.onnx"]
    assert server.paths == ["/a/small.onnx"]
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_file_that_is_there_is_not_fetched_again(server: Server) -> None:
    fetch("small", catalogue=[FILE])
    fetch("small", catalogue=[FILE])
    assert len(server.paths) == 1


def test_a_broken_connection_is_continued_by_range(server: Server) -> None:
    server.moods = ["breaks off"]
    assert fetch("small", catalogue=[FILE]).path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_fetch_that_gave_up_leaves_a_part_that_the_next_one_continues(server: Server, tmp_path: Path) -> None:
    server.mood = "breaks off"
    target = tmp_path / "small.onnx"
    with pytest.raises(ModelError, match="run `kokoro-lab models fetch small` again"):
        download(FILE, target)
    assert not target.exists()
    assert 0 < part_path(target).stat().st_size < len(CONTENT)
    server.mood = "good"
    download(FILE, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges[-1] is not None
    assert not part_path(target).exists()


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    part_path(tmp_path / "f").write_bytes(b"garbage that was never the start of the file")
    server.mood = "ignores ranges"
    download(FILE, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_part_of_something_else_is_found_out_and_deleted(server: Server, tmp_path: Path) -> None:
    part_path(tmp_path / "f").write_bytes(b"garbage")
    with pytest.raises(ModelError, match="was deleted"):
        download(FILE, tmp_path / "f")
    assert _visible(tmp_path) == []
    download(FILE, tmp_path / "f")


def test_an_oversized_part_is_thrown_away(server: Server, tmp_path: Path) -> None:
    part_path(tmp_path / "f").write_bytes(CONTENT + b"more")
    download(FILE, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("mood", "says"),
    [
        ("corrupts", "was deleted"),
        ("other file", "it is another file"),
        ("refuses", "answered 503"),
        ("has nothing", "answered 404"),
        ("hangs up", "connection broke"),
    ],
)
def test_a_server_that_misbehaves_leaves_nothing_and_is_told_apart(
    server: Server, tmp_path: Path, mood: str, says: str
) -> None:
    server.mood = mood
    with pytest.raises(ModelError, match=says) as caught:
        download(FILE, tmp_path / "f")
    assert _visible(tmp_path) == []
    assert "\n" not in caught.value.message


def test_an_endless_answer_is_cut_at_the_known_size(server: Server, tmp_path: Path) -> None:
    server.mood = "endless"
    download(FILE, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("KOKORO_LAB_MIRROR", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(ModelError, match="cannot reach") as caught:
            download(FILE, tmp_path / "f")
    assert "\n" not in caught.value.message
    assert _visible(tmp_path) == []


def test_a_full_disk_is_said_before_anything_is_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(ModelError, match="free some space"):
        download(FILE, tmp_path / "f")
    assert server.paths == []


def test_a_disk_that_fills_on_the_way_leaves_nothing(server: Server, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        with pytest.raises(ModelError, match="free some space"):
            download(FILE, tmp_path / "f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert _visible(tmp_path) == []


def test_voices_come_the_same_way(server: Server, tmp_path: Path) -> None:
    path = fetch_voices("small", catalogue=[FILE])
    assert path == tmp_path / "voices" / "small.onnx"
    assert path.read_bytes() == CONTENT


def test_a_name_outside_the_catalogue_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ModelNotFoundError, match=r"kokoro-v1\.0"):
        fetch("kokoro")


def test_a_file_without_an_address_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOKORO_LAB_MIRROR", raising=False)
    with pytest.raises(ModelError, match="put the file at"):
        download(PublishedFile("v", "af_heart.bin", 1, "0" * 64, "fp32"), tmp_path / "f")
    with pytest.raises(ModelError, match="put the file at"):
        download(PublishedFile("v", "file:///etc/passwd", 1, "0" * 64, "fp32"), tmp_path / "f")


def test_the_mirror_replaces_the_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_MIRROR", "http://mirror.test/kokoro/")
    assert mirrored("https://github.com/a/b.onnx") == "http://mirror.test/kokoro/a/b.onnx"


def test_every_published_file_has_a_size_and_a_sum() -> None:
    files = [*published_files("models"), *published_files("voices")]
    assert len(files) >= 16
    assert all(file.bytes > 500_000 and len(file.sha256) == 64 for file in files)
    assert len({file.sha256 for file in files}) == len(files)


def test_a_file_is_known_by_its_sum_even_where_nobody_told_its_size() -> None:
    assert published_name("496dba118d1a58f5f3db2efc88dbdc216e0483fc89fe6e47ee1f2c53f18ad1e4") == "kokoro-v1_0.pth"
    assert published_name(published_files("models")[0].sha256) == published_files("models")[0].name
    assert published_name("0" * 64) is None
