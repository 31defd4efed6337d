"""One onnxruntime session over one model file: opened with settings, run with tokens, questioned about what it is."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.errors import InferenceError, InputError, ProviderError
from kokoro_lab.models.architecture import STYLE_WIDTH
from kokoro_lab.models.contract import Contract, read_contract
from kokoro_lab.runtime.assignment import EffectiveProvider, NodeAssignment, ProviderShare, judge, read_assignment
from kokoro_lab.runtime.opening import Opened, first_line, graph_sum, open_file
from kokoro_lab.runtime.settings import SessionSettings, read_back, run_options
from kokoro_lab.text.vocabulary import MAX_TOKENS

if TYPE_CHECKING:
    from kokoro_lab.models.catalog import ModelFile

__all__ = ["Cancellation", "Inference", "Session"]

PAD = 0  # the token at each end of a call
ARENA_FULL = "BFCArena::AllocateRaw"  # in onnxruntime's words for a call that needs more than the arena may hold


@dataclass(frozen=True)
class Inference:
    """What one call of the model gave."""

    audio: NDArray[np.float32]
    """float32 [S] at 24,000 Hz, as the model made it."""
    durations: NDArray[np.int64] | None
    """int64 [T], frames of 25 ms a token, the two ends included; None when the file does not give them."""
    seconds: float
    """Wall time of the onnxruntime call."""


class Cancellation:
    """Stops the calls that were started with it, inside the call: onnxruntime looks at it between two operators."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[Any] = []
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop what runs, and refuse what would be started later. Safe from any thread, any number of times."""
        with self._lock:
            self._cancelled.set()
            for options in self._running:
                options.terminate = True

    @contextmanager
    def watching(self, options: Any) -> Iterator[None]:
        """Let `cancel` reach a call that runs with these onnxruntime.RunOptions."""
        with self._lock:
            if self._cancelled.is_set():
                raise InferenceError("the call was cancelled before it began")
            self._running.append(options)
        try:
            yield
        finally:
            with self._lock:
                self._running = [other for other in self._running if other is not options]


class Session:
    """A live onnxruntime session. `run` may be called from several threads at once."""

    def __init__(
        self,
        session: Any,
        model: ModelFile,
        settings: SessionSettings,
        *,
        opened: Opened | None = None,
    ) -> None:
        """Wrap an open onnxruntime.InferenceSession; use `Session.open` to make one from a file."""
        self.model = model
        self.settings = settings
        self.opened = opened or Opened(model.path)
        """Which file it was made of, and with what."""
        self.contract: Contract = read_contract(
            session.get_inputs(), session.get_outputs(), session.get_overridable_initializers()
        )
        length = next(port.shape[1] for port in session.get_inputs() if port.name == self.contract.tokens)
        self.fixed_tokens: int | None = length if isinstance(length, int) else None
        """Tokens with the two ends that the file takes, where that is a fixed number."""
        self.arena_refusals = 0
        """Calls that needed more memory than `arena_limit_mb`."""
        self._session: Any | None = session

    @classmethod
    def open(cls, model: ModelFile, settings: SessionSettings | None = None) -> Session:
        """Read the model file and make a session of it.

        Raises ModelNotFoundError (no such file), ModelError (not a model), SettingError (a bad setting), ProviderError
        (the provider is absent or refuses, unless `settings.fallback`, which opens on the CPU and says so).
        """
        settings = settings or SessionSettings()
        session, opened = open_file(model, settings)
        return cls(session, model, settings, opened=opened)

    def run(
        self,
        tokens: Sequence[int],
        style: NDArray[np.float32],
        speed: float,
        seed: int = 0,
        *,
        cancellation: Cancellation | None = None,
        noise_scale: float | None = None,
    ) -> Inference:
        """Run the model once.

        tokens: phoneme tokens, at most 510, without the zeros at the ends (added here). style: float32 [1, 256], the
        voice's row for this many tokens. speed: a factor. seed, noise_scale: fed when the file has such initializers.
        Raises InputError for too few or too many tokens, InferenceError when onnxruntime fails or the call is stopped.
        """
        if not 1 <= len(tokens) <= MAX_TOKENS:
            raise InputError(f"a call takes 1 to {MAX_TOKENS} tokens, not {len(tokens)}; cut the text into segments")
        if self.fixed_tokens not in (None, len(tokens) + 2):
            raise InputError(
                f"this model takes exactly {self.fixed_tokens} tokens a call, the two ends included, not "
                f"{len(tokens) + 2}; take a model of free length or make one of that length"
            )
        session = self._live()
        overrides: dict[str, float] = {"seed": seed}
        if noise_scale is not None:
            overrides["noise_scale"] = noise_scale
        feeds = self.contract.feeds([PAD, *tokens, PAD], style, speed, **overrides)
        options = run_options(self.settings)
        start = time.perf_counter()
        try:
            with (cancellation or Cancellation()).watching(options):
                outputs = self._call(session, feeds, options)
        except InferenceError:
            raise
        except Exception as error:
            if cancellation is not None and cancellation.cancelled:
                raise InferenceError("the call was cancelled while it ran") from error
            if self.settings.arena_limit_mb and ARENA_FULL in str(error):
                self.arena_refusals += 1
                raise InferenceError(
                    f"{len(tokens)} tokens need more than the arena's {self.settings.arena_limit_mb} MB; raise "
                    "arena_limit_mb or lower max_tokens"
                ) from error
            raise InferenceError(f"the model failed on {len(tokens)} tokens: {first_line(error)}") from error
        seconds = time.perf_counter() - start
        audio = np.ascontiguousarray(outputs[0], np.float32).reshape(-1)
        durations = np.asarray(outputs[1], np.int64).reshape(-1) if len(outputs) > 1 else None
        return Inference(audio, durations, seconds)

    def give_back(self) -> None:
        """Return the arena's free memory to the system.

        onnxruntime does that at the end of a call, so a short one is made.

        Raises InferenceError when that fails or the session is closed.
        """
        session = self._live()
        if not self.settings.arena:
            return
        tokens = [PAD] * (self.fixed_tokens or 3)
        options = run_options(replace(self.settings, arena_shrink=True))
        try:
            self._call(session, self.contract.feeds(tokens, np.zeros((1, STYLE_WIDTH), np.float32), 1.0), options)
        except Exception as error:
            raise InferenceError(f"memory could not be given back: {first_line(error)}") from error

    def _call(self, session: Any, feeds: Mapping[str, Any], options: Any) -> list[Any]:
        if not self.settings.io_binding:
            outputs: list[Any] = session.run(self.contract.outputs, feeds, options)
            return outputs
        from onnxruntime import OrtValue

        binding = session.io_binding()
        for name, value in feeds.items():
            # `bind_cpu_input` does not know overridable initializers; values made here are known by any name.
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(value))
        for name in self.contract.outputs:
            binding.bind_output(name)
        session.run_with_iobinding(binding, options)
        bound: list[Any] = binding.copy_outputs_to_cpu()
        return bound

    @functools.cached_property
    def nodes(self) -> tuple[NodeAssignment, ...]:
        """Every node of the partitioned graph with the provider that took it."""
        return read_assignment(self._live())

    @property
    def assignment(self) -> tuple[ProviderShare, ...]:
        """How many nodes each provider took, largest share first."""
        counted = Counter(node.provider for node in self.nodes)
        return tuple(ProviderShare(provider, count) for provider, count in counted.most_common())

    def effective_provider(self) -> EffectiveProvider:
        """What was asked for against what runs: ok, partial or unavailable, with the share of nodes."""
        return judge(self.settings.request.onnxruntime_name, self.assignment, self.opened.provider_reason)

    def read_back(self) -> dict[str, str]:
        """The settings as onnxruntime holds them now."""
        return read_back(self._live(), self.settings)

    def provider_options(self) -> dict[str, dict[str, str]]:
        """Provider name -> options, as onnxruntime holds them now; a provider that reports none gives an empty one."""
        options: dict[str, dict[str, str]] = self._live().get_provider_options()
        return {name: dict(sorted(values.items())) for name, values in options.items()}

    def digest(self, *, graph: bool = False) -> str:
        """SHA-256 (hex) over what took effect: settings and provider options read back, the nodes with their providers,
        the file that was opened and the instruction set of its kernels.

        Two levels of a setting that give the same digest are a placebo. `graph=True` adds the sum of the optimised
        graph (see `opening.graph_sum`), where the provider can write it.
        """
        import onnxruntime

        content = {
            "onnxruntime": onnxruntime.__version__,
            "settings": self.read_back(),
            "providers": self.provider_options(),
            "nodes": [[node.node, node.operator, node.provider] for node in self.nodes],
            "model": self.model.sha256,
            "preoptimized": self.opened.preoptimized,
            "kernels": self.opened.kernels,
            "graph": self.graph_sum() if graph else None,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def graph_sum(self) -> str:
        """SHA-256 (hex) of the optimised graph that runs; empty where the provider cannot write it."""
        try:
            return graph_sum(self.model, self.settings)
        except ProviderError:
            return ""

    def close(self) -> None:
        """Let go of the onnxruntime session; calls in flight finish, later ones raise InferenceError."""
        self._session = None

    def _live(self) -> Any:
        session = self._session
        if session is None:
            raise InferenceError("the session is closed; open another")
        return session
