// A form's transforms on vectors, and the direct form that has none.
#pragma once

#include "forms.h"
#include "simd.h"

namespace kokoro {

// y[t] = sum of w[i] x[t + i] as it stands: one output a tile, one product a tap.
struct Direct {
  static constexpr int kTaps = 1, kTile = 1, kSize = 1;
};

template <typename Form>
constexpr bool is_direct = Form::kTile == 1;

// kSize inputs, `stride` floats apart, to kSize transformed ones.
template <typename Form>
inline void transform_input(const float* from, int64_t stride, float* to, int64_t point_stride) {
  Vec d[Form::kSize];
#pragma GCC unroll 16
  for (int i = 0; i < Form::kSize; ++i) d[i] = load(from + i * stride);
  Vec middle = d[0] * Form::kMiddle[0];
#pragma GCC unroll 8
  for (int k = 1; k <= Form::kPairs; ++k) middle += d[2 * k] * Form::kMiddle[k];
  store(to, middle);
#pragma GCC unroll 8
  for (int pair = 0; pair < Form::kPairs; ++pair) {
    Vec even = d[2] * Form::kEven[pair][0], odd = d[1] * Form::kOdd[pair][0];
#pragma GCC unroll 8
    for (int k = 1; k < Form::kPairs; ++k) {
      even += d[2 * k + 2] * Form::kEven[pair][k];
      odd += d[2 * k + 1] * Form::kOdd[pair][k];
    }
    store(to + (2 * pair + 1) * point_stride, even + odd);
    store(to + (2 * pair + 2) * point_stride, even - odd);
  }
  if constexpr (Form::kInfinity) {
    Vec last = d[1] * Form::kMiddle[0];
#pragma GCC unroll 8
    for (int k = 1; k <= Form::kPairs; ++k) last += d[2 * k + 1] * Form::kMiddle[k];
    store(to + (Form::kSize - 1) * point_stride, last);
  }
}

// kSize products, `point_stride` floats apart, to kTile outputs.
template <typename Form>
inline void transform_output(const float* from, int64_t point_stride, Vec* y) {
  if constexpr (is_direct<Form>) {
    y[0] = load(from);
  } else {
    const Vec zero = load(from);
    Vec sum[Form::kPairs], difference[Form::kPairs];
#pragma GCC unroll 8
    for (int pair = 0; pair < Form::kPairs; ++pair) {
      const Vec plus = load(from + (2 * pair + 1) * point_stride);
      const Vec minus = load(from + (2 * pair + 2) * point_stride);
      sum[pair] = plus + minus;
      difference[pair] = plus - minus;
    }
#pragma GCC unroll 8
    for (int i = 0; i < Form::kTile; ++i) {
      const Vec* half = i % 2 ? difference : sum;
      Vec value = half[0] * Form::kPower[0][i];
#pragma GCC unroll 8
      for (int pair = 1; pair < Form::kPairs; ++pair) value += half[pair] * Form::kPower[pair][i];
      y[i] = value;
    }
    y[0] += zero;
    if constexpr (Form::kInfinity) y[Form::kTile - 1] += load(from + (Form::kSize - 1) * point_stride);
  }
}

}  // namespace kokoro
