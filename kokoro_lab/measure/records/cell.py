"""What is measured and its outcome: cell, repeat, block. Plain values that cross the process boundary as JSON.

Times are in milliseconds, memory in megabytes (10^6 bytes), shares between 0 and 1. A value that was not available is
None, never 0 or NaN.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from kokoro_lab.errors import SettingError
from kokoro_lab.field_checks import FORMER_NAMES, Mistake, Range, refuse, take_fields
from kokoro_lab.measure.records.identity import BlockIdentity
from kokoro_lab.measure.records.readings import (
    GateReading,
    LoadReading,
    ModelReading,
    ProviderReading,
    QuietReading,
    RenderingReading,
    Repeat,
    VisitReading,
)
from kokoro_lab.measure.records.record import Record
from kokoro_lab.runtime.settings import GraphLevel

__all__ = [
    "OTHER_TEXT",
    "PROCESSES",
    "REQUEST_SEPARATOR",
    "RETRY_STRIDE",
    "STATES",
    "Arrivals",
    "Block",
    "BlockResult",
    "Cell",
    "Delivery",
    "GateReading",
    "LoadReading",
    "ModelReading",
    "Processes",
    "ProviderReading",
    "QuietReading",
    "RenderingReading",
    "Repeat",
    "Scalar",
    "State",
    "Status",
    "VisitKey",
    "VisitReading",
]

Scalar = str | int | float | bool
Delivery = Literal["whole", "stream"]
Arrivals = Literal["", "poisson", "ramp", "closed"]
State = Literal["warm", "cold", "cold-process", "cold-session", "cold-shape"]
Status = Literal["ok", "partial", "unavailable", "error"]
Processes = Literal["own", "shared"]
VisitKey = tuple[str, str, str, tuple[tuple[str, str], ...], int, str]

STATES: tuple[State, ...] = ("warm", "cold", "cold-process", "cold-session", "cold-shape")
"""warm: steady repeats. cold: fresh process, the model's files dropped from the page cache. cold-process: fresh
process, file cache as it is. cold-session: a second session in a process that has imports and G2P ready. cold-shape:
first call of this text in a session warmed up with another length."""

PROCESSES: tuple[Processes, ...] = ("own", "shared")
"""own: every block is a fresh process. shared: in each round, one fresh process measures all cells with the same
`Cell.visit_key` in turn, which is a visit."""

OTHER_TEXT = "This sentence is here so that the shape that is measured next has never been seen by the session."
"""The text that the session of a `cold-shape` cell is warmed up with."""

REQUEST_SEPARATOR = "\x1e"
"""ASCII's record separator: a cell whose text contains it is a session of several requests, made in turn."""

RETRY_STRIDE = 10_000
"""Attempt a of block b is stored as block a * RETRY_STRIDE + b: (run, cell, block) stays a key, and both blocks are
stored."""


@dataclass(frozen=True)
class Cell(Record):
    """One combination of factor levels; hashable, JSON scalars only.

    Examples:
        >>> cell = Cell(model="tiny", text="Hi.", intra_op_threads=2)
        >>> cell.id, Cell(model="tiny", text="Hi.", intra_op_threads=2, seed=0).id
        ('465ee29b2721', '465ee29b2721')
        >>> Cell.from_dict(cell.as_dict()) == cell
        True
    """

    model: str
    """Model name or path, as `models.catalog.resolve` takes it."""
    text: str
    text_preset: str = ""
    """Name of the text in data/ ("short", "medium", ...), `own` or `own-` and a name for a text of the plan or the
    command line; empty for any other text."""
    voice: str = "af_heart"
    speed: Annotated[float, Range(0, above=True)] = 1.0
    lang: str = "en-us"
    seed: int = 0
    provider: str = "cpu"
    provider_options: tuple[tuple[str, str], ...] = ()
    intra_op_threads: Annotated[int, Range(0, 256, zero="one per physical core")] = 0
    """0: onnxruntime's default, one per physical core."""
    graph_level: GraphLevel = "all"
    engine_settings: tuple[tuple[str, Scalar], ...] = ()
    """Other fields of EngineConfig that a sweep varies, as (name, value); a renamed field has its former name here,
    so that ids stay the same."""
    environment: str = ""
    """Isolated installation that the worker runs in, by the name of its recipe; empty for the current installation. An
    environment with a peer engine runs that engine."""
    delivery: Delivery = "whole"
    """whole: `Engine.synthesize`, whose first sample arrives with its last. stream: `Engine.stream`, chunk by chunk."""
    arrivals: Arrivals = ""
    """Load: poisson or ramp (an open loop over `load_s` seconds at `rate_hz`), closed (`clients` users who make
    `repeats` calls in all); empty: one call after another. Under load, latency counts from when a call was due."""
    rate_hz: Annotated[float, Range(0, 10_000)] = 0.0
    """Calls a second of an open loop; of a ramp, the highest rate."""
    load_s: Annotated[float, Range(0, 604_800)] = 0.0
    """Seconds of an open loop; a ramp spends a quarter rising, half at its height, a quarter falling."""
    clients: Annotated[int, Range(1, 10_000)] = 1
    """Calls that may be in progress at once; how many of them the engine runs at once is a setting of the engine."""
    state: State = "warm"
    repeats: Annotated[int, Range(1, 10_000_000)] = 5
    """Timed calls a block; a cold block has one, whatever this says."""
    warmup_cap: Annotated[int, Range(1, 10_000_000)] = 20
    """Most warm-up calls before a warm block is timed, steady or not."""
    replica: Annotated[int, Range(0, 10_000)] = 0
    """Distinguishes two measurements of one configuration: cells that differ in nothing else are an A/A pair."""
    process: Processes = "own"
    """Whether a block has a fresh process of its own, or shares one with other cells of its round. Cells that differ in
    it are never pooled and never compared with each other."""
    reference: bool = False
    """The cell whose audio the others with the same `gate_key` are compared with; exactly one per group."""

    def __post_init__(self) -> None:
        """Normalise equal configurations, so that they get the same id; reject impossible ones."""
        with contextlib.suppress(TypeError, ValueError):  # values that are not pairs are rejected below
            options = tuple(sorted((str(key), str(value)) for key, value in self.provider_options))
            object.__setattr__(self, "provider_options", options)
        with contextlib.suppress(TypeError, ValueError):
            settings = ((str(key), value) for key, value in self.engine_settings)
            former = tuple(sorted((FORMER_NAMES.get(key, key), value) for key, value in settings))
            object.__setattr__(self, "engine_settings", former)
        wrong = take_fields(self, convert=False)
        object.__setattr__(self, "speed", float(self.speed))
        refuse(self.conflicts(), wrong)

    def conflicts(self) -> Iterator[Mistake]:
        """Values that are valid by themselves and contradict each other."""
        names = [name for name, _ in self.engine_settings]
        for name in sorted(set(names) & set(FORMER_NAMES.values())):
            if names.count(name) > 1:
                yield Mistake(("engine_settings",), f"engine_settings name {name} twice", "use it once")
        if self.arrivals in ("poisson", "ramp") and not (self.rate_hz > 0.0 and self.load_s > 0.0):
            says = f"arrivals {self.arrivals!r} need a rate and a duration"
            yield Mistake(("arrivals", "rate_hz", "load_s"), says, "use a rate_hz and a load_s above 0")
        if self.arrivals and self.state != "warm":
            says = f"a cell under load is warm, and state is {self.state!r} with arrivals {self.arrivals!r}"
            yield Mistake(("arrivals", "state"), says, "use the state warm, or no arrivals")
        if self.process == "shared" and not self.may_share:
            says = "a shared process measures warm calls of one text only"
            yield Mistake(("process",), says, "use a process of its own for cold states, loads and sessions")

    @property
    def may_share(self) -> bool:
        """Whether other cells may be measured in its process: it is warm, and makes one call after another with one
        text."""
        return self.state == "warm" and not self.arrivals and len(self.requests) == 1

    @property
    def visit_key(self) -> VisitKey:
        """What the cells that share a process have in common; the other engine settings may differ."""
        where = (self.model, self.environment, self.provider, self.provider_options)
        return (*where, self.intra_op_threads, self.graph_level)

    @functools.cached_property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of the canonical JSON, without the role `reference`.

        Fields at their default are left out too, so that a new field does not change the ids of earlier cells. A
        default must therefore never change.
        """
        usual = {item.name: item.default for item in dataclasses.fields(self)}
        configuration = {
            name: value
            for name, value in self.as_dict().items()
            if name != "reference" and getattr(self, name) != usual[name]
        }
        canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def requests(self) -> tuple[str, ...]:
        """The texts to speak: the text, or the requests of a session in order; repeat n makes request n modulo their
        number."""
        return tuple(self.text.split(REQUEST_SEPARATOR))

    @property
    def gate_key(self) -> tuple[str, str, float, str, int]:
        """The fields in which it must equal its reference cell: text, voice, speed, language and seed."""
        return (self.text, self.voice, self.speed, self.lang, self.seed)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a cell from the output of `as_dict`; unknown keys are an error, missing keys take their default."""
        known = [item.name for item in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SettingError(f"unknown cell field {', '.join(unknown)}; use {', '.join(known)}")
        return super().from_dict(values)


@dataclass(frozen=True)
class BlockResult(Record):
    """What one worker process reports. With status "error" or "unavailable" there are no repeats."""

    status: Status
    error: str = ""
    """One sentence; empty when the status is "ok"."""
    repeats: tuple[Repeat, ...] = ()
    warmup_ms: tuple[float, ...] = ()
    became_steady: bool = False
    load_ms: dict[str, float] = field(default_factory=dict)
    """Stage -> ms, in order: spawn (to the worker's first line), import, model, session, voices, g2p, first_call."""
    cold: dict[str, str] = field(default_factory=dict)
    """What was cold: file_cache, process, session, shape -> how it was made cold; of a fresh process also measured
    (cold or cold-process), and of each file that it reads "file NAME" -> what was in the page cache."""
    rss_peak_mb: float | None = None
    """Of the whole process; None for a cell that shared it, like `rss_steady_mb`."""
    rss_steady_mb: float | None = None
    provider: ProviderReading | None = None
    settings_digest: str = ""
    """Effective digest of the session (measurement rule 7)."""
    model: ModelReading | None = None
    identity: BlockIdentity | None = None
    """What was measured, by its bytes; None when it is unverified."""
    durations: tuple[int, ...] | None = None
    """Predicted 25 ms frames a token, over all segments; None where the model does not report them."""
    versions: dict[str, str] = field(default_factory=dict)
    """python, numpy, onnxruntime, kokoro_lab."""
    foreign_modules: tuple[str, ...] = ()
    """Modules that were loaded and must never be in a measured process."""
    deliveries: tuple[tuple[float, float, float | None], ...] = ()
    """Of the last repeat, when it was a stream: each delivery's arrival (s from the call), duration (s) and the start
    of its sound (s; None: silent). `listener.Arrival(*delivery)` allows it to be played again by any player."""
    renderings: tuple[RenderingReading, ...] = ()
    """The distinct renderings of the timed calls that the gate looks at, the last call's first; empty for a session."""
    load: LoadReading | None = None
    """How the calls of a cell with arrivals went."""
    visit: VisitReading | None = None
    """Its part of a shared process; None for a process of its own."""
    energy_j: float | None = None
    """Package energy over the timed repeats, where the machine reports it."""
    energy_source: str = ""
    """Either "rapl" or "powermetrics", or why there is no figure."""
    figures: dict[str, float] = field(default_factory=dict)
    """Figures of the block that have no column: cpu_ms (processor time of the process per timed call), renderings
    (number of distinct ones, where there are several). Of streams:
    first_segment_words, and over all timed calls underruns and streamed_s (seconds played). Of a cache that is on, its
    hits and lookups during the timed calls (audio_cache_hits, ...). Of a session: session_ms (all its calls together),
    differing (calls whose samples were not those of the same request's first call) and rss_idle_mb (memory after an
    idle period)."""


@dataclass(frozen=True)
class Block(Record):
    """The measurement of one cell by a fresh process, with its circumstances."""

    cell: Cell
    block: int
    """Number within the cell; a retry has attempt * RETRY_STRIDE + the number it replaces."""
    order: int
    """Position in the run's plan, from 0."""
    round: int
    """Round that the block belongs to; cells of one round make pairs."""
    result: BlockResult
    quiet: QuietReading
    gate: GateReading | None = None
    attempt: int = 0
    replaces: int | None = None
    """Number of the block that this block is a retry of."""
    started_at: str = ""
    """UTC, ISO 8601."""
    wall_s: float = 0.0
    """From spawn to exit of the worker; of a shared process, this cell's part of that time."""
    place: int | None = None
    """Position among the cells of a shared process, from 0; None for a process of its own."""
    audio_path: str = ""
    """float32 .npy of the last repeat, when it was stored (reference cells, and each cell's first block)."""

    def values(self, figure: str) -> list[float]:
        """A numeric field of Repeat, for every repeat; none for the memory of a process that several cells shared."""
        if figure == "rss_mb" and self.cell.process == "shared":
            return []
        return [float(getattr(repeat, figure)) for repeat in self.result.repeats]

    @property
    def key(self) -> tuple[str, int]:
        """(cell id, block), unique in a run."""
        return (self.cell.id, self.block)
