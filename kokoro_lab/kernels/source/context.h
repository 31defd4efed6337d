// Statuses become exceptions inside the library and statuses again at its edge; tensors come with their shapes.
#pragma once

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "convolution.h"
#include "ort.h"

namespace kokoro {

struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A status of the runtime, on its way back to it.
struct Raised {
  ort::Status* status;
};

inline void check(ort::Status* status) {
  if (status) throw Raised{status};
}

inline void require(bool met, const char* what) {
  if (!met) throw Refused(what);
}

template <typename Body>
ort::Status* guarded(const ort::Api& api, Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Raised& raised) {
    return raised.status;
  } catch (const Refused& refused) {
    return api.fail(refused.what(), ort::kInvalidArgument);
  } catch (const std::bad_alloc&) {
    return api.fail("kokoro_lab kernels: out of memory");
  } catch (const std::exception& error) {
    return api.fail(error.what());
  }
}

struct Tensor {
  const float* data = nullptr;
  std::vector<int64_t> sizes;

  explicit operator bool() const { return data != nullptr; }
  bool is(std::initializer_list<int64_t> wanted) const { return sizes == std::vector<int64_t>(wanted); }
  int64_t count() const {
    int64_t product = 1;
    for (int64_t size : sizes) product *= size;
    return product;
  }
};

// The float tensor behind a value; an absent optional one gives an empty Tensor.
inline Tensor tensor(const ort::Api& api, const ort::Value* value) {
  Tensor result;
  if (!value) return result;
  ort::ShapeInfo* info = nullptr;
  check(api.shape(value, &info));
  struct Release {
    const ort::Api& api;
    ort::ShapeInfo* info;
    ~Release() { api.release(info); }
  } release{api, info};
  int element = 0;
  check(api.element_type(info, &element));
  require(element == ort::kFloat, "kokoro_lab kernels: an input is not float32");
  size_t rank = 0;
  check(api.rank(info, &rank));
  require(rank <= 8, "kokoro_lab kernels: an input has too many axes");
  result.sizes.resize(rank);
  check(api.sizes(info, result.sizes.data(), rank));
  void* data = nullptr;
  check(api.mutable_data(const_cast<ort::Value*>(value), &data));
  static const float kNothing = 0.0f;  // an empty tensor has no data, and is not absent
  result.data = data ? static_cast<const float*>(data) : &kNothing;
  return result;
}

inline Tensor input(const ort::Api& api, const ort::KernelContext* context, size_t index) {
  const ort::Value* value = nullptr;
  check(api.input(context, index, &value));
  return tensor(api, value);
}

// Null when the graph does not ask for this output.
inline float* output(const ort::Api& api, ort::KernelContext* context, size_t index,
                     std::initializer_list<int64_t> sizes) {
  ort::Value* value = nullptr;
  check(api.output(context, index, sizes.begin(), sizes.size(), &value));
  if (!value) return nullptr;
  void* data = nullptr;
  check(api.mutable_data(value, &data));
  return static_cast<float*>(data);
}

template <typename Number>
Number attribute(const ort::Api& api, const ort::KernelInfo* info, const char* name, Number fallback) {
  Number value{};
  if (ort::Status* status = api.attribute(info, name, &value)) {
    api.release(status);
    return fallback;
  }
  return value;
}

inline int64_t whole(const ort::Api& api, const ort::KernelInfo* info, const char* name, int64_t fallback, int64_t low,
                     int64_t high) {
  const int64_t value = attribute<int64_t>(api, info, name, fallback);
  if (value < low || value > high) throw Refused(std::string("kokoro_lab kernels: attribute out of range: ") + name);
  return value;
}

// The session's own threads.
class Pool final : public Parallel {
 public:
  Pool(const ort::Api& api, const ort::KernelContext* context) : api_(api), context_(context) {}

  void run(int64_t count, void (*task)(void*, int64_t), void* user) override {
    Work work{task, user, {}, {}};
    check(api_.parallel_for(context_, &step, static_cast<size_t>(count), &work));
    if (work.error) std::rethrow_exception(work.error);
  }

 private:
  struct Work {
    void (*task)(void*, int64_t);
    void* user;
    std::mutex mutex;
    std::exception_ptr error;
  };

  static void step(void* user, size_t index) {
    Work& work = *static_cast<Work*>(user);
    try {
      work.task(work.user, static_cast<int64_t>(index));
    } catch (...) {
      const std::lock_guard<std::mutex> lock(work.mutex);
      work.error = std::current_exception();
    }
  }

  const ort::Api& api_;
  const ort::KernelContext* context_;
};

}  // namespace kokoro
