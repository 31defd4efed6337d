// Gives back memory that holds nothing but a clean copy of a file.
//
// onnxruntime maps external weights from their file. Once they are packed nobody reads the originals again, so their
// pages only make the process larger; if somebody does read them, the system fetches them from the file.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#endif

namespace kokoro {

#if defined(__linux__)

// Whether [from, to) lies inside one private mapping of a file.
inline bool maps_file(uintptr_t from, uintptr_t to) {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (!maps) return false;
  char line[4096];
  bool found = false;
  while (!found && std::fgets(line, sizeof line, maps)) {
    uintptr_t low = 0, high = 0;
    unsigned long inode = 0;
    char permissions[5] = {};
    if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu", &low, &high, permissions, &inode) != 4) continue;
    found = low <= from && to <= high && inode != 0 && permissions[3] == 'p';
  }
  std::fclose(maps);
  return found;
}

inline void forget_pages(const void* data, size_t bytes) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t from = (reinterpret_cast<uintptr_t>(data) + page - 1) / page * page;
  const uintptr_t to = (reinterpret_cast<uintptr_t>(data) + bytes) / page * page;
  if (from < to && maps_file(from, to)) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

#else

inline void forget_pages(const void*, size_t) {}

#endif

}  // namespace kokoro
