// The library's edge: describes the operators to onnxruntime and registers them with a session's options.

#include <cstdio>

#include "operators.h"

namespace {

using namespace kokoro;

constexpr char kDomain[] = "kokoro_lab";

template <bool upsampling>
struct Described : ort::CustomOp {
  using Kernel = Operator<upsampling>;

  explicit Described(uint32_t declared) : ort::CustomOp{} {
    version = declared;
    name = [](const CustomOp*) { return upsampling ? "Upsample" : "Convolution"; };
    provider = [](const CustomOp*) -> const char* { return nullptr; };  // the CPU
    input_type = [](const CustomOp*, size_t) -> int { return ort::kFloat; };
    input_count = [](const CustomOp*) -> size_t { return kInputs; };
    output_type = [](const CustomOp*, size_t) -> int { return ort::kFloat; };
    output_count = [](const CustomOp*) -> size_t { return kOutputs; };
    input_characteristic = [](const CustomOp*, size_t index) -> int {
      return index == kX || index == kWeight ? ort::kRequired : ort::kOptional;
    };
    output_characteristic = [](const CustomOp*, size_t index) -> int {
      return index == kY ? ort::kRequired : ort::kOptional;
    };
    input_memory = [](const CustomOp*, size_t) -> int { return 0; };
    variadic_input_minimum = variadic_output_minimum = [](const CustomOp*) -> int { return 1; };
    variadic_input_homogeneous = variadic_output_homogeneous = [](const CustomOp*) -> int { return 1; };
    create_kernel_v2 = [](const CustomOp*, const void* const* table, const ort::KernelInfo* info, void** kernel) {
      const ort::Api api{table};
      *kernel = nullptr;
      return guarded(api, [&] { *kernel = new Handle{api, std::make_unique<Kernel>(api, info)}; });
    };
    compute_v2 = [](void* kernel, ort::KernelContext* context) {
      const Handle& handle = *static_cast<Handle*>(kernel);
      return guarded(handle.api, [&] { handle.kernel->compute(context); });
    };
    destroy = [](void* kernel) { delete static_cast<Handle*>(kernel); };
    start_version = [](const CustomOp*) -> int { return 1; };
    end_version = [](const CustomOp*) -> int { return INT32_MAX; };
    // an element of a residual is read before the output's element of that place is written, and never again
    may_inplace = [](int** from, int** to) -> size_t {
      static int residuals[] = {kResidual, kResidual2}, outputs[] = {kY, kY};
      *from = residuals;
      *to = outputs;
      return 2;
    };
    release_may_inplace = [](int*, int*) {};
  }

  struct Handle {
    ort::Api api;
    std::unique_ptr<Kernel> kernel;
  };
};

// The newest declaration that the runtime reads: it refuses newer ones than its own.
uint32_t declared_version(const ort::ApiBase* base) {
  int major = 0, minor = 0;
  const bool read = std::sscanf(base->version(), "%d.%d", &major, &minor) == 2;
  return read && (major > 1 || minor >= static_cast<int>(ort::kInplaceVersion)) ? ort::kInplaceVersion : ort::kApiVersion;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED const char* KokoroInstructionSet() { return KOKORO_INSTRUCTION_SET; }

EXPORTED ort::Status* RegisterCustomOps(ort::SessionOptions* options, const ort::ApiBase* base) {
  const void* const* table = base->get_api(ort::kApiVersion);
  if (!table) {
    const void* const* oldest = base->get_api(1);
    return oldest ? ort::Api{oldest}.fail("kokoro_lab kernels need onnxruntime 1.17 or later") : nullptr;
  }
  const ort::Api api{table};
  return guarded(api, [&] {
    // a domain must outlive every session that was given it: one for the process, never released
    static std::mutex mutex;
    static ort::Domain* domain = nullptr;
    const std::lock_guard<std::mutex> lock(mutex);
    if (!domain) {
      static const Described<false> convolution(declared_version(base));
      static const Described<true> upsample(declared_version(base));
      ort::Domain* made = nullptr;
      check(api.create_domain(kDomain, &made));
      check(api.add_operator(made, &convolution));
      check(api.add_operator(made, &upsample));
      domain = made;
    }
    check(api.add_domain(options, domain));
  });
}
