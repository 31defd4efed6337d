"""Toom-Cook convolution F(m, r) in exact rationals: m outputs of an r-tap filter from n = m + r - 1 products.

With V the n x n Vandermonde matrix of the points, y = A [(G w) * (B d)] where A is the transpose of V's first m
columns, G is V's first r columns and B the transpose of V's inverse (Toom-Cook multiplication, transposed; Winograd,
Arithmetic Complexity of Computations, 1980; Lavin and Gray, 2016). Points are 0, pairs of both signs and optionally
infinity, so every row of B splits into an even and an odd half that a pair shares. Each row of B is scaled to the
smallest integers, which float32 holds exactly; G is multiplied by the inverse of the scale.

`python -m kokoro_lab.kernels.toomcook FILE` writes the tables as a C++ header.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from pathlib import Path

__all__ = ["FORMS", "Form", "header"]


Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]


@dataclass(frozen=True)
class Form:
    """F(tile, taps): its points, and the matrices that follow from them."""

    name: str
    tile: int
    """Outputs computed at a time."""
    taps: int
    pairs: Row
    """The finite points besides 0; each stands for both signs."""
    infinity: bool

    def __post_init__(self) -> None:
        if self.size != self.tile + self.taps - 1:
            raise ValueError(f"{self.name} has {self.size} points; give it {self.tile + self.taps - 1}")
        if len({abs(point) for point in self.finite}) != len(self.pairs) + 1:
            raise ValueError(f"{self.name} repeats a point; give distinct points")

    @property
    def size(self) -> int:
        """Products per tile: the number of points, infinity included."""
        return 1 + 2 * len(self.pairs) + self.infinity

    @property
    def finite(self) -> Row:
        """The finite points in the order of the rows: 0, +a, -a, +b, -b, ..."""
        return (Fraction(0), *(sign * point for point in self.pairs for sign in (1, -1)))

    def even(self, pair: int) -> Row:
        """Integers e_k: the even half of rows +-a is the sum of e_k d[2 k + 2]."""
        return self._halves(pair)[0]

    def odd(self, pair: int) -> Row:
        """Integers o_k: the odd half of rows +-a is +-the sum of o_k d[2 k + 1]."""
        return self._halves(pair)[1]

    @property
    def middle(self) -> Row:
        """Integers z_k: row 0 is the sum of z_k d[2 k], the row of infinity the sum of z_k d[2 k + 1]."""
        return _integers(_product(self.pairs))

    def data(self) -> Matrix:
        """B, size x size."""
        rows = [self._spread(self.middle, 0)]
        for pair in range(len(self.pairs)):
            even, odd = self._spread(self.even(pair), 2), self._spread(self.odd(pair), 1)
            rows.append(tuple(e + o for e, o in zip(even, odd, strict=True)))
            rows.append(tuple(e - o for e, o in zip(even, odd, strict=True)))
        if self.infinity:
            rows.append(self._spread(self.middle, 1))
        return tuple(rows)

    def weights(self) -> Matrix:
        """G, size x taps."""
        rows = []
        for index, point in enumerate(self.finite):
            others = [point - other for other in self.finite if other != point]
            product = Fraction(1)
            for difference in others:
                product *= difference
            scale = self._scale(index) * product
            rows.append(tuple(point**power / scale for power in range(self.taps)))
        if self.infinity:
            rows.append((*(Fraction(0),) * (self.taps - 1), 1 / self.middle[-1]))
        return tuple(rows)

    def outputs(self) -> Matrix:
        """A, tile x size."""
        columns = [tuple(point**power for power in range(self.tile)) for point in self.finite]
        if self.infinity:
            columns.append((*(Fraction(0),) * (self.tile - 1), Fraction(1)))
        return tuple(zip(*columns, strict=True))

    def _halves(self, pair: int) -> tuple[Row, Row]:
        """x (x +- a) Q(x^2), Q the product over the other pairs, scaled to integers."""
        quotient = _product(self.pairs[:pair] + self.pairs[pair + 1 :])
        both = _integers((*quotient, *(self.pairs[pair] * term for term in quotient)))
        return both[: len(quotient)], both[len(quotient) :]

    def _scale(self, row: int) -> Fraction:
        """Factor by which row `row` of B was multiplied; its leading coefficient was 1."""
        return self.middle[-1] if row == 0 else self.even((row - 1) // 2)[-1]

    def _spread(self, terms: Row, first: int) -> Row:
        row = [Fraction(0)] * self.size
        for index, term in enumerate(terms):
            row[first + 2 * index] = term
        return tuple(row)


def _product(points: Sequence[Fraction]) -> Row:
    """Coefficients of the product of (y - a^2), lowest power first."""
    terms = [Fraction(1)]
    for point in points:
        terms = [low - point**2 * high for low, high in zip([Fraction(0), *terms], [*terms, Fraction(0)], strict=True)]
    return tuple(terms)


def _integers(terms: Row) -> Row:
    """The terms times the smallest positive number that makes all of them integers without a common factor."""
    whole = [term * lcm(*(part.denominator for part in terms)) for term in terms]
    common = gcd(*(int(term) for term in whole))
    return tuple(term / common for term in whole)


def _points(*texts: str) -> Row:
    return tuple(Fraction(text) for text in texts)


FORMS = (
    Form("F2x3", 2, 3, _points("1"), infinity=True),
    Form("F6x2", 6, 2, _points("1/2", "1", "7/4"), infinity=False),
    Form("F6x3", 6, 3, _points("1/2", "1", "7/4"), infinity=True),
    Form("F6x6", 6, 6, _points("1/3", "3/4", "1", "2", "4"), infinity=False),
    Form("F6x7", 6, 7, _points("1/3", "2/3", "1", "3/2", "5/2"), infinity=True),
)


def header() -> str:
    """The tables of every form as C++."""
    parts = [
        "// Written by kokoro_lab/kernels/toomcook.py; `make test` holds that it is up to date.",
        "#pragma once",
        "",
    ]
    for form in FORMS:
        parts += [
            f"struct {form.name} {{",
            f"  static constexpr int kTaps = {form.taps}, kTile = {form.tile}, kPairs = {len(form.pairs)};",
            f"  static constexpr int kSize = {form.size};",
            f"  static constexpr bool kInfinity = {str(form.infinity).lower()};",
            f"  static constexpr float kMiddle[] = {_braces(form.middle, 'f')};",
            _table("float kEven", [form.even(pair) for pair in range(len(form.pairs))], "f"),
            _table("float kOdd", [form.odd(pair) for pair in range(len(form.pairs))], "f"),
            _table("float kPower", [tuple(p**power for power in range(form.tile)) for p in form.pairs], "f"),
            _table("double kWeights", list(form.weights()), ""),
            "};",
            "",
        ]
    return "\n".join(parts)


def _table(name: str, rows: Sequence[Row], suffix: str) -> str:
    lines = ",\n".join(f"      {_braces(row, suffix)}" for row in rows)
    return f"  static constexpr {name}[][{len(rows[0])}] = {{\n{lines}}};"


def _braces(row: Row, suffix: str) -> str:
    return "{" + ", ".join(f"{float(term)!r}{suffix}" for term in row) + "}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(header(), encoding="utf-8")
