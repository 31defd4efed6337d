"""Whatever a variable holds, the engine's settings take it or refuse it by name."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import pytest

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.environment_variables import variables_of
from kokoro_lab.errors import SettingError

HOSTILE = (
    *(
        "nan",
        "NaN",
        "inf",
        "-inf",
        "-1",
        "1" + "0" * 400,
        "1e400",
        "-1e-400",
        "5e-324",
        "9" * 5_000,
        "0.5",
        "1e3",
        "1_0",
    ),
    *(
        "",
        "  ",
        "\n",
        " 5 ",
        "１２",
        "٣",
        "½",
        "²",
        "0x10",
        "yes please",
        "true",
        "None",
        "x" * 100_000,
        "\udcff",
        "\u202e",
    ),
    *("a=b", "=", "a==b,", "a,,b", "=b", ",", ";;", "1;2", "../..", "/dev/zero", "%s", "{0}", "[a](/b/)"),
)
VARIABLES = [(item.name, variable) for item in dataclasses.fields(EngineConfig) for variable in variables_of(item.name)]


@pytest.mark.parametrize(("name", "variable"), VARIABLES, ids=[variable for _, variable in VARIABLES])
def test_a_variable_sets_a_sound_value_or_is_refused_by_its_name(name: str, variable: str) -> None:
    began = time.process_time()
    for text in HOSTILE:
        try:
            value = getattr(EngineConfig.from_environment({variable: text}), name)
        except SettingError as error:
            assert variable in error.message, text[:20]
            assert len(error.message) < 700 and "; " in error.message
            continue
        assert isinstance(value, bool | int | str | tuple | Path | None) or math.isfinite(value), text[:20]
    assert time.process_time() - began < 2.0


def test_two_variables_that_contradict_each_other_are_both_named() -> None:
    with pytest.raises(SettingError, match=r"KOKORO_GATHER_TOKENS, KOKORO_MAX_TOKENS"):
        EngineConfig.from_environment({"KOKORO_GATHER_TOKENS": "200", "KOKORO_MAX_TOKENS": "100"})
