"""A graph in two files: each half holds what it reads, both in turn are the whole, and sizes can be fixed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from variant_inputs import call, run

from kokoro_lab.models.files.model_record import BACK, FRONT, ModelFile
from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.rewrite.partition import BOUNDARY, between, fixed, joined, read_whole, split


@pytest.fixture(scope="module")
def whole() -> onnx.ModelProto:
    return build(TINY, seeded_state(TINY, 1))


@pytest.fixture(scope="module")
def halves(whole: onnx.ModelProto) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    return split(whole, TINY)


def held(model: onnx.ModelProto) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}


def test_the_two_halves_one_after_the_other_are_the_whole_to_the_bit(
    whole: onnx.ModelProto, halves: tuple[onnx.ModelProto, onnx.ModelProto]
) -> None:
    feeds = call()
    expected = run(whole, feeds)
    front, back = halves
    for half in halves:
        onnx.checker.check_model(half, full_check=True)
    first = run(front, feeds)
    second = run(back, {**feeds, **first})
    assert set(first) == {"duration", *BOUNDARY}
    np.testing.assert_array_equal(first["duration"], expected["duration"])
    np.testing.assert_array_equal(second["audio"], expected["audio"])


def test_a_half_holds_the_weights_that_it_reads_and_no_others(
    whole: onnx.ModelProto, halves: tuple[onnx.ModelProto, onnx.ModelProto]
) -> None:
    front, back = halves
    assert held(front) | held(back) == held(whole)
    assert not any(name.startswith("decoder.generator.resblocks") for name in held(front))
    assert not any(name.startswith("bert") for name in held(back))
    for half in halves:
        assert held(half) <= {name for node in half.graph.node for name in node.input}
        assert len(half.SerializeToString()) < len(whole.SerializeToString())


def test_joining_undoes_the_split(whole: onnx.ModelProto, halves: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    again = joined(*halves)
    onnx.checker.check_model(again, full_check=True)
    assert {info.name for info in again.graph.output} == {"audio", "duration"}
    assert held(again) == held(whole)
    assert sorted(node.name for node in again.graph.node) == sorted(node.name for node in whole.graph.node)
    feeds = call()
    for name, expected in run(whole, feeds).items():
        np.testing.assert_array_equal(run(again, feeds)[name], expected)


def test_a_split_model_on_disk_is_read_as_one_graph(
    halves: tuple[onnx.ModelProto, onnx.ModelProto], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("split")
    paths = [folder / f"mine{ending}" for ending in (FRONT, BACK)]
    for half, path in zip(halves, paths, strict=True):
        onnx.save(half, path)
    file = ModelFile("mine", paths[0], "0" * 64, 1, "stand-in", "tiny", "fp32")
    assert {info.name for info in read_whole(file).graph.output} == {"audio", "duration"}
    paths[1].unlink()
    assert "audio" not in {info.name for info in read_whole(file).graph.output}, "the front alone"


def test_a_part_between_two_boundaries_starts_at_the_first_and_ends_at_the_second(whole: onnx.ModelProto) -> None:
    part = between(whole, TINY, ("f0", "energy", "text_encoding", "frame_token", "style"), ("decoder_features",))
    assert [info.name for info in part.graph.output] == ["decoder_features"]
    assert "tokens" not in {info.name for info in part.graph.input}
    assert not any(name.startswith(("bert", "decoder.generator")) for name in held(part))


def test_a_fixed_size_replaces_the_open_dimension_and_the_source_stays_open(whole: onnx.ModelProto) -> None:
    def tokens_of(model: onnx.ModelProto) -> list[int | str]:
        info = next(info for info in model.graph.input if info.name == "tokens")
        return [each.dim_param or each.dim_value for each in info.type.tensor_type.shape.dim]

    sized = fixed(whole, {"T": 16})
    assert (tokens_of(sized), tokens_of(whole)) == ([1, 16], [1, "T"])
    feeds = call(14)
    np.testing.assert_array_equal(run(sized, feeds)["audio"], run(whole, feeds)["audio"])
    with pytest.raises(Exception, match="Expected: 16"):
        run(sized, call(10))
