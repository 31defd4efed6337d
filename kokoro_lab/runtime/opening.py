"""From a model file to a live onnxruntime session: which file is opened, with what, and what to do when one refuses."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kokoro_lab.errors import ModelError, ModelNotFoundError, ProviderError, SettingError
from kokoro_lab.paths import home
from kokoro_lab.runtime.arena import registered
from kokoro_lab.runtime.preoptimized import Found, find, machine_key
from kokoro_lab.runtime.providers import CPU, require
from kokoro_lab.runtime.settings import SessionSettings, session_options
from kokoro_lab.runtime.staged import Staged

if TYPE_CHECKING:
    from kokoro_lab.models.records import ModelFile

__all__ = ["NO_KERNELS", "Opened", "first_line", "graph_sum", "open_file"]

UNREADABLE = frozenset({"NoSuchFile", "InvalidProtobuf", "InvalidGraph", "NoModel", "NotImplemented"})
NO_KERNELS = "none"


@dataclass(frozen=True)
class Opened:
    """Which file a session was made of."""

    path: Path
    preoptimized: bool = False
    """Whether it is the pre-optimised form of the model's file."""
    reason: str = ""
    """Why it is not, where it was wanted."""
    kernels: str = NO_KERNELS
    """Instruction set of the compiled operators it uses, or none."""
    provider_reason: str = ""
    """Why the provider asked for does not run."""
    seconds: float = 0.0
    """Wall time of making the session."""


def open_file(model: ModelFile, settings: SessionSettings) -> tuple[Any, Opened]:
    """An onnxruntime session of the model, in its pre-optimised form where that is wanted and fits; and what it is.

    Raises ModelNotFoundError (no such file), ModelError (not a model), SettingError (a bad setting), ProviderError
    (the provider is absent or refuses, unless `settings.fallback`).
    """
    if model.back and settings.io_binding:
        raise SettingError(f"{model.name} is split in two sessions, which take no io_binding; turn it off")
    request = settings.request
    reason = ""
    try:
        require(request)
    except ProviderError as error:
        if not settings.fallback:
            raise
        reason = error.message
    if not Path(model.path).is_file():
        raise ModelNotFoundError(f"model file {model.path} is not there; run `kokoro-lab models build {model.name}`")
    kernels = _instruction_set() if model.needs_kernels else NO_KERNELS
    quick = _quick(model, settings)
    start = time.perf_counter()

    def opened(path: Path, preoptimized: bool, why_not: str) -> Opened:
        return Opened(path, preoptimized, why_not, kernels, reason, time.perf_counter() - start)

    if quick.path is not None:
        try:
            session = _create(model, replace(settings, graph_level="none"), (quick.path,), [CPU], [{}])
            return session, opened(quick.path, True, "")
        except Exception as error:  # whatever is wrong with it, its source is there
            quick = Found(None, f"onnxruntime refused {quick.path}: {first_line(error)}")
    paths = (model.path, *model.back)
    try:
        if reason or request.onnxruntime_name == CPU:
            session = _create(model, settings, paths, [CPU], [{}])
        else:
            session = _create(model, settings, paths, [request.onnxruntime_name, CPU], [dict(request.options), {}])
    except Exception as error:
        if type(error).__name__ in UNREADABLE:
            raise ModelError(
                f"{model.path} is not a model onnxruntime can read ({first_line(error)}); rebuild it"
            ) from error
        if reason or request.onnxruntime_name == CPU:
            raise ProviderError(f"onnxruntime could not open {model.path}: {first_line(error)}") from error
        if not settings.fallback:
            raise ProviderError(f"provider {request.name!r} refused {model.path}: {first_line(error)}") from error
        reason = f"provider {request.name!r} refused the model: {first_line(error)}"
        session = _create(model, settings, paths, [CPU], [{}])
    return session, opened(model.path, False, quick.reason)


def graph_sum(model: ModelFile, settings: SessionSettings) -> str:
    """SHA-256 (hex) of the graph and weights as onnxruntime optimises the file with these settings.

    Made once for a file, a provider with its options and a graph level, by another session and a copy on disk; then
    kept in the lab's home. Raises what `open_file` raises, and ProviderError where the graph cannot be written.
    """
    shaping = [settings.provider, sorted(settings.request.options.items()), settings.graph_level]
    name = hashlib.sha256(json.dumps([model.sha256, model.needs_kernels, *shaping]).encode()).hexdigest()
    kept = home() / "graphs" / machine_key() / name
    try:
        return kept.read_text(encoding="ascii")
    except OSError:
        found = _graph_sum(model, settings)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=kept.parent, delete=False) as file:
        file.write(found)
    Path(file.name).replace(kept)
    return found


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without a full stop."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def _graph_sum(model: ModelFile, settings: SessionSettings) -> str:
    shaping = SessionSettings(
        provider=settings.provider, provider_options=settings.provider_options, graph_level=settings.graph_level
    )
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix="kokoro-lab-graph-") as folder:
        for number, path in enumerate((model.path, *model.back)):
            half = replace(model, path=path)
            written = Path(folder) / f"{number}.onnx"
            _one(half, replace(shaping, optimized_path=written))
            for part in (written, written.with_suffix(".bin")):
                if part.is_file():
                    with part.open("rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _one(model: ModelFile, settings: SessionSettings) -> None:
    """A session of one file alone, for what onnxruntime writes while it makes it."""
    request = settings.request
    providers = [CPU] if request.onnxruntime_name == CPU else [request.onnxruntime_name, CPU]
    try:
        _create(model, settings, (model.path,), providers, [dict(request.options), {}][: len(providers)])
    except Exception as error:
        raise ProviderError(f"the optimised graph of {model.path} cannot be written: {first_line(error)}") from error


def _quick(model: ModelFile, settings: SessionSettings) -> Found:
    if not settings.preoptimized or settings.optimized_path is not None:
        return Found(None)
    if settings.request.onnxruntime_name != CPU:
        return Found(None, "pre-optimised files are for the CPU provider")
    if settings.graph_level != "all":
        return Found(None, f"pre-optimised files are made at graph level all, and {settings.graph_level} was asked for")
    if model.back:
        return Found(None, "split models are not pre-optimised")
    return find(model)


def _instruction_set() -> str:
    from kokoro_lab.kernels.library import choose

    return choose().instruction_set or NO_KERNELS


def _create(
    model: ModelFile,
    settings: SessionSettings,
    paths: tuple[Path, ...],
    providers: list[str],
    options: list[dict[str, str]],
) -> Any:
    import onnxruntime

    arena = registered(settings.arena_limit_mb, settings.arena_extend) if settings.own_arena else nullcontext()
    session_settings = session_options(settings)
    if model.needs_kernels:
        from kokoro_lab.kernels.library import register

        register(session_settings)
    with arena:
        sessions = [
            onnxruntime.InferenceSession(str(path), session_settings, providers, options, enable_fallback=0)
            for path in paths
        ]
    return Staged(*sessions) if len(sessions) > 1 else sessions[0]
