"""How a Kokoro ONNX file is called: recognised by its inputs and outputs, never by its file name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kokoro_lab.errors import ModelError

__all__ = ["Contract", "Port", "read_contract"]

TOKEN_INPUTS = ("tokens", "input_ids")
AUDIO_OUTPUTS = ("audio", "waveform")
DURATION_OUTPUTS = ("duration", "durations", "pred_dur")
MOST_NAMES, LONGEST_NAME = 6, 40  # of a foreign file, in a message
SPEED_TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
OVERRIDABLE_TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class Port(Protocol):
    """A graph input or output, with the attributes of onnxruntime's NodeArg."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def type(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Contract:
    """Names and types of a file's inputs and outputs."""

    name: str
    """`kokoro-lab`, `kokoro-onnx-1.0`, `kokoro-onnx-1.1`, `hexgrad` or `onnx-community`."""
    tokens: str
    speed_type: type[np.generic]
    audio: str
    duration: str | None
    overridable: Mapping[str, type[np.generic]]

    @property
    def outputs(self) -> list[str]:
        """The outputs to request: audio, then durations where the file has them."""
        return [self.audio] if self.duration is None else [self.audio, self.duration]

    def feeds(
        self, tokens: Sequence[int], style: NDArray[np.float32], speed: float, **overrides: ArrayLike
    ) -> dict[str, NDArray[Any]]:
        """The feeds (input name -> array) of a call.

        `tokens` with the zero at each end, `style` float32 [1, 256]. `overrides` (seed, noise_scale) are fed where the
        file has such an input. Raises ModelError for a fractional speed where the file's speed is an integer, which
        would round it.
        """
        if self.speed_type is np.int32 and speed != round(speed):
            raise ModelError(
                f"this model file takes only whole-number speeds, not {speed}; use speed 1 or another model file"
            )
        feeds: dict[str, NDArray[Any]] = {
            self.tokens: np.asarray([tokens], np.int64),
            "style": np.ascontiguousarray(style, np.float32),
            "speed": np.asarray([speed], self.speed_type),
        }
        for name, value in overrides.items():
            if name in self.overridable:
                feeds[name] = np.asarray(value, self.overridable[name])
        return feeds


def read_contract(inputs: Sequence[Port], outputs: Sequence[Port], overridable: Sequence[Port] = ()) -> Contract:
    """Recognise a session's inputs and outputs; ModelError when they are not a Kokoro export's."""
    ins = {port.name: port.type for port in inputs}
    outs = [port.name for port in outputs]
    tokens = next((name for name in TOKEN_INPUTS if name in ins), None)
    audio = next((name for name in AUDIO_OUTPUTS if name in outs), None)
    duration = next((name for name in DURATION_OUTPUTS if name in outs), None)
    speed_type = SPEED_TYPES.get(ins.get("speed", ""))
    if tokens is None or audio is None or speed_type is None or set(ins) != {tokens, "style", "speed"}:
        raise ModelError(
            f"this is not a Kokoro model, its inputs are {_listed(sorted(ins))} and its outputs {_listed(outs)}; "
            "give a model with tokens or input_ids, style and speed"
        )
    extra = {port.name: OVERRIDABLE_TYPES[port.type] for port in overridable if port.type in OVERRIDABLE_TYPES}
    return Contract(_contract_name(tokens, audio, duration, speed_type), tokens, speed_type, audio, duration, extra)


def _listed(names: Sequence[str]) -> str:
    """Some names of a foreign file, shortened."""
    shown = ", ".join(repr(name[:LONGEST_NAME]) for name in names[:MOST_NAMES])
    return f"[{shown}{', ...' if len(names) > MOST_NAMES else ''}]"


def _contract_name(tokens: str, audio: str, duration: str | None, speed_type: type[np.generic]) -> str:
    if tokens == "input_ids":
        return "hexgrad" if speed_type is np.int32 else "onnx-community"
    if audio == "waveform":
        return "kokoro-onnx-1.1"
    return "kokoro-onnx-1.0" if duration is None else "kokoro-lab"
