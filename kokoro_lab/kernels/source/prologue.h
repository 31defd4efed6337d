// What happens to the input of a convolution: adaptive instance normalisation, then leaky ReLU or Snake.
//
// Normalisation is a scale and a shift a channel, worked out once a call from the statistics and the style.
#pragma once

#include <cmath>

#include "simd.h"

namespace kokoro {

enum class Activation { kNone, kLeaky, kSnake };

// Coefficients a channel, padded with zeros to whole blocks: what pads a row stays zero.
struct Coefficients {
  const float* scale;
  const float* shift;
  const float* turn;     // alpha / pi
  const float* inverse;  // 1 / alpha
  float slope;           // of the leaky ReLU
};

// sin^2(pi r) for |r| <= 1/2 as a polynomial in r^2: a minimax fit, within 2e-7 of it in float32.
inline Vec squared_sine(Vec turns) {
  // beyond 2^22 turns a float has no phase left; the clamp only keeps the polynomial in its range
  const Vec r = clamp(turns - nearest(turns), -0.5f, 0.5f);
  const Vec square = r * r;
  Vec sum = splat(-3.2729456424713135f);
  sum = sum * square + 12.990730285644531f;
  sum = sum * square + -30.085952758789062f;
  sum = sum * square + 42.72538375854492f;
  sum = sum * square + -32.469581604003906f;
  sum = sum * square + 9.869603157043457f;
  return sum * square;
}

template <Activation kind>
inline Vec activate(Vec x, const Coefficients& c, int64_t channel) {
  x = x * load(c.scale + channel) + load(c.shift + channel);
  if constexpr (kind == Activation::kLeaky) return x > 0.0f ? x : x * c.slope;
  if constexpr (kind == Activation::kSnake)
    return x + squared_sine(x * load(c.turn + channel)) * load(c.inverse + channel);
  return x;
}

// One row of `channels` floats into blocks `stride` elements apart.
template <Activation kind>
inline void prepare_row(const float* x, int64_t channels, const Coefficients& c, float* to, int64_t stride) {
  int64_t channel = 0;
  for (; channel + kBlock <= channels; channel += kBlock, to += stride) {
    prefetch(x + channel, 4096);
#pragma GCC unroll 4
    for (int v = 0; v < kBlockVectors; ++v)
      store(to + v * kLanes, activate<kind>(load(x + channel + v * kLanes), c, channel + v * kLanes));
  }
  if (channel == channels) return;
  float rest[kBlock] = {};
  std::memcpy(rest, x + channel, sizeof(float) * static_cast<size_t>(channels - channel));
  for (int v = 0; v < kBlockVectors; ++v)
    store(to + v * kLanes, activate<kind>(load(rest + v * kLanes), c, channel + v * kLanes));
}

// A view of the input: `rows` rows of `channels`, zero outside.
struct Rows {
  const float* data;
  int64_t count;
  int64_t channels;
};

// Rows [first, first + count) of `x`, prepared, into [block][row][kBlock] scratch of `stride` elements a block.
template <Activation kind>
inline void prepare_rows(const Rows& x, int64_t first, int64_t count, const Coefficients& c, float* to,
                         int64_t stride) {
  const int64_t blocks = divide_up(x.channels, kBlock);
  for (int64_t index = 0; index < count; ++index, to += kBlock) {
    const int64_t row = first + index;
    if (row >= 0 && row < x.count) {
      prepare_row<kind>(x.data + row * x.channels, x.channels, c, to, stride);
    } else {
      for (int64_t block = 0; block < blocks; ++block) std::memset(to + block * stride, 0, sizeof(float) * kBlock);
    }
  }
}

inline void prepare(Activation kind, const Rows& x, int64_t first, int64_t count, const Coefficients& c, float* to,
                    int64_t stride) {
  switch (kind) {
    case Activation::kNone: return prepare_rows<Activation::kNone>(x, first, count, c, to, stride);
    case Activation::kLeaky: return prepare_rows<Activation::kLeaky>(x, first, count, c, to, stride);
    case Activation::kSnake: return prepare_rows<Activation::kSnake>(x, first, count, c, to, stride);
  }
}

}  // namespace kokoro
