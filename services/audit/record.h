#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/audit/text.h"
#include "metamcp/audit/v1/audit_service.pb.h"

namespace metamcp::audit {

// The personal fields of one subject's records are encrypted with `key` (32 bytes), which only the
// row of the subject holds; `id` is the pseudonym that stands in the records.
struct SubjectKey {
  std::string id;
  std::string key;
};

// A record as it is stored: canonical JSON (RFC 8785) and the copies of its members that are
// columns.
struct RecordRow {
  std::string tenant;
  int64_t seq = 0;
  std::string id;
  int64_t time_us = 0;
  std::string subject;  // pseudonym
  std::string action;
  std::string item;
  std::string upstream;
  std::string virtual_server;
  std::string outcome;
  std::string trace;
  std::string hash;  // 32 raw bytes
  std::string record;
};

// Everything but seq, hash and record.
RecordRow MakeRow(std::string_view tenant, const v1::Event& event, const SubjectKey& subject);

// The canonical bytes of record `seq`. Everything that names a person, or that a client chose
// freely, is in the member "personal", encrypted.
std::string MakeRecord(const RecordRow& row, int64_t seq, const v1::Event& event,
                       const SubjectKey& subject);

// What differs between a record's members and the columns beside it; empty where they agree.
std::string DifferenceOf(const RecordRow& row);

// The personal fields of a record as a JSON object; nothing if the key is another one or the
// record was altered.
std::optional<std::string> OpenPersonal(std::string_view record, const SubjectKey& subject);
// The pseudonym in a record.
std::string SubjectOf(std::string_view record);

}  // namespace metamcp::audit
