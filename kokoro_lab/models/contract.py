"""How a Kokoro ONNX file wants to be called: read from its inputs and outputs, never from its name."""

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
SPEED_TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
OVERRIDABLE_TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class Port(Protocol):
    """An input or output as onnxruntime's sessions describe it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def type(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Contract:
    """The names and types of one file."""

    name: str
    """`kokoro-lab`, `kokoro-onnx-1.0`, `kokoro-onnx-1.1`, `hexgrad` or `onnx-community`."""
    tokens: str
    speed_type: type[np.generic]
    audio: str
    duration: str | None
    overridable: Mapping[str, type[np.generic]]

    @property
    def outputs(self) -> list[str]:
        """The outputs to ask for: audio, then durations where the file has them."""
        return [self.audio] if self.duration is None else [self.audio, self.duration]

    def feeds(
        self, tokens: Sequence[int], style: NDArray[np.float32], speed: float, **overrides: ArrayLike
    ) -> dict[str, NDArray[Any]]:
        """The input dictionary of one call.

        `tokens` with the zero at each end, `style` float32 [1, 256]. `overrides` (seed, noise_scale) are fed where
        the file has such an input. Raises ModelError when an integer-speed file is asked for a fractional speed: it
        would round it away.
        """
        if self.speed_type is np.int32 and speed != round(speed):
            raise ModelError(
                f"this model file takes whole speeds only; use 1 instead of {speed}, or another model file"
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
    """Recognise a session's inputs and outputs; ModelError when they are not those of a Kokoro export."""
    ins = {port.name: port.type for port in inputs}
    outs = [port.name for port in outputs]
    tokens = next((name for name in TOKEN_INPUTS if name in ins), None)
    audio = next((name for name in AUDIO_OUTPUTS if name in outs), None)
    duration = next((name for name in DURATION_OUTPUTS if name in outs), None)
    speed_type = SPEED_TYPES.get(ins.get("speed", ""))
    if tokens is None or audio is None or speed_type is None or set(ins) != {tokens, "style", "speed"}:
        raise ModelError(
            f"this is not a Kokoro model: its inputs are {sorted(ins)} and its outputs {outs}; "
            "expected tokens or input_ids, style and speed"
        )
    extra = {port.name: OVERRIDABLE_TYPES[port.type] for port in overridable if port.type in OVERRIDABLE_TYPES}
    return Contract(_contract_name(tokens, audio, duration, speed_type), tokens, speed_type, audio, duration, extra)


def _contract_name(tokens: str, audio: str, duration: str | None, speed_type: type[np.generic]) -> str:
    if tokens == "input_ids":
        return "hexgrad" if speed_type is np.int32 else "onnx-community"
    if audio == "waveform":
        return "kokoro-onnx-1.1"
    return "kokoro-onnx-1.0" if duration is None else "kokoro-lab"
