"""The engine's settings: documented, checked, and read from the environment."""

from __future__ import annotations

import math
import runpy
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokoro_lab.engine.config import EngineConfig, variable
from kokoro_lab.engine.environment_variables import variables_of
from kokoro_lab.errors import SettingError
from kokoro_lab.field_checks import FORMER_NAMES, Range, current_names, hints
from kokoro_lab.runtime.settings import GRAPH_LEVELS, GraphLevel, SessionSettings

GENERATOR = Path(__file__).parents[2] / "docs" / "generate.py"
DOCS: dict[str, str] = runpy.run_path(str(GENERATOR))["field_docstrings"](EngineConfig)
HINTS = hints(EngineConfig)


@pytest.mark.parametrize("name", [item.name for item in fields(EngineConfig)])
def test_every_field_says_its_default_and_its_variable(name: str) -> None:
    text = DOCS[name]
    assert text.endswith(f"; {variable(name)}).")
    assert all(each in text for each in variables_of(name))
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
    environ = {"KOKORO_PRIMER": "perhaps", "KOKORO_CONCURRENCY": "two", "KOKORO_ARENA": "1", "KOKORO_MAX_TOKENS": "511"}
    with pytest.raises(SettingError) as caught:
        EngineConfig.from_environment({**environ, "KOKORO_PARALLEL": "1"}, voices="af_heart")
    assert caught.value.message.startswith("5 settings cannot be used: ")
    for part in (
        "KOKORO_MAX_TOKENS is '511'",
        "voices is 'af_heart', use a list of names",
        "parallel has only one inter_op",
    ):
        assert part in caught.value.message
    assert "KOKORO_PRIMER is 'perhaps', use true or false" in caught.value.message
    assert "KOKORO_CONCURRENCY is 'two', use a whole number" in caught.value.message
    with pytest.raises(SettingError) as caught:
        EngineConfig(warmup="hot", max_tokens=511, chunk_ms=float("nan"))  # type: ignore[arg-type]
    for part in ("warmup is 'hot'", "max_tokens is 511", "chunk_ms is nan"):
        assert part in caught.value.message


def test_a_provider_option_that_does_not_exist_is_refused_by_the_settings() -> None:
    with pytest.raises(SettingError, match="no option 'MLComputeUnit'"):
        EngineConfig(provider="coreml", provider_options=(("MLComputeUnit", "ALL"),))


def test_an_engine_has_every_setting_of_its_sessions_and_hands_them_on() -> None:
    settings = EngineConfig(intra_op_threads=2, affinity="2", arena=False, provider_fallback=True).session_settings
    assert type(settings) is SessionSettings
    assert settings == SessionSettings(intra_op_threads=2, affinity="2", arena=False, provider_fallback=True)
    assert EngineConfig().session_settings == SessionSettings()


def test_the_graph_levels_are_those_that_onnxruntime_has_names_for() -> None:
    assert tuple(GRAPH_LEVELS) == typing.get_args(GraphLevel)


NOT_NUMBERS = (True, "1", None, [1], math.nan, math.inf, -math.inf, 1j)


def wrong_values(hint: Any) -> Iterator[Any]:
    """Values that a field with this hint must refuse."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        within = next(note for note in arguments[1:] if isinstance(note, Range))
        yield from wrong_values(arguments[0])
        for edge, outwards in ((within.least, -1), (within.most, 1)):
            yield from (edge + outwards, outwards * 10**400)
    elif hint is bool:
        yield from (0, 1, "no", "true", None, 1.0)
    elif hint is int:
        yield from (*NOT_NUMBERS, 2.0, 2.5)
    elif hint is float:
        yield from NOT_NUMBERS
    elif hint is str:
        yield from (None, 1, True, b"cpu", Path("cpu"))
    elif hint is Path:
        yield from (None, 1, True, "", b"/x")
    elif origin is Literal:
        yield from (None, 1, True, "", "no such choice", arguments[0].upper())
    elif origin is tuple:
        item = arguments[0]
        yield from (None, 1, "af_heart", {"af_heart"}, (1,), [None])
        if typing.get_origin(item) is tuple:
            yield from ((("name",),), (("name", 1),), {"name": 1})
    else:
        (inner,) = (each for each in arguments if each is not type(None))
        yield from (value for value in wrong_values(inner) if value is not None)


WRONG = [(name, value) for name, hint in HINTS.items() for value in wrong_values(hint)]


def test_every_field_has_a_hint_that_is_checked_and_every_number_a_range() -> None:
    assert {name for name, _ in WRONG} == {item.name for item in fields(EngineConfig)}
    for name, hint in HINTS.items():
        parts = [hint, *typing.get_args(hint)]
        assert int not in parts[:1] and float not in parts[:1], name


@pytest.mark.parametrize("name", HINTS)
def test_a_field_refuses_every_wrong_value_by_name_and_says_what_to_use(name: str) -> None:
    for value in (value for field, value in WRONG if field == name):
        owners = (EngineConfig, SessionSettings) if name in hints(SessionSettings) else (EngineConfig,)
        for owner in owners:
            with pytest.raises(SettingError, match=rf"^{name} is .*; use ") as caught:
                owner(**{name: value})
            assert "\n" not in caught.value.message


@given(st.dictionaries(st.sampled_from(sorted(HINTS)), st.integers(0, 30), min_size=2, max_size=12))
def test_all_wrong_fields_are_named_at_once(chosen: dict[str, int]) -> None:
    candidates = {name: [value for field, value in WRONG if field == name] for name in chosen}
    wrong = {name: candidates[name][number % len(candidates[name])] for name, number in chosen.items()}
    with pytest.raises(SettingError) as caught:
        EngineConfig(**wrong)
    assert caught.value.message.startswith(f"{len(wrong)} settings cannot be used: ")
    assert all(f"{name} is " in caught.value.message for name in wrong)


@given(st.data())
def test_whatever_a_range_holds_is_taken_as_the_hint_s_type(data: st.DataObject) -> None:
    alone = {"arena_auto": False, "routing": "length", "concurrency": 64, "audio_cache_mb": 1.0, "max_tokens": 510}
    numbers = {name: hint for name, hint in HINTS.items() if typing.get_origin(hint) is Annotated}
    name = data.draw(st.sampled_from(sorted(set(numbers) - set(alone))))
    kind, within = typing.get_args(numbers[name])
    number = data.draw((st.integers if kind is int else st.floats)(within.least, within.most))
    config = EngineConfig(**{**alone, name: number})
    assert getattr(config, name) == number and type(getattr(config, name)) is kind


def test_whole_numbers_paths_as_text_lists_and_mappings_take_the_form_of_their_field() -> None:
    options = {"ModelFormat": "MLProgram"}
    config = EngineConfig(
        cache_dir="/x",  # type: ignore[arg-type]
        audio_cache_mb=10,
        voices=["af_heart", "bf_emma"],  # type: ignore[arg-type]
        provider="coreml",
        provider_options=options,  # type: ignore[arg-type]
    )
    assert (config.cache_dir, config.voices) == (Path("/x"), ("af_heart", "bf_emma"))
    assert config.provider_options == (("ModelFormat", "MLProgram"),)
    assert type(config.audio_cache_mb) is float
    assert hash(config) == hash(EngineConfig(**vars(config)))


def test_a_mistake_that_follows_from_a_wrong_field_is_not_named_with_it() -> None:
    with pytest.raises(SettingError) as caught:
        EngineConfig(parallel=True, inter_op_threads="two")  # type: ignore[arg-type]
    assert caught.value.message.startswith("inter_op_threads is 'two'; use a whole number from 0 (")


@pytest.mark.parametrize(
    ("name", "older"), [(name, older) for name in sorted(FORMER_NAMES) for older in variables_of(name)[1:]]
)
def test_earlier_variables_still_set_their_field_and_ours_wins(name: str, older: str) -> None:
    assert getattr(EngineConfig.from_environment({older: "64"}), name) == 64
    both = {older: "64", variable(name): "32"}
    config = EngineConfig.from_environment(both)
    assert getattr(config, name) == 32
    reports = {each.name: each for each in config.variables(both)}
    assert (reports[variable(name)].applied_to, reports[older].applied_to) == (name, "")
    assert reports[older].reason == f"{name} was set by {variable(name)}, which takes precedence"
    assert f"{older} is '-1'" in refusal({older: "-1"})


def test_a_value_out_of_range_is_named_by_the_variable_that_set_it() -> None:
    assert refusal({"KOKORO_CHUNK_MS": "-5"}).startswith(
        "KOKORO_CHUNK_MS is '-5'; use a number of milliseconds from 0 "
    )


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingError) as caught:
        EngineConfig.from_environment(environ)
    return caught.value.message


def test_settings_by_their_earlier_names_get_the_present_ones() -> None:
    assert current_names({"arena_limit_mb": 64, "spinning": False}) == {"arena_limit_mib": 64, "spinning": False}
    with pytest.raises(SettingError, match="arena_limit_mib is also given as arena_limit_mb; use one of them"):
        current_names({"arena_limit_mb": 64, "arena_limit_mib": 64})
