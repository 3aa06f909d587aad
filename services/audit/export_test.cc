// Exports while the log changes, and as other programs read them.
#include <map>
#include <nlohmann/json.hpp>

#include "common/json/dom.h"
#include "services/audit/testing.h"

namespace metamcp::audit {
namespace {

class AuditExportTest : public StoreFixture {
 protected:
  // The next part; the first if there was none.
  std::string Part(int limit, bool personal = true, const std::string& format = "jsonl") {
    const auto writer = MakeExportWriter(format);
    v1::ExportRecordsRequest request;
    request.set_limit(limit);
    request.set_personal(personal);
    request.set_from_seq(next_);
    const auto part = ExportPart(store_, *db_, "t", key_.verify_key(), request, **writer);
    EXPECT_TRUE(part.ok()) << part.status();
    next_ = part.ok() ? part->next_seq() : 0;
    return part.ok() ? part->lines() : "";
  }
  std::optional<ChainFault> Check(const std::string& text) {
    ExportCheckOptions options;
    options.key = key_.verify_key();
    ExportChecker check(std::move(options));
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      EXPECT_TRUE(check.Line(text.substr(at, end - at)).ok());
      at = end + 1;
    }
    EXPECT_TRUE(check.Finish().ok());
    return check.fault();
  }
  int64_t next_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Backends, AuditExportTest, db::AllBackends(), db::BackendName);

// The members of the one log record in a line of OTLP, and its attributes as text.
struct OtlpRecord {
  nlohmann::json record;
  std::map<std::string, std::string> attributes;
};
OtlpRecord ReadOtlp(const std::string& line) {
  OtlpRecord out;
  const nlohmann::json request = nlohmann::json::parse(line);
  const nlohmann::json& resource = request.at("resourceLogs").at(0);
  out.record = resource.at("scopeLogs").at(0).at("logRecords").at(0);
  for (const nlohmann::json& one : out.record.at("attributes")) {
    const nlohmann::json& value = one.at("value");
    const nlohmann::json& text =
        value.contains("intValue") ? value.at("intValue") : value.at("stringValue");
    out.attributes[one.at("key").get<std::string>()] = text.get<std::string>();
  }
  return out;
}

TEST_P(AuditExportTest, APersonWhoIsErasedMeanwhileIsNobodyFromThereOn) {
  RecordProperty("req", "P3-SOC-4");
  AppendCalls(4, "bob");
  AppendCalls(2, "eve");
  Checkpoint();
  std::string text = Part(2);
  EXPECT_NE(text.find("\"name\":\"bob\""), std::string::npos);
  ASSERT_TRUE(store_.Erase(*db_, "t", "bob").ok());
  std::string rest;
  while (next_ > 0) rest += Part(2);
  EXPECT_EQ(rest.find("bob"), std::string::npos) << rest;
  EXPECT_NE(rest.find("\"name\":\"eve\""), std::string::npos);
  EXPECT_FALSE(Check(text + rest));
}

TEST_P(AuditExportTest, WhatIsWrittenMeanwhileIsInItOrInTheNext) {
  RecordProperty("req", "M-FR-007.5");
  AppendCalls(4);
  std::string text = Part(3);
  AppendCalls(3);
  Checkpoint();
  while (next_ > 0) text += Part(3);
  EXPECT_FALSE(Check(text));
}

TEST_P(AuditExportTest, OtlpHasWhatTheRecordHas) {
  RecordProperty("req", "P3-SOC-6");
  v1::Event event = MakeEvent("bob", "git__0");
  event.set_trace("0af7651916cd43dd8448eb211c80319c");
  event.set_target("say \"hi\"\n\xF0\x9F\x8E\x89");
  v1::Event denied = MakeEvent("bob", "git__1");
  denied.set_outcome("denied");
  Append({event, denied});
  Checkpoint();
  const std::string text = Part(100, true, "otlp");
  std::vector<OtlpRecord> records;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    records.push_back(ReadOtlp(text.substr(at, end - at)));
    at = end + 1;
  }
  ASSERT_EQ(records.size(), 3u) << text;
  const nlohmann::json& first = records[0].record;
  EXPECT_EQ(first.at("timeUnixNano"), StrCat(event.time_us(), "000"));
  EXPECT_EQ(first.at("severityText"), "INFO");
  EXPECT_EQ(first.at("traceId"), event.trace());
  EXPECT_EQ(first.at("eventName"), "audit.tools/call");
  const auto rows = store_.Read(*db_, "t", 1, 10);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(first.at("body").at("stringValue"), (*rows)[0].record) << "what the hash is of";
  EXPECT_EQ(records[0].attributes["metamcp.audit.hash"], HexEncode((*rows)[0].hash));
  EXPECT_EQ(records[0].attributes["metamcp.audit.item"], "git__0");
  EXPECT_EQ(records[0].attributes["metamcp.audit.seq"], "1");
  EXPECT_EQ(records[0].attributes["metamcp.audit.name"], "bob");
  EXPECT_EQ(records[0].attributes["metamcp.audit.target"], event.target());
  EXPECT_EQ(records[1].record.at("severityText"), "WARN");
  EXPECT_FALSE(records[1].record.contains("traceId"));
  EXPECT_EQ(records[2].record.at("eventName"), "audit.checkpoint");
  next_ = 0;
  EXPECT_EQ(Part(100, false, "otlp").find("bob"), std::string::npos);
}

}  // namespace
}  // namespace metamcp::audit
