"""Where a graph runs is read back from the provider; what CoreML would leave is told from its published limits."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from kokoro_lab.errors import InferenceError, ProviderError, SettingError
from kokoro_lab.measure.peers.environments import environment
from kokoro_lab.models.graph.architecture import FULL, TINY, Architecture
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.variants.coreml import coreml_fallbacks
from kokoro_lab.variants.portability import openvino_obstacles, place
from kokoro_lab.variants.probes import Probe, Runner, check_probes
from kokoro_lab.variants.provider_process import ProviderProcess, environment_of

PROBES = check_probes()[:1]


def test_our_graph_has_nothing_that_openvino_refuses_and_coreml_gets_most_of_it(whole: onnx.ModelProto) -> None:
    assert openvino_obstacles(whole) == []
    fallbacks = coreml_fallbacks(whole)
    kinds = {each.operator for each in fallbacks}
    assert "LSTM" in kinds
    assert not {"Conv", "ConvTranspose", "Gemm", "InstanceNormalization", "Gather"} & kinds
    assert any("fixed bucket" in each.reason for each in fallbacks)
    left = sum(each.count for each in fallbacks if each.operator != "input")
    assert left < 0.15 * len(whole.graph.node)


def test_obstacles_of_other_exports_are_named() -> None:
    nodes = [
        onnx.helper.make_node("Loop", ["a"], ["b"]),
        onnx.helper.make_node("RandomNormalLike", ["a"], ["c"]),
        onnx.helper.make_node("Squeeze", ["a"], ["d"]),
    ]
    found = openvino_obstacles(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [])))
    assert {each.operator for each in found} == {"Loop", "RandomNormalLike", "Squeeze"}


def test_placement_is_read_back_and_an_absent_provider_says_so(whole: onnx.ModelProto) -> None:
    cpu, cuda = place(whole, ["cpu", "cuda"])
    assert (cpu.status, cpu.share, cpu.elsewhere) == ("ok", 1.0, ())
    assert sum(cpu.nodes.values()) > 100
    assert cuda.status == "unavailable"
    assert cuda.reason
    with pytest.raises(SettingError, match="unknown provider 'quantum'"):
        place(whole, ["quantum"])


@pytest.mark.slow
@pytest.mark.parametrize("arch", [TINY, FULL], ids=lambda arch: arch.name)
def test_the_reference_graph_runs_whole_in_openvino_and_says_the_same(arch: Architecture) -> None:
    if environment("openvino").status != "installed":
        pytest.skip(f"environment openvino is {environment('openvino').status}: `kokoro-lab environments add openvino`")
    short = Probe("", PROBES[0].tokens[:12], PROBES[0].voice)
    (found,) = place(build(arch, seeded_state(arch, 2)), ["openvino"], [short], arch=arch)
    assert found.reason == ""
    assert (found.environment, found.status, found.elsewhere) == ("openvino", "ok", ())
    assert list(found.nodes) == ["OpenVINOExecutionProvider"]
    assert found.heard is not None
    assert found.heard.verdict == "equivalent", found.heard.reasons
    assert found.heard.readings[0].snr_db > 60


def test_a_process_of_its_own_says_what_the_graph_says_here(whole: onnx.ModelProto) -> None:
    feeds = PROBES[0].feeds()
    with ProviderProcess(whole, "cpu") as there:
        for seed in (0, 5):
            call = {**feeds, "seed": np.asarray(seed)}
            for name, value in Runner(whole).run(call).items():
                np.testing.assert_array_equal(there.run(call)[name], value)
        with pytest.raises(InferenceError, match="failed on a probe"):
            there.run({**feeds, "style": np.zeros((1, 7), np.float32)})
        assert there.run(feeds)["audio"].size, "it goes on after a failed call"
    assert environment_of("cpu") == ""
    with pytest.raises(ProviderError, match="unavailable"):
        environment_of("coreml")
    broken = onnx.ModelProto()
    broken.CopyFrom(whole)
    broken.graph.node[5].op_type = "Nonsense"
    with pytest.raises(ProviderError, match="refused"):
        ProviderProcess(broken, "cpu")


def _reasons(*nodes: onnx.NodeProto, **types: int) -> dict[str, str]:
    """Operator -> why CoreML would not take it, in a graph of these nodes; `c...` are constants of one value."""
    names = {name for node in nodes for name in node.input if name.startswith("c")}
    inputs = [helper.make_tensor_value_info(name, kind, [1, 2, 8]) for name, kind in types.items()]
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0]) for name in sorted(names)]
    graph = helper.make_graph(list(nodes), "g", inputs, [], initializer=constants)
    domains = [helper.make_opsetid(domain, 18) for domain in ("", "com.example")]
    model = helper.make_model(graph, opset_imports=domains)
    return {each.operator: each.reason for each in coreml_fallbacks(model)}


@pytest.mark.parametrize(
    ("node", "word"),
    [
        (helper.make_node("Conv", ["x", "cw", "x"], ["y"]), "bias"),
        (helper.make_node("ConvTranspose", ["x", "x"], ["y"]), "weight"),
        (helper.make_node("ConvTranspose", ["x", "cw"], ["y"], output_padding=[1]), "output_padding"),
        (helper.make_node("ConvTranspose", ["x", "cw"], ["y"], auto_pad="SAME_UPPER"), "SAME"),
        (helper.make_node("Gemm", ["x", "x"], ["y"]), "B must be constant"),
        (helper.make_node("Pad", ["x", "cp"], ["y"], mode="edge"), "constant padding"),
        (helper.make_node("Slice", ["x", "cs", "x"], ["y"]), "starts, ends"),
        (helper.make_node("Split", ["x", "x"], ["y", "z"]), "sizes"),
        (helper.make_node("LSTM", ["x", "cw", "cr"], ["y"]), "no such operator"),
        (helper.make_node("Add", ["wide", "wide"], ["y"]), "64-bit"),
        (helper.make_node("Relu", ["x"], ["y"], domain="com.example"), "no such operator"),
    ],
    ids=lambda each: each.op_type if isinstance(each, onnx.NodeProto) else None,
)
def test_each_of_coremls_limits_is_told_in_its_own_words(node: onnx.NodeProto, word: str) -> None:
    assert word in _reasons(node, x=TensorProto.FLOAT, wide=TensorProto.DOUBLE)[node.op_type]


def test_what_coreml_takes_is_not_told() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "cw", "cb"], ["a"]),
        helper.make_node("ConvTranspose", ["x", "cw"], ["b"], output_padding=[0]),
        helper.make_node("Pad", ["x", "cp"], ["c1"]),
    ]
    assert _reasons(*nodes, x=TensorProto.FLOAT) == {}
