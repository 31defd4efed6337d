"""No server makes a download hang, fill the memory, or go where it was not sent."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import Request

import numpy as np
import pytest
from misbehaving import RAW, Server, serving
from patience import PATIENCE_S

from kokoro_lab.errors import KokoroLabError, ModelError, SettingError
from kokoro_lab.models.fetch import download, mirrored, part_path
from kokoro_lab.models.files.published import PublishedFile
from kokoro_lab.models.files.transfer import Pace, TransferLimits, _Redirects

CONTENT = np.random.default_rng(0).bytes(700_000)
FILE = PublishedFile(
    "small", "https://example.invalid/a/small.onnx", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "fp32"
)
HASTY = TransferLimits(silence_s=0.3, window_s=0.4, slowest=2_000.0, patience_s=3.0, average=1e6)
CALM = TransferLimits(silence_s=60.0, window_s=60.0, slowest=2_000.0, patience_s=120.0, average=1e6)
"""For servers that are refused for something else than their speed, however slow a busy machine makes them."""
SLOW = ("trickles", "trickles headers", "says nothing", "continues for ever", "endless frames")
PUBLIC = "https://1.1.1.1/a"

REFUSED = {
    "trickles": "sends less than 2,000 bytes/s; run `kokoro-lab models fetch small` again",
    "trickles headers": "sends less than 2,000 bytes/s",
    "says nothing": "connection broke|sends less",
    "endless headers": "does not answer as a web server does|without end",
    "endless header": "does not answer as a web server does",
    "many headers": "does not answer as a web server does",
    "continues for ever": "without end|sends less|took more",
    "speaks another protocol": "does not answer as a web server does",
    "sends a body alone": "does not answer as a web server does",
    "compresses": "compressed",
    "has no content": "answered 204",
    "sends another part": "another part",
    "sends a part of another file": "offers 10 bytes",
    "sends a part of nonsense": "another part",
    "tells a length of thousands of digits": "connection broke",
    "endless chunk": "was deleted|connection broke",
    "endless frames": "without end|took more|sends less",
    "broken chunks": "connection broke",
    "endless redirect": "redirects more than 5 times",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(CONTENT) as server:
        monkeypatch.setenv("KOKORO_LAB_MIRROR", server.url)
        yield server


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize("mood", REFUSED)
def test_a_hostile_server_is_refused_by_name_in_bounded_time_and_memory(
    server: Server, tmp_path: Path, mood: str
) -> None:
    server.mood = mood
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(ModelError, match=REFUSED[mood]) as caught:
        download(FILE, tmp_path / "f", limits=HASTY if mood in SLOW else CALM)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.monotonic() - began < PATIENCE_S, "at most 3 s by the limits"
    assert peak < 32 << 20
    assert "\n" not in caught.value.message and len(caught.value.message) < 500
    assert visible(tmp_path) <= {part_path(tmp_path / "f").name}


def test_every_hostile_mood_is_tried() -> None:
    assert set(REFUSED) | {"chunked", "redirects", "redirects once"} == set(RAW)


def test_the_part_of_a_slow_server_is_resumed(server: Server, tmp_path: Path) -> None:
    server.mood = "trickles"
    with pytest.raises(ModelError, match="sends less"):  # after 3 s, in which even a busy machine sends its beginning
        download(FILE, tmp_path / "f", limits=replace(CALM, window_s=3.0))
    kept = part_path(tmp_path / "f").stat().st_size
    assert kept >= 1_000
    server.mood = "good"
    download(FILE, tmp_path / "f")
    assert server.ranges[-1] == f"bytes={kept}-"
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("mood", ["chunked", "redirects once"])
def test_unusual_but_honest_servers_are_understood(server: Server, tmp_path: Path, mood: str) -> None:
    server.mood = mood
    server.location = f"{server.url}/elsewhere"
    download(FILE, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("file:///etc/passwd", "no web address"),
        ("data:text/plain,a", "no web address"),
        ("ftp://1.1.1.1/a", "no web address"),
        ("", "no web address"),
        ("https:///x", "no web address"),
        ("http://[::1/", "no address"),
        ("http://a:99999999/", "no address"),
        ("/a/small.onnx", "redirects more than 5 times"),
    ],
)
def test_a_redirect_that_leads_nowhere_good_is_refused(
    server: Server, tmp_path: Path, location: str, says: str
) -> None:
    server.mood, server.location = "redirects", location
    with pytest.raises(ModelError, match=says):
        download(FILE, tmp_path / "f")
    assert visible(tmp_path) == set()


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "192.168.1.1", "172.16.0.1", "0.0.0.0"),
        *("169.254.169.254", "[fe80::1]", "[fd00::1]", "100.64.0.1", "2130706433", "0x7f000001", "127.1"),
    ],
)
def test_a_public_host_may_not_redirect_to_a_local_one(host: str) -> None:
    with pytest.raises(ModelError, match="local network"):
        _Redirects(5)._target(Request(PUBLIC), f"https://{host}/x")
    assert _Redirects(5)._target(Request("https://127.0.0.1/a"), f"https://{host}/x") == f"https://{host}/x"


def test_an_encrypted_host_may_not_redirect_to_plain_text() -> None:
    with pytest.raises(ModelError, match="not encrypted"):
        _Redirects(5)._target(Request(PUBLIC), "http://8.8.8.8/x")
    assert _Redirects(5)._target(Request("http://1.1.1.1/a"), "https://8.8.8.8/x") == "https://8.8.8.8/x"


def test_the_whole_download_has_a_time_limit_that_grows_with_its_size() -> None:
    limits = TransferLimits(patience_s=10.0, average=100.0)
    now = 0.0
    pace = Pace("host", "run it again", 1_000, limits, clock=lambda: now)
    for second in range(19):
        now = float(second)
        pace.wait()
        pace.arrived(100_000)
        pace.delivered()
    now = 20.0
    with pytest.raises(ModelError, match="took more than 20 s; run it again"):
        pace.wait()


@pytest.mark.parametrize(
    "mirror", ["file:///x", "htp://a", "http://[", "http://a:b", "mirror", "http://a b", "http://"]
)
def test_a_mirror_that_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("KOKORO_LAB_MIRROR", mirror)
    with pytest.raises(SettingError, match="KOKORO_LAB_MIRROR"):
        mirrored("https://example.org/a")
    assert issubclass(SettingError, KokoroLabError)
