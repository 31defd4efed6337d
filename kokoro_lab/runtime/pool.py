"""A pool of sessions: which session takes a call, how many calls run at once, and what happens when a session fails.

The roles correspond to processors in the specification (docs/claims.md): `wide` to its Neural Engine, `half` to its
GPU, `narrow` to its CPU. Here they are CPU sessions with different numbers of threads; a role may also have another
provider or variant.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.errors import InferenceError, InputError, SettingError
from kokoro_lab.process.cancellation import Cancellation
from kokoro_lab.process.forks import Birthplace
from kokoro_lab.runtime.session import Inference, Session
from kokoro_lab.runtime.settings import SessionSettings

if TYPE_CHECKING:
    from kokoro_lab.models.catalog import ModelFile

__all__ = [
    "ConcurrencyLimit",
    "Member",
    "MemberStatus",
    "RoutedInference",
    "Routing",
    "SessionPool",
    "complexity",
    "role_settings",
]

Routing = Literal["length", "complexity", "cost"]

ROLES: Mapping[str, tuple[str, ...]] = {
    "single": ("wide",),
    "dual": ("wide", "narrow"),
    "triple": ("wide", "half", "narrow"),
}
LONG_TEXT = (200, 30)  # characters, words: above either a text is long, as in the specification
MEDIUM_TEXT = (80, 15)
COMPLEX, MODERATE = 0.7, 0.4  # bounds on the complexity score; the specification has the score but no bounds
LEARNING = 0.3  # weight of the newest call in a session's moving average of cost


@dataclass(frozen=True)
class RoutedInference:
    """An inference, with the session that ran it and how long it waited."""

    inference: Inference
    session: str
    waited_s: float
    """Seconds until a session was free."""


@dataclass(frozen=True)
class MemberStatus:
    """Counters of one session of the pool."""

    name: str
    calls: int
    errors: int
    running: int
    seconds: float
    """Total seconds of its calls."""
    seconds_per_token: float | None
    """Moving average of its cost; None before the first call."""
    resting_s: float
    """Seconds until it is used again after an error, 0 when it is ready."""


@dataclass
class Member:
    """A session of the pool with its counters."""

    name: str
    session: Session
    calls: int = 0
    errors: int = 0
    running: int = 0
    seconds: float = 0.0
    seconds_per_token: float | None = None
    rests_until: float = 0.0


def role_settings(settings: SessionSettings, sessions: str, cores: int) -> dict[str, SessionSettings]:
    """The settings of each role: `wide` as given, `half` with half the cores, `narrow` with one thread."""
    if sessions not in ROLES:
        raise SettingError(f"unknown kind of pool {sessions!r}; choose one of {', '.join(ROLES)}")
    threads = {"half": max(1, cores // 2), "narrow": 1}
    return {
        role: settings if role == "wide" else replace(settings, intra_op_threads=threads[role], affinity="")
        for role in ROLES[sessions]
    }


def complexity(text: str) -> float:
    """The specification's complexity score, 0 to 1, from length, distinct characters, and characters that are neither
    letters nor spaces.
    """
    special = sum(not (character.isalnum() or character.isspace()) for character in text)
    return 0.4 * min(1, len(text) / 200) + 0.3 * min(1, len(set(text)) / 50) + 0.3 * min(1, special / 20)


class ConcurrencyLimit:
    """Admits up to `limit` callers at once; lowering the limit does not interrupt admitted callers."""

    def __init__(self, limit: int) -> None:
        self._changed = threading.Condition()
        self._limit = limit
        self._inside = 0

    @property
    def limit(self) -> int:
        """How many callers may be admitted at once."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        with self._changed:
            self._limit = limit
            self._changed.notify_all()

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._inside < self._limit)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify()


class SessionPool:
    """Runs calls on the best of several sessions, from any number of threads; at most `concurrency` calls at once."""

    def __init__(
        self,
        sessions: Mapping[str, Session],
        *,
        routing: Routing = "length",
        concurrency: int = 1,
        rest_s: float = 60.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if not sessions:
            raise SettingError("the pool has no session; open at least one first")
        self.members = tuple(Member(name, session) for name, session in sessions.items())
        self.routing = routing
        self.fallbacks = 0
        """Calls that another session completed after the first session failed."""
        self.waited_s = 0.0
        """Total seconds that calls waited for their turn."""
        self._rest_s = rest_s
        self._now = now
        self._lock = threading.Lock()
        self._turn = ConcurrencyLimit(concurrency)
        self._born = Birthplace()

    @classmethod
    def open(cls, model: ModelFile, settings: Mapping[str, SessionSettings], **options: object) -> SessionPool:
        """Open a session for each role over the same file."""
        return cls({role: Session.open(model, wanted) for role, wanted in settings.items()}, **options)  # type: ignore[arg-type]

    @property
    def primary(self) -> Session:
        """The session whose provider, digest and contract stand for the pool's."""
        return self.members[0].session

    @property
    def concurrency(self) -> int:
        """How many calls may run at once."""
        return self._turn.limit

    @concurrency.setter
    def concurrency(self, limit: int) -> None:
        self._turn.limit = limit

    def preference(self, text: str, tokens: int) -> list[str]:
        """Names of the sessions in the order in which this text would try them, paused sessions last."""
        with self._lock:
            return [member.name for member in self._ordered(text, tokens)]

    def run(
        self,
        tokens: Sequence[int],
        style: NDArray[np.float32],
        speed: float,
        seed: int = 0,
        *,
        text: str = "",
        cancellation: Cancellation | None = None,
        noise_scale: float | None = None,
    ) -> RoutedInference:
        """Run a call (see `Session.run`) on the best session, and on the next when that fails.

        A session that failed is paused; when every session fails, the last error is raised.
        """
        self._born.require("pool")
        start = time.perf_counter()
        with self._turn:
            waited = time.perf_counter() - start
            with self._lock:
                self.waited_s += waited
                order = self._ordered(text, len(tokens))
            failure: InferenceError | None = None
            for attempt, member in enumerate(order):
                try:
                    inference = self._on(member, tokens, style, speed, seed, cancellation, noise_scale)
                except InferenceError as error:
                    if cancellation is not None and cancellation.cancelled:
                        raise
                    failure = error
                    continue
                with self._lock:
                    self.fallbacks += attempt > 0
                return RoutedInference(inference, member.name, waited)
        raise failure or InferenceError("every session of the pool failed; see the status of its sessions")

    def _on(
        self,
        member: Member,
        tokens: Sequence[int],
        style: NDArray[np.float32],
        speed: float,
        seed: int,
        cancellation: Cancellation | None,
        noise_scale: float | None,
    ) -> Inference:
        with self._lock:
            member.running += 1
        try:
            inference = member.session.run(
                tokens, style, speed, seed, cancellation=cancellation, noise_scale=noise_scale
            )
        except InputError:
            raise
        except Exception:
            if cancellation is None or not cancellation.cancelled:
                with self._lock:
                    member.errors += 1
                    member.rests_until = self._now() + self._rest_s
            raise
        else:
            cost = inference.seconds / len(tokens)
            with self._lock:
                member.calls += 1
                member.seconds += inference.seconds
                known = member.seconds_per_token
                member.seconds_per_token = cost if known is None else known + LEARNING * (cost - known)
            return inference
        finally:
            with self._lock:
                member.running -= 1

    def _ordered(self, text: str, tokens: int) -> list[Member]:
        now = self._now()
        if self.routing == "cost":
            # A session that was never tried costs nothing yet, so each is measured once.
            ranked = sorted(self.members, key=lambda m: (m.seconds_per_token or 0.0) * tokens * (1 + m.running))
        else:
            order = _by_length(text) if self.routing == "length" else _by_complexity(text)
            ranked = sorted(self.members, key=lambda m: order.index(m.name) if m.name in order else len(order))
        return sorted(ranked, key=lambda member: member.rests_until > now)

    def status(self) -> tuple[MemberStatus, ...]:
        """Counters of each session."""
        now = self._now()
        with self._lock:
            return tuple(
                MemberStatus(
                    m.name, m.calls, m.errors, m.running, m.seconds, m.seconds_per_token, max(0.0, m.rests_until - now)
                )
                for m in self.members
            )

    def close(self) -> None:
        """Close every session."""
        for member in self.members:
            member.session.close()


def _by_length(text: str) -> tuple[str, str, str]:
    characters, words = len(text), len(text.split())
    if characters > LONG_TEXT[0] or words > LONG_TEXT[1]:
        return "wide", "half", "narrow"
    if characters > MEDIUM_TEXT[0] or words > MEDIUM_TEXT[1]:
        return "narrow", "wide", "half"
    return "narrow", "half", "wide"


def _by_complexity(text: str) -> tuple[str, str, str]:
    score = complexity(text)
    if score > COMPLEX:
        return "wide", "half", "narrow"
    if score > MODERATE:
        return "narrow", "wide", "half"
    return "narrow", "half", "wide"
