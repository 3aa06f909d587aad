#include "common/config/config_schema.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "common/config/fields.h"
#include "common/config/json_tree.h"

namespace metamcp::config {
namespace {

// Compares a committed file (ctest runs in the root of the sources) with what is generated.
void ExpectGolden(const std::string& path, const std::string& generated) {
  if (getenv("METAMCP_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << generated;
  std::ostringstream committed;
  committed << std::ifstream(path).rdbuf();
  EXPECT_EQ(committed.str(), generated)
      << "run this test with METAMCP_UPDATE_GOLDEN=1 in the root of the sources";
}

TEST(ConfigSchemaTest, CommittedDocumentsAreCurrent) {
  RecordProperty("req", "M-FR-003.3");
  ExpectGolden("docs/configuration.md", GenerateConfigDocs());
  ExpectGolden("docs/config.schema.json", GenerateConfigSchema());
}

TEST(ConfigSchemaTest, TheSchemaKnowsEverySetting) {
  const JsonTree tree = ParseJsonc(GenerateConfigSchema(), "schema");
  ASSERT_TRUE(tree.errors.empty()) << FormatErrors(tree.errors);
  for (const Field& setting : Settings()) {
    const JsonNode* node = &tree.root;
    std::istringstream parts{std::string(setting.path)};
    for (std::string part; node != nullptr && std::getline(parts, part, '.');) {
      node = node->Find("properties") == nullptr ? nullptr : node->Find("properties")->Find(part);
    }
    ASSERT_NE(node, nullptr) << setting.path;
    EXPECT_EQ(node->Find("description")->text, setting.description);
  }
}

TEST(ConfigSchemaTest, TheTableIsConsistent) {
  std::set<std::string> paths, names;
  std::set<std::string_view> flags;
  for (const Field& s : Settings()) {
    EXPECT_TRUE(paths.insert(std::string(s.path)).second) << s.path;
    EXPECT_TRUE(names.insert(EnvironmentName(s.path)).second) << s.path;
    EXPECT_TRUE(s.flag.empty() || flags.insert(s.flag).second) << s.path;
    EXPECT_EQ(s.description.back(), '.') << s.path;
  }
}

}  // namespace
}  // namespace metamcp::config
