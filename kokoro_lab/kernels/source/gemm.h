// C = A B for a few dozen rows of A, one panel of B's columns at a time.
//
// A lies in blocks of kBlock columns, each block holding all rows ([block][row][kBlock]): within a block every element
// is at a constant distance from one pointer. B is packed as [k][kPanel]. C is [row][kPanel].
#pragma once

#include "simd.h"

namespace kokoro {

// `segments` times: `blocks` blocks of A, the segment's first row `shift` rows after the one before.
struct Operand {
  const float* data;
  int64_t block_stride;  // elements between blocks: rows held * kBlock
  int64_t blocks;
  int64_t segments;
  int64_t shift;
};

template <int R>
inline void multiply_rows(const Operand& a, const float* b, float* c) {
  Vec sum[R][kVectors] = {};
  for (int64_t segment = 0; segment < a.segments; ++segment) {
    const float* block = a.data + segment * a.shift * kBlock;
    for (int64_t index = 0; index < a.blocks; ++index, block += a.block_stride) {
#pragma GCC unroll 2
      for (int k = 0; k < kBlock; ++k, b += kPanel) {
        Vec column[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) column[v] = load(b + v * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const Vec value = splat(block[r * kBlock + k]);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) sum[r][v] += value * column[v];
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(c + r * kPanel + v * kLanes, sum[r][v]);
}

template <int R>
inline void dispatch_rows(int rows, const Operand& a, const float* b, float* c) {
  if constexpr (R > 0) {
    if (rows == R) return multiply_rows<R>(a, b, c);
    dispatch_rows<R - 1>(rows, a, b, c);
  }
}

// All `rows` rows, in blocks of nearly equal height.
inline void multiply(Operand a, const float* b, float* c, int64_t rows) {
  for (int64_t left = divide_up(rows, kRows); left > 0; --left) {
    const int height = static_cast<int>(divide_up(rows, left));
    dispatch_rows<kRows>(height, a, b, c);
    a.data += height * kBlock;
    c += height * kPanel;
    rows -= height;
  }
}

}  // namespace kokoro
