// Vectors of floats as the instruction set has them, and the blocking that follows from their width.
//
// One library is built for each instruction set; nothing here is chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

namespace kokoro {

#if defined(__AVX512F__)
constexpr int kLanes = 16, kPanel = 32, kRows = 14;  // 28 of 32 registers accumulate
#elif defined(__AVX2__)
constexpr int kLanes = 8, kPanel = 16, kRows = 6;  // 12 of 16
#elif defined(__ARM_NEON)
constexpr int kLanes = 4, kPanel = 16, kRows = 6;  // 24 of 32
#else
constexpr int kLanes = 4, kPanel = 16, kRows = 2;  // 8 of 16
#endif

constexpr int kBlock = 16;  // channels that lie together in scratch memory, whatever the vectors' width
constexpr int kVectors = kPanel / kLanes;
constexpr int kBlockVectors = kBlock / kLanes;

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef float Loose __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));

inline Vec load(const float* from) { return *reinterpret_cast<const Loose*>(from); }
inline void store(float* to, Vec value) { *reinterpret_cast<Loose*>(to) = value; }
// Ask for the cache line `bytes` after `from`; there need not be anything.
inline void prefetch(const float* from, int64_t bytes) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<intptr_t>(from) + bytes));
}
inline Vec splat(float value) { return value - Vec{}; }

// Nearest integer for |x| < 2^22; beyond that x itself to within its own spacing.
inline Vec nearest(Vec x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return (x + kShift) - kShift;
}

inline Vec clamp(Vec x, float low, float high) {
  x = x < low ? splat(low) : x;
  return x > high ? splat(high) : x;
}

constexpr int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }
constexpr int64_t divide_up(int64_t value, int64_t step) { return (value + step - 1) / step; }

// Uninitialised memory on a cache line's boundary; throws std::bad_alloc.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t count) { reserve(count); }

  // At least `count` elements; what was there is lost when it grows.
  T* reserve(size_t count) {
    if (count > count_) {
      data_.reset();
      count_ = 0;
      data_.reset(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{64})));
      count_ = count;
    }
    return data_.get();
  }
  T* get() const { return data_.get(); }
  T& operator[](size_t index) const { return data_.get()[index]; }
  size_t size() const { return count_; }

 private:
  struct Release {
    void operator()(T* data) const { ::operator delete(data, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Release> data_;
  size_t count_ = 0;
};

}  // namespace kokoro
