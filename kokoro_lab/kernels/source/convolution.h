// Convolution along the rows of a channels-last matrix, in tiles of a form.
//
// A dilation of d is d interleaved phases. More taps than a form has are chunks of taps: a chunk is as long as a tile,
// so chunk j of tile i reads the transformed tile i + j, and the chunks' products add up inside one matrix product.
#pragma once

#include <algorithm>
#include <type_traits>

#include "epilogue.h"
#include "prologue.h"
#include "quantise.h"
#include "transform.h"

namespace kokoro {

struct Geometry {
  int64_t channels;  // of the input
  int64_t columns;   // of the product: phases * channels of the output
  int64_t taps;
  int64_t dilation;
  int64_t left;  // rows of zeros before the input
};

// Something that runs task(0) .. task(count - 1), in any order and on any threads, and rethrows what one throws.
class Parallel {
 public:
  virtual ~Parallel() = default;
  virtual void run(int64_t count, void (*task)(void*, int64_t), void* user) = 0;

  template <typename Task>
  void each(int64_t count, Task&& task) {
    run(count, [](void* user, int64_t index) { (*static_cast<std::remove_reference_t<Task>*>(user))(index); }, &task);
  }
};

// w(column, channel, tap)
class Weights {
 public:
  virtual ~Weights() = default;
  virtual float at(int64_t column, int64_t channel, int64_t tap) const = 0;
};

struct Call {
  Rows input;
  int64_t steps;  // rows of the product
  Activation activation;
  Coefficients coefficients;
  Output output;
  float* statistics;  // means, then variances; may be null
};

// Memory of this thread for one purpose; it stays with the thread, at the size of its largest task.
template <typename T, int purpose>
T* scratch(size_t count) {
  thread_local Buffer<T> buffer;
  return buffer.reserve(count);
}

class Convolution {
 public:
  virtual ~Convolution() = default;
  virtual void run(const Call& call, Parallel& parallel) const = 0;
};

// Element is what the products are made of: float, or int16_t (forms without overlapping tiles only).
template <typename Form, typename Element = float>
class TiledConvolution final : public Convolution {
  static constexpr bool kShort = std::is_same_v<Element, int16_t>;
  static constexpr int kDepth = kShort ? kShortBlock : kBlock;  // channels of a block of the products' operands
  static constexpr int kPair = kShort ? 2 : 1;                  // of them side by side in the packed weights
  static constexpr int kKept = kShort ? Form::kSize : Basis<Form>::kKept;  // matrices of packed weights a panel

 public:
  TiledConvolution(const Geometry& geometry, const Weights& weights) : g_(geometry) {
    chunks_ = divide_up(g_.taps, Form::kTaps);
    phases_ = is_direct<Form> ? 1 : g_.dilation;
    shift_ = is_direct<Form> ? g_.dilation : 1;
    overlap_ = (chunks_ - 1) * shift_;
    blocks_ = divide_up(g_.channels, kBlock);
    depth_blocks_ = divide_up(g_.channels, kDepth);
    depth_ = chunks_ * depth_blocks_ * kDepth;
    panels_ = divide_up(g_.columns, kPanel);
    pack(weights);
  }

  void run(const Call& call, Parallel& parallel) const override {
    const int64_t tiles = divide_up(call.steps, Form::kTile * phases_);  // of each phase
    const int64_t whole = Form::kSize * point_stride(tiles + overlap_);
    // with more weights than inputs, transform the inputs once for all panels, so that each weight is read once
    const bool shared = whole <= panels_ * Form::kSize * depth_ * kPanel;
    const int64_t chunk = chunk_tiles(tiles, shared);
    const int64_t tasks = divide_up(tiles, chunk);
    const int64_t padded = call.output.padded_columns();
    Buffer<float> partials;
    if (call.statistics) partials.reserve(static_cast<size_t>(tasks * 4 * padded));
    if (shared) {
      const int64_t held = tiles + overlap_, fills = divide_up(held, chunk);
      Buffer<Element> inputs(static_cast<size_t>(whole));
      Buffer<float> scales(static_cast<size_t>(fills * Form::kSize));
      const auto view = [&](int64_t task) {
        return View{inputs.get(), held, 0, scales.get() + task * Form::kSize};
      };
      parallel.each(fills, [&](int64_t task) {
        const int64_t first = task * chunk;
        fill(call, first, std::min(chunk, held - first), view(task));
      });
      parallel.each(tasks * panels_, [&](int64_t index) {
        const int64_t task = index / panels_, first = task * chunk;
        produce(call, first, std::min(chunk, tiles - first), view(task), index % panels_, partials.get(), task);
      });
    } else {
      parallel.each(tasks, [&](int64_t task) {
        const int64_t first = task * chunk, count = std::min(chunk, tiles - first), held = count + overlap_;
        float scales[Form::kSize];
        const View view{scratch<Element, 1>(static_cast<size_t>(Form::kSize * point_stride(held))), held, first, scales};
        fill(call, first, held, view);
        for (int64_t panel = 0; panel < panels_; ++panel)
          produce(call, first, count, view, panel, partials.get(), task);
      });
    }
    if (call.statistics)
      combine(partials.get(), tasks, padded, call.output.phases, call.output.channels, call.statistics);
  }

 private:
  // Transformed tiles [point][block][phase][tile][kDepth]; tile 0 of each phase is the call's tile `first`. `scales` is
  // what shorts are to be multiplied with, by point.
  struct View {
    Element* data;
    int64_t tiles;  // held of each phase
    int64_t first;
    float* scales;
  };

  // Elements between points. One row more than needed: powers of two would put all points into a few cache sets.
  int64_t point_stride(int64_t held) const { return (depth_blocks_ * phases_ * held + 1) * kDepth; }

  // Tiles of each phase in a task: what keeps a task in the second-level cache, yet an even number of tasks, and eight
  // of them where that leaves the products enough rows.
  int64_t chunk_tiles(int64_t tiles, bool shared) const {
    int64_t target = Form::kTile < 6 ? 168 / Form::kTile : is_nested<Form> || blocks_ > 8 ? 28 : 42;
    target = std::min(target, std::max<int64_t>(kRows, tiles * phases_ / 8));
    if (!shared) target = std::max<int64_t>(1, target / phases_);
    return divide_up(tiles, round_up(divide_up(tiles, target), 2));
  }

  // [panel][kept][depth / kPair][kPanel][kPair]
  void pack(const Weights& weights) {
    packed_.reserve(static_cast<size_t>(panels_ * kKept * depth_ * kPanel));
    if constexpr (kShort) column_scales_.reserve(static_cast<size_t>(panels_ * Form::kSize * kPanel));
    Buffer<float> column(static_cast<size_t>(kKept * depth_));
    for (int64_t panel = 0; panel < panels_; ++panel)
      for (int64_t lane = 0; lane < kPanel; ++lane) {
        for (int64_t row = 0; row < depth_; ++row) transform_weights(weights, panel * kPanel + lane, row, column.get());
        for (int64_t kept = 0; kept < kKept; ++kept)
          pack_column(column.get() + kept * depth_, panel * kKept + kept, lane);
      }
  }

  void pack_column(const float* column, int64_t place, int64_t lane) {
    double scale = 1.0;
    if constexpr (kShort) {
      scale = weight_scale(column, depth_, 1);
      column_scales_[static_cast<size_t>(place * kPanel + lane)] = static_cast<float>(scale > 0.0 ? 1.0 / scale : 0.0);
    }
    Element* to = packed_.get() + place * depth_ * kPanel + lane * kPair;
    for (int64_t k = 0; k < depth_; ++k) {
      const double value = column[k] * scale;
      to[k / kPair * kPair * kPanel + k % kPair] = static_cast<Element>(kShort ? std::nearbyint(value) : value);
    }
  }

  // Row `row` of the depth for one column, in every matrix that is kept: to[kept * depth_ + row].
  void transform_weights(const Weights& weights, int64_t column, int64_t row, float* to) const {
    const int64_t wide = depth_blocks_ * kDepth, chunk = row / wide, channel = row % wide;
    double taps[Form::kTaps] = {};
    for (int tap = 0; tap < Form::kTaps; ++tap) {
      const int64_t index = chunk * Form::kTaps + tap;
      if (column < g_.columns && channel < g_.channels && index < g_.taps) taps[tap] = weights.at(column, channel, index);
    }
    for (int kept = 0; kept < kKept; ++kept) {
      double value = 0.0;
      for (int tap = 0; tap < Form::kTaps; ++tap) value += factor(kept, tap) * taps[tap];
      to[kept * depth_ + row] = static_cast<float>(value);
    }
  }

  static double factor(int kept, int tap) {
    return kShort ? WeightTransform<Form>::at(kept, tap) : Basis<Form>::at(kept, tap);
  }

  // A panel's weights at one point: as they are kept, or worked out in this thread's scratch.
  const Element* weights_at(int64_t panel, int64_t point) const {
    const int64_t size = depth_ * kPanel;
    const Element* kept = packed_.get() + panel * kKept * size;
    if constexpr (kShort || kKept == Form::kSize) {
      return kept + point * size;
    } else {
      const Mix mix = Basis<Form>::mix(static_cast<int>(point));
      if (mix.is_kept()) return kept + mix.kept[0] * size;
      float* made = scratch<float, 4>(static_cast<size_t>(size));
      mix_weights(mix, kept, size, size, made);
      return made;
    }
  }

  // Make tiles [first, first + count) of every phase.
  void fill(const Call& call, int64_t first, int64_t count, const View& view) const {
    const int64_t row = first * Form::kTile * phases_ - g_.left;
    if constexpr (is_direct<Form>) {
      prepare(call.activation, call.input, row, count, call.coefficients, view.data + (first - view.first) * kBlock,
              view.tiles * kBlock);
    } else {
      const int64_t rows = (count * Form::kTile + Form::kTaps - 1) * phases_;
      float* prepared = scratch<float, 0>(static_cast<size_t>(rows * blocks_ * kBlock));
      prepare(call.activation, call.input, row, rows, call.coefficients, prepared, rows * kBlock);
      if constexpr (kShort) {
        const int64_t stride = (blocks_ * phases_ * count + 1) * kBlock;
        float* exact = scratch<float, 3>(static_cast<size_t>(Form::kSize * stride));
        transform(prepared, rows, count, exact, count, stride);
        quantise(exact, stride, first, count, view);
      } else {
        transform(prepared, rows, count, view.data + (first - view.first) * kBlock, view.tiles,
                  point_stride(view.tiles));
      }
    }
  }

  // `count` tiles of every phase into [point][block][phase][tile][kBlock] with room for `held` tiles.
  void transform(const float* prepared, int64_t rows, int64_t count, float* out, int64_t held, int64_t stride) const {
    for (int64_t block = 0; block < blocks_; ++block)
      for (int64_t phase = 0; phase < phases_; ++phase) {
        float* to = out + (block * phases_ + phase) * held * kBlock;
        const float* from = prepared + (block * rows + phase) * kBlock;
        for (int64_t tile = 0; tile < count; ++tile, to += kBlock, from += Form::kTile * phases_ * kBlock)
          for (int v = 0; v < kBlockVectors; ++v)
            InputTransform<Form>::run(from + v * kLanes, phases_ * kBlock, to + v * kLanes, stride);
      }
  }

  void quantise(const float* exact, int64_t stride, int64_t first, int64_t count, const View& view) const {
    const int64_t used = blocks_ * phases_ * count * kBlock;
    for (int64_t point = 0; point < Form::kSize; ++point) {
      const float* from = exact + point * stride;
      Vec peak{};
      for (int64_t i = 0; i < used; i += kLanes) {
        const Vec value = load(from + i), magnitude = value < 0.0f ? -value : value;
        peak = magnitude > peak ? magnitude : peak;
      }
      float largest = 0.0f;
      for (int lane = 0; lane < kLanes; ++lane) largest = std::max(largest, peak[lane]);
      const float limit = largest_input(depth_);
      view.scales[point] = largest / limit;
      const float scale = largest > 0.0f ? limit / largest : 0.0f;
      Element* to = view.data + point * point_stride(view.tiles) + (first - view.first) * kDepth;
      for (int64_t block = 0; block < depth_blocks_; ++block)
        for (int64_t phase = 0; phase < phases_; ++phase) {
          const float* low = from + (2 * block * phases_ + phase) * count * kBlock;
          const float* high = 2 * block + 1 < blocks_ ? low + phases_ * count * kBlock : nullptr;
          quantise_rows(low, high, count, scale, to + (block * phases_ + phase) * view.tiles * kDepth);
        }
    }
  }

  // Multiply tiles [first, first + count) of every phase with one panel and write what comes out.
  void produce(const Call& call, int64_t first, int64_t count, const View& view, int64_t panel, float* partials,
               int64_t task) const {
    // whole phases lie one after the other: with nothing but the overlap between them, one product does for all
    const bool joined = view.tiles == count + overlap_;
    const int64_t phase_rows = joined ? view.tiles : count;
    const int64_t rows = joined ? phases_ * view.tiles - overlap_ : phases_ * count;
    const int64_t product_stride = (rows | 1) * kPanel;  // odd, for the same reason as point_stride
    float* products = scratch<float, 2>(static_cast<size_t>(Form::kSize * product_stride));
    const int64_t block_stride = phases_ * view.tiles * kDepth;
    for (int64_t point = 0; point < Form::kSize; ++point) {
      const Element* b = weights_at(panel, point);
      const Element* a = view.data + point * point_stride(view.tiles) + (first - view.first) * kDepth;
      float* c = products + point * product_stride;
      alignas(64) float scales[kPanel];
      if constexpr (kShort)
        for (int lane = 0; lane < kPanel; ++lane)
          scales[lane] = view.scales[point] * column_scales_[static_cast<size_t>((panel * kKept + point) * kPanel + lane)];
      for (int64_t phase = 0; phase < (joined ? 1 : phases_); ++phase) {
        const Element* from = a + phase * view.tiles * kDepth;
        float* to = c + phase * phase_rows * kPanel;
        if constexpr (kShort) {
          multiply_shorts(from, block_stride, depth_blocks_, b, scales, to, joined ? rows : count);
        } else {
          multiply({from, block_stride, blocks_, chunks_, shift_}, b, to, joined ? rows : count);
        }
      }
    }
    for (int lane = 0; lane < kPanel; lane += kLanes) {
      const int64_t at = panel * kPanel + lane;
      if (at >= g_.columns) break;
      const Column column(call.output, at);
      Sums sums;
      for (int64_t phase = 0; phase < phases_; ++phase)
        for (int64_t tile = 0; tile < count; ++tile) {
          Vec y[Form::kTile];
          OutputTransform<Form>::run(products + (phase * phase_rows + tile) * kPanel + lane, product_stride, y);
          const int64_t step = (first + tile) * Form::kTile * phases_ + phase;
          if (step < call.steps)
            column.template put<Form::kTile>(sums, step, phases_, divide_up(call.steps - step, phases_), y);
        }
      if (partials) keep(sums, partial_at(partials, task, call.output.padded_columns()), at);
    }
  }

  Geometry g_;
  int64_t chunks_, phases_, shift_, overlap_, blocks_, depth_blocks_, depth_, panels_;
  Buffer<Element> packed_;
  Buffer<float> column_scales_;  // shorts only: [panel][point][kPanel]
};

}  // namespace kokoro
