#include "services/audit/convert.h"

#include <algorithm>
#include <charconv>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/audit/upkeep.h"

namespace metamcp::audit {
namespace {

constexpr const char* kUsageBy[] = {"subject", "upstream", "item", "virtual_server", "hour", "day"};
constexpr int64_t kPartMax = 10'000;

}  // namespace

void ToProto(const RecordRow& row, const std::string& personal, v1::Record& out) {
  out.set_seq(row.seq);
  out.set_hash(HexEncode(row.hash));
  out.set_record(row.record);
  out.set_personal(personal);
  out.set_erased(personal.empty());
}

void ToProto(const CheckpointRow& row, v1::CheckpointNote& out) {
  out.set_size(row.size);
  out.set_time_us(row.time_us);
  out.set_note(row.note);
  if ((row.pushed & Upkeep::kFileSink) != 0) out.add_sinks("file");
  if ((row.pushed & Upkeep::kWebhookSink) != 0) out.add_sinks("webhook");
}

void ToProto(const HoldRow& row, const std::string& subject, v1::Hold& out) {
  out.set_id(row.id);
  out.set_subject(subject);
  out.set_pseudonym(row.subject);
  out.set_reason(row.reason);
  out.set_created_by(row.created_by);
  out.set_created_us(row.created_us);
}

void ToProto(const UsageRow& row, v1::Usage& out) {
  out.set_subject(row.subject);
  out.set_upstream(row.upstream);
  out.set_item(row.item);
  out.set_virtual_server(row.virtual_server);
  out.set_time_us(row.time_us);
  out.set_calls(row.calls);
  out.set_failures(row.failures);
  out.set_duration_us(row.duration_us);
  out.set_bytes_in(row.bytes_in);
  out.set_bytes_out(row.bytes_out);
}

void ToProto(const Principal& principal, metamcp::common::v1::Principal& out) {
  out.set_tenant(principal.tenant);
  out.set_subject(principal.subject);
  out.set_kind(principal.kind);
  out.set_method(principal.method);
  out.set_client(principal.client);
  for (const std::string& role : principal.roles) out.add_roles(role);
  for (const std::string& team : principal.teams) out.add_teams(team);
  for (const std::string& actor : principal.actors) out.add_actors(actor);
}

absl::StatusOr<int64_t> ReadPageToken(const std::string& token) {
  int64_t value = 0;
  if (token.empty()) return value;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error != std::errc() || end != token.data() + token.size() || value < 1) {
    return MakeError("ARGUMENT_INVALID", "audit", "page_token is not one that was given");
  }
  return value;
}

int64_t PageSize(int64_t asked, int64_t usual, int64_t max) {
  return asked <= 0 ? usual : std::min(asked, max);
}

absl::StatusOr<RecordFilter> ToFilter(const v1::QueryRecordsRequest& request) {
  RecordFilter out;
  METAMCP_ASSIGN_OR_RETURN(out.before_seq, ReadPageToken(request.page_token()));
  out.limit = PageSize(request.page_size(), 100, 1000);
  out.subject = request.subject();
  out.action = request.action();
  out.item = request.item();
  out.upstream = request.upstream();
  out.virtual_server = request.virtual_server();
  out.outcome = request.outcome();
  out.trace = request.trace();
  out.since_us = request.since_us();
  out.until_us = request.until_us();
  if (out.since_us < 0 || out.until_us < 0) {
    return MakeError("ARGUMENT_INVALID", "audit", "times are microseconds since 1970");
  }
  return out;
}

absl::StatusOr<UsageQuery> ToUsageQuery(const v1::ReadUsageRequest& request) {
  UsageQuery out;
  for (const std::string& by : request.by()) {
    const bool known =
        std::find(std::begin(kUsageBy), std::end(kUsageBy), by) != std::end(kUsageBy);
    const bool again = std::find(out.by.begin(), out.by.end(), by) != out.by.end();
    const bool time_twice = (by == "hour" || by == "day") &&
                            std::any_of(out.by.begin(), out.by.end(), [](const std::string& one) {
                              return one == "hour" || one == "day";
                            });
    if (!known || again || time_twice) {
      return MakeError("ARGUMENT_INVALID", "audit",
                       StrCat("by is each once subject, upstream, item, virtual_server and one of "
                              "hour and day, not ",
                              by.substr(0, 64)));
    }
    out.by.push_back(by);
  }
  if (out.by.empty()) out.by = {"upstream", "item"};
  out.since_us = request.since_us();
  out.until_us = request.until_us();
  out.subject = request.subject();
  out.upstream = request.upstream();
  out.item = request.item();
  out.virtual_server = request.virtual_server();
  return out;
}

absl::StatusOr<v1::ExportRecordsResponse> ExportPart(SqlStore& store, db::Database& database,
                                                     const std::string& tenant,
                                                     const VerifyKey& key,
                                                     const v1::ExportRecordsRequest& request,
                                                     ExportWriter& writer) {
  METAMCP_ASSIGN_OR_RETURN(const std::optional<Head> head, store.GetHead(database, tenant));
  v1::ExportRecordsResponse response;
  if (!head) return response;
  const int64_t first = head->base_seq + 1;
  const int64_t from = std::max(request.from_seq(), first);
  std::string lines;
  if (request.from_seq() <= first) {
    std::string base_note;
    if (head->base_seq > 0) {
      METAMCP_ASSIGN_OR_RETURN(const auto base,
                               store.Checkpoints(database, tenant, head->base_seq - 1, 1));
      if (!base.empty() && base[0].size == head->base_seq) base_note = base[0].note;
    }
    lines = writer.Begin(*head, key, base_note);
  }
  const int64_t limit = PageSize(request.limit(), 1000, kPartMax);
  METAMCP_ASSIGN_OR_RETURN(const std::vector<RecordRow> rows,
                           store.Read(database, tenant, from, limit));
  std::vector<std::string> personals(rows.size());
  if (request.personal()) {
    METAMCP_ASSIGN_OR_RETURN(personals, store.OpenPersonals(database, tenant, rows));
  }
  METAMCP_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> notes,
                           store.Checkpoints(database, tenant, from - 1, limit));
  auto note = notes.begin();
  int64_t last = from - 1;
  for (size_t i = 0; i < rows.size(); ++i) {
    lines += writer.Record(rows[i], personals[i]);
    last = rows[i].seq;
    while (note != notes.end() && note->size < last) ++note;
    if (note != notes.end() && note->size == last) lines += writer.Note(*note);
  }
  const bool more = static_cast<int64_t>(rows.size()) == limit && last < head->seq;
  if (more) response.set_next_seq(last + 1);
  // What came between the two reads is part of the next export.
  if (!more && last >= head->seq) {
    Head end = *head;
    if (!rows.empty()) {
      end.seq = last;
      end.hash = rows.back().hash;
    }
    lines += writer.End(end);
  }
  response.set_lines(std::move(lines));
  return response;
}

}  // namespace metamcp::audit
