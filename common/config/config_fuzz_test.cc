#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// The corpus of the fuzzer as a plain test; ctest runs in the root of the sources.
TEST(ConfigFuzzTest, TheCorpusAndItsPrefixesPass) {
  RecordProperty("req", "M-FR-003.3");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/config")) {
    std::ostringstream content;
    content << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    const std::string text = content.str();
    for (size_t size = 0; size <= text.size(); ++size) {
      ASSERT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text.data()), size), 0);
    }
    ++files;
  }
  EXPECT_GE(files, 8);
}

}  // namespace
