"""ONNX exports of upstream's PyTorch model with weights of our own, in the styles people publish."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import torch

OPSET = 17
FRAMES = 120  # of an export by dynamo


@dataclass(frozen=True)
class Style:
    """How an export was made."""

    token_input: str = "input_ids"
    whole_speed: bool = True
    duration: bool = True
    dynamo: bool = False
    folding: bool = True


class _Exported(torch.nn.Module):
    """KModelForONNX, with the duration output as a choice."""

    def __init__(self, kmodel: torch.nn.Module, duration: bool) -> None:
        super().__init__()
        self.kmodel = kmodel
        self._duration = duration

    def forward(self, input_ids: torch.Tensor, ref_s: torch.Tensor, speed: torch.Tensor) -> tuple[torch.Tensor, ...]:
        waveform, duration = self._run(input_ids, ref_s, speed)
        return (waveform, duration) if self._duration else (waveform,)

    def _run(self, input_ids: torch.Tensor, ref_s: torch.Tensor, speed: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.kmodel.forward_with_tokens(input_ids, ref_s, speed)


class _Traceable(_Exported):
    """forward_with_tokens as torch.export can follow it: no mask, no packed sequences, a fixed number of frames.

    Its LSTM cannot be exported over a length that depends on data, so that such a file speaks one length only.
    """

    def _run(self, input_ids: torch.Tensor, ref_s: torch.Tensor, speed: torch.Tensor) -> tuple[torch.Tensor, ...]:
        k = self.kmodel
        style = ref_s[:, 128:]
        lengths = torch.full((1,), input_ids.shape[1], dtype=torch.long)
        mask = torch.zeros_like(input_ids, dtype=torch.bool)
        features = k.bert_encoder(k.bert(input_ids)).transpose(-1, -2)
        prosody = k.predictor.text_encoder(features, style, lengths, mask)
        states, _ = k.predictor.lstm(prosody)
        votes = torch.sigmoid(k.predictor.duration_proj(states)).sum(axis=-1) / speed
        duration = torch.round(votes).clamp(min=1).long().squeeze(0)
        frame = torch.arange(FRAMES)
        passed = (frame[:, None] >= duration.cumsum(0)[None]).long().sum(1).clamp(max=input_ids.shape[1] - 1)
        curves = k.predictor.F0Ntrain(prosody.transpose(-1, -2)[:, :, passed], style)
        text = k.text_encoder(input_ids, lengths, mask)[:, :, passed]
        return k.decoder(text, *curves, ref_s[:, :128]).squeeze(), duration


def export(kmodel: torch.nn.Module, path: Path, style: Style | None = None) -> None:
    """Write `kmodel` to `path` as hexgrad's example does it, varied by `style`."""
    style = style or Style()
    module = (_Traceable if style.dynamo else _Exported)(kmodel, style.duration).eval()
    tokens = torch.from_numpy(np.concatenate([[0], np.arange(1, 47), [0]])[None])
    reference = torch.from_numpy(0.15 * np.random.default_rng(0).standard_normal((1, 256)).astype(np.float32))
    speed = torch.tensor([1], dtype=torch.int32 if style.whole_speed else torch.float32)
    outputs = ["waveform", "duration"] if style.duration else ["audio"]
    names = [style.token_input, "style", "speed"]
    with warnings.catch_warnings(), torch.no_grad(), _unpacked() if style.dynamo else nullcontext():
        warnings.simplefilter("ignore")
        if style.dynamo:
            torch.onnx.export(
                module,
                (tokens, reference, speed),
                str(path),
                input_names=names,
                output_names=outputs,
                opset_version=18,
                dynamo=True,
                external_data=False,
                optimize=style.folding,
            )
        else:
            axes = {style.token_input: {1: "tokens"}, outputs[0]: {0: "samples"}}
            if style.duration:
                axes["duration"] = {0: "tokens"}
            torch.onnx.export(
                module,
                (tokens, reference, speed),
                str(path),
                input_names=names,
                output_names=outputs,
                dynamic_axes=axes,
                opset_version=OPSET,
                do_constant_folding=style.folding,
                dynamo=False,
            )


def _unpacked() -> ExitStack:
    """Sequences of one length need no packing."""
    rnn = torch.nn.utils.rnn
    stack = ExitStack()
    stack.enter_context(mock.patch.object(rnn, "pack_padded_sequence", lambda x, *_, **__: x))
    stack.enter_context(mock.patch.object(rnn, "pad_packed_sequence", lambda x, **_: (x, None)))
    return stack


def halved(path: Path, target: Path) -> None:
    """The export with its float32 initializers in float16, each behind a Cast: weights rounded, arithmetic not."""
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        array = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, target)
