"""What is measured and what came of it: cell, repeat, block. Plain values that cross the process boundary as JSON.

`as_dict()` gives JSON-ready values and `from_dict()` takes them back; the round trip is exact. Times are in
milliseconds, memory in megabytes (10^6 bytes), shares between 0 and 1. What was not available is None, never 0 or NaN.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from kokoro_lab.errors import SettingError
from kokoro_lab.measure.readings import (
    GateReading,
    LoadReading,
    ModelReading,
    ProviderReading,
    QuietReading,
    Repeat,
)

__all__ = [
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
    "ProviderReading",
    "QuietReading",
    "Repeat",
    "Scalar",
    "State",
    "Status",
]

Scalar = str | int | float | bool
Delivery = Literal["whole", "stream"]
Arrivals = Literal["", "poisson", "ramp", "closed"]
State = Literal["warm", "cold", "cold-process", "cold-session", "cold-shape"]
Status = Literal["ok", "partial", "unavailable", "error"]

STATES: tuple[State, ...] = ("warm", "cold", "cold-process", "cold-session", "cold-shape")
"""warm: steady repeats. cold: fresh process, model file dropped from the page cache. cold-process: fresh process,
file cache as it is. cold-session: a second session in a process that has imports and G2P ready. cold-shape: first
call of this text in a session warmed up with another length."""

PAIRS = ("provider_options", "engine_settings")  # fields of a cell that hold (name, value) pairs

RETRY_STRIDE = 10_000
"""Attempt a of block b is stored as block a * RETRY_STRIDE + b: (run, cell, block) stays a key, and both are kept."""


@dataclass(frozen=True)
class Cell:
    """One combination of factor levels; hashable, JSON scalars only."""

    model: str
    """Model name or path, as `models.catalog.resolve` takes it."""
    text: str
    text_preset: str = ""
    """Name of the text in data/ ("short", "medium", ...); empty for a text of one's own."""
    voice: str = "af_heart"
    speed: float = 1.0
    lang: str = "en-us"
    seed: int = 0
    provider: str = "cpu"
    provider_options: tuple[tuple[str, str], ...] = ()
    intra_op_threads: int = 0
    """0: onnxruntime's default, one a physical core."""
    graph_level: str = "all"
    engine_settings: tuple[tuple[str, Scalar], ...] = ()
    """Any other fields of EngineConfig that a sweep varies, as (name, value)."""
    environment: str = ""
    """Isolated installation that the worker runs in, by the name of its recipe; empty for the one we run in. One that
    holds a peer engine runs that engine."""
    delivery: Delivery = "whole"
    """whole: `Engine.synthesize`, whose first sample arrives with its last. stream: `Engine.stream`, chunk by chunk."""
    arrivals: Arrivals = ""
    """Load: poisson or ramp (an open loop over `load_s` seconds at `rate_hz`), closed (`clients` users who make
    `repeats` calls in all); empty: one call after the other. Latency then counts from when a call was due."""
    rate_hz: float = 0.0
    """Calls a second of an open loop; of a ramp at its height."""
    load_s: float = 0.0
    """Seconds of an open loop; a ramp spends a quarter rising, half at its height, a quarter falling."""
    clients: int = 1
    """Calls that may be under way at once; how many of them the engine runs at once is its own setting."""
    state: State = "warm"
    repeats: int = 5
    """Timed calls a block; a cold block has one, whatever this says."""
    warmup_cap: int = 20
    """Most warm-up calls before a warm block is timed, steady or not."""
    replica: int = 0
    """Tells two measurements of one configuration apart: cells that differ in nothing else are an A/A pair."""
    reference: bool = False
    """The cell that the others of the same `gate_key` are gated against; exactly one in such a group."""

    def __post_init__(self) -> None:
        """Bring equal configurations to one form, so that they get one id; refuse impossible ones."""
        options = tuple(sorted((str(key), str(value)) for key, value in self.provider_options))
        object.__setattr__(self, "provider_options", options)
        settings = tuple(sorted((str(key), value) for key, value in self.engine_settings))
        object.__setattr__(self, "engine_settings", settings)
        object.__setattr__(self, "speed", float(self.speed))
        if self.state not in STATES:
            raise SettingError(f"A cell takes a state of {', '.join(STATES)}; got {self.state!r}.")
        if self.delivery not in ("whole", "stream"):
            raise SettingError(f"A cell takes a delivery of whole or stream; got {self.delivery!r}.")
        if self.arrivals not in ("", "poisson", "ramp", "closed"):
            raise SettingError(f"A cell takes arrivals of poisson, ramp or closed; got {self.arrivals!r}.")
        if self.arrivals in ("poisson", "ramp") and not (self.rate_hz > 0.0 and self.load_s > 0.0):
            raise SettingError("A cell with open arrivals needs a rate_hz and a load_s above 0.")
        if self.clients < 1:
            raise SettingError(f"A cell needs clients of 1 or more; got {self.clients}.")
        if self.arrivals and self.state != "warm":
            raise SettingError(f"A cell under load is warm; got {self.state!r} with arrivals {self.arrivals!r}.")
        if self.repeats < 1:
            raise SettingError(f"A cell needs repeats of 1 or more; got {self.repeats}.")
        if self.warmup_cap < 1:
            raise SettingError(f"A cell needs a warmup_cap of 1 or more; got {self.warmup_cap}.")
        if self.intra_op_threads < 0:
            raise SettingError(f"A cell takes intra_op_threads of 0 (default) or more; got {self.intra_op_threads}.")

    @functools.cached_property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of the canonical JSON, without the role `reference`.

        Fields at their default are left out too, so that a field that is added one day renames no cell of before. A
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
    def gate_key(self) -> tuple[str, str, float, str, int]:
        """What must match its reference cell: text, voice, speed, language and seed."""
        return (self.text, self.voice, self.speed, self.lang, self.seed)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; provider options and engine settings as lists of [key, value]."""
        values = dataclasses.asdict(self)
        for name in PAIRS:
            values[name] = [list(pair) for pair in getattr(self, name)]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a cell from `as_dict` output; unknown keys are an error, missing ones take their default."""
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise SettingError(f"A cell has no field {', '.join(unknown)}.")
        taken = dict(values)
        for name in PAIRS:
            taken[name] = tuple((key, value) for key, value in values.get(name, ()))
        return cls(**taken)


@dataclass(frozen=True)
class BlockResult:
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
    """What was cold: file_cache, process, session, shape -> what was done about it."""
    rss_peak_mb: float | None = None
    rss_steady_mb: float | None = None
    provider: ProviderReading | None = None
    settings_digest: str = ""
    """Effective digest of the session (rule 7)."""
    model: ModelReading | None = None
    durations: tuple[int, ...] | None = None
    """Predicted 25 ms frames a token, over all segments; None where the model does not tell."""
    versions: dict[str, str] = field(default_factory=dict)
    """python, numpy, onnxruntime, kokoro_lab."""
    foreign_modules: tuple[str, ...] = ()
    """Modules that must never be in a measured process but were."""
    deliveries: tuple[tuple[float, float, float | None], ...] = ()
    """Of the last repeat, when it was a stream: each delivery's arrival (s from the call), duration (s) and where in it
    sound begins (s; None: nowhere). `listener.Arrival(*delivery)` lets any player listen to it again."""
    load: LoadReading | None = None
    """How the calls came and went, of a cell with arrivals."""
    energy_j: float | None = None
    """Package energy over the timed repeats, where the machine tells."""
    energy_source: str = ""
    """The word rapl or powermetrics, or why there is no figure."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        values = dataclasses.asdict(self)
        values["repeats"] = [repeat.as_dict() for repeat in self.repeats]
        values["warmup_ms"] = list(self.warmup_ms)
        values["deliveries"] = [list(delivery) for delivery in self.deliveries]
        values["load"] = None if self.load is None else self.load.as_dict()
        values["durations"] = None if self.durations is None else list(self.durations)
        values["foreign_modules"] = list(self.foreign_modules)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        taken = dict(values)
        taken["repeats"] = tuple(Repeat.from_dict(repeat) for repeat in values.get("repeats", ()))
        taken["warmup_ms"] = tuple(values.get("warmup_ms", ()))
        taken["deliveries"] = tuple((at, lasts, sound) for at, lasts, sound in values.get("deliveries", ()))
        taken["foreign_modules"] = tuple(values.get("foreign_modules", ()))
        if values.get("durations") is not None:
            taken["durations"] = tuple(values["durations"])
        if values.get("provider") is not None:
            taken["provider"] = ProviderReading.from_dict(values["provider"])
        if values.get("load") is not None:
            taken["load"] = LoadReading.from_dict(values["load"])
        if values.get("model") is not None:
            taken["model"] = ModelReading.from_dict(values["model"])
        return cls(**taken)


@dataclass(frozen=True)
class Block:
    """One fresh process that measured one cell, with what surrounded it."""

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
    """Number of the block that this one is a retry of."""
    started_at: str = ""
    """UTC, ISO 8601."""
    wall_s: float = 0.0
    """From spawn to exit of the worker."""
    audio_path: str = ""
    """float32 .npy of the last repeat, when it was kept (reference cells, and each cell's first block)."""

    @property
    def key(self) -> tuple[str, int]:
        """(cell id, block), unique in a run."""
        return (self.cell.id, self.block)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        values["cell"] = self.cell.as_dict()
        values["result"] = self.result.as_dict()
        values["quiet"] = self.quiet.as_dict()
        values["gate"] = None if self.gate is None else self.gate.as_dict()
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        taken = dict(values)
        taken["cell"] = Cell.from_dict(values["cell"])
        taken["result"] = BlockResult.from_dict(values["result"])
        taken["quiet"] = QuietReading.from_dict(values["quiet"])
        gate = values.get("gate")
        taken["gate"] = None if gate is None else GateReading.from_dict(gate)
        return cls(**taken)
