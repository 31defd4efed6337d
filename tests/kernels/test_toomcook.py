from __future__ import annotations

from fractions import Fraction

import pytest

from kokoro_lab.kernels.build import SOURCE
from kokoro_lab.kernels.toomcook import FORMS, Form, header


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_matrices_convolve_exactly(form: Form) -> None:
    inputs = [Fraction(7 * i * i - 3 * i + 5, i + 2) for i in range(form.size)]
    taps = [Fraction(2 * i - 3, 3 * i + 1) for i in range(form.taps)]
    transformed = [sum((b * x for b, x in zip(row, inputs, strict=True)), Fraction(0)) for row in form.data()]
    weights = [sum((g * w for g, w in zip(row, taps, strict=True)), Fraction(0)) for row in form.weights()]
    products = [v * u for v, u in zip(transformed, weights, strict=True)]
    outputs = [sum((a * m for a, m in zip(row, products, strict=True)), Fraction(0)) for row in form.outputs()]
    assert outputs == [sum(taps[i] * inputs[j + i] for i in range(form.taps)) for j in range(form.tile)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_float32_holds_the_input_transform_exactly(form: Form) -> None:
    assert all(entry.denominator == 1 and abs(entry) < 2**24 for row in form.data() for entry in row)


def test_a_form_needs_as_many_points_as_products() -> None:
    with pytest.raises(ValueError, match="points"):
        Form("short", 6, 3, (Fraction(1),), infinity=True)
    with pytest.raises(ValueError, match="repeats"):
        Form("double", 6, 3, (Fraction(1), Fraction(1), Fraction(2)), infinity=True)


def test_the_committed_header_is_the_one_these_tables_give() -> None:
    assert (SOURCE / "forms.h").read_text(encoding="utf-8") == header()
