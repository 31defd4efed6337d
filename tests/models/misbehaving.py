"""A local HTTP server that misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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
