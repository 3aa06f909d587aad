#include "common/config/expand.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::config {
namespace {

const Environment kEnv = {
    {"A", "one"}, {"EMPTY", ""}, {"REF", "${A}"}, {"secret:TOK", "sealed ${A}"}};

std::string Ok(std::string_view text) {
  const auto result = Expand(text, kEnv);
  return result.ok() ? *result : StrCat("ERROR ", Sv(result.status().message()));
}

TEST(ExpandTest, SecretsComeFromTheVaultOnly) {
  EXPECT_EQ(Ok("a ${secret:TOK} b"), "a sealed ${A} b");
  EXPECT_EQ(Ok("${NONE:-${secret:TOK}}"), "sealed ${A}");
  const auto missing = Expand("${secret:A}", kEnv);
  EXPECT_EQ(GetErrorInfo(missing.status())->metadata.at("secret"), "A");
  for (const char* bad : {"${secret:}", "${secret:a b}", "${secret:A:-x}", "${secret:../x}"}) {
    EXPECT_EQ(Ok(bad).substr(0, 6), "ERROR ") << bad;
  }
  const auto references = References("${secret:TOK}");
  ASSERT_EQ(references.size(), 1u);
  EXPECT_EQ(references[0].kind, Reference::Kind::kSecret);
  EXPECT_EQ(references[0].name, "TOK");
}

TEST(ExpandTest, ReplacesEveryDocumentedForm) {
  RecordProperty("req", "M-FR-003.4");
  EXPECT_EQ(Ok("plain $5 and $"), "plain $5 and $");
  EXPECT_EQ(Ok("${A}-${env:A}"), "one-one");
  EXPECT_EQ(Ok("${NONE:-two}"), "two");
  EXPECT_EQ(Ok("${env:NONE:-two}"), "two");
  EXPECT_EQ(Ok("${NONE:-}"), "");
  EXPECT_EQ(Ok("${EMPTY}"), "");
  EXPECT_EQ(Ok("${EMPTY:-two}"), "two");
  EXPECT_EQ(Ok("${NONE:-${A}}"), "one");
  EXPECT_EQ(Ok("$${A}"), "${A}");
  EXPECT_EQ(Ok("$$${A}"), "$${A}");
}

TEST(ExpandTest, DoesNotExpandValuesAgain) { EXPECT_EQ(Ok("${REF}"), "${A}"); }

TEST(ExpandTest, NamesTheMissingVariable) {
  const auto result = Expand("Bearer ${TOKEN}", kEnv);
  ASSERT_EQ(result.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(result.status().message(), "the variable TOKEN is not set");
  EXPECT_EQ(GetErrorInfo(result.status())->metadata.at("variable"), "TOKEN");
}

TEST(ExpandTest, RefusesMalformedReferences) {
  for (const char* text : {"${", "${A", "${}", "${A B}", "${1A}", "${input:x}", "${file:}",
                           "${file:relative}", "${A:+x}"}) {
    const auto result = Expand(text, kEnv);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ExpandTest, BoundsNesting) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "${X:-";
  for (int i = 0; i < 100; ++i) text += "}";
  EXPECT_EQ(Expand(text, kEnv).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ExpandTest, ReadsFilesWithinTheLimit) {
  const std::string path = testing::TempDir() + "/expand_secret";
  std::ofstream(path) << "s3cret\n";
  EXPECT_EQ(Ok("x${file:" + path + "}y"), "xs3crety");
  ExpandOptions options;
  options.file_bytes_max = 6;
  EXPECT_EQ(Expand("${file:" + path + "}", kEnv, options).status().code(),
            absl::StatusCode::kInvalidArgument);
  options.file_bytes_max = 7;
  EXPECT_EQ(Expand("${file:" + path + "}", kEnv, options).value(), "s3cret");
  options.allow_files = false;
  EXPECT_FALSE(Expand("${file:" + path + "}", kEnv, options).ok());
  EXPECT_EQ(Expand("${file:/nonexistent/x}", kEnv).status().code(), absl::StatusCode::kNotFound);
}

TEST(ExpandTest, ListsReferences) {
  const auto refs = References("${A} ${B:-${C}} $${D} ${file:/f} ${bad ref}");
  ASSERT_EQ(refs.size(), 4u);
  EXPECT_EQ(refs[0].name, "A");
  EXPECT_TRUE(refs[1].has_default);
  EXPECT_EQ(refs[2].name, "C");
  EXPECT_EQ(refs[3].kind, Reference::Kind::kFile);
}

}  // namespace
}  // namespace metamcp::config
