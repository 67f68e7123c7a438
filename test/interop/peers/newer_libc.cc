// The one name that static libraries built against a newer glibc want and an older one lacks: strtol with C23's binary
// literals, which none of them parses.
#include <cstdlib>

extern "C" long __isoc23_strtol(const char* text, char** out_end, int base) { return std::strtol(text, out_end, base); }
