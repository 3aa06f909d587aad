#include "services/ai/store/sql_store.h"

#include <map>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/migrations.h"
#include "migrations/ai.h"

namespace metamcp::ai {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr std::string_view kSums =
    "COALESCE(SUM(requests), 0) AS requests, COALESCE(SUM(failures), 0) AS failures, "
    "COALESCE(SUM(input_tokens), 0) AS input_tokens, COALESCE(SUM(output_tokens), 0) AS "
    "output_tokens, COALESCE(SUM(cost_micros), 0) AS cost_micros";

absl::Status ReadNumbers(const Row& row, UsageRow* out) {
  METAMCP_ASSIGN_OR_RETURN(out->requests, row.Get<int64_t>("requests"));
  METAMCP_ASSIGN_OR_RETURN(out->failures, row.Get<int64_t>("failures"));
  METAMCP_ASSIGN_OR_RETURN(out->input_tokens, row.Get<int64_t>("input_tokens"));
  METAMCP_ASSIGN_OR_RETURN(out->output_tokens, row.Get<int64_t>("output_tokens"));
  METAMCP_ASSIGN_OR_RETURN(out->cost_micros, row.Get<int64_t>("cost_micros"));
  return absl::OkStatus();
}

}  // namespace

absl::Status SqlStore::MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "ai", ai::Migrations()).status();
}

absl::Status SqlStore::AddSuggestion(const SuggestionRow& row, int64_t forget_us) {
  const db::TransactOptions options;
  return database_
      .Transact(options,
                [&](Transaction& tx) -> absl::StatusOr<bool> {
                  const Params key = {{"tenant", row.tenant}, {"id", row.id}};
                  const Params values = {
                      {"subject", row.subject},      {"task", row.task},
                      {"made_by", row.made_by},      {"provider", row.provider},
                      {"model", row.model},          {"prompt_version", row.prompt_version},
                      {"workflow", row.workflow},    {"valid", row.valid ? int64_t{1} : int64_t{0}},
                      {"created_us", row.created_us}};
                  METAMCP_RETURN_IF_ERROR(tx.Upsert("ai_suggestions", key, values));
                  for (const std::string_view table : {"ai_suggestions", "ai_feedback"}) {
                    METAMCP_RETURN_IF_ERROR(
                        tx.Execute(StrCat("DELETE FROM ", table, " WHERE created_us < :before"),
                                   {{"before", forget_us}})
                            .status());
                  }
                  return true;
                })
      .status();
}

absl::Status SqlStore::AddFeedback(const FeedbackRow& row) {
  const db::TransactOptions options;
  return database_
      .Transact(options,
                [&](Transaction& tx) -> absl::StatusOr<bool> {
                  METAMCP_ASSIGN_OR_RETURN(
                      const Rows known,
                      tx.Query("SELECT id FROM ai_suggestions WHERE tenant = :tenant AND id = :id",
                               {{"tenant", row.tenant}, {"id", row.suggestion_id}}));
                  if (known.empty()) {
                    return MakeError("NOT_FOUND", "ai",
                                     StrCat("no suggestion \"", row.suggestion_id, "\""));
                  }
                  const Params key = {{"tenant", row.tenant}, {"id", row.id}};
                  const Params values = {{"suggestion_id", row.suggestion_id},
                                         {"subject", row.subject},
                                         {"kind", row.kind},
                                         {"rating", row.rating},
                                         {"comment", row.comment},
                                         {"created_us", row.created_us}};
                  METAMCP_RETURN_IF_ERROR(tx.Upsert("ai_feedback", key, values));
                  return true;
                })
      .status();
}

absl::StatusOr<std::vector<QualityRow>> SqlStore::Quality(const std::string& tenant,
                                                          int64_t since_us) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<QualityRow>> {
    std::map<std::string, QualityRow> by_maker;
    METAMCP_ASSIGN_OR_RETURN(
        const Rows made,
        tx.Query("SELECT made_by, COUNT(*) AS n, COALESCE(SUM(valid), 0) AS valid FROM "
                 "ai_suggestions WHERE tenant = :tenant AND created_us >= :since GROUP BY made_by",
                 {{"tenant", tenant}, {"since", since_us}}));
    for (const Row& row : made) {
      METAMCP_ASSIGN_OR_RETURN(const std::string maker, row.Get<std::string>("made_by"));
      QualityRow& out = by_maker[maker];
      METAMCP_ASSIGN_OR_RETURN(out.suggestions, row.Get<int64_t>("n"));
      METAMCP_ASSIGN_OR_RETURN(out.valid, row.Get<int64_t>("valid"));
    }
    METAMCP_ASSIGN_OR_RETURN(
        const Rows said,
        tx.Query("SELECT s.made_by AS made_by, f.kind AS kind, COUNT(*) AS n, "
                 "COALESCE(SUM(f.rating), 0) AS ratings FROM ai_feedback f JOIN ai_suggestions s "
                 "ON s.tenant = f.tenant AND s.id = f.suggestion_id WHERE f.tenant = :tenant AND "
                 "s.created_us >= :since GROUP BY s.made_by, f.kind",
                 {{"tenant", tenant}, {"since", since_us}}));
    for (const Row& row : said) {
      METAMCP_ASSIGN_OR_RETURN(const std::string maker, row.Get<std::string>("made_by"));
      METAMCP_ASSIGN_OR_RETURN(const std::string kind, row.Get<std::string>("kind"));
      METAMCP_ASSIGN_OR_RETURN(const int64_t n, row.Get<int64_t>("n"));
      METAMCP_ASSIGN_OR_RETURN(const int64_t ratings, row.Get<int64_t>("ratings"));
      QualityRow& out = by_maker[maker];
      if (kind == "accepted") out.accepted = n;
      if (kind == "edited") out.edited = n;
      if (kind == "failed") out.failed = n;
      if (kind == "rated") out.rated = n, out.rating_sum = ratings;
    }
    std::vector<QualityRow> rows;
    for (auto& [maker, row] : by_maker) {
      row.made_by = maker;
      rows.push_back(std::move(row));
    }
    return rows;
  });
}

absl::StatusOr<std::vector<SaidRow>> SqlStore::Said(const std::string& tenant,
                                                    const std::string& subject,
                                                    const std::string& suggestion, int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<SaidRow>> {
    std::string sql =
        "SELECT f.id AS id, f.suggestion_id AS suggestion_id, f.subject AS subject, f.kind AS "
        "kind, "
        "f.rating AS rating, f.comment AS comment, f.created_us AS created_us, s.task AS task, "
        "s.made_by AS made_by, s.prompt_version AS prompt_version FROM ai_feedback f JOIN "
        "ai_suggestions s ON s.tenant = f.tenant AND s.id = f.suggestion_id WHERE f.tenant = "
        ":tenant";
    Params params = {{"tenant", tenant}, {"limit", limit}};
    if (!subject.empty()) {
      sql += " AND f.subject = :subject";
      params.emplace_back("subject", subject);
    }
    if (!suggestion.empty()) {
      sql += " AND f.suggestion_id = :suggestion";
      params.emplace_back("suggestion", suggestion);
    }
    sql += " ORDER BY f.created_us DESC, f.id LIMIT :limit";
    METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Query(sql, params));
    std::vector<SaidRow> out;
    for (const Row& row : rows) {
      SaidRow one;
      one.feedback.tenant = tenant;
      for (const auto& [name, to] : {std::pair("id", &one.feedback.id),
                                     {"suggestion_id", &one.feedback.suggestion_id},
                                     {"subject", &one.feedback.subject},
                                     {"kind", &one.feedback.kind},
                                     {"comment", &one.feedback.comment},
                                     {"task", &one.task},
                                     {"made_by", &one.made_by},
                                     {"prompt_version", &one.prompt_version}}) {
        METAMCP_ASSIGN_OR_RETURN(*to, row.Get<std::string>(name));
      }
      METAMCP_ASSIGN_OR_RETURN(one.feedback.rating, row.Get<int64_t>("rating"));
      METAMCP_ASSIGN_OR_RETURN(one.feedback.created_us, row.Get<int64_t>("created_us"));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::StatusOr<std::vector<std::string>> SqlStore::Accepted(const std::string& tenant,
                                                            int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<std::string>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT s.workflow AS workflow FROM ai_suggestions s JOIN ai_feedback f ON "
                 "f.tenant = s.tenant AND f.suggestion_id = s.id WHERE s.tenant = :tenant AND "
                 "f.kind = 'accepted' ORDER BY s.created_us DESC LIMIT :limit",
                 {{"tenant", tenant}, {"limit", limit}}));
    std::vector<std::string> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(out.emplace_back(), row.Get<std::string>("workflow"));
    }
    return out;
  });
}

absl::Status SqlStore::AddUsage(const UsageRow& used) {
  const db::TransactOptions options;
  const Params key = {{"tenant", used.tenant},
                      {"subject", used.subject},
                      {"provider", used.provider},
                      {"day", used.day}};
  return database_
      .Transact(
          options,
          [&](Transaction& tx) -> absl::StatusOr<bool> {
            METAMCP_RETURN_IF_ERROR(
                tx.AdvisoryLock(StrCat("metamcp.ai.usage.", used.tenant, ".", used.subject)));
            Params values = {{"requests", used.requests},
                             {"failures", used.failures},
                             {"input_tokens", used.input_tokens},
                             {"output_tokens", used.output_tokens},
                             {"cost_micros", used.cost_micros}};
            Params all = key;
            all.insert(all.end(), values.begin(), values.end());
            METAMCP_ASSIGN_OR_RETURN(
                const int64_t changed,
                tx.Execute("UPDATE ai_usage SET requests = requests + :requests, failures = "
                           "failures + :failures, input_tokens = input_tokens + :input_tokens, "
                           "output_tokens = output_tokens + :output_tokens, cost_micros = "
                           "cost_micros + :cost_micros WHERE tenant = :tenant AND subject = "
                           ":subject AND provider = :provider AND day = :day",
                           all));
            if (changed == 0) METAMCP_RETURN_IF_ERROR(tx.Upsert("ai_usage", key, values));
            return true;
          })
      .status();
}

absl::StatusOr<UsageRow> SqlStore::UsageOfDay(const std::string& tenant, int64_t day,
                                              const std::string& subject,
                                              const std::string& provider) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<UsageRow> {
    std::string sql =
        StrCat("SELECT ", kSums, " FROM ai_usage WHERE tenant = :tenant AND day = :day");
    Params params = {{"tenant", tenant}, {"day", day}};
    if (!subject.empty()) {
      sql += " AND subject = :subject";
      params.emplace_back("subject", subject);
    }
    if (!provider.empty()) {
      sql += " AND provider = :provider";
      params.emplace_back("provider", provider);
    }
    METAMCP_ASSIGN_OR_RETURN(const Row row, tx.QueryOne(sql, params));
    UsageRow out;
    METAMCP_RETURN_IF_ERROR(ReadNumbers(row, &out));
    return out;
  });
}

absl::StatusOr<std::vector<UsageRow>> SqlStore::Usage(const std::string& tenant, int64_t from_day,
                                                      int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<UsageRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT subject, provider, day, requests, failures, input_tokens, output_tokens, "
                 "cost_micros FROM ai_usage WHERE tenant = :tenant AND day >= :day ORDER BY day "
                 "DESC, subject, provider LIMIT :limit",
                 {{"tenant", tenant}, {"day", from_day}, {"limit", limit}}));
    std::vector<UsageRow> out;
    for (const Row& row : rows) {
      UsageRow one;
      one.tenant = tenant;
      METAMCP_ASSIGN_OR_RETURN(one.subject, row.Get<std::string>("subject"));
      METAMCP_ASSIGN_OR_RETURN(one.provider, row.Get<std::string>("provider"));
      METAMCP_ASSIGN_OR_RETURN(one.day, row.Get<int64_t>("day"));
      METAMCP_RETURN_IF_ERROR(ReadNumbers(row, &one));
      out.push_back(std::move(one));
    }
    return out;
  });
}

}  // namespace metamcp::ai
