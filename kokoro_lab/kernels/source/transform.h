// A form's transforms on vectors, and the direct form that has none.
#pragma once

#include "forms.h"
#include "simd.h"

namespace kokoro {

// y[t] = sum of w[i] x[t + i] as it stands: one output a tile, one product a tap.
struct Direct {
  static constexpr int kTaps = 1, kTile = 1, kSize = 1;
};

// Two chunks of a form's taps, three tiles at a time: across tiles a chunk is a tap again, so the products of the tiles
// go through F(3, 2) on the points 0, 1, -1 and infinity. Four products do for six, and factors of one half cost next
// to no accuracy.
template <typename Inner>
struct Nested {
  static constexpr int kTaps = 2 * Inner::kTaps, kTile = 3 * Inner::kTile, kSize = 4 * Inner::kSize;
};

template <typename Form>
constexpr bool is_direct = Form::kTile == 1;
template <typename Form>
constexpr bool is_nested = false;
template <typename Inner>
constexpr bool is_nested<Nested<Inner>> = true;

// What the weights' transform multiplies tap `tap` with at point `point`.
template <typename Form>
struct WeightTransform {
  static double at(int point, int tap) {
    if constexpr (is_direct<Form>) {
      return 1.0;
    } else {
      return Form::kWeights[point][tap];
    }
  }
};
template <typename Inner>
struct WeightTransform<Nested<Inner>> {
  static double at(int point, int tap) {
    constexpr double kOuter[4][2] = {{1.0, 0.0}, {0.5, 0.5}, {0.5, -0.5}, {0.0, 1.0}};
    return kOuter[point / Inner::kSize][tap / Inner::kTaps] *
           WeightTransform<Inner>::at(point % Inner::kSize, tap % Inner::kTaps);
  }
};

// A point's weights as factors of up to three kept matrices.
struct Mix {
  int terms;
  int kept[3];
  float factor[3];
  bool is_kept() const { return terms == 1 && factor[0] == 1.0f; }
};

// What is kept in memory of a form's transformed weights: all of them, or fewer from which the rest are worked out,
// panel by panel, when they are needed. `at` is what the kept ones' transform multiplies tap `tap` with.
template <typename Form>
struct Basis {
  static constexpr int kKept = Form::kSize;
  static double at(int kept, int tap) { return WeightTransform<Form>::at(kept, tap); }
  static Mix mix(int point) { return {1, {point}, {1.0f}}; }
};

// The taps themselves: less than the points by a third in wide layers, by two thirds where the points are many.
template <typename Form>
struct TapBasis {
  static constexpr int kKept = Form::kTaps;
  static double at(int kept, int tap) { return kept == tap ? 1.0 : 0.0; }
  static Mix mix(int point) {
    Mix mix{};
    for (int tap = 0; tap < Form::kTaps; ++tap) {
      const double factor = WeightTransform<Form>::at(point, tap);
      if (factor == 0.0) continue;
      mix.kept[mix.terms] = tap;
      mix.factor[mix.terms++] = static_cast<float>(factor);
    }
    return mix;
  }
};
template <>
struct Basis<F2x3> : TapBasis<F2x3> {};
template <>
struct Basis<F6x2> : TapBasis<F6x2> {};

// The two chunks' own: their halved sum and difference follow.
template <typename Inner>
struct Basis<Nested<Inner>> {
  static constexpr int kKept = 2 * Inner::kSize;
  static double at(int kept, int tap) {
    return WeightTransform<Nested<Inner>>::at(kept < Inner::kSize ? kept : kept + 2 * Inner::kSize, tap);
  }
  static Mix mix(int point) {
    const int outer = point / Inner::kSize, inner = point % Inner::kSize;
    if (outer == 0) return {1, {inner}, {1.0f}};
    if (outer == 3) return {1, {inner + Inner::kSize}, {1.0f}};
    return {2, {inner, inner + Inner::kSize}, {0.5f, outer == 1 ? 0.5f : -0.5f}};
  }
};

// `count` weights of a point from the kept matrices, `stride` apart.
inline void mix_weights(const Mix& mix, const float* kept, int64_t stride, int64_t count, float* to) {
  const float *a = kept + mix.kept[0] * stride, *b = kept + mix.kept[1] * stride, *c = kept + mix.kept[2] * stride;
  const Vec f = splat(mix.factor[0]), g = splat(mix.factor[1]), h = splat(mix.factor[2]);
  if (mix.terms == 1) {
    for (int64_t i = 0; i < count; i += kLanes) store(to + i, load(a + i) * f);
  } else if (mix.terms == 2) {
    for (int64_t i = 0; i < count; i += kLanes) store(to + i, load(a + i) * f + load(b + i) * g);
  } else {
    for (int64_t i = 0; i < count; i += kLanes) store(to + i, load(a + i) * f + load(b + i) * g + load(c + i) * h);
  }
}

// kTile + kTaps - 1 inputs, `stride` floats apart, to kSize transformed ones.
template <typename Form>
inline void transform_plain_input(const float* from, int64_t stride, float* to, int64_t point_stride) {
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

template <typename Form>
struct InputTransform {
  static void run(const float* from, int64_t stride, float* to, int64_t point_stride) {
    transform_plain_input<Form>(from, stride, to, point_stride);
  }
};
template <typename Inner>
struct InputTransform<Nested<Inner>> {
  static void run(const float* from, int64_t stride, float* to, int64_t point_stride) {
    alignas(64) float tiles[4][Inner::kSize * kLanes];
    for (int tile = 0; tile < 4; ++tile)
      transform_plain_input<Inner>(from + tile * Inner::kTile * stride, stride, tiles[tile], kLanes);
    for (int point = 0; point < Inner::kSize; ++point, to += point_stride) {
      const int at = point * kLanes;
      const Vec a = load(tiles[0] + at), b = load(tiles[1] + at), c = load(tiles[2] + at), d = load(tiles[3] + at);
      store(to, a - c);
      store(to + Inner::kSize * point_stride, c + b);
      store(to + 2 * Inner::kSize * point_stride, c - b);
      store(to + 3 * Inner::kSize * point_stride, d - b);
    }
  }
};

// kSize products, `point_stride` floats apart, to kTile outputs.
template <typename Form>
inline void transform_plain_output(const float* from, int64_t point_stride, Vec* y) {
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

template <typename Form>
struct OutputTransform {
  static void run(const float* from, int64_t point_stride, Vec* y) {
    transform_plain_output<Form>(from, point_stride, y);
  }
};
template <typename Inner>
struct OutputTransform<Nested<Inner>> {
  static void run(const float* from, int64_t point_stride, Vec* y) {
    alignas(64) float tiles[3][Inner::kSize * kLanes];
    for (int point = 0; point < Inner::kSize; ++point, from += point_stride) {
      const int64_t next = Inner::kSize * point_stride;
      const Vec plus = load(from + next), minus = load(from + 2 * next), sum = plus + minus;
      store(tiles[0] + point * kLanes, load(from) + sum);
      store(tiles[1] + point * kLanes, plus - minus);
      store(tiles[2] + point * kLanes, sum + load(from + 3 * next));
    }
    for (int tile = 0; tile < 3; ++tile) transform_plain_output<Inner>(tiles[tile], kLanes, y + tile * Inner::kTile);
  }
};

}  // namespace kokoro
