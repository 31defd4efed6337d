// The part of onnxruntime's C interface that custom operators need, by position in OrtApi.
//
// OrtApi is a table of function pointers that is only ever appended to, so a position means the same in every later
// version. Declaring it here lets the library build without onnxruntime's headers and load into any runtime from
// kApiVersion on; the loader's tests hold the positions against the installed runtime.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ort {

constexpr uint32_t kApiVersion = 17;  // the first with KernelContext_ParallelFor (onnxruntime 1.17)
constexpr uint32_t kInplaceVersion = 18;  // from here on an operator may say which inputs its outputs may overwrite

struct Status;
struct Value;
struct Domain;
struct SessionOptions;
struct KernelInfo;
struct KernelContext;
struct ShapeInfo;

enum Code { kFail = 1, kInvalidArgument = 2 };
enum Element { kUndefined = 0, kFloat = 1 };
enum Characteristic { kRequired = 0, kOptional = 1 };

struct Api {
  const void* const* table;

  template <typename Function>
  Function at(int position) const {
    return reinterpret_cast<Function>(const_cast<void*>(table[position]));
  }

  Status* fail(const char* message, Code code = kFail) const {
    return at<Status* (*)(Code, const char*)>(0)(code, message);
  }
  Status* create_domain(const char* name, Domain** out) const {
    return at<Status* (*)(const char*, Domain**)>(26)(name, out);
  }
  Status* add_operator(Domain* domain, const void* op) const {
    return at<Status* (*)(Domain*, const void*)>(27)(domain, op);
  }
  Status* add_domain(SessionOptions* options, Domain* domain) const {
    return at<Status* (*)(SessionOptions*, Domain*)>(28)(options, domain);
  }
  Status* mutable_data(Value* value, void** out) const { return at<Status* (*)(Value*, void**)>(51)(value, out); }
  Status* element_type(const ShapeInfo* info, int* out) const {
    return at<Status* (*)(const ShapeInfo*, int*)>(60)(info, out);
  }
  Status* rank(const ShapeInfo* info, size_t* out) const {
    return at<Status* (*)(const ShapeInfo*, size_t*)>(61)(info, out);
  }
  Status* sizes(const ShapeInfo* info, int64_t* out, size_t count) const {
    return at<Status* (*)(const ShapeInfo*, int64_t*, size_t)>(62)(info, out, count);
  }
  Status* shape(const Value* value, ShapeInfo** out) const {
    return at<Status* (*)(const Value*, ShapeInfo**)>(65)(value, out);
  }
  Status* attribute(const KernelInfo* info, const char* name, float* out) const {
    return at<Status* (*)(const KernelInfo*, const char*, float*)>(85)(info, name, out);
  }
  Status* attribute(const KernelInfo* info, const char* name, int64_t* out) const {
    return at<Status* (*)(const KernelInfo*, const char*, int64_t*)>(86)(info, name, out);
  }
  Status* input(const KernelContext* context, size_t index, const Value** out) const {
    return at<Status* (*)(const KernelContext*, size_t, const Value**)>(90)(context, index, out);
  }
  Status* output(KernelContext* context, size_t index, const int64_t* sizes, size_t rank, Value** out) const {
    return at<Status* (*)(KernelContext*, size_t, const int64_t*, size_t, Value**)>(91)(context, index, sizes, rank,
                                                                                       out);
  }
  void release(Status* status) const { at<void (*)(Status*)>(93)(status); }
  void release(ShapeInfo* info) const { at<void (*)(ShapeInfo*)>(99)(info); }
  Status* constant_input(const KernelInfo* info, size_t index, int* is_constant, const Value** out) const {
    return at<Status* (*)(const KernelInfo*, size_t, int*, const Value**)>(249)(info, index, is_constant, out);
  }
  Status* parallel_for(const KernelContext* context, void (*task)(void*, size_t), size_t total, void* user) const {
    using Function = Status* (*)(const KernelContext*, void (*)(void*, size_t), size_t, size_t, void*);
    return at<Function>(274)(context, task, total, 0, user);
  }
};

struct ApiBase {
  const void* const* (*get_api)(uint32_t version);
  const char* (*version)();
};

// OrtCustomOp. The runtime reads as many fields as `version` says; we declare 17 or 18.
struct CustomOp {
  uint32_t version;
  void* (*create_kernel)(const CustomOp*, const void* const* api, const KernelInfo*);
  const char* (*name)(const CustomOp*);
  const char* (*provider)(const CustomOp*);
  int (*input_type)(const CustomOp*, size_t);
  size_t (*input_count)(const CustomOp*);
  int (*output_type)(const CustomOp*, size_t);
  size_t (*output_count)(const CustomOp*);
  void (*compute)(void*, KernelContext*);
  void (*destroy)(void*);
  int (*input_characteristic)(const CustomOp*, size_t);
  int (*output_characteristic)(const CustomOp*, size_t);
  int (*input_memory)(const CustomOp*, size_t);
  int (*variadic_input_minimum)(const CustomOp*);
  int (*variadic_input_homogeneous)(const CustomOp*);
  int (*variadic_output_minimum)(const CustomOp*);
  int (*variadic_output_homogeneous)(const CustomOp*);
  Status* (*create_kernel_v2)(const CustomOp*, const void* const* api, const KernelInfo*, void**);
  Status* (*compute_v2)(void*, KernelContext*);
  Status* (*infer_shape)(const CustomOp*, void*);
  int (*start_version)(const CustomOp*);
  int (*end_version)(const CustomOp*);
  size_t (*may_inplace)(int**, int**);
  void (*release_may_inplace)(int*, int*);
  size_t (*alias_map)(int**, int**);
  void (*release_alias_map)(int*, int*);
};

}  // namespace ort
