// The frozen corpus: docs/security.md shows what scripts/measure_detectors measured on it.
#include <gtest/gtest.h>

#include <fstream>

#include "common/detect/evaluate.h"

namespace metamcp::detect {
namespace {

TEST(CorpusTest, DetectorsAreAsGoodAsTheyWere) {
  RecordProperty("req", "P2-Sec-6");
  std::ifstream file(CORPUS);
  const auto corpus = ReadCorpus(file);
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  ASSERT_GT(corpus->size(), 200u);
  for (const Kind kind : kAllKinds) {
    const Score score = Evaluate(*corpus, kind);
    std::string wrong;
    for (const std::string& text : score.wrong) wrong += "\n" + text;
    EXPECT_GE(score.hits + score.misses, 15) << KindName(kind);
    EXPECT_GE(score.precision(), 0.9) << KindName(kind) << wrong;
    EXPECT_GE(score.recall(), 0.8) << KindName(kind) << wrong;
  }
}

}  // namespace
}  // namespace metamcp::detect
