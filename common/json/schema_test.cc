#include "common/json/schema.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "common/base/error.h"
#include "common/json/dom.h"
#include "common/json/schema_index.h"

namespace metamcp::json {
namespace {

namespace fs = std::filesystem;

bool Accepts(std::string_view schema, std::string_view instance) {
  const auto compiled = CompileSchema(schema);
  EXPECT_TRUE(compiled.ok()) << schema << compiled.status();
  return compiled.ok() && (*compiled)->ValidateText(instance).ok();
}

TEST(SchemaTest, NamesThePlaceOfAFault) {
  const auto schema = CompileSchema(
      R"({"properties":{"a/b":{"items":{"type":"string","minLength":2}}},"required":["a/b"]})");
  ASSERT_TRUE(schema.ok());
  EXPECT_TRUE((*schema)->ValidateText(R"({"a/b":["xy"]})").ok());
  const absl::Status status = (*schema)->ValidateText(R"({"a/b":["xy","z"]})");
  EXPECT_EQ(GetErrorInfo(status)->metadata.at("pointer"), "/a~1b/1");
  EXPECT_EQ(GetErrorInfo((*schema)->ValidateText("{}"))->metadata.at("pointer"), "");
}

TEST(SchemaTest, RefusesSchemasItCannotHonour) {
  for (const char* bad :
       {"1", "[]", "{", R"({"$ref":"https://example.com/x"})", R"({"$ref":"#/nowhere"})",
        R"({"type":"strange"})", R"({"pattern":"("})", R"({"$schema":"http://example.com/d"})",
        R"({"properties":1})", R"({"allOf":[1]})", R"({"required":[1]})", R"({"minLength":-1})",
        R"({"multipleOf":0})", R"({"$ref":"file:///etc/passwd"})"}) {
    EXPECT_FALSE(CompileSchema(bad).ok()) << bad;
  }
}

TEST(SchemaTest, BudgetsEndHostileSchemas) {
  const auto loop = CompileSchema(R"({"$ref":"#"})");
  ASSERT_TRUE(loop.ok());
  EXPECT_FALSE((*loop)->ValidateText("1").ok());
  const auto swap = CompileSchema(R"({"not":{"$ref":"#"}})");
  EXPECT_FALSE((*swap)->ValidateText("1").ok());
  // 2^60 branches.
  std::string bomb = R"({"$defs":{"d0":{"type":"null"})";
  for (int i = 1; i <= 60; ++i) {
    const std::string ref = R"({"$ref":"#/$defs/d)" + std::to_string(i - 1) + "\"}";
    bomb += ",\"d" + std::to_string(i) + R"(":{"oneOf":[)" + ref + "," + ref + "]}";
  }
  bomb += R"(},"$ref":"#/$defs/d60"})";
  const auto compiled = CompileSchema(bomb);
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_FALSE((*compiled)->ValidateText("null").ok());
  EXPECT_FALSE(CompileSchema(std::string(100'000, '[')).ok());
  const auto backtracking = CompileSchema(R"({"pattern":"^(?=(a+)+$)(a+)+b$"})");
  ASSERT_TRUE(backtracking.ok());
  EXPECT_FALSE((*backtracking)->ValidateText("\"" + std::string(5000, 'a') + "\"").ok());
}

TEST(SchemaTest, HonoursBothDialects) {
  EXPECT_TRUE(Accepts(
      R"({"items":[{"type":"string"}],"$schema":"http://json-schema.org/draft-07/schema#"})",
      R"(["a",1])"));
  EXPECT_FALSE(Accepts(R"({"prefixItems":[{"type":"string"}],"items":false})", R"(["a",1])"));
  EXPECT_TRUE(Accepts(R"({"pattern":"^(?!x)\\d\\u0041\\/$"})", R"("1A/")"));
}

TEST(UriTest, ResolvesAsTheStandardSays) {
  const std::string base = "http://a/b/c/d;p?q";
  EXPECT_EQ(ResolveUri(base, "g"), "http://a/b/c/g");
  EXPECT_EQ(ResolveUri(base, "./g/"), "http://a/b/c/g/");
  EXPECT_EQ(ResolveUri(base, "/g"), "http://a/g");
  EXPECT_EQ(ResolveUri(base, "//g"), "http://g");
  EXPECT_EQ(ResolveUri(base, "?y"), "http://a/b/c/d;p?y");
  EXPECT_EQ(ResolveUri(base, "g#s"), "http://a/b/c/g#s");
  EXPECT_EQ(ResolveUri(base, ""), "http://a/b/c/d;p?q");
  EXPECT_EQ(ResolveUri(base, "../../../g"), "http://a/g");
  EXPECT_EQ(ResolveUri(base, ".."), "http://a/b/");
  EXPECT_EQ(ResolveUri("urn:x:y", "#f"), "urn:x:y#f");
  EXPECT_EQ(ResolveUri("", "#/a"), "#/a");
}

const fs::path kSuite = "/usr/share/perl5/auto/share/dist/Test-JSON-Schema-Acceptance";

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The suite's "remote" documents, under the host that it gives them.
SchemaOptions Remotes(const std::string& dialect) {
  SchemaOptions options;
  for (const auto& file : fs::recursive_directory_iterator(kSuite / "remotes")) {
    const std::string name = fs::relative(file.path(), kSuite / "remotes").string();
    if (!name.ends_with(".json")) continue;
    if (name.starts_with("draft") && !name.starts_with(dialect)) continue;
    options.documents["http://localhost:1234/" + name] = ReadFile(file.path());
  }
  return options;
}

// Counts of one dialect's mandatory tests: run, failed, and left out because they need a published
// meta-schema, which is neither bundled nor fetched.
struct SuiteCount {
  int run = 0;
  int failed = 0;
  int left_out = 0;
};

void RunFile(const fs::path& path, const std::string& dialect_uri, const SchemaOptions& options,
             SuiteCount* count) {
  const auto groups = ParseJson(ReadFile(path));
  ASSERT_TRUE(groups.ok()) << path;
  for (const auto& group : *groups) {
    nlohmann::json schema = group["schema"];
    const std::string text = schema.dump();
    if (text.find("json-schema.org/draft/2020-12/schema\"") != std::string::npos
            ? text.find("\"$ref\":\"https://json-schema.org") != std::string::npos
            : text.find("\"$ref\":\"http://json-schema.org") != std::string::npos ||
                  text.find("metaschema-") != std::string::npos) {
      count->left_out += static_cast<int>(group["tests"].size());
      continue;
    }
    if (schema.is_object() && !schema.contains("$schema")) schema["$schema"] = dialect_uri;
    const auto compiled = CompileSchema(schema.dump(), options);
    for (const auto& test : group["tests"]) {
      ++count->run;
      const bool valid = compiled.ok() && (*compiled)->Validate(test["data"]).ok();
      if (compiled.ok() && valid == test["valid"].get<bool>()) continue;
      ++count->failed;
      ADD_FAILURE() << path.filename() << ": " << group["description"] << ": "
                    << test["description"] << " " << compiled.status();
    }
  }
}

SuiteCount RunSuite(const std::string& dialect, const std::string& uri) {
  const SchemaOptions options = Remotes(dialect);
  SuiteCount count;
  for (const auto& file : fs::directory_iterator(kSuite / "tests" / dialect)) {
    if (file.path().extension() == ".json") RunFile(file.path(), uri, options, &count);
  }
  return count;
}

TEST(SchemaSuiteTest, PassesTheOfficial202012Tests) {
  if (!fs::exists(kSuite)) GTEST_SKIP() << "libtest-json-schema-acceptance-perl is not installed";
  const SuiteCount count = RunSuite("draft2020-12", "https://json-schema.org/draft/2020-12/schema");
  RecordProperty("run", count.run);
  RecordProperty("left_out", count.left_out);
  EXPECT_GT(count.run, 1000);
  EXPECT_EQ(count.failed, 0);
}

TEST(SchemaSuiteTest, PassesTheOfficialDraft7Tests) {
  if (!fs::exists(kSuite)) GTEST_SKIP() << "libtest-json-schema-acceptance-perl is not installed";
  const SuiteCount count = RunSuite("draft7", "http://json-schema.org/draft-07/schema#");
  RecordProperty("run", count.run);
  RecordProperty("left_out", count.left_out);
  EXPECT_GT(count.run, 600);
  EXPECT_EQ(count.failed, 0);
}

}  // namespace
}  // namespace metamcp::json
