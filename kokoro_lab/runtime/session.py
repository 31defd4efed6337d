"""An onnxruntime session of a model file: opened with settings, run on tokens, and queried for what took effect."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.errors import InferenceError, InputError, ModelError, ProviderError
from kokoro_lab.field_checks import FORMER_NAMES
from kokoro_lab.models.files.contract import Contract, read_contract
from kokoro_lab.models.graph.architecture import STYLE_WIDTH
from kokoro_lab.process.cancellation import Cancellation
from kokoro_lab.process.forks import Birthplace, after_fork, never_freed
from kokoro_lab.runtime.assignment import EffectiveProvider, NodeAssignment, ProviderShare, judge, read_assignment
from kokoro_lab.runtime.opening import SessionSource, first_line, graph_sum, open_file
from kokoro_lab.runtime.settings import SessionSettings, read_back, run_options
from kokoro_lab.text.vocabulary import MAX_TOKENS

if TYPE_CHECKING:
    from kokoro_lab.models.catalog import ModelFile

__all__ = ["Cancellation", "Inference", "Session"]

Value = TypeVar("Value", np.float32, np.int64)

PAD = 0  # the token at each end of a call
ARENA_FULL = "BFCArena::AllocateRaw"  # in onnxruntime's error for a call that exceeds the arena's limit


def _own(output: Any, kind: type[Value]) -> NDArray[Value]:
    """A flat copy of an output, which is memory of onnxruntime's arena.

    Freeing such memory takes the arena's lock. A fork while another thread has that lock leaves a child in which it is
    never released, and which hangs as soon as the array is freed.
    """
    return np.array(np.ravel(output), kind)


@dataclass(frozen=True)
class Inference:
    """The result of a call of the model."""

    audio: NDArray[np.float32]
    """float32 [S] at 24,000 Hz, as the model returned it; the array owns its memory."""
    durations: NDArray[np.int64] | None
    """int64 [T], frames of 25 ms per token, the two ends included; None when the file has no such output."""
    seconds: float
    """Wall time of the onnxruntime call."""


class Session:
    """A live onnxruntime session. `run` may be called from several threads at once."""

    def __init__(
        self,
        session: Any,
        model: ModelFile,
        settings: SessionSettings,
        *,
        opened: SessionSource | None = None,
    ) -> None:
        """Wrap an open onnxruntime.InferenceSession; use `Session.open` to create a session from a file."""
        self.model = model
        self.settings = settings
        self.opened = opened or SessionSource(model.path)
        """The file it was created from, and how."""
        self.contract: Contract = read_contract(
            session.get_inputs(), session.get_outputs(), session.get_overridable_initializers()
        )
        shape = next(port.shape for port in session.get_inputs() if port.name == self.contract.tokens)
        if len(shape) != 2:
            raise ModelError(
                f"{model.name} takes tokens of {len(shape)} dimensions, and a Kokoro model of 2; use another model file"
            )
        self.fixed_tokens: int | None = shape[1] if isinstance(shape[1], int) else None
        """Tokens per call with the two ends, where the file has a fixed number."""
        self.arena_refusals = 0
        """Calls that needed more memory than `arena_limit_mib`."""
        self._session: Any | None = session
        self._born = Birthplace()
        after_fork(self, Session._abandon)

    @classmethod
    def open(cls, model: ModelFile, settings: SessionSettings | None = None) -> Session:
        """Read the model file and create a session of it.

        Raises ModelNotFoundError (no such file), ModelError (not a model), SettingError (a bad setting), ProviderError
        (the provider is absent or refuses, unless `settings.provider_fallback`, which opens it on the CPU and records
        the reason).
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
        voice's row for this number of tokens. speed: a factor. seed, noise_scale: fed when the file has such inputs.
        Raises InputError for too few or too many tokens, InferenceError when onnxruntime fails or the call is stopped.
        """
        if not 1 <= len(tokens) <= MAX_TOKENS:
            raise InputError(f"a call takes 1 to {MAX_TOKENS} tokens, not {len(tokens)}; cut the text into segments")
        if self.fixed_tokens not in (None, len(tokens) + 2):
            raise InputError(
                f"this model takes exactly {self.fixed_tokens} tokens per call, the two ends included, not "
                f"{len(tokens) + 2}; use a model of variable length or build one of that length"
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
                raise InferenceError("the call was cancelled while it ran; start it again") from error
            if self.settings.arena_limit_mib and ARENA_FULL in str(error):
                self.arena_refusals += 1
                raise InferenceError(
                    f"{len(tokens)} tokens need more than the arena's {self.settings.arena_limit_mib} MiB; raise "
                    "arena_limit_mib or lower max_tokens"
                ) from error
            raise InferenceError(
                f"the model failed on {len(tokens)} tokens ({first_line(error)}); try another provider or model"
            ) from error
        seconds = time.perf_counter() - start
        audio = _own(outputs[0], np.float32)
        durations = _own(outputs[1], np.int64) if len(outputs) > 1 else None
        return Inference(audio, durations, seconds)

    def release_memory(self) -> None:
        """Return the arena's free memory to the system.

        onnxruntime does that at the end of a call, so this makes a short call.

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
            raise InferenceError(f"cannot release memory ({first_line(error)}); open the session again") from error

    def _call(self, session: Any, feeds: Mapping[str, Any], options: Any) -> list[Any]:
        if not self.settings.io_binding:
            outputs: list[Any] = session.run(self.contract.outputs, feeds, options)
            return outputs
        from onnxruntime import OrtValue

        binding = session.io_binding()
        for name, value in feeds.items():
            # `bind_cpu_input` rejects overridable initializers; an OrtValue can be bound to any name.
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(value))
        for name in self.contract.outputs:
            binding.bind_output(name)
        session.run_with_iobinding(binding, options)
        bound: list[Any] = binding.copy_outputs_to_cpu()
        return bound

    @functools.cached_property
    def nodes(self) -> tuple[NodeAssignment, ...]:
        """Every node of the partitioned graph, with the provider that took it."""
        return read_assignment(self._live())

    @property
    def assignment(self) -> tuple[ProviderShare, ...]:
        """Number of nodes that each provider took, largest first."""
        counted = Counter(node.provider for node in self.nodes)
        return tuple(ProviderShare(provider, count) for provider, count in counted.most_common())

    def effective_provider(self) -> EffectiveProvider:
        """The requested provider compared with those that run: ok, partial or unavailable, with the share of nodes."""
        return judge(self.settings.request.onnxruntime_name, self.assignment, self.opened.provider_reason)

    def read_back(self) -> dict[str, str]:
        """The settings as onnxruntime reports them now."""
        return read_back(self._live(), self.settings)

    def provider_options(self) -> dict[str, dict[str, str]]:
        """Provider name -> options, as onnxruntime reports them now; empty options for a provider that reports none."""
        options: dict[str, dict[str, str]] = self._live().get_provider_options()
        return {name: dict(sorted(values.items())) for name, values in options.items()}

    def digest(self, *, graph: bool = False) -> str:
        """SHA-256 (hex) over what took effect: settings and provider options read back, the nodes with their providers,
        the file that was opened and the instruction set of its kernels.

        Two levels of a setting that give the same digest are a placebo (measurement rule 7). `graph=True` adds the
        SHA-256 of the optimised graph (see `opening.graph_sum`), where the provider can write it.
        """
        import onnxruntime

        content = {
            "onnxruntime": onnxruntime.__version__,
            "settings": {FORMER_NAMES.get(name, name): value for name, value in self.read_back().items()},
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
        """Release the onnxruntime session; running calls finish, later calls raise InferenceError."""
        self._session = None

    def _abandon(self) -> None:
        if self._session is not None:
            never_freed(self._session)

    def _live(self) -> Any:
        self._born.require("session")
        session = self._session
        if session is None:
            raise InferenceError("the session is closed; open another session")
        return session
