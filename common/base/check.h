#pragma once

#include <cstdio>
#include <cstdlib>

// Aborts with file and line when an invariant of our own code is broken. Always on; never used
// for input.
#define METAMCP_CHECK(condition)                                                         \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
