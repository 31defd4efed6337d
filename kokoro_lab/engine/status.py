"""One typed structure with every counter of an engine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kokoro_lab.engine.caches import CacheStatus
from kokoro_lab.engine.cushion import CushionStatus
from kokoro_lab.engine.environment import VariableReport
from kokoro_lab.engine.rendered import FolderStatus
from kokoro_lab.engine.tuner import TunerStatus
from kokoro_lab.engine.usage import UsageStatus
from kokoro_lab.runtime.arena import ArenaStatus
from kokoro_lab.runtime.assignment import EffectiveProvider
from kokoro_lab.runtime.memory import MemoryStatus
from kokoro_lab.runtime.pool import MemberStatus
from kokoro_lab.runtime.warmup import WarmupStatus

if TYPE_CHECKING:
    from kokoro_lab.engine.choosing import Spoken
    from kokoro_lab.models.catalog import ModelFile

__all__ = ["Calls", "Counter", "EngineStatus", "StartStatus"]


@dataclass(frozen=True)
class Calls:
    """What was asked of the engine since it was loaded; warm-up is not counted."""

    synthesized: int = 0
    """Whole texts that were finished."""
    streamed: int = 0
    """Streams that were heard to their end."""
    cancelled: int = 0
    """Streams that were closed before it."""
    failed: int = 0
    """Calls and streams that ended in an error, wrong input included."""
    running: int = 0
    segments: int = 0
    """Segments the model spoke."""
    tokens: int = 0
    """Phoneme tokens of those."""
    speech_s: float = 0.0
    """Seconds of sound the model gave for them."""
    user_words: int = 0
    """Words of those that were spoken by a lexicon or an inline pronunciation."""
    finished: int = 0
    """Whole texts that were trimmed, levelled or resampled."""
    releases: int = 0
    """Silences after which free memory went back to the system."""


class Counter:
    """Counts calls, from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = Calls()

    def add(self, **amounts: float) -> None:
        """Add to the fields named."""
        with self._lock:
            self._calls = replace(
                self._calls, **{name: getattr(self._calls, name) + amount for name, amount in amounts.items()}
            )

    def read(self) -> Calls:
        """The counts now."""
        with self._lock:
            return self._calls


@dataclass(frozen=True)
class StartStatus:
    """Where the time of loading went."""

    seconds: Mapping[str, float]
    """Wall seconds by stage; they add up to the whole."""
    busy: Mapping[str, float]
    """Seconds each piece of work took by itself, also where it ran beside another."""


@dataclass(frozen=True)
class EngineStatus:
    """An engine at one moment."""

    spoken: Spoken
    """The model, why it was chosen, and the file that was opened."""
    provider: EffectiveProvider
    digest: str
    """Of the first session's settings and nodes; see `Session.digest`."""
    calls: Calls
    sessions: tuple[MemberStatus, ...]
    fallbacks: int
    """Model calls that another session answered after one had failed."""
    waited_s: float
    """Seconds that model calls waited for their turn, together."""
    side_by_side: int
    """Segments of whole texts that were being spoken at once, at most; 0 while they are spoken one by one."""
    phoneme_cache: CacheStatus | None
    """None where the cache is off; so for the next three."""
    audio_cache: CacheStatus | None
    audio_folder: FolderStatus | None
    primer_cache: CacheStatus | None
    start: StartStatus
    warmup: WarmupStatus
    tuner: TunerStatus | None
    """None unless settings are tuned while the engine runs."""
    concurrency: int
    """Model calls that may run at once now."""
    threads_by_priority: Mapping[int, int] | None
    """Nice value -> threads of the process; None where the system does not say."""
    usage: UsageStatus | None
    """None unless popular texts are spoken ahead."""
    cushion: CushionStatus | None
    """None unless the pre-buffer adapts."""
    arena: ArenaStatus
    memory: MemoryStatus | None
    """None without the watchdog."""
    languages: tuple[str, ...]
    """Languages whose phonemiser is ready."""
    voices: tuple[str, ...]
    """Voices that were loaded."""
    variables: tuple[VariableReport, ...]
    """What became of each KOKORO_* and COREML_* variable, for settings made by `EngineConfig.from_environment`."""

    @property
    def model(self) -> ModelFile:
        """The model it speaks with."""
        return self.spoken.model
