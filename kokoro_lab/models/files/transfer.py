"""One HTTP request for a large file, to a server that may be slow, broken or hostile.

The connection is timed and counted where it reads from the socket, headers included: a server that trickles, or that
sends what the HTTP library would collect without end, is given up. Redirects lead to no other kind of address than the
first one had.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import (
    BaseHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from kokoro_lab.errors import ModelError
from kokoro_lab.files.reading import reason

__all__ = ["InterruptedTransferError", "Pace", "TransferLimits", "opened_url"]

MIRROR_ADVICE = "set KOKORO_LAB_MIRROR to a host that has the file"
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class TransferLimits:
    """When a server is given up."""

    silence_s: float = 30.0
    """Seconds without a byte."""
    window_s: float = 30.0
    """Seconds over which the rate is taken; the headers must have arrived within the first."""
    slowest: float = 1_000.0
    """Bytes per second that a window must reach."""
    patience_s: float = 600.0
    """Seconds that a download of any size may take, over all its connections."""
    average: float = 30_000.0
    """Bytes per second: the size divided by it is added to `patience_s`."""
    redirects: int = 5
    """Redirects that are followed."""
    unasked: int = 4 * MEBIBYTE
    """Bytes that a server may send in headers, or in the framing of one block."""

    def total_s(self, size: int) -> float:
        """Seconds that a download of `size` bytes may take."""
        return self.patience_s + size / self.average


class InterruptedTransferError(Exception):
    """The connection ended early; what has been received can be resumed."""


@dataclass
class Pace:
    """Times and counts what arrives for one file, over all of its connections."""

    host: str
    """For messages."""
    resume: str
    """What to do when the server is too slow."""
    size: int
    limits: TransferLimits = field(default_factory=TransferLimits)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._ends = self.clock() + self.limits.total_s(self.size)
        self.begin()

    def begin(self) -> None:
        """Begin a connection."""
        self._window, self._received, self._unasked = self.clock(), 0, 0

    def delivered(self) -> None:
        """Take note that the caller got a block, or the headers."""
        self._unasked = 0

    def wait(self) -> float:
        """Seconds that the next read may take. Raises ModelError when the time of the window or of the file is over."""
        now = self.clock()
        if now >= self._ends:
            raise ModelError(f"{self.host} took more than {self.limits.total_s(self.size):,.0f} s; {self.resume}")
        if now >= self._window + self.limits.window_s:
            if self._received < self.limits.slowest * (now - self._window):
                raise ModelError(f"{self.host} sends less than {self.limits.slowest:,.0f} bytes/s; {self.resume}")
            self._window, self._received = now, 0
        return max(0.001, min(self.limits.silence_s, self._ends - now, self._window + self.limits.window_s - now))

    def silent(self, waited_s: float) -> bool:
        """Whether a read that timed out after `waited_s` had all the time that a silent server gets."""
        return waited_s >= self.limits.silence_s

    def arrived(self, count: int) -> None:
        """Count bytes from the socket."""
        self._received += count
        self._unasked += count
        if self._unasked > self.limits.unasked:
            raise ModelError(f"{self.host} sends headers or frames without end; {MIRROR_ADVICE}")


def opened_url(url: str, headers: dict[str, str], pace: Pace) -> Any:
    """The response to a GET request, redirects followed; its body is read with `read1`.

    Raises InterruptedTransferError for a connection that broke, ModelError for every other failure.
    """
    pace.begin()
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        _PlainHandler(pace),
        _SecureHandler(pace),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
        _Redirects(pace.limits.redirects),
    ):
        opener.add_handler(handler)
    host = urlsplit(url).netloc
    try:
        response = opener.open(Request(url, headers=headers), timeout=pace.limits.silence_s)
    except HTTPError as error:
        with error:
            answer = " ".join(f"{error.code} {str(error.reason)[:80]}".split())
        raise ModelError(
            f"{host} answered {answer}; try again later or set KOKORO_LAB_MIRROR to another host"
        ) from error
    except (http.client.RemoteDisconnected, TimeoutError, ConnectionError) as error:
        raise InterruptedTransferError from error
    except URLError as error:
        if isinstance(error.reason, ConnectionResetError | TimeoutError | BrokenPipeError):
            raise InterruptedTransferError from error
        raise ModelError(f"cannot reach {host} ({error.reason}); check the network or set KOKORO_LAB_MIRROR") from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise ModelError(f"{host} does not answer as a web server does ({reason(error)}); {MIRROR_ADVICE}") from error
    if response is None:
        raise ModelError(f"no handler opens {url}; {MIRROR_ADVICE}")
    pace.delivered()
    return response


class _Redirects(BaseHandler):
    """Follows redirects to http and https, never from https to http, nor from a public host to a private address."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.followed = 0

    def http_error_302(self, request: Request, response: Any, code: int, message: str, headers: Any) -> Any:
        """Open the address of `Location`. The body is not read: it may have no end."""
        response.close()
        target = self._target(request, headers.get("Location") or headers.get("URI") or "")
        self.followed += 1
        if self.followed > self.most:
            raise ModelError(f"the server redirects more than {self.most} times; {MIRROR_ADVICE}")
        following = Request(target, headers=dict(request.header_items()))
        following.headers.pop("Host", None)
        return self.parent.open(following, timeout=request.timeout)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def _target(self, request: Request, location: str) -> str:
        """The address to go to, as a whole. Raises ModelError for one that is not to be followed."""
        where = f"the server redirects to {location[:100]!r}"
        try:
            url = urljoin(request.full_url, location)
            old, new = urlsplit(request.full_url), urlsplit(url)
            host, port = new.hostname, new.port or 0
        except ValueError as problem:
            raise ModelError(f"{where}, which is no address; {MIRROR_ADVICE}") from problem
        if not location or not host or new.scheme not in {"http", "https"}:
            raise ModelError(f"{where}, which is no web address; {MIRROR_ADVICE}")
        if old.scheme == "https" and new.scheme != "https":
            raise ModelError(f"{where}, which is not encrypted; {MIRROR_ADVICE}")
        if not _is_local(old.hostname or "", old.port or 0) and _is_local(host, port):
            raise ModelError(f"{where}, an address of a local network; {MIRROR_ADVICE}")
        return url


def _is_local(host: str, port: int) -> bool:
    """Whether a host has an address that is not of the public internet; False where its name is unknown here."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False  # a proxy may know the name, and a request without one fails
    return any(not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global for *_, address in found)


class _PacedReader(io.RawIOBase):
    """The bytes of a socket, timed and counted."""

    def __init__(self, source: socket.socket, pace: Pace) -> None:
        self._source, self._pace = source, pace
        self._file = source.makefile("rb", buffering=0)  # keeps the socket open when the connection is closed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        waited_s = 0.0
        while True:
            timeout = self._pace.wait()
            self._source.settimeout(timeout)
            began = self._pace.clock()
            try:
                count = self._source.recv_into(buffer)
            except TimeoutError:
                waited_s += self._pace.clock() - began
                if self._pace.silent(waited_s):
                    raise
                continue
            self._pace.arrived(count)
            return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _PacedSocket:
    """What `HTTPResponse` needs of a socket."""

    def __init__(self, source: socket.socket, pace: Pace) -> None:
        self._source, self._pace = source, pace

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_PacedReader(self._source, self._pace))


def _paced(pace: Pace, source: socket.socket, *arguments: Any, **named: Any) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(cast(socket.socket, _PacedSocket(source, pace)), *arguments, **named)


def _connection(kind: Callable[..., http.client.HTTPConnection], pace: Pace, *arguments: Any, **named: Any) -> Any:
    connection = kind(*arguments, **named)
    connection.response_class = cast(type[http.client.HTTPResponse], partial(_paced, pace))
    return connection


class _PlainHandler(HTTPHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def http_open(self, request: Request) -> Any:
        return self.do_open(partial(_connection, http.client.HTTPConnection, self._pace), request)


class _SecureHandler(HTTPSHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def https_open(self, request: Request) -> Any:
        return self.do_open(partial(_connection, http.client.HTTPSConnection, self._pace), request)
