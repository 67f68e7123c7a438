// Memory for keys: locked, left out of core dumps, wiped in forked children and zeroed when freed.
#pragma once

#include <cstddef>
#include <new>

namespace dtunnel {

// Never fails softly: without memory the process ends. Thread-safe. 64-octet alignment.
void* AllocateSecret(std::size_t size);
// Zeroes and frees what AllocateSecret gave for the same `size`.
void FreeSecret(void* memory, std::size_t size) noexcept;
// Overwrites `size` octets in a way that is not optimised away.
void Wipe(void* memory, std::size_t size) noexcept;
// Octets in use, for statistics and tests.
std::size_t SecretOctets();

// A base for classes that hold secrets: std::make_unique of a derived class puts it into secret memory.
class SecretObject {
 public:
  static void* operator new(std::size_t size) { return AllocateSecret(size); }
  static void* operator new(std::size_t size, std::align_val_t) { return AllocateSecret(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { FreeSecret(memory, size); }
  static void operator delete(void* memory, std::size_t size, std::align_val_t) noexcept { FreeSecret(memory, size); }
};

}  // namespace dtunnel
