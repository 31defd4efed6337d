"""The four published contracts and ours, told apart by their inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from kokoro_lab.errors import ModelError
from kokoro_lab.models.files.contract import read_contract


@dataclass
class Port:
    name: str
    type: str = "tensor(float)"


def _inputs(tokens: str, speed: str = "tensor(float)") -> list[Port]:
    return [Port(tokens, "tensor(int64)"), Port("style"), Port("speed", speed)]


OURS = (_inputs("tokens"), [Port("audio"), Port("duration", "tensor(int64)")])
OLD = (_inputs("tokens"), [Port("audio")])
NEW = (_inputs("tokens"), [Port("waveform"), Port("duration", "tensor(int64)")])
HEXGRAD = (_inputs("input_ids", "tensor(int32)"), [Port("waveform"), Port("duration", "tensor(int64)")])
COMMUNITY = (_inputs("input_ids"), [Port("waveform")])
STYLE = np.zeros((1, 256), np.float32)


@pytest.mark.parametrize(
    ("ports", "name"),
    [
        (OURS, "kokoro-lab"),
        (OLD, "kokoro-onnx-1.0"),
        (NEW, "kokoro-onnx-1.1"),
        (HEXGRAD, "hexgrad"),
        (COMMUNITY, "onnx-community"),
    ],
)
def test_each_contract_is_recognised(ports: tuple[list[Port], list[Port]], name: str) -> None:
    assert read_contract(*ports).name == name


def test_feeds_have_the_names_shapes_and_types_the_file_wants() -> None:
    feeds = read_contract(*COMMUNITY).feeds([0, 5, 0], STYLE, 1.5)
    assert {name: (array.shape, array.dtype.str) for name, array in feeds.items()} == {
        "input_ids": ((1, 3), "<i8"),
        "style": ((1, 256), "<f4"),
        "speed": ((1,), "<f4"),
    }


def test_seed_and_noise_are_fed_only_where_the_file_has_them() -> None:
    extras = [Port("seed", "tensor(int64)"), Port("noise_scale")]
    feeds = read_contract(*OURS, extras).feeds([0, 0], STYLE, 1.0, seed=3, noise_scale=0.0)
    assert feeds["seed"].dtype == np.int64
    assert feeds["noise_scale"].shape == ()
    assert "seed" not in read_contract(*OLD).feeds([0, 0], STYLE, 1.0, seed=3)


def test_an_integer_speed_is_never_rounded_in_silence() -> None:
    contract = read_contract(*HEXGRAD)
    assert contract.feeds([0, 0], STYLE, 2.0)["speed"].dtype == np.int32
    with pytest.raises(ModelError, match="whole-number speeds"):
        contract.feeds([0, 0], STYLE, 1.5)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([Port("image")], [Port("label")]),
        (_inputs("tokens"), [Port("mel")]),
        ([*_inputs("tokens"), Port("f0")], [Port("audio")]),
    ],
)
def test_a_foreign_model_is_refused_with_what_it_has(inputs: list[Port], outputs: list[Port]) -> None:
    with pytest.raises(ModelError, match="not a Kokoro model"):
        read_contract(inputs, outputs)
