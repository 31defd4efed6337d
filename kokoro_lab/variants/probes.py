"""Probes: check sentences from data/ as tokens, and a session to run them on a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.errors import InferenceError, ModelError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.kernels.library import register
from kokoro_lab.models.files.contract import Contract, read_contract
from kokoro_lab.models.rewrite.kernel_rewrite import uses_kernels
from kokoro_lab.models.voices import load_voice
from kokoro_lab.paths import data_folder

__all__ = ["Probe", "Runner", "calibration", "calibration_probes", "check_probes", "random_probe"]

Arrays = dict[str, NDArray[Any]]
THREADS = 2


@dataclass(frozen=True)
class Probe:
    """A call of a model."""

    text: str
    tokens: tuple[int, ...]
    """Tokens without the zeros at the ends."""
    voice: str
    speed: float = 1.0

    def feeds(self) -> Arrays:
        """The inputs of our graph: tokens int64 [1, T], style float32 [1, 256], speed float32 [1]."""
        return {
            "tokens": np.asarray([[0, *self.tokens, 0]], np.int64),
            "style": load_voice(self.voice).style(len(self.tokens)),
            "speed": np.asarray([self.speed], np.float32),
        }


class Runner:
    """An onnxruntime session on the CPU provider over a model in memory, with all its outputs by name."""

    def __init__(self, model: onnx.ModelProto, *, threads: int = THREADS) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        if uses_kernels(model):
            register(options)
        try:
            data = model.SerializeToString()
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            first = str(error).splitlines()[0]
            raise ModelError(f"onnxruntime cannot open the graph: {first}; export or build it again") from error
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._overridable = [each.name for each in self._session.get_overridable_initializers()]
        self.outputs = [each.name for each in self._session.get_outputs()]

    def contract(self) -> Contract:
        """How a whole model is called."""
        session = self._session
        return read_contract(session.get_inputs(), session.get_outputs(), session.get_overridable_initializers())

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run with those feeds that the model has inputs for. Raises InferenceError when onnxruntime fails."""
        wanted = {name: feeds[name] for name in (*self._inputs, *self._overridable) if name in feeds}
        try:
            values = self._session.run(self.outputs, wanted)
        except Exception as error:
            raise InferenceError(
                f"the graph failed on a probe ({str(error).splitlines()[0]}); export or build it again"
            ) from error
        return dict(zip(self.outputs, values, strict=True))

    def speak(self, probe: Probe, **overrides: float) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """(audio float32 [S], durations int64 [T] or None) of a whole model of any contract."""
        contract = self.contract()
        feeds = contract.feeds([0, *probe.tokens, 0], probe.feeds()["style"], probe.speed, **overrides)
        outputs = self.run(feeds)
        audio = np.asarray(outputs[contract.audio], np.float32).reshape(-1)
        durations = None if contract.duration is None else np.asarray(outputs[contract.duration], np.int64).reshape(-1)
        return audio, durations


@dataclass(frozen=True)
class BenchText:
    """A text whose synthesis is timed."""

    text: str
    tokens: int
    exact: int
    """Tokens that the text really has."""


@dataclass(frozen=True)
class Calibration:
    """The sentences of data/calibration.json."""

    comment: str
    calibrate: tuple[Probe, ...]
    check: tuple[Probe, ...]
    bench: tuple[BenchText, ...]


@cache
def calibration() -> Calibration:
    """The sentences of data/calibration.json. Raises InputError for a file with mistakes."""
    path = data_folder() / "calibration.json"
    return as_record(Calibration, read_json(path, what="calibration file"), what=f"calibration file {path}")


def calibration_probes() -> list[Probe]:
    """The sentences that static quantisation is calibrated on."""
    return list(calibration().calibrate)


def check_probes() -> list[Probe]:
    """Other sentences and voices for checks: none of them is used for calibration."""
    return list(calibration().check)


def random_probe(tokens: int, seed: int = 0, voice: str = "af_heart") -> Probe:
    """A call with that many random tokens, the ends not counted."""
    rng = np.random.default_rng([seed, tokens])
    return Probe("", tuple(int(each) for each in rng.integers(1, 178, tokens)), voice)
