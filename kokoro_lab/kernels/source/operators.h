// The operators Convolution and Upsample: what a node may ask for, checked, and turned into a call.
#pragma once

#include <memory>

#include "context.h"
#include "pages.h"

namespace kokoro {

enum Input { kX, kWeight, kBias, kStatistics, kStyle, kNormWeight, kNormBias, kAlpha, kResidual, kResidual2, kInputs };
enum { kY, kYStatistics, kOutputs };

constexpr int64_t kMostChannels = 1 << 16, kMostTaps = 64, kMostDilation = 1 << 10, kMostWeights = int64_t{1} << 28;
constexpr int64_t kWide = 512 * 512;
constexpr int64_t kMostSteps = int64_t{1} << 28;

// [columns, channels, taps]
struct PlainWeights final : Weights {
  const float* data;
  int64_t channels, taps;
  PlainWeights(const float* d, int64_t c, int64_t t) : data(d), channels(c), taps(t) {}
  float at(int64_t column, int64_t channel, int64_t tap) const override {
    return data[(column * channels + channel) * taps + tap];
  }
};

// A transposed convolution's [channels, out, 2 stride]: step q gives the outputs q stride + r from x[q] w[r] and
// x[q - 1] w[r + stride], so it is a convolution of two taps with `stride` times the outputs.
struct TransposedWeights final : Weights {
  const float* data;
  int64_t out, stride;
  TransposedWeights(const float* d, int64_t o, int64_t s) : data(d), out(o), stride(s) {}
  float at(int64_t column, int64_t channel, int64_t tap) const override {
    const int64_t r = column / out, c = column % out;
    return data[(channel * out + c) * 2 * stride + r + (tap == 0 ? stride : 0)];
  }
};

template <typename Form>
std::unique_ptr<Convolution> tiled(const Geometry& g, const Weights& weights, bool shorts) {
  if constexpr (kHasShorts)
    if (shorts) return std::make_unique<TiledConvolution<Form, int16_t>>(g, weights);
  return std::make_unique<TiledConvolution<Form>>(g, weights);
}

// `shorts`: products of 16-bit integers where there is a form and the instruction set has them.
inline std::unique_ptr<Convolution> make_convolution(const Geometry& g, const Weights& weights, bool shorts) {
  if (g.taps == 2 && g.dilation == 1) return tiled<F6x2>(g, weights, shorts);
  // wide layers over few rows: a smaller tile has half the weights to keep and to read
  if (g.taps == 3 && g.channels * g.columns >= kWide) return tiled<F2x3>(g, weights, shorts);
  if (g.taps == 3) return tiled<F6x3>(g, weights, shorts);
  if (g.taps == 7) return tiled<F6x7>(g, weights, shorts);
  if (g.taps == 11) return tiled<Nested<F6x6>>(g, weights, shorts);
  return std::make_unique<TiledConvolution<Direct>>(g, weights);
}

// Means and variances of every channel of x.
inline void measure(const Rows& x, float* out, Parallel& parallel) {
  constexpr int64_t kRowsOfTask = 512;
  const int64_t tasks = divide_up(x.count, kRowsOfTask), padded = round_up(x.channels, kLanes);
  Buffer<float> partials(static_cast<size_t>(tasks * 4 * padded));
  parallel.each(tasks, [&](int64_t task) {
    const int64_t first = task * kRowsOfTask, last = std::min(first + kRowsOfTask, x.count);
    const Partial part = partial_at(partials.get(), task, padded);
    for (int64_t c = 0; c < x.channels; ++c) {
      part.shift[c] = x.data[first * x.channels + c];
      part.sum[c] = part.square[c] = 0.0f;
      part.count[c] = static_cast<float>(last - first);
    }
    for (int64_t row = first; row < last; ++row) {
      const float* values = x.data + row * x.channels;
#pragma omp simd
      for (int64_t c = 0; c < x.channels; ++c) {
        const float distance = values[c] - part.shift[c];
        part.sum[c] += distance;
        part.square[c] += distance * distance;
      }
    }
  });
  combine(partials.get(), tasks, padded, 1, x.channels, out);
}

template <bool upsampling>
class Operator {
 public:
  Operator(const ort::Api& api, const ort::KernelInfo* info) : api_(api) {
    const ort::Value* value = nullptr;
    int constant = 0;
    check(api.constant_input(info, kWeight, &constant, &value));
    require(constant && value, "kokoro_lab kernels: the weights must be an initializer");
    const Tensor weight = tensor(api, value);
    require(weight.sizes.size() == 3, "kokoro_lab kernels: the weights must have three axes");
    for (int64_t size : weight.sizes)
      require(size >= 1 && size <= kMostChannels, "kokoro_lab kernels: an axis of the weights is empty or too long");
    require(weight.sizes[0] * weight.sizes[1] <= kMostWeights / weight.sizes[2],
            "kokoro_lab kernels: the weights are too large");
    require(weight.sizes[2] <= kMostTaps, "kokoro_lab kernels: the kernel is too long");
    activation_ = static_cast<Activation>(whole(api, info, "activation", 0, 0, 2));
    slope_ = attribute<float>(api, info, "slope", 0.0f);
    gain_ = attribute<float>(api, info, "gain", 1.0f);
    epsilon_ = attribute<float>(api, info, "epsilon", 1e-5f);
    require(epsilon_ >= 0.0f, "kokoro_lab kernels: epsilon must not be negative");
    const bool shorts = whole(api, info, "shorts", 0, 0, 1) == 1;
    if constexpr (upsampling) {
      channels_ = weight.sizes[1];
      phases_ = whole(api, info, "stride", 1, 1, kMostTaps);
      trim_ = whole(api, info, "trim", 0, 0, phases_);
      reflect_ = whole(api, info, "reflect", 0, 0, 1) == 1;
      require(weight.sizes[2] == 2 * phases_, "kokoro_lab kernels: Upsample takes kernels of twice the stride");
      require(channels_ % kBlock == 0, "kokoro_lab kernels: Upsample makes a multiple of 16 channels");
      geometry_ = {weight.sizes[0], phases_ * channels_, 2, 1, 1};
      right_ = 1;
      convolution_ = make_convolution(geometry_, TransposedWeights(weight.data, channels_, phases_), shorts);
    } else {
      channels_ = weight.sizes[0];
      const int64_t dilation = whole(api, info, "dilation", 1, 1, kMostDilation);
      geometry_ = {weight.sizes[1], channels_, weight.sizes[2], dilation, 0};
      geometry_.left = whole(api, info, "left", 0, 0, kMostTaps * kMostDilation);
      right_ = whole(api, info, "right", 0, 0, kMostTaps * kMostDilation);
      convolution_ = make_convolution(geometry_, PlainWeights(weight.data, geometry_.channels, geometry_.taps), shorts);
    }
    forget_pages(weight.data, static_cast<size_t>(weight.count()) * sizeof(float));
  }

  void compute(ort::KernelContext* context) const {
    Tensor in[kInputs];
    for (size_t index = 0; index < kInputs; ++index)
      if (index != kWeight) in[index] = input(api_, context, index);
    const Tensor& x = in[kX];
    require(x.sizes.size() == 3 && x.sizes[0] == 1, "kokoro_lab kernels: the input must be [1, rows, channels]");
    require(x.sizes[2] == geometry_.channels, "kokoro_lab kernels: the input's channels are not the weights'");
    const Rows rows{x.data, x.sizes[1], x.sizes[2]};
    require(rows.count <= kMostSteps, "kokoro_lab kernels: the input is too long");

    Call call;
    call.input = rows;
    call.activation = activation_;
    call.steps = rows.count + geometry_.left + right_ - geometry_.dilation * (geometry_.taps - 1);
    require(call.steps >= 0, "kokoro_lab kernels: the input is shorter than the kernel");
    const int64_t out_rows = phases_ * call.steps - (upsampling ? phases_ : 0);
    require(!reflect_ || out_rows >= 2, "kokoro_lab kernels: the input is too short to reflect");
    Output& out = call.output;
    out.rows = rows.count == 0 && upsampling ? 0 : out_rows;
    out.channels = channels_;
    out.plain = !upsampling;
    out.phases = phases_;
    out.trim = trim_;
    out.reflect = reflect_;
    out.gain = gain_;
    if (in[kBias]) {
      require(in[kBias].is({channels_}), "kokoro_lab kernels: the bias must be [channels]");
      out.bias = in[kBias].data;
    }
    const int64_t written = out.written_rows();
    for (int index : {0, 1}) {
      const Tensor& residual = in[kResidual + index];
      if (!residual) continue;
      require(residual.is({1, written, channels_}), "kokoro_lab kernels: a residual's shape is not the output's");
      out.residual[index] = residual.data;
    }
    out.data = output(api_, context, kY, {1, written, channels_});
    require(out.data || written == 0, "kokoro_lab kernels: the output is missing");
    call.statistics = output(api_, context, kYStatistics, {2, channels_});

    Pool pool(api_, context);
    const Buffer<float> coefficients = prepare_coefficients(in, rows, pool);
    const int64_t padded = round_up(rows.channels, kBlock);
    const float* c = coefficients.get();
    call.coefficients = {c, c + padded, c + 2 * padded, c + 3 * padded, slope_};
    if (written == 0) {
      if (call.statistics) std::memset(call.statistics, 0, sizeof(float) * 2 * static_cast<size_t>(channels_));
      return;
    }
    convolution_->run(call, pool);
  }

 private:
  // scale, shift, turn and inverse of every channel, padded with zeros
  Buffer<float> prepare_coefficients(const Tensor* in, const Rows& rows, Parallel& pool) const {
    const int64_t n = rows.channels, padded = round_up(n, kBlock);
    Buffer<float> result(static_cast<size_t>(4 * padded));
    float* c = result.get();
    std::memset(c, 0, sizeof(float) * 4 * static_cast<size_t>(padded));
    for (int64_t i = 0; i < n; ++i) c[i] = 1.0f;
    if (const Tensor& style = in[kStyle]) {
      require(style.count() == 2 * n, "kokoro_lab kernels: the style must be [1, 2 * channels]");
      require(in[kNormWeight].is({n}) && in[kNormBias].is({n}), "kokoro_lab kernels: the norm must be [channels]");
      Buffer<float> measured;
      const float* statistics = in[kStatistics].data;
      if (in[kStatistics]) {
        require(in[kStatistics].is({2, n}), "kokoro_lab kernels: the statistics must be [2, channels]");
      } else {
        statistics = measured.reserve(static_cast<size_t>(2 * n));
        measure(rows, measured.get(), pool);
      }
      for (int64_t i = 0; i < n; ++i) {
        const double gain = 1.0 + style.data[i];
        const double scale = in[kNormWeight].data[i] * gain / std::sqrt(double{statistics[n + i]} + epsilon_);
        c[i] = static_cast<float>(scale);
        c[padded + i] = static_cast<float>(in[kNormBias].data[i] * gain + style.data[n + i] - statistics[i] * scale);
      }
    }
    if (activation_ == Activation::kSnake) {
      require(in[kAlpha].count() == n && in[kAlpha], "kokoro_lab kernels: alpha must be [1, channels, 1]");
      for (int64_t i = 0; i < n; ++i) {
        c[2 * padded + i] = static_cast<float>(in[kAlpha].data[i] / 3.14159265358979323846);
        c[3 * padded + i] = 1.0f / in[kAlpha].data[i];
      }
    }
    return result;
  }

  ort::Api api_;
  Geometry geometry_{};
  int64_t channels_ = 0, phases_ = 1, trim_ = 0, right_ = 0;
  bool reflect_ = false;
  Activation activation_ = Activation::kNone;
  float slope_ = 0.0f, gain_ = 1.0f, epsilon_ = 0.0f;
  std::unique_ptr<Convolution> convolution_;
};

}  // namespace kokoro
