"""The engine's settings: documented, checked, and read from the environment."""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path

import pytest

from kokoro_lab.engine import config as module
from kokoro_lab.engine.config import EngineConfig, variable
from kokoro_lab.errors import SettingError
from kokoro_lab.runtime.settings import SessionSettings


def docstrings() -> dict[str, str]:
    """Field name -> the string under it."""
    tree = ast.parse(inspect.getsource(module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "EngineConfig")
    found = {}
    for before, after in pairwise(body):
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            assert isinstance(before.target, ast.Name)
            found[before.target.id] = str(after.value.value)
    return found


@pytest.mark.parametrize("name", [item.name for item in fields(EngineConfig)])
def test_every_field_says_its_default_and_its_variable(name: str) -> None:
    text = docstrings()[name]
    assert text.endswith(f"; {variable(name)}).")
    default = next(item.default for item in fields(EngineConfig) if item.name == name)
    said = text.rpartition("(default: ")[2].partition(";")[0]
    if isinstance(default, bool):
        assert said == ("on" if default else "off")
    elif isinstance(default, (int, float)):
        assert float(said) == default
    elif default in (None, (), ""):
        assert said in {"none", "free"}
    else:
        assert said == (default[0] if isinstance(default, tuple) else default)


EXAMPLES = {
    "model": ("tiny", "tiny"),
    "provider_options": ("EnableOnSubgraphs=1, ModelFormat=MLProgram",
                         (("EnableOnSubgraphs", "1"), ("ModelFormat", "MLProgram"))),
    "voices": ("af_heart, bf_emma", ("af_heart", "bf_emma")),
    "primer": ("off", False),
    "intra_op_threads": ("2", 2),
    "chunk_ms": ("50", 50.0),
    "noise_scale": ("0.5", 0.5),
    "cache_dir": ("/tmp/kept", Path("/tmp/kept")),
    "warmup": ("shapes", "shapes"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_variable_sets_its_field(name: str) -> None:
    text, value = EXAMPLES[name]
    environ = {variable(name): text}
    if name == "provider_options":
        environ["KOKORO_PROVIDER"] = "coreml"
    if name == "cache_dir":
        environ["KOKORO_AUDIO_CACHE_MB"] = "10"
    assert getattr(EngineConfig.from_environment(environ), name) == value


def test_an_empty_environment_gives_the_defaults_and_overrides_win() -> None:
    assert EngineConfig.from_environment({}) == EngineConfig()
    environ = {"KOKORO_PRIMER_WORDS": "5", "KOKORO_MODEL": "tiny", "PATH": "/bin"}
    read = EngineConfig.from_environment(environ, model="stand-in")
    assert (read.primer_words, read.model) == (5, "stand-in")


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(SettingError) as caught:
        EngineConfig.from_environment({"KOKORO_PRIMER": "perhaps", "KOKORO_CONCURRENCY": "two", "KOKORO_ARENA": "1"})
    assert "KOKORO_PRIMER is 'perhaps': use true or false" in caught.value.message
    assert "KOKORO_CONCURRENCY is 'two': use a whole number" in caught.value.message
    with pytest.raises(SettingError) as caught:
        EngineConfig(warmup="hot", max_tokens=511, chunk_ms=float("nan"))  # type: ignore[arg-type]
    for part in ("warmup is 'hot'", "max_tokens is 511", "chunk_ms is nan"):
        assert part in caught.value.message


def test_a_provider_option_that_does_not_exist_is_refused_by_the_settings() -> None:
    with pytest.raises(SettingError, match="no option 'MLComputeUnit'"):
        EngineConfig(provider="coreml", provider_options=(("MLComputeUnit", "ALL"),))


def test_every_session_setting_can_be_set_from_the_engine() -> None:
    names = {item.name for item in fields(SessionSettings)} - {"fallback", "optimized_path"}
    assert names <= {item.name for item in fields(EngineConfig)}
    settings = EngineConfig(intra_op_threads=2, affinity="2", arena=False, provider_fallback=True).session_settings
    assert (settings.intra_op_threads, settings.affinity, settings.arena, settings.fallback) == (2, "2", False, True)


def test_session_defaults_and_engine_defaults_agree() -> None:
    mine = {item.name: item.default for item in fields(EngineConfig)}
    for item in fields(SessionSettings):
        if item.name != "preoptimized" and item.name in mine and item.default is not MISSING:
            assert mine[item.name] == item.default, item.name
