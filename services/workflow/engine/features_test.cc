// The specification's own scenarios (../shared/data/open-workflow/ctk), where they are there.

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/json/yaml.h"
#include "services/workflow/engine/engine_fixture.h"

namespace metamcp::workflow::testing {
namespace {

constexpr char kFeatures[] = "../shared/data/open-workflow/ctk/features";

struct Step {
  std::string text;
  std::string block;  // what stands between """yaml and """
};
struct Scenario {
  std::string feature, name;
  std::vector<Step> steps;
};

std::string Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

std::vector<Scenario> ReadFeature(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<Scenario> out;
  std::string line;
  bool in_block = false;
  size_t indent = 0;
  while (std::getline(file, line)) {
    const std::string text = Trimmed(line);
    if (in_block) {
      if (text.starts_with("\"\"\"")) {
        in_block = false;
      } else {
        out.back().steps.back().block += (line.size() > indent ? line.substr(indent) : "") + "\n";
      }
      continue;
    }
    if (text.starts_with("Scenario:")) {
      Scenario scenario;
      scenario.feature = path.stem();
      scenario.name = Trimmed(text.substr(9));
      out.push_back(scenario);
    } else if (text.starts_with("\"\"\"")) {
      in_block = true;
      indent = line.find('"');
    } else if (!out.empty() && !text.empty() && text[0] != '#') {
      Step step;
      step.text = text.substr(text.find(' ') + 1);
      out.back().steps.push_back(step);
    }
  }
  return out;
}

// The answers of the servers that the scenarios call.
absl::StatusOr<HttpReply> Web(const HttpCall& call) {
  HttpReply reply;
  reply.content_type = "application/json";
  reply.headers = {{"Content-Type", "application/json"}};
  reply.status = 200;
  if (call.url.starts_with("https://petstore.swagger.io/v2/pet/findByStatus?status=available")) {
    reply.body = R"([{"id":1,"name":"Rex","status":"available"}])";
  } else if (call.url.starts_with("https://petstore.swagger.io/v2/pet/getPetByName/")) {
    reply.status = 404;
    reply.body = "{}";
  } else if (call.url.starts_with("https://petstore.swagger.io/v2/pet/")) {
    reply.body = R"({"id":)" + call.url.substr(call.url.rfind('/') + 1) +
                 R"(,"name":"Rex","status":"available"})";
  } else if (call.url == "https://httpbin.org/basic-auth/serverless-workflow/conformance-test") {
    bool authorized = false;
    for (const auto& [name, value] : call.headers) {
      if (name == "Authorization") {
        authorized = value == "Basic c2VydmVybGVzcy13b3JrZmxvdzpjb25mb3JtYW5jZS10ZXN0";
      }
    }
    reply.status = authorized ? 200 : 401;
    reply.body = "{}";
  } else {
    reply.status = 500;
  }
  return reply;
}

Json Yaml(const std::string& text) {
  auto parsed = json::ParseJsonOrYaml(text, 64);
  EXPECT_TRUE(parsed.ok()) << parsed.status() << text;
  return parsed.ok() ? *parsed : Json();
}

const Json* At(const Json& from, const std::string& path) {
  const Json* at = &from;
  for (const absl::string_view part : absl::StrSplit(path, '.')) {
    const auto it = at->is_object() ? at->find(std::string(part)) : at->end();
    if (!at->is_object() || it == at->end()) return nullptr;
    at = &*it;
  }
  return at;
}

std::vector<std::string> Quoted(const std::string& text) {
  std::vector<std::string> out;
  const std::regex quoted("'([^']*)'");
  for (std::sregex_iterator it(text.begin(), text.end(), quoted), end; it != end; ++it) {
    out.push_back((*it)[1]);
  }
  return out;
}

class World {
 public:
  explicit World(EngineFixture& engine) : engine_(engine) { engine_.caller().http = Web; }

  void Do(const Step& step) {
    if (step.text.starts_with("a workflow with definition")) {
      source_ = step.block;
    } else if (step.text.starts_with("given the workflow input is")) {
      input_ = Yaml(step.block);
    } else if (step.text == "the workflow is executed") {
      run_ = engine_.Run(source_, json::DumpJson(input_));
    } else {
      Check(step);
    }
  }

 private:
  Json Output() const {
    return *json::ParseOrderedJson(run_.output.empty() ? "null" : run_.output);
  }

  // Names of tasks in the order in which they ended.
  std::vector<std::string> Order() {
    std::vector<std::string> out;
    auto events = engine_.store().Events(run_.id, 0, 1000);
    for (const EventRow& event : *events) {
      if (event.type != "step.done") continue;
      out.push_back((*json::ParseOrderedJson(event.data))["name"].get<std::string>());
    }
    return out;
  }

  void Check(const Step& step) {
    const std::string& text = step.text;
    const std::vector<std::string> names = Quoted(text);
    const Json output = Output();
    const auto order = Order();
    const auto place = [&](const std::string& name) {
      return std::find(order.begin(), order.end(), name) - order.begin();
    };
    const std::string first = text.substr(0, text.find(' '));
    if (text == "the workflow should complete") {
      EXPECT_EQ(run_.state, "completed") << run_.error;
    } else if (text.starts_with("the workflow should complete with output")) {
      EXPECT_EQ(run_.state, "completed") << run_.error;
      EXPECT_EQ(output, Yaml(step.block));
    } else if (text == "the workflow should fault") {
      EXPECT_EQ(run_.state, "failed");
    } else if (text.starts_with("the workflow should fault with error")) {
      EXPECT_EQ(run_.state, "failed");
      const Json error = *json::ParseOrderedJson(run_.error);
      const Json wanted = Yaml(step.block);
      for (auto it = wanted.begin(); it != wanted.end(); ++it) EXPECT_EQ(error[it.key()], *it);
    } else if (text.find("containing 1 items") != std::string::npos) {
      ASSERT_NE(At(output, names.at(0)), nullptr) << output;
      EXPECT_EQ(At(output, names.at(0))->size(), 1u) << output;
    } else if (text.find("property with value") != std::string::npos) {
      ASSERT_NE(At(output, names.at(0)), nullptr) << output;
      EXPECT_EQ(*At(output, names.at(0)), Yaml(step.block));
    } else if (text.find("should have properties") != std::string::npos) {
      for (const std::string& name : names) EXPECT_NE(At(output, name), nullptr) << name << output;
    } else if (text.ends_with("should run first")) {
      EXPECT_EQ(place(first), 0);
    } else if (text.ends_with("should run last")) {
      EXPECT_EQ(order.back(), first);
    } else if (text.find("should run after") != std::string::npos) {
      EXPECT_GT(place(first), place(text.substr(text.rfind(' ') + 1)));
    } else {
      ADD_FAILURE() << "no such step: " << text;
    }
  }

  EngineFixture& engine_;
  std::string source_;
  Json input_;
  RunRow run_;
};

TEST(Features, OfTheSpecification) {
  RecordProperty("req", "M-FR-013");
  if (!std::filesystem::exists(kFeatures)) GTEST_SKIP() << kFeatures << " is not there";
  int passed = 0, refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFeatures)) {
    for (const Scenario& scenario : ReadFeature(entry.path())) {
      SCOPED_TRACE(scenario.feature + ": " + scenario.name);
      // Calls of OpenAPI are refused by name.
      if (scenario.name.find("OpenAPI") != std::string::npos) {
        std::vector<Problem> problems;
        EXPECT_EQ(ReadDefinition(scenario.steps[0].block, Limits(), &problems), nullptr);
        EXPECT_THAT(problems[0].message, ::testing::HasSubstr("openapi"));
        ++refused;
        continue;
      }
      EngineFixture engine;
      World world(engine);
      for (const Step& step : scenario.steps) world.Do(step);
      ++passed;
    }
  }
  EXPECT_EQ(passed, 19);
  EXPECT_EQ(refused, 2);
}

// Every example either reads, or is refused with the name of what is not supported.
TEST(Examples, ReadOrAreRefusedByName) {
  const std::string folder = "../shared/data/open-workflow/examples";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  int read = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    std::ifstream file(entry.path());
    const std::string source(std::istreambuf_iterator<char>(file), {});
    std::vector<Problem> problems;
    if (ReadDefinition(source, Limits(), &problems) != nullptr) {
      ++read;
      continue;
    }
    std::string all;
    for (const Problem& one : problems) all += one.path + ": " + one.message + "\n";
    EXPECT_THAT(all, ::testing::ContainsRegex("not supported|refused|not fetched|registered server|"
                                              "not known here|not followed|no function"))
        << entry.path();
  }
  EXPECT_GE(read, 20);
}

}  // namespace
}  // namespace metamcp::workflow::testing
