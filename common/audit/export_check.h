#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/audit/chain.h"

namespace metamcp::audit {

struct ExportCheckOptions {
  ExportCheckOptions() = default;
  std::optional<VerifyKey> key;  // whose signatures count; else the export's own, which proves less
  // Notes that were kept elsewhere, with where: they show an end that was cut off.
  std::vector<std::pair<std::string, std::string>> checkpoints;
};

// Checks an export (docs/audit.md has the format) line by line, without the service.
//
//   ExportChecker check(options);
//   while (std::getline(file, line) && check.Line(line).ok()) {}
//   check.Finish();
class ExportChecker {
 public:
  explicit ExportChecker(ExportCheckOptions options);
  ~ExportChecker();

  // Errors: INVALID_ARGUMENT for a line that is no part of an export. A fault of the log is no
  // error: see fault().
  absl::Status Line(std::string_view line);
  absl::Status Finish();

  const std::optional<ChainFault>& fault() const;
  int64_t line() const { return line_; }
  int64_t fault_line() const { return fault_line_; }  // 0: not in one line
  const std::string& tenant() const { return tenant_; }
  int64_t records() const;
  int64_t checkpoints() const;
  int64_t unproved() const;
  bool complete() const { return ended_; }  // the export reached the log's end of that time

 private:
  absl::Status Header(std::string_view line);
  absl::Status Record(std::string_view line);
  absl::Status Note(std::string_view line);
  absl::Status End(std::string_view line);

  ExportCheckOptions options_;
  std::unique_ptr<ChainVerifier> chain_;
  std::string tenant_;
  int64_t line_ = 0;
  int64_t fault_line_ = 0;
  bool ended_ = false;
};

// "0a1b…" as bytes; empty for anything else.
std::string HexDecode(std::string_view text);

// Notes of a checkpoint file: one JSON object with the member "note" in each line.
absl::StatusOr<std::vector<std::string>> ReadCheckpointLines(std::string_view text);

}  // namespace metamcp::audit
