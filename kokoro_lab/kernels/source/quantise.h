// Products of 16-bit integers, two a lane, where the processor adds such pairs into 32 bits (AVX-512 VNNI).
//
// Each point of a task's transformed inputs has a scale of its own, each column of a point's weights another, chosen so
// that no sum can leave 32 bits: the largest input times the sum of a column's magnitudes fits.
#pragma once

#include <cmath>

#include "gemm.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#endif

namespace kokoro {

#if defined(__AVX512VNNI__)
constexpr bool kHasShorts = true;
#else
constexpr bool kHasShorts = false;  // then what asks for 16 bits is computed in float32
#endif

constexpr int kShortBlock = 32;  // channels of a block: as many bytes as kBlock floats

// The largest input; deep sums leave fewer bits to share between inputs and weights.
inline float largest_input(int64_t depth) { return depth <= 512 ? 8191.0f : 4095.0f; }

// Scale, for columns of `depth` weights `stride` apart, that keeps every sum within 32 bits and every weight within 16.
inline double weight_scale(const float* weights, int64_t depth, int64_t stride) {
  double sum = 0.0, largest = 0.0;
  for (int64_t k = 0; k < depth; ++k) {
    const double magnitude = std::fabs(double{weights[k * stride]});
    sum += magnitude;
    largest = magnitude > largest ? magnitude : largest;
  }
  if (!(sum > 0.0) || !std::isfinite(sum)) return 0.0;
  // rounding adds at most half a weight each
  const double room = 2147483647.0 / double{largest_input(depth)} - 0.5 * static_cast<double>(depth);
  return std::min(room / sum, 32767.0 / largest);
}

#if defined(__AVX512VNNI__)

// `count` rows of kShortBlock floats, given as two halves, to shorts; `high` may be null.
inline void quantise_rows(const float* low, const float* high, int64_t count, float scale, int16_t* to) {
  const __m512 factor = _mm512_set1_ps(scale);
  for (int64_t row = 0; row < count; ++row, to += kShortBlock) {
    const __m512 first = _mm512_mul_ps(_mm512_loadu_ps(low + row * kBlock), factor);
    const __m512 second = high ? _mm512_mul_ps(_mm512_loadu_ps(high + row * kBlock), factor) : _mm512_setzero_ps();
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(first)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + kBlock), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(second)));
  }
}

// sum += a.low * b.low + a.high * b.high. As an instruction: GCC 12 keeps the intrinsic's sums in memory.
inline void add_pairs(__m512i& sum, __m512i a, __m512i b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}

// As multiply_rows, with B packed as [k / 2][kPanel][2] and the sums scaled by column.
template <int R>
inline void multiply_short_rows(const int16_t* a, int64_t block_stride, int64_t blocks, const int16_t* b,
                                const float* scale, float* c) {
  __m512i sum[R][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_setzero_si512();
  for (int64_t index = 0; index < blocks; ++index, a += block_stride) {
#pragma GCC unroll 2
    for (int k = 0; k < kShortBlock; k += 2, b += 2 * kPanel) {
      __m512i column[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) column[v] = _mm512_loadu_si512(b + 2 * v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        int32_t pair;
        std::memcpy(&pair, a + r * kShortBlock + k, sizeof pair);
        const __m512i value = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) add_pairs(sum[r][v], value, column[v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      _mm512_storeu_ps(c + r * kPanel + v * kLanes,
                       _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][v]), _mm512_loadu_ps(scale + v * kLanes)));
}

template <int R>
inline void dispatch_short_rows(int rows, const int16_t* a, int64_t block_stride, int64_t blocks, const int16_t* b,
                                const float* scale, float* c) {
  if constexpr (R > 0) {
    if (rows == R) return multiply_short_rows<R>(a, block_stride, blocks, b, scale, c);
    dispatch_short_rows<R - 1>(rows, a, block_stride, blocks, b, scale, c);
  }
}

inline void multiply_shorts(const int16_t* a, int64_t block_stride, int64_t blocks, const int16_t* b,
                            const float* scale, float* c, int64_t rows) {
  for (int64_t left = divide_up(rows, kRows); left > 0; --left) {
    const int height = static_cast<int>(divide_up(rows, left));
    dispatch_short_rows<kRows>(height, a, block_stride, blocks, b, scale, c);
    a += height * kShortBlock;
    c += height * kPanel;
    rows -= height;
  }
}

#else

inline void quantise_rows(const float*, const float*, int64_t, float, int16_t*) {}
inline void multiply_shorts(const int16_t*, int64_t, int64_t, const int16_t*, const float*, float*, int64_t) {}

#endif

}  // namespace kokoro
