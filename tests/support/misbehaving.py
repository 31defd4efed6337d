"""A local HTTP server that misbehaves on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Serves `content` at every address, the way `mood` says; `moods` are used up one a request before it."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.mood = "good"
        self.moods: list[str] = []
        self.ranges: list[str | None] = []
        self.paths: list[str] = []
        self.location = ""
        """Where the mood "redirects" leads to."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests do."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        mood = server.moods.pop(0) if server.moods else server.mood
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        server.paths.append(self.path)
        content = server.content
        if mood in RAW:
            RAW[mood](self, content)
            return
        if mood == "hangs up":
            self.connection.close()
            return
        if mood == "refuses":
            self.send_error(503)
            return
        if mood == "has nothing":
            self.send_error(404)
            return
        if mood == "corrupts":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if mood == "other file":
            content = content + b"more"
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and mood != "ignores ranges" else 0
        if start:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if mood != "endless":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if mood == "breaks off":
            body = body[: len(body) // 2]
        self.wfile.write(body)
        if mood == "endless":
            self.wfile.write(b"x" * 1_000_000)


def _slowly(send: Callable[[bytes], Any], data: bytes) -> None:
    for position in range(len(data)):
        send(data[position : position + 1])
        time.sleep(0.02)


def _trickles(handler: _Handler, content: bytes) -> None:
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    range_line = f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}\r\n" if start else ""
    status = "206 Partial" if start else "200 OK"
    handler.wfile.write(f"HTTP/1.1 {status}\r\n{range_line}\r\n".encode() + content[start : start + 1_000])
    _slowly(handler.wfile.write, content[start + 1_000 :])


def _endlessly(beginning: bytes, more: bytes) -> Callable[[_Handler, bytes], None]:
    def answer(handler: _Handler, content: bytes) -> None:
        handler.wfile.write(beginning)
        while True:
            handler.wfile.write(more)

    return answer


def _once(answer: bytes) -> Callable[[_Handler, bytes], Any]:
    return lambda handler, content: handler.wfile.write(answer)


def _chunked(handler: _Handler, content: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(content), 50_000):
        part = content[start : start + 50_000]
        handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")


def _redirects(handler: _Handler, content: bytes) -> None:
    handler.wfile.write(f"HTTP/1.1 302 Found\r\nLocation: {handler.server.location}\r\n\r\n".encode())


def _redirects_once(handler: _Handler, content: bytes) -> None:
    handler.server.mood = "good"
    _redirects(handler, content)


OK = b"HTTP/1.1 200 OK\r\n"
RAW: dict[str, Callable[[_Handler, bytes], Any]] = {
    "trickles": _trickles,
    "trickles headers": lambda handler, _: _slowly(handler.wfile.write, OK + b"X: " + b"a" * 10_000),
    "says nothing": lambda *_: time.sleep(1.0),
    "endless headers": _endlessly(OK, b"X: " + b"a" * 60_000 + b"\r\n"),
    "endless header": _endlessly(OK + b"X: ", b"a" * 60_000),
    "many headers": _endlessly(OK, b"X: a\r\n"),
    "continues for ever": _endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "speaks another protocol": _once(b"220 ftp.example.org ready\r\n" * 10),
    "sends a body alone": _once(b"\x00\x01\x02" * 1_000),
    "compresses": _once(OK + b"Content-Encoding: gzip\r\n\r\n" + b"\x1f\x8b" * 1_000),
    "has no content": _once(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "sends another part": _once(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/700000\r\n\r\n01234"),
    "sends a part of another file": _once(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-9/10\r\n\r\n0123456789"),
    "sends a part of nonsense": _once(b"HTTP/1.1 206 Partial\r\nContent-Range: " + b"9" * 5_000 + b"-/x\r\n\r\n0"),
    "tells a length of thousands of digits": _once(OK + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n"),
    "endless chunk": _endlessly(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b"x" * 60_000),
    "endless frames": _endlessly(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 60_000 + b"\r\na\r\n"),
    "broken chunks": _once(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
    "chunked": _chunked,
    "redirects": _redirects,
    "redirects once": _redirects_once,
    "endless redirect": _endlessly(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"x" * 60_000),
}
"""Moods in which the answer is written to the socket as it is."""


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    server = Server(content)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
