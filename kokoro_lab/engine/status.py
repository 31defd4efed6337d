"""All counters of an engine in a typed structure."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kokoro_lab.engine.adaptive_prebuffer import PrebufferStatus
from kokoro_lab.engine.audio_cache import FolderStatus
from kokoro_lab.engine.caches import CacheStatus
from kokoro_lab.engine.environment_variables import VariableReport
from kokoro_lab.engine.prewarm import PrewarmStatus
from kokoro_lab.engine.tuner import TunerStatus
from kokoro_lab.runtime.arena import ArenaStatus
from kokoro_lab.runtime.assignment import EffectiveProvider
from kokoro_lab.runtime.memory import MemoryStatus
from kokoro_lab.runtime.pool import MemberStatus
from kokoro_lab.runtime.warmup import WarmupStatus

if TYPE_CHECKING:
    from kokoro_lab.engine.model_selection import LoadedModel
    from kokoro_lab.models.catalog import ModelFile

__all__ = ["Calls", "Counter", "EngineStatus", "StartStatus"]


@dataclass(frozen=True)
class Calls:
    """Counts of calls since the engine was loaded; warm-up is not counted."""

    synthesized: int = 0
    """Whole texts that were completed."""
    streamed: int = 0
    """Streams that were consumed to their end."""
    cancelled: int = 0
    """Streams that were closed before their end."""
    failed: int = 0
    """Calls and streams that ended in an error, wrong input included."""
    running: int = 0
    segments: int = 0
    """Segments that the model synthesised."""
    tokens: int = 0
    """Phoneme tokens of those segments."""
    speech_s: float = 0.0
    """Seconds of sound that the model returned for them."""
    user_words: int = 0
    """Words of those segments with a pronunciation from a lexicon or inline."""
    finished: int = 0
    """Whole texts that were trimmed, levelled or resampled."""
    releases: int = 0
    """Number of idle periods after which free memory was returned to the system."""


class Counter:
    """Counts calls, from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = Calls()

    def add(self, **amounts: float) -> None:
        """Add to the named fields."""
        with self._lock:
            self._calls = replace(
                self._calls, **{name: getattr(self._calls, name) + amount for name, amount in amounts.items()}
            )

    def read(self) -> Calls:
        """The current counts."""
        with self._lock:
            return self._calls


@dataclass(frozen=True)
class StartStatus:
    """How the time of loading was spent."""

    seconds: Mapping[str, float]
    """Wall seconds by stage; they add up to the total."""
    busy: Mapping[str, float]
    """Seconds of each piece of work by itself, including work that ran in parallel."""


@dataclass(frozen=True)
class EngineStatus:
    """State of an engine at a moment."""

    spoken: LoadedModel
    """The model, the reason for choosing it, and the file that was opened."""
    provider: EffectiveProvider
    digest: str
    """Digest of the first session's settings and nodes; see `Session.digest`."""
    calls: Calls
    sessions: tuple[MemberStatus, ...]
    fallbacks: int
    """Model calls that another session completed after the first session failed."""
    waited_s: float
    """Total seconds that model calls waited for their turn."""
    side_by_side: int
    """Largest number of segments of whole texts that ran at once; 0 while they run one after the other."""
    phoneme_cache: CacheStatus | None
    """None where the cache is off, as for the next three."""
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
    """Nice value -> number of threads of the process; None where the system does not report it."""
    usage: PrewarmStatus | None
    """None unless popular texts are pre-warmed."""
    cushion: PrebufferStatus | None
    """None unless the pre-buffer adapts."""
    arena: ArenaStatus
    memory: MemoryStatus | None
    """None without the memory watchdog."""
    languages: tuple[str, ...]
    """Languages whose phonemizer is loaded."""
    voices: tuple[str, ...]
    """Voices that are loaded."""
    variables: tuple[VariableReport, ...]
    """How each KOKORO_* and COREML_* variable was handled, for settings from `EngineConfig.from_environment`."""

    @property
    def model(self) -> ModelFile:
        """The model that is loaded."""
        return self.spoken.model
