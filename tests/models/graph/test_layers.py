"""Each layer against its formula in NumPy, on shapes small enough to follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from variant_inputs import run

from kokoro_lab.models.graph import layers
from kokoro_lab.models.graph.builder import GraphBuilder

Array = NDArray[Any]
CHANNELS, STYLE, TIME = 4, 6, 9


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def computed(write: Callable[[GraphBuilder], str], weights: Mapping[str, Array], **feeds: Array) -> Array:
    """The value of the tensor that `write` adds to a graph with these inputs."""
    g = GraphBuilder(weights)
    for name, array in feeds.items():
        g.input(name, array.dtype.type, array.shape)
    g.op("Identity", write(g), name="result")
    g.output("result", np.float32, ())
    model = g.model("layer", {})
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return run(model, feeds)["result"]


def adain_weights(name: str = "n", channels: int = CHANNELS) -> dict[str, Array]:
    return {
        f"{name}.fc.weight": draw(2 * channels, STYLE, seed=1),
        f"{name}.fc.bias": draw(2 * channels, seed=2),
        f"{name}.norm.weight": 1 + draw(channels, seed=3),
        f"{name}.norm.bias": draw(channels, seed=4),
    }


def adain_of(x: Array, style: Array, weights: Mapping[str, Array], name: str = "n") -> Array:
    affine = style @ weights[f"{name}.fc.weight"].T + weights[f"{name}.fc.bias"]
    gamma, beta = np.split(affine[0].astype(np.float64), 2)
    normed = (x - x.mean(2, keepdims=True)) / np.sqrt(x.var(2, keepdims=True) + 1e-5)
    normed = normed * weights[f"{name}.norm.weight"][:, None] + weights[f"{name}.norm.bias"][:, None]
    return np.asarray((1 + gamma[:, None]) * normed + beta[:, None])


def convolved(x: Array, weight: Array, bias: Array, dilation: int) -> Array:
    """[1, in, time] -> [1, out, time]."""
    taps = weight.shape[2]
    pad = dilation * (taps - 1) // 2
    padded = np.pad(x[0], ((0, 0), (pad, pad)))
    parts = [weight[:, :, tap] @ padded[:, tap * dilation : tap * dilation + x.shape[2]] for tap in range(taps)]
    return np.asarray(sum(parts) + bias[:, None])[None]


def test_linear_is_a_product_with_the_transposed_weight_and_a_bias() -> None:
    weights = {"l.weight": draw(3, CHANNELS), "l.bias": draw(3)}
    x = draw(TIME, CHANNELS)
    got = computed(lambda g: layers.linear(g, "x", "l"), weights, x=x)
    np.testing.assert_allclose(got, x @ weights["l.weight"].T + weights["l.bias"], rtol=1e-5, atol=1e-6)


def test_layer_norm_has_mean_and_spread_of_its_scale_and_shift() -> None:
    x, scale, shift = 7 + 3 * draw(TIME, CHANNELS), draw(CHANNELS, seed=1), draw(CHANNELS, seed=2)
    weights = {"scale": scale, "shift": shift}
    got = computed(lambda g: layers.layer_norm(g, "x", g.weight("scale"), g.weight("shift")), weights, x=x)
    normed = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(got, normed * scale + shift, rtol=1e-4, atol=1e-5)


def test_leaky_relu_has_its_slope_below_zero_alone() -> None:
    got = computed(lambda g: layers.leaky_relu(g, "x", 0.2), {}, x=np.array([-5.0, 0.0, 5.0], np.float32))
    np.testing.assert_allclose(got, [-1.0, 0.0, 5.0])


def test_a_row_is_repeated_for_every_row_of_another_tensor() -> None:
    row, like = draw(1, STYLE), draw(TIME, 2)
    got = computed(lambda g: layers.repeat_over(g, "row", "like", STYLE), {}, row=row, like=like)
    np.testing.assert_array_equal(got, np.repeat(row, TIME, axis=0))


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_convolution_keeps_the_length_and_spreads_its_taps(dilation: int) -> None:
    weights = {"c.weight": draw(5, CHANNELS, 3), "c.bias": draw(5)}
    x = draw(1, CHANNELS, TIME)
    got = computed(lambda g: layers.conv(g, "x", "c", kernel=3, dilation=dilation), weights, x=x)
    expected = convolved(x, weights["c.weight"], weights["c.bias"], dilation)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_convolution_without_a_bias_adds_none() -> None:
    got = computed(
        lambda g: layers.conv(g, "x", "c", kernel=1),
        {"c.weight": draw(2, CHANNELS, 1)},
        x=np.zeros((1, CHANNELS, TIME), np.float32),
    )
    assert not got.any()


def test_a_transposed_convolution_doubles_the_length_with_a_longer_end() -> None:
    weights = {"t.weight": np.ones((CHANNELS, 1, 3), np.float32), "t.bias": np.zeros(CHANNELS, np.float32)}
    x = np.zeros((1, CHANNELS, TIME), np.float32)
    x[0, 1, 2] = 1.0
    got = computed(
        lambda g: layers.transposed_conv(g, "x", "t", kernel=3, stride=2, pads=(1, 0), groups=CHANNELS),
        weights,
        x=x,
    )
    assert got.shape == (1, CHANNELS, 2 * TIME)
    assert np.flatnonzero(got[0, 1]).tolist() == [3, 4, 5], "step 2 lands around twice its place"
    assert not got[0, [0, 2, 3]].any(), "each channel is a group of its own"


def test_adain_normalises_over_time_and_takes_scale_and_shift_from_the_style() -> None:
    weights = adain_weights()
    x, style = 5 + 2 * draw(1, CHANNELS, TIME), draw(1, STYLE)
    got = computed(lambda g: layers.adain(g, "x", "style", "n"), weights, x=x, style=style)
    np.testing.assert_allclose(got, adain_of(x, style, weights), rtol=1e-4, atol=1e-4)


def test_snake_is_x_and_a_squared_sine_of_alpha_x() -> None:
    alpha = np.array([0.5, 1.0, 2.0, 4.0], np.float32).reshape(1, CHANNELS, 1)
    x = draw(1, CHANNELS, TIME)
    got = computed(lambda g: layers.snake(g, "x", "alpha"), {"alpha": alpha}, x=x)
    np.testing.assert_allclose(got, x + np.sin(alpha * x) ** 2 / alpha, rtol=1e-5, atol=1e-5)


def test_an_lstm_has_forward_states_in_the_first_half_and_backward_ones_in_the_second() -> None:
    hidden = 6
    weights = {
        "r.weight_ih": draw(2, 4 * hidden // 2, CHANNELS),
        "r.weight_hh": draw(2, 4 * hidden // 2, hidden // 2),
        "r.bias": draw(2, 8 * hidden // 2),
    }
    x = draw(TIME, CHANNELS)
    changed = x.copy()
    changed[-1] += 1.0
    before, after = (computed(lambda g: layers.lstm(g, "x", "r", hidden), weights, x=each) for each in (x, changed))
    assert before.shape == (TIME, hidden)
    differs = np.abs(before - after) > 1e-7
    assert not differs[:-1, : hidden // 2].any(), "what comes later does not reach forward states"
    assert differs[0, hidden // 2 :].any(), "it reaches backward states of the first row"
    assert differs[-1].all()


def test_a_resblock_adds_its_branches_to_what_came_in() -> None:
    dilations, kernel = (1, 3), 3
    weights: dict[str, Array] = {}
    for index in range(len(dilations)):
        for half in ("1", "2"):
            weights |= adain_weights(f"b.adain{half}.{index}")
            weights[f"b.alpha{half}.{index}"] = 1 + np.abs(draw(1, CHANNELS, 1, seed=index))
            weights[f"b.convs{half}.{index}.weight"] = draw(CHANNELS, CHANNELS, kernel, seed=index)
            weights[f"b.convs{half}.{index}.bias"] = draw(CHANNELS, seed=index)
    x, style = draw(1, CHANNELS, TIME), draw(1, STYLE)
    got = computed(
        lambda g: layers.resblock(g, "x", "style", "b", kernel=kernel, dilations=dilations), weights, x=x, style=style
    )
    expected = x.astype(np.float64)
    for index, dilation in enumerate(dilations):
        inner = expected
        for half, step in (("1", dilation), ("2", 1)):
            inner = adain_of(inner, style, weights, f"b.adain{half}.{index}")
            alpha = weights[f"b.alpha{half}.{index}"]
            inner = inner + np.sin(alpha * inner) ** 2 / alpha
            inner = convolved(
                inner, weights[f"b.convs{half}.{index}.weight"], weights[f"b.convs{half}.{index}.bias"], step
            )
        expected = expected + inner
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("upsample", [False, True])
def test_a_style_block_is_its_shortcut_over_the_root_of_two_when_its_branch_is_silent(upsample: bool) -> None:
    weights = adain_weights("s.norm1") | adain_weights("s.norm2")
    for name in ("s.conv1", "s.conv2"):
        weights |= {f"{name}.weight": draw(CHANNELS, CHANNELS, 3), f"{name}.bias": draw(CHANNELS)}
    weights["s.conv2.weight"] = np.zeros((CHANNELS, CHANNELS, 3), np.float32)
    weights["s.conv2.bias"] = np.zeros(CHANNELS, np.float32)
    weights |= {"s.pool.weight": draw(CHANNELS, 1, 3), "s.pool.bias": draw(CHANNELS)}
    x, style = draw(1, CHANNELS, TIME), draw(1, STYLE)
    got = computed(
        lambda g: layers.style_block(g, "x", "style", "s", width_in=CHANNELS, upsample=upsample),
        weights,
        x=x,
        style=style,
    )
    shortcut = np.repeat(x, 2, axis=2) if upsample else x
    np.testing.assert_allclose(got, shortcut / np.sqrt(2), rtol=1e-5, atol=1e-6)
