"""ONNX exports of upstream's PyTorch model with weights of our own, in the styles people publish."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

OPSET = 17


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
        waveform, duration = self.kmodel.forward_with_tokens(input_ids, ref_s, speed)
        return (waveform, duration) if self._duration else (waveform,)


def export(kmodel: torch.nn.Module, path: Path, style: Style | None = None) -> None:
    """Write `kmodel` to `path` as hexgrad's example does it, varied by `style`."""
    style = style or Style()
    module = _Exported(kmodel, style.duration).eval()
    tokens = torch.from_numpy(np.concatenate([[0], np.arange(1, 47), [0]])[None])
    reference = torch.from_numpy(0.15 * np.random.default_rng(0).standard_normal((1, 256)).astype(np.float32))
    speed = torch.tensor([1], dtype=torch.int32 if style.whole_speed else torch.float32)
    outputs = ["waveform", "duration"] if style.duration else ["audio"]
    names = [style.token_input, "style", "speed"]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if style.dynamo:
            length = torch.export.Dim("tokens", min=4, max=512)
            torch.onnx.export(
                module,
                (tokens, reference, speed),
                str(path),
                input_names=names,
                output_names=outputs,
                dynamic_shapes={"input_ids": {1: length}, "ref_s": None, "speed": None},
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
