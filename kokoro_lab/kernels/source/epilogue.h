// What happens to the output of a convolution: bias, residuals, gain, the place it is written to, and the sums that
// the next normalisation needs.
//
// A transposed convolution arrives here as `phases` outputs a step, side by side in its columns: step t, column
// r * channels + c is output t * phases + r - trim, channel c. A plain one has one phase and trims nothing.
#pragma once

#include <algorithm>

#include "simd.h"

namespace kokoro {

struct Output {
  float* data;
  int64_t rows;      // of the output, the reflected one not counted
  int64_t channels;  // of the output
  bool plain = true;  // a row a step: one phase, nothing trimmed, nothing reflected
  int64_t phases = 1;
  int64_t trim = 0;
  bool reflect = false;  // put a copy of row 1 before row 0 (a reflecting pad of one on the left)
  const float* bias = nullptr;
  const float* residual[2] = {nullptr, nullptr};
  float gain = 1.0f;

  int64_t columns() const { return phases * channels; }
  int64_t padded_columns() const { return round_up(columns(), kPanel); }
  int64_t written_rows() const { return rows + (reflect ? 1 : 0); }
};

// Sums of one task: about `shift`, the task's first output, so that nothing cancels.
struct Partial {
  float *shift, *sum, *square, *count;  // each padded_columns long
};

inline Partial partial_at(float* base, int64_t task, int64_t columns) {
  float* p = base + task * 4 * columns;
  return {p, p + columns, p + 2 * columns, p + 3 * columns};
}

// Sums as they grow, in registers.
struct Sums {
  Vec shift{}, sum{}, square{};
  int64_t count = 0;
};

// Writes the outputs of one vector of columns.
class Column {
 public:
  Column(const Output& out, int64_t column)
      : out_(out), phase_(column / out.channels), channel_(column % out.channels),
        valid_(static_cast<int>(std::min<int64_t>(out.channels - channel_, kLanes))),
        bias_(out.bias ? fetch(out.bias) : Vec{}) {}

  // The first `count` of the outputs y of steps first, first + stride, ...
  template <int tile>
  void put(Sums& sums, int64_t first, int64_t stride, int64_t count, const Vec* y) const {
    if (valid_ < kLanes || !out_.plain) {
      for (int i = 0; i < tile && i < count; ++i) place(sums, first + i * stride, y[i]);
      return;
    }
    // copies: the compiler cannot know that the output does not overlap *this
    const Vec bias = bias_, gain = splat(out_.gain);
    const int64_t step = stride * out_.channels, offset = first * out_.channels + channel_;
    float* to = out_.data + offset;
    const bool has_one = out_.residual[0], has_two = out_.residual[1];
    const float* one = has_one ? out_.residual[0] + offset : to;
    const float* two = has_two ? out_.residual[1] + offset : to;
    Sums s = sums;
    if (s.count == 0) s.shift = finished(y[0] + bias, has_one, one, has_two, two, gain);
#pragma GCC unroll 6
    for (int i = 0; i < tile; ++i) {
      if (i >= count) break;
      if (has_one) prefetch(one + i * step, tile * step * 4);
      const Vec value = finished(y[i] + bias, has_one, one + i * step, has_two, two + i * step, gain);
      store(to + i * step, value);
      const Vec distance = value - s.shift;
      s.sum += distance;
      s.square += distance * distance;
      ++s.count;
    }
    sums = s;
  }

 private:
  static Vec finished(Vec value, bool has_one, const float* one, bool has_two, const float* two, Vec gain) {
    if (has_one) value += load(one);
    if (has_two) value += load(two);
    return value * gain;
  }

  Vec fetch(const float* row) const {
    if (valid_ == kLanes) return load(row + channel_);
    float lanes[kLanes] = {};
    std::memcpy(lanes, row + channel_, sizeof(float) * static_cast<size_t>(valid_));
    return load(lanes);
  }

  void place(Sums& sums, int64_t step, Vec value) const {
    const int64_t row = step * out_.phases + phase_ - out_.trim;
    if (row < 0 || row >= out_.rows) return;
    value += bias_;
    if (!out_.reflect) return write(sums, row, value);
    write(sums, row + 1, value);
    if (row == 1) write(sums, 0, value);
  }

  void write(Sums& sums, int64_t row, Vec value) const {
    for (const float* residual : out_.residual)
      if (residual) value += fetch(residual + row * out_.channels);
    value *= out_.gain;
    float* to = out_.data + row * out_.channels + channel_;
    if (valid_ == kLanes) {
      store(to, value);
    } else {
      std::memcpy(to, &value, sizeof(float) * static_cast<size_t>(valid_));
    }
    if (sums.count++ == 0) sums.shift = value;
    const Vec distance = value - sums.shift;
    sums.sum += distance;
    sums.square += distance * distance;
  }

  const Output& out_;
  int64_t phase_, channel_;
  int valid_;
  Vec bias_;
};

inline void keep(const Sums& sums, const Partial& partial, int64_t column) {
  store(partial.shift + column, sums.shift);
  store(partial.sum + column, sums.sum);
  store(partial.square + column, sums.square);
  store(partial.count + column, splat(static_cast<float>(sums.count)));
}

// Means, then variances, of every channel, from the tasks' sums in a fixed order (Chan, Golub and LeVeque, 1979).
inline void combine(const float* partials, int64_t tasks, int64_t padded, int64_t phases, int64_t channels, float* out) {
  Buffer<double> scratch(static_cast<size_t>(channels) * 3);
  double *count = scratch.get(), *mean = count + channels, *spread = mean + channels;
  for (int64_t i = 0; i < channels * 3; ++i) scratch[static_cast<size_t>(i)] = 0.0;
  for (int64_t task = 0; task < tasks; ++task) {
    const Partial part = partial_at(const_cast<float*>(partials), task, padded);
    for (int64_t phase = 0; phase < phases; ++phase) {
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t column = phase * channels + c;
        const double n = part.count[column];
        if (n == 0.0) continue;
        const double sum = part.sum[column], total = count[c] + n;
        const double apart = part.shift[column] + sum / n - mean[c];
        spread[c] += part.square[column] - sum * sum / n + apart * apart * count[c] * n / total;
        mean[c] += apart * n / total;
        count[c] = total;
      }
    }
  }
  for (int64_t c = 0; c < channels; ++c) {
    out[c] = static_cast<float>(mean[c]);
    const double variance = count[c] > 0.0 ? spread[c] / count[c] : 0.0;
    out[channels + c] = static_cast<float>(variance > 0.0 ? variance : variance == variance ? 0.0 : variance);
  }
}

}  // namespace kokoro
