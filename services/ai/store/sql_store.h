#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"

namespace metamcp::ai {

struct SuggestionRow {
  std::string id, tenant, subject, task, made_by, provider, model, prompt_version, workflow;
  bool valid = false;
  int64_t created_us = 0;
};

struct FeedbackRow {
  std::string id, tenant, suggestion_id, subject;
  std::string kind;    // accepted, edited, failed or rated
  int64_t rating = 0;  // 1 to 5; 0: none
  std::string comment;
  int64_t created_us = 0;
};

// What somebody said of a suggestion, with what it was.
struct SaidRow {
  FeedbackRow feedback;
  std::string task, made_by, prompt_version;
};

struct UsageRow {
  std::string tenant, subject, provider;
  int64_t day = 0;
  int64_t requests = 0, failures = 0, input_tokens = 0, output_tokens = 0, cost_micros = 0;
};

// What became of suggestions since a time.
struct QualityRow {
  std::string made_by;
  int64_t suggestions = 0, valid = 0, accepted = 0, edited = 0, failed = 0, rated = 0,
          rating_sum = 0;
};

// The one store of the ai service. Blocking: on database threads only. Errors: those of common/db,
// beside those named.
class SqlStore {
 public:
  explicit SqlStore(db::Database& database) : database_(database) {}
  static absl::Status MigrateBlocking(db::Database& database);

  // Forgets those made, and what was said of them, before `forget_us`.
  absl::Status AddSuggestion(const SuggestionRow& row, int64_t forget_us = 0);
  // Errors: NOT_FOUND for an unknown suggestion.
  absl::Status AddFeedback(const FeedbackRow& row);
  absl::StatusOr<std::vector<QualityRow>> Quality(const std::string& tenant, int64_t since_us);

  // The newest first, at most `limit`; of everybody where `subject` is empty, of every suggestion
  // where that is.
  absl::StatusOr<std::vector<SaidRow>> Said(const std::string& tenant, const std::string& subject,
                                            const std::string& suggestion, int64_t limit);

  // The workflows of the newest suggestions that somebody took as they were.
  absl::StatusOr<std::vector<std::string>> Accepted(const std::string& tenant, int64_t limit);

  // Adds to the row of that tenant, subject, provider and day.
  absl::Status AddUsage(const UsageRow& used);
  // Sum of a day; an empty subject or provider means all.
  absl::StatusOr<UsageRow> UsageOfDay(const std::string& tenant, int64_t day,
                                      const std::string& subject, const std::string& provider);
  // Rows from a day on, newest first, at most `limit`.
  absl::StatusOr<std::vector<UsageRow>> Usage(const std::string& tenant, int64_t from_day,
                                              int64_t limit);

 private:
  db::Database& database_;
};

}  // namespace metamcp::ai
