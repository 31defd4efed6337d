// Every form against float64, without onnxruntime, so that it runs where only an emulator has the instructions.
// Prints the worst signal-to-difference ratio of each form in dB; exit 1 when one is below its floor.

#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include "convolution.h"

using namespace kokoro;

namespace {

struct Serial final : Parallel {
  void run(int64_t count, void (*task)(void*, int64_t), void* user) override {
    for (int64_t index = 0; index < count; ++index) task(user, index);
  }
};

uint64_t state = 1;
float draw() {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<float>(static_cast<int32_t>(state >> 32)) / 2147483648.0f;
}

struct Table final : Weights {
  std::vector<float> values;
  int64_t channels, taps;
  Table(int64_t columns, int64_t c, int64_t t) : values(static_cast<size_t>(columns * c * t)), channels(c), taps(t) {
    for (float& value : values) value = draw();
  }
  float at(int64_t column, int64_t channel, int64_t tap) const override {
    return values[static_cast<size_t>((column * channels + channel) * taps + tap)];
  }
};

double snake(double x, double alpha) { return x + std::sin(alpha * x) * std::sin(alpha * x) / alpha; }

template <typename Form>
double worst(int64_t taps) {
  double lowest = 1e9;
  Serial serial;
  for (int64_t rows : {1, 7, 40, 109, 700})
    for (int64_t dilation : {1, 3, 5}) {
      const int64_t channels = 48, out = 40, left = dilation * (taps - 1) / 2;
      const Table weights(out, channels, taps);
      const TiledConvolution<Form> convolution({channels, out, taps, dilation, left}, weights);
      std::vector<float> x(static_cast<size_t>(rows * channels)), y(static_cast<size_t>(rows * out)), c(4 * 48);
      for (float& value : x) value = 2 * draw();
      for (size_t i = 0; i < 48; ++i) {
        const float alpha = 1.5f + draw();
        c[i] = 1 + draw() / 2;
        c[48 + i] = draw();
        c[96 + i] = alpha / 3.14159265f;
        c[144 + i] = 1 / alpha;
      }
      std::vector<float> statistics(static_cast<size_t>(2 * out));
      Call call;
      call.input = {x.data(), rows, channels};
      call.steps = rows;
      call.activation = Activation::kSnake;
      call.coefficients = {c.data(), c.data() + 48, c.data() + 96, c.data() + 144, 0.0f};
      call.output.data = y.data();
      call.output.rows = rows;
      call.output.channels = out;
      call.statistics = statistics.data();
      convolution.run(call, serial);
      double signal = 0, noise = 0;
      for (int64_t t = 0; t < rows; ++t)
        for (int64_t o = 0; o < out; ++o) {
          double sum = 0;
          for (int64_t tap = 0; tap < taps; ++tap) {
            const int64_t from = t + tap * dilation - left;
            if (from < 0 || from >= rows) continue;
            for (int64_t i = 0; i < channels; ++i) {
              const auto at = static_cast<size_t>(i);
              const double v = double{x[static_cast<size_t>(from * channels + i)]} * c[at] + c[48 + at];
              sum += weights.at(o, i, tap) * snake(v, 1.0 / c[144 + at]);
            }
          }
          const double apart = y[static_cast<size_t>(t * out + o)] - sum;
          signal += sum * sum;
          noise += apart * apart;
        }
      lowest = std::min(lowest, 10 * std::log10(signal / noise));
    }
  return lowest;
}

template <typename Form>
bool holds(const char* name, int64_t taps, double floor) {
  const double reached = worst<Form>(taps);
  std::printf("%s %.1f dB\n", name, reached);
  return reached > floor;
}

}  // namespace

int main() {
  bool good = holds<Direct>("direct", 5, 110);
  good &= holds<F2x3>("F(2,3)", 3, 110);
  good &= holds<F6x2>("F(6,2)", 2, 105);
  good &= holds<F6x3>("F(6,3)", 3, 105);
  good &= holds<F6x7>("F(6,7)", 7, 95);
  good &= holds<Nested<F6x6>>("nested F(6,6)", 11, 95);
  return good ? 0 : 1;
}
