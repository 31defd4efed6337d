"""What a session is asked for, how each setting reaches onnxruntime, and how it is read back from a live session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from kokoro_lab.errors import SettingError
from kokoro_lab.runtime.arena import EXTENDING
from kokoro_lab.runtime.providers import ProviderRequest, parse

__all__ = ["GRAPH_LEVELS", "SessionSettings", "read_back", "run_options", "session_options"]

GRAPH_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
"""Our names of onnxruntime's graph optimisation levels; each includes the ones before it."""

ASSIGNMENT = "session.record_ep_graph_assignment_info"
AFFINITIES = "session.intra_op_thread_affinities"
SPINNING = "session.intra_op.allow_spinning"
DENORMALS = "session.set_denormal_as_zero"
PREPACKING = "session.disable_prepacking"
ENVIRONMENT_ARENA = "session.use_env_allocators"
ARENA_SHRINKAGE = "memory.enable_memory_arena_shrinkage"  # a run option, not a session one
WEIGHTS_FILE = "session.optimized_model_external_initializers_file_name"
WEIGHTS_LEAST = "session.optimized_model_external_initializers_min_size_in_bytes"
LEAST_BYTES = "1024"  # of a weight that is put aside: smaller ones, inputs with a default among them, stay in the graph
ERRORS_ONLY = 3  # onnxruntime's log severity: warnings about overridable initializers are no news to a user


@dataclass(frozen=True)
class SessionSettings:
    """Everything that shapes a session. Each field reaches onnxruntime, and `read_back` shows it there."""

    provider: str = "cpu"
    """Short name of the execution provider."""

    provider_options: tuple[tuple[str, str], ...] = ()
    """Its options, as pairs of name and value."""

    intra_op_threads: int = 0
    """Threads that share one operator, the caller's included; 0 lets onnxruntime take one a core."""

    inter_op_threads: int = 1
    """Threads that run operators side by side, 0 for one a core; matters with `parallel` only."""

    parallel: bool = False
    """Run independent branches of the graph side by side (execution mode ORT_PARALLEL)."""

    graph_level: str = "all"
    """Graph optimisation: none, basic, extended, layout or all."""

    arena: bool = True
    """Keep freed CPU memory in an arena for the next call."""

    arena_shrink: bool = False
    """Give the arena's free regions back to the system after each call."""

    arena_limit_mb: int = 0
    """MB (2**20 bytes) that the arena may hold: a call that needs more fails; 0 for no limit."""

    arena_extend: str = "double"
    """Steps in which the arena grows: double (the next power of two), or requested (what a call asks for)."""

    memory_pattern: bool = False
    """Plan memory ahead by the shapes of earlier calls: one more block as large as a call needs, which saves no time
    measured here (16 to 400 tokens)."""

    memory_reuse: bool = False
    """Plan ahead which tensor takes over the memory of one that is no longer read. The arena does as well with lengths
    that vary: same samples, peak memory and call time, and the plan is most of the time of opening a file."""

    spinning: bool = True
    """Let waiting threads spin before they sleep: quicker hand-over, more processor time."""

    affinity: str = ""
    """Processors of the threads after the first, as onnxruntime writes it ("2;3" or "1,2;3,4", counted from 1)."""

    denormals_as_zero: bool = False
    """Flush denormal numbers to zero."""

    prepacking: bool = True
    """Repack weights for the kernels at load: a slower load and more memory for faster calls."""

    deterministic: bool = False
    """Ask for deterministic kernels where a provider has others."""

    io_binding: bool = False
    """Hand inputs over through an IO binding instead of a dictionary."""

    fallback: bool = False
    """Open on the CPU when the provider is absent or refuses, instead of raising; the status then says so."""

    preoptimized: bool = False
    """Open the file's pre-optimised form where there is one that fits; on the CPU, at graph level all."""

    optimized_path: Path | None = None
    """Where onnxruntime writes the optimised graph, its weights beside it (.bin); None: nowhere."""

    def __post_init__(self) -> None:
        if self.graph_level not in GRAPH_LEVELS:
            raise SettingError(f"graph level {self.graph_level!r} is unknown; use one of {', '.join(GRAPH_LEVELS)}")
        for name in ("intra_op_threads", "inter_op_threads"):
            if not 0 <= getattr(self, name) <= 256:
                raise SettingError(f"{name} is {getattr(self, name)}; use 0 (onnxruntime's choice) to 256")
        if self.arena_extend not in EXTENDING:
            raise SettingError(f"arena_extend {self.arena_extend!r} is unknown; use one of {', '.join(EXTENDING)}")
        if self.arena_limit_mb < 0:
            raise SettingError(f"arena_limit_mb is {self.arena_limit_mb}; use 0 for no limit, or more")
        if self.own_arena and not self.arena:
            raise SettingError("arena_limit_mb and arena_extend shape the arena, which is off; turn arena on")
        if self.parallel and self.inter_op_threads == 1:
            raise SettingError("onnxruntime runs parallel with one inter_op thread in sequence; use 0, or 2 or more")
        if self.affinity and self.affinity.count(";") + 2 != self.intra_op_threads:
            raise SettingError(
                f"affinity {self.affinity!r} pins {self.affinity.count(';') + 1} threads besides the caller's; "
                f"set intra_op_threads to {self.affinity.count(';') + 2}"
            )

    @property
    def own_arena(self) -> bool:
        """Whether the session needs an arena other than the one onnxruntime makes for it."""
        return self.arena_limit_mb > 0 or self.arena_extend != "double"

    @property
    def request(self) -> ProviderRequest:
        """The provider asked for, with its options checked."""
        return parse(self.provider, self.provider_options)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values, in the order of the fields."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values["provider_options"] = [list(pair) for pair in self.provider_options]
        values["optimized_path"] = None if self.optimized_path is None else str(self.optimized_path)
        return values


def session_options(settings: SessionSettings) -> Any:
    """The onnxruntime.SessionOptions that carry the settings."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = settings.intra_op_threads
    options.inter_op_num_threads = settings.inter_op_threads
    mode = onnxruntime.ExecutionMode
    options.execution_mode = mode.ORT_PARALLEL if settings.parallel else mode.ORT_SEQUENTIAL
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, GRAPH_LEVELS[settings.graph_level])
    options.enable_cpu_mem_arena = settings.arena
    options.enable_mem_pattern = settings.memory_pattern
    options.enable_mem_reuse = settings.memory_reuse
    options.use_deterministic_compute = settings.deterministic
    options.add_session_config_entry(ASSIGNMENT, "1")
    options.add_session_config_entry(SPINNING, "1" if settings.spinning else "0")
    options.add_session_config_entry(DENORMALS, "1" if settings.denormals_as_zero else "0")
    options.add_session_config_entry(PREPACKING, "0" if settings.prepacking else "1")
    if settings.own_arena:
        options.add_session_config_entry(ENVIRONMENT_ARENA, "1")
    if settings.affinity:
        options.add_session_config_entry(AFFINITIES, settings.affinity)
    if settings.optimized_path is not None:
        options.optimized_model_filepath = str(settings.optimized_path)
        options.add_session_config_entry(WEIGHTS_FILE, settings.optimized_path.with_suffix(".bin").name)
        options.add_session_config_entry(WEIGHTS_LEAST, LEAST_BYTES)
    return options


def run_options(settings: SessionSettings) -> Any:
    """The onnxruntime.RunOptions of one call."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = ERRORS_ONLY
    if settings.arena and settings.arena_shrink:
        options.add_run_config_entry(ARENA_SHRINKAGE, "cpu:0")
    return options


def read_back(session: Any, settings: SessionSettings) -> dict[str, str]:
    """What a live onnxruntime session says of its own options, by the names of our settings.

    `arena_shrink` and `io_binding` act at each call and are read from the run options and from the caller's path; of an
    arena onnxruntime says only whether it came from the environment, as one with a limit or other steps does.
    """
    options = session.get_session_options()
    entry: Callable[[str], str] = options.get_session_config_entry
    own_arena = settings.own_arena and entry(ENVIRONMENT_ARENA) == "1"
    return {
        "intra_op_threads": str(options.intra_op_num_threads),
        "inter_op_threads": str(options.inter_op_num_threads),
        "parallel": options.execution_mode.name,
        "graph_level": options.graph_optimization_level.name,
        "arena": str(options.enable_cpu_mem_arena),
        "arena_limit_mb": str(settings.arena_limit_mb) if own_arena else "0",
        "arena_extend": settings.arena_extend if own_arena else "double",
        "memory_pattern": str(options.enable_mem_pattern),
        "memory_reuse": str(options.enable_mem_reuse),
        "deterministic": str(options.use_deterministic_compute),
        "spinning": entry(SPINNING),
        "denormals_as_zero": entry(DENORMALS),
        "prepacking": "0" if entry(PREPACKING) == "1" else "1",
        "affinity": entry(AFFINITIES) if settings.affinity else "",
        "arena_shrink": str(settings.arena and settings.arena_shrink),
        "io_binding": str(settings.io_binding),
    }
