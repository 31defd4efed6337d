from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from operator_models import (
    LEAKY,
    SNAKE,
    Shape,
    convolve,
    normalise,
    open_operator,
    operator_model,
    random_tensors,
    run_operator,
    snake,
    snr,
)

FLOOR = {1: 120.0, 2: 105.0, 3: 108.0, 5: 120.0, 7: 102.0, 11: 102.0}  # dB of one convolution, by taps


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("taps", [1, 2, 3, 5, 7, 11])
@pytest.mark.parametrize("dilation", [1, 3, 5])
@pytest.mark.parametrize(("channels", "out"), [(16, 16), (48, 32), (22, 128), (128, 22)])
def test_every_kernel_and_dilation_convolves(
    taps: int, dilation: int, channels: int, out: int, rng: np.random.Generator
) -> None:
    shape = Shape(257, channels, out, taps, dilation)
    tensors = random_tensors(shape, rng, styled=False)
    y, statistics = run_operator("Convolution", tensors, **shape.attributes)
    expected = convolve(tensors["x"][0], tensors["weight"], shape) + tensors["bias"]
    assert snr(expected, y[0]) > FLOOR[taps]
    np.testing.assert_allclose(statistics[0], expected.mean(0), atol=1e-4)
    np.testing.assert_allclose(statistics[1], expected.var(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("taps", [3, 7, 11])
@pytest.mark.parametrize("rows", [*range(1, 41), 84, 85, 107, 108, 109, 199, 200, 503, 504, 505, 1513])
def test_every_length_and_tile_edge(taps: int, rows: int, rng: np.random.Generator) -> None:
    for dilation in (1, 3, 5):
        shape = Shape(rows, 16, 32, taps, dilation)
        tensors = random_tensors(shape, rng, styled=False)
        y, _ = run_operator("Convolution", tensors, **shape.attributes)
        assert snr(convolve(tensors["x"][0], tensors["weight"], shape) + tensors["bias"], y[0]) > FLOOR[taps]


def signal(kind: str, shape: Shape, rng: np.random.Generator) -> NDArray[np.float32]:
    time = np.arange(shape.rows)[:, None]
    x: NDArray[Any] = rng.standard_normal((shape.rows, shape.channels))
    if kind == "smooth":
        x = np.sin(time / 40 + rng.uniform(0, 6, shape.channels))
    elif kind == "constant":
        x = np.ones_like(x) * rng.standard_normal(shape.channels)
    elif kind == "nyquist":
        x = np.where(time % 2, -1.0, 1.0) * rng.standard_normal(shape.channels)
    elif kind == "outlier":
        x[:, 3] *= 1000
    elif kind == "spike":
        x = np.zeros_like(x)
        x[shape.rows // 2] = 1.0
    return x[None].astype(np.float32)


@pytest.mark.parametrize("kind", ["random", "smooth", "constant", "nyquist", "outlier", "spike"])
@pytest.mark.parametrize("taps", [3, 7, 11])
def test_signals_of_every_kind(kind: str, taps: int, rng: np.random.Generator) -> None:
    shape = Shape(700, 64, 64, taps)
    tensors = random_tensors(shape, rng, styled=False) | {"x": signal(kind, shape, rng)}
    tensors["bias"] = np.zeros_like(tensors["bias"])
    y, _ = run_operator("Convolution", tensors, **shape.attributes)
    assert snr(convolve(tensors["x"][0], tensors["weight"], shape), y[0]) > 98


@pytest.mark.parametrize(("taps", "dilation"), [(3, 1), (7, 3), (11, 5)])
def test_a_resblock_half_in_one_operator(taps: int, dilation: int, rng: np.random.Generator) -> None:
    shape = Shape(611, 32, 32, taps, dilation)
    tensors = random_tensors(shape, rng)
    y, statistics = run_operator("Convolution", tensors, activation=SNAKE, gain=0.5, **shape.attributes)
    inner = snake(normalise(tensors["x"][0], tensors), tensors["alpha"])
    expected = convolve(inner, tensors["weight"], shape) + tensors["bias"]
    expected = 0.5 * (expected + tensors["residual"][0] + tensors["residual_2"][0])
    assert snr(expected, y[0]) > 100
    np.testing.assert_allclose(statistics[1], expected.var(0), rtol=1e-4, atol=1e-6)
    given = np.stack([tensors["x"][0].mean(0), tensors["x"][0].var(0)])
    again, _ = run_operator(
        "Convolution", tensors | {"statistics": given}, activation=SNAKE, gain=0.5, **shape.attributes
    )
    assert snr(expected, again[0]) > 100


@pytest.mark.parametrize("rows", [1, 5, 100, 333, 2000])
@pytest.mark.parametrize(("taps", "dilation"), [(3, 1), (7, 3), (11, 1), (11, 5)])
@pytest.mark.parametrize("channels", [16, 48, 128])
def test_products_of_shorts_are_close(
    taps: int, dilation: int, rows: int, channels: int, rng: np.random.Generator
) -> None:
    shape = Shape(rows, channels, 48, taps, dilation)
    tensors = random_tensors(shape, rng, styled=False)
    y, _ = run_operator("Convolution", tensors, shorts=1, **shape.attributes)
    assert snr(convolve(tensors["x"][0], tensors["weight"], shape) + tensors["bias"], y[0]) > 40


@pytest.mark.parametrize("taps", [3, 7, 11])
def test_no_sum_of_shorts_overflows_where_all_products_agree(taps: int) -> None:
    shape = Shape(60, 512, 16, taps)
    tensors = {
        "x": np.full((1, 60, 512), 3e4, np.float32),
        "weight": np.full((16, 512, taps), 5.0, np.float32),
    }
    y, _ = run_operator("Convolution", tensors, shorts=1, **shape.attributes)
    assert snr(convolve(tensors["x"][0], tensors["weight"], shape), y[0]) > 40


def test_shorts_of_silence_are_silent() -> None:
    shape = Shape(100, 16, 16, 7)
    tensors = {"x": np.zeros((1, 100, 16), np.float32), "weight": np.zeros((16, 16, 7), np.float32)}
    y, _ = run_operator("Convolution", tensors, shorts=1, **shape.attributes)
    assert not y.any()


def test_leaky_relu_with_an_odd_number_of_channels(rng: np.random.Generator) -> None:
    shape = Shape(75, 109, 64, 3)
    tensors = random_tensors(shape, rng)
    y, _ = run_operator("Convolution", tensors, activation=LEAKY, slope=0.2, **shape.attributes)
    inner = normalise(tensors["x"][0], tensors)
    expected = convolve(np.where(inner > 0, inner, 0.2 * inner), tensors["weight"], shape) + tensors["bias"]
    assert snr(expected + tensors["residual"][0] + tensors["residual_2"][0], y[0]) > 105


@pytest.mark.parametrize(("stride", "trim", "reflect"), [(10, 5, 0), (6, 3, 1), (2, 0, 1), (1, 0, 0)])
@pytest.mark.parametrize("rows", [2, 7, 60, 301])
def test_upsampling_is_the_transposed_convolution(
    stride: int, trim: int, reflect: int, rows: int, rng: np.random.Generator
) -> None:
    channels, out = 48, 32
    x = rng.standard_normal((rows, channels)).astype(np.float32)
    weight = (rng.standard_normal((channels, out, 2 * stride)) / 10).astype(np.float32)
    bias = rng.standard_normal(out).astype(np.float32)
    full = np.zeros(((rows + 1) * stride, out))
    for tap in range(2 * stride):
        full[tap : tap + (rows - 1) * stride + 1 : stride] += x.astype(float) @ weight[:, :, tap].astype(float)
    expected = full[trim : trim + rows * stride] + bias
    if reflect:
        expected = np.concatenate([expected[1:2], expected])
    residual = rng.standard_normal((1, *expected.shape)).astype(np.float32)
    tensors = {"x": x[None], "weight": weight, "bias": bias, "residual": residual}
    y, statistics = run_operator("Upsample", tensors, stride=stride, trim=trim, reflect=reflect)
    expected = expected + residual[0]
    assert snr(expected, y[0]) > 105
    np.testing.assert_allclose(statistics[0], expected.mean(0), atol=1e-4)
    np.testing.assert_allclose(statistics[1], expected.var(0), rtol=1e-4, atol=1e-6)


def test_variance_survives_a_mean_a_thousand_times_larger(rng: np.random.Generator) -> None:
    shape = Shape(3000, 16, 16, 3)
    tensors = random_tensors(shape, rng, styled=False)
    tensors["bias"] = np.full(16, 1000, np.float32)
    _, statistics = run_operator("Convolution", tensors, **shape.attributes)
    expected = convolve(tensors["x"][0], tensors["weight"], shape) + 1000.0
    np.testing.assert_allclose(statistics[1], expected.var(0), rtol=1e-3)


def test_the_samples_do_not_depend_on_the_threads(rng: np.random.Generator) -> None:
    shape = Shape(4001, 32, 32, 7, 3)
    tensors = random_tensors(shape, rng)
    one, two, sixteen = (
        run_operator("Convolution", tensors, threads=threads, activation=SNAKE, **shape.attributes)
        for threads in (1, 2, 16)
    )
    for other in (two, sixteen):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_many_sessions_at_once(rng: np.random.Generator) -> None:
    shapes = [Shape(300 + 13 * index, 32, 32, (3, 7, 11)[index % 3], 1 + index % 3) for index in range(8)]
    cases = [(shape, random_tensors(shape, rng)) for shape in shapes]

    def repeat(case: tuple[Shape, dict[str, NDArray[np.float32]]]) -> bool:
        shape, tensors = case
        session = open_operator(operator_model("Convolution", tensors, activation=SNAKE, **shape.attributes))
        feeds = {name: array for name, array in tensors.items() if name != "weight"}
        runs = [session.run(None, feeds)[0] for _ in range(5)]
        return all(np.array_equal(runs[0], run) for run in runs)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(repeat, cases))


def test_no_rows_give_no_rows(rng: np.random.Generator) -> None:
    shape = Shape(0, 16, 16, 3)
    y, statistics = run_operator("Convolution", random_tensors(shape, rng, styled=False), **shape.attributes)
    assert y.shape == (1, 0, 16)
    assert not statistics.any()


def test_what_is_not_finite_stays_where_it_is(rng: np.random.Generator) -> None:
    shape = Shape(200, 16, 16, 7)
    tensors = random_tensors(shape, rng, styled=False)
    tensors["x"][0, 100, 4] = np.nan
    y, _ = run_operator("Convolution", tensors, **shape.attributes)
    assert np.isnan(y[0, 100]).all()
    assert np.isfinite(y[0, :80]).all()
