"""The settings of a session, how each is passed to onnxruntime, and how it is read back from a live session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from kokoro_lab.errors import SettingError
from kokoro_lab.field_checks import Mistake, Range, refuse, shown, take_fields
from kokoro_lab.runtime.arena import ArenaExtend
from kokoro_lab.runtime.providers import ProviderRequest, parse

__all__ = ["GRAPH_LEVELS", "GraphLevel", "SessionSettings", "read_back", "run_options", "session_options"]

GraphLevel = Literal["none", "basic", "extended", "layout", "all"]

GRAPH_LEVELS: Mapping[GraphLevel, str] = {
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
ARENA_SHRINKAGE = "memory.enable_memory_arena_shrinkage"  # a run option, not a session option
WEIGHTS_FILE = "session.optimized_model_external_initializers_file_name"
WEIGHTS_LEAST = "session.optimized_model_external_initializers_min_size_in_bytes"
LEAST_BYTES = "1024"  # of a weight stored outside the graph; smaller ones, such as inputs with a default, stay inside
ERRORS_ONLY = 3  # onnxruntime's log severity: users do not need warnings about overridable initializers


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """All settings of a session; those of an engine include them.

    Each field is passed to onnxruntime, and `read_back` shows it there. Raises SettingError, naming every mistake at
    once.
    """

    preoptimized: bool = True
    """Open the model's pre-optimised form where one fits this machine: on the CPU, at graph level all
    (default: on; KOKORO_PREOPTIMIZED)."""

    provider: str = "cpu"
    """Execution provider by its short name (default: cpu; KOKORO_PROVIDER)."""

    provider_options: tuple[tuple[str, str], ...] = ()
    """Options of the provider, pairs of name and value (default: none; KOKORO_PROVIDER_OPTIONS)."""

    provider_fallback: bool = False
    """Run on the CPU when the provider is absent or refuses, instead of raising; the status then says so
    (default: off; KOKORO_PROVIDER_FALLBACK)."""

    intra_op_threads: Annotated[int, Range(0, 256, zero="one per physical core")] = 0
    """Threads that share one operator, the caller's included; 0: onnxruntime's default, one per physical core
    (default: 0; KOKORO_INTRA_OP_THREADS)."""

    inter_op_threads: Annotated[int, Range(0, 256, zero="one per physical core")] = 1
    """Threads that run operators in parallel, with `parallel`; 0: onnxruntime's default, one per physical core
    (default: 1; KOKORO_INTER_OP_THREADS)."""

    parallel: bool = False
    """Run independent branches of the graph in parallel, ORT_PARALLEL (default: off; KOKORO_PARALLEL)."""

    graph_level: GraphLevel = "all"
    """Graph optimisation: none, basic, extended, layout or all (default: all; KOKORO_GRAPH_LEVEL)."""

    arena: bool = True
    """Keep freed CPU memory in an arena for the next call (default: on; KOKORO_ARENA)."""

    arena_shrink: bool = False
    """Return the arena's free memory to the system after each call (default: off; KOKORO_ARENA_SHRINK)."""

    arena_limit_mib: Annotated[int, Range(0, 1_000_000, "MiB", zero="no limit")] = 0
    """MiB (2**20 bytes) that the arena of each session may hold: a call that needs more fails; 0 for no limit. Former
    variables are KOKORO_ARENA_LIMIT_MB and KOKORO_MEMORY_ARENA_SIZE_MB
    (default: 0; KOKORO_ARENA_LIMIT_MIB)."""

    arena_extend: ArenaExtend = "double"
    """Steps in which the arena grows: double (the next power of two) or requested (the size that a call requests)
    (default: double; KOKORO_ARENA_EXTEND)."""

    memory_pattern: bool = False
    """Plan memory ahead from the shapes of earlier calls: takes one more block as large as a call needs, and saved no
    time in our measurements (16 to 400 tokens) (default: off; KOKORO_MEMORY_PATTERN)."""

    memory_reuse: bool = False
    """Plan ahead which tensors reuse the memory of tensors that are no longer read. The arena does as well with varying
    lengths: same samples, peak memory and call time. The planning takes most of the time of opening a file
    (default: off; KOKORO_MEMORY_REUSE)."""

    spinning: bool = True
    """Let waiting threads spin before they sleep: faster hand-over, more processor time
    (default: on; KOKORO_SPINNING)."""

    affinity: str = ""
    """Processors of the threads after the first, in onnxruntime's notation: "2;3" or "1,2;3,4", counted from 1
    (default: none; KOKORO_AFFINITY)."""

    denormals_as_zero: bool = False
    """Flush denormal numbers to zero (default: off; KOKORO_DENORMALS_AS_ZERO)."""

    prepacking: bool = True
    """Repack weights for the kernels at load: slower loading and more memory, but faster calls
    (default: on; KOKORO_PREPACKING)."""

    deterministic: bool = False
    """Request deterministic kernels from providers that also have others (default: off; KOKORO_DETERMINISTIC)."""

    io_binding: bool = False
    """Pass inputs through an IO binding instead of a dictionary (default: off; KOKORO_IO_BINDING)."""

    def __post_init__(self) -> None:
        wrong = take_fields(self)
        refuse(self.conflicts(), wrong)

    def conflicts(self) -> Iterator[Mistake]:
        """Values that are valid by themselves and contradict each other."""
        try:
            _ = self.request
        except SettingError as error:
            says, _, use = error.message.partition("; ")
            yield Mistake(("provider", "provider_options"), says, use)
        if self.own_arena and not self.arena:
            fields = ("arena", "arena_limit_mib", "arena_extend")
            yield Mistake(fields, "arena_limit_mib and arena_extend shape the arena, which is off", "turn arena on")
        if self.parallel and self.inter_op_threads == 1:
            yield Mistake(
                ("parallel", "inter_op_threads"),
                "onnxruntime runs operators sequentially when parallel has only one inter_op thread",
                "use inter_op_threads of 0, or 2 or more",
            )
        threads = self.affinity.count(";") + 2
        if self.affinity and threads != self.intra_op_threads:
            yield Mistake(
                ("affinity", "intra_op_threads"),
                f"affinity {shown(self.affinity)} pins {threads - 1} threads besides the caller's",
                f"set intra_op_threads to {threads}",
            )

    @property
    def own_arena(self) -> bool:
        """Whether the session needs an arena other than onnxruntime's default for it."""
        return self.arena_limit_mib > 0 or self.arena_extend != "double"

    @property
    def request(self) -> ProviderRequest:
        """The requested provider, with its options checked."""
        return parse(self.provider, self.provider_options)


def session_options(settings: SessionSettings, optimized_path: Path | None = None) -> Any:
    """The onnxruntime.SessionOptions that carry the settings.

    optimized_path: where onnxruntime writes the optimised graph, with its weights beside it (.bin); None: not written.
    """
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
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
        options.add_session_config_entry(WEIGHTS_FILE, optimized_path.with_suffix(".bin").name)
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
    """What a live onnxruntime session reports of its own options, by the names of our settings.

    `arena_shrink` and `io_binding` act on each call and are read from the run options and from the caller; of an arena
    onnxruntime reports only whether it came from the environment, as an arena with a limit or other steps does.
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
        "arena_limit_mib": str(settings.arena_limit_mib) if own_arena else "0",
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
