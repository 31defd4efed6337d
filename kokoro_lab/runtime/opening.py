"""From a model file to a live onnxruntime session: which file is opened, how, and what happens when it is refused."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kokoro_lab.errors import ModelError, ModelNotFoundError, ProviderError, SettingError
from kokoro_lab.files.failures import exhaustion
from kokoro_lab.files.reading import is_regular
from kokoro_lab.files.writing import scratch_folder, write_text
from kokoro_lab.kernels.library import choose, register
from kokoro_lab.paths import home
from kokoro_lab.runtime.arena import registered
from kokoro_lab.runtime.preoptimized import PreoptimizedLookup, find, machine_key
from kokoro_lab.runtime.providers import CPU, require
from kokoro_lab.runtime.settings import SessionSettings, session_options
from kokoro_lab.runtime.staged import StagedSession
from kokoro_lab.runtime.trial.first_opening import ensure_harmless

if TYPE_CHECKING:
    from kokoro_lab.models.files.model_record import ModelFile

__all__ = ["NO_KERNELS", "SessionSource", "first_line", "graph_sum", "open_file", "preoptimized_form"]

UNREADABLE = frozenset({"NoSuchFile", "InvalidProtobuf", "InvalidGraph", "NoModel", "NotImplemented"})
NO_KERNELS = "none"
LONGEST_LINE = 400  # characters of onnxruntime's error that are repeated


@dataclass(frozen=True)
class SessionSource:
    """The file that a session was created from."""

    path: Path
    preoptimized: bool = False
    """Whether it is the pre-optimised form of the model's file."""
    reason: str = ""
    """Why it is not the pre-optimised form, where that was requested."""
    kernels: str = NO_KERNELS
    """Instruction set of the compiled operators it uses, or none."""
    provider_reason: str = ""
    """Why the requested provider does not run."""
    seconds: float = 0.0
    """Wall time of creating the session."""


def open_file(
    model: ModelFile, settings: SessionSettings, optimized_path: Path | None = None
) -> tuple[Any, SessionSource]:
    """An onnxruntime session of the model (in its pre-optimised form where that is requested and fits), and its source.

    optimized_path: where onnxruntime writes the graph as it optimises the model's own file; None: nowhere.
    Raises ModelNotFoundError (no such file), ModelError (not a model, or harmful), SettingError (a bad setting),
    ProviderError (the provider is absent or refuses, unless `settings.provider_fallback`).
    """
    if model.back and settings.io_binding:
        raise SettingError(f"{model.name} is split in two sessions, which do not support io_binding; turn it off")
    request = settings.request
    reason = ""
    try:
        require(request)
    except ProviderError as error:
        if not settings.provider_fallback:
            raise
        reason = error.message
    if not is_regular(Path(model.path)):
        raise ModelNotFoundError(f"no model file {model.path}; run `kokoro-lab models build {model.name}`")
    ensure_harmless(model)
    kernels = _instruction_set() if model.needs_kernels else NO_KERNELS
    quick = PreoptimizedLookup(None) if optimized_path is not None else preoptimized_form(model, settings)
    start = time.perf_counter()

    def opened(path: Path, preoptimized: bool, why_not: str) -> SessionSource:
        return SessionSource(path, preoptimized, why_not, kernels, reason, time.perf_counter() - start)

    if quick.path is not None:
        try:
            session = _create(model, replace(settings, graph_level="none"), (quick.path,), [CPU], [{}])
            return session, opened(quick.path, True, "")
        except Exception as error:  # whatever is wrong with it, the source can be opened
            quick = PreoptimizedLookup(None, f"onnxruntime refused {quick.path}: {first_line(error)}")
    paths = (model.path, *model.back)
    try:
        if reason or request.onnxruntime_name == CPU:
            session = _create(model, settings, paths, [CPU], [{}], optimized_path)
        else:
            session = _create(
                model, settings, paths, [request.onnxruntime_name, CPU], [dict(request.options), {}], optimized_path
            )
    except Exception as error:
        if type(error).__name__ in UNREADABLE:
            raise ModelError(
                f"{model.path} is not a model that onnxruntime can read ({first_line(error)}); rebuild it"
            ) from error
        if (exhausted := exhaustion(error)) is not None:
            raise ProviderError("onnxruntime cannot open {}: {}; {}".format(model.path, *exhausted)) from error
        if reason or request.onnxruntime_name == CPU:
            raise ProviderError(
                f"onnxruntime cannot open {model.path} ({first_line(error)}); change the settings or rebuild the model"
            ) from error
        if not settings.provider_fallback:
            why = first_line(error)
            raise ProviderError(f"provider {request.name!r} refused {model.path} ({why}); use another one") from error
        reason = f"provider {request.name!r} refused the model: {first_line(error)}"
        session = _create(model, settings, paths, [CPU], [{}], optimized_path)
    return session, opened(model.path, False, quick.reason)


def graph_sum(model: ModelFile, settings: SessionSettings) -> str:
    """SHA-256 (hex) of the graph and weights as onnxruntime optimises the file with these settings.

    Computed once for each file, provider with options, and graph level, by another session that writes a copy; then
    stored in the lab's home. Raises what `open_file` raises, and ProviderError where the graph cannot be written.
    """
    shaping = [settings.provider, sorted(settings.request.options.items()), settings.graph_level]
    name = hashlib.sha256(json.dumps([model.sha256, model.needs_kernels, *shaping]).encode()).hexdigest()
    stored = home() / "graphs" / machine_key() / name
    try:
        return stored.read_text(encoding="ascii")
    except OSError:
        sha256 = _graph_sum(model, settings)
    with suppress(ModelError):  # a home that cannot be written costs only the time to compute the sum again
        write_text(stored, sha256, error=ModelError)
    return sha256


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without a full stop; names of a foreign file in it may be of any kind."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0][:LONGEST_LINE].rstrip(".")
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _graph_sum(model: ModelFile, settings: SessionSettings) -> str:
    shaping = SessionSettings(
        provider=settings.provider, provider_options=settings.provider_options, graph_level=settings.graph_level
    )
    digest = hashlib.sha256()
    with scratch_folder(prefix="kokoro-lab-graph-", error=ProviderError) as folder:
        for number, path in enumerate((model.path, *model.back)):
            half = replace(model, path=path)
            written = folder / f"{number}.onnx"
            _open_single(half, shaping, written)
            for part in (written, written.with_suffix(".bin")):
                if part.is_file():
                    with part.open("rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _open_single(model: ModelFile, settings: SessionSettings, optimized_path: Path) -> None:
    """A session of a single file, created for the optimised graph that onnxruntime writes meanwhile."""
    request = settings.request
    providers = [CPU] if request.onnxruntime_name == CPU else [request.onnxruntime_name, CPU]
    try:
        _create(
            model, settings, (model.path,), providers, [dict(request.options), {}][: len(providers)], optimized_path
        )
    except Exception as error:
        raise ProviderError(
            f"cannot write the optimised graph of {model.path} ({first_line(error)}); free some space"
        ) from error


def preoptimized_form(model: ModelFile, settings: SessionSettings) -> PreoptimizedLookup:
    """The pre-optimised form that a session with these settings opens in place of the model's own file."""
    if not settings.preoptimized:
        return PreoptimizedLookup(None)
    if settings.request.onnxruntime_name != CPU:
        return PreoptimizedLookup(None, "pre-optimised files are for the CPU provider")
    if settings.graph_level != "all":
        return PreoptimizedLookup(
            None, f"pre-optimised files are made at graph level all, but {settings.graph_level} was requested"
        )
    if model.back:
        return PreoptimizedLookup(None, "split models are not pre-optimised")
    return find(model)


def _instruction_set() -> str:
    return choose().instruction_set or NO_KERNELS


def _create(
    model: ModelFile,
    settings: SessionSettings,
    paths: tuple[Path, ...],
    providers: list[str],
    options: list[dict[str, str]],
    optimized_path: Path | None = None,
) -> Any:
    import onnxruntime

    arena = registered(settings.arena_limit_mib, settings.arena_extend) if settings.own_arena else nullcontext()
    session_settings = session_options(settings, optimized_path)
    if model.needs_kernels:
        register(session_settings)
    with arena:
        sessions = [
            onnxruntime.InferenceSession(str(path), session_settings, providers, options, enable_fallback=0)
            for path in paths
        ]
    return StagedSession(*sessions) if len(sessions) > 1 else sessions[0]
