#include "common/audit/export_check.h"

#include <charconv>

#include "common/base/key_ring.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::audit {
namespace {

absl::Status Bad(std::string_view what) { return absl::InvalidArgumentError(Av(what)); }

}  // namespace

std::string HexDecode(std::string_view text) {
  std::string out;
  if (text.size() % 2 != 0) return out;
  for (size_t i = 0; i < text.size(); i += 2) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (error != std::errc() || end != text.data() + i + 2) return "";
    out.push_back(static_cast<char>(value));
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> ReadCheckpointLines(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const auto view = json::ScanObject(line);
    auto note = view.ok() ? view->String("note") : std::nullopt;
    // The last line may be cut off where its writer was killed.
    if (!note && text.empty()) break;
    if (!note) return Bad("a line of the checkpoint file is no checkpoint");
    out.push_back(*std::move(note));
  }
  return out;
}

ExportChecker::ExportChecker(ExportCheckOptions options) : options_(std::move(options)) {}
ExportChecker::~ExportChecker() = default;

const std::optional<ChainFault>& ExportChecker::fault() const {
  static const std::optional<ChainFault> kNone;
  return chain_ ? chain_->fault() : kNone;
}
int64_t ExportChecker::records() const { return chain_ ? chain_->records() : 0; }
int64_t ExportChecker::checkpoints() const { return chain_ ? chain_->checkpoints() : 0; }
int64_t ExportChecker::unproved() const { return chain_ ? chain_->unproved() : 0; }

absl::Status ExportChecker::Line(std::string_view line) {
  ++line_;
  if (fault()) return absl::OkStatus();
  absl::Status status;
  if (line_ == 1) {
    status = Header(line);
  } else if (ended_) {
    status = Bad("there are lines behind the end");
  } else {
    const auto view = json::ScanObject(line);
    if (!view.ok()) return Bad(StrCat("line ", line_, " is no JSON object"));
    const std::string type = view->String("type").value_or("");
    status = type == "record"       ? Record(line)
             : type == "checkpoint" ? Note(line)
             : type == "end"        ? End(line)
                                    : Bad(StrCat("unknown line \"", type, "\""));
  }
  if (!status.ok())
    return absl::Status(status.code(), StrCat("line ", line_, ": ", Sv(status.message())));
  if (fault()) fault_line_ = line_;
  return absl::OkStatus();
}

absl::Status ExportChecker::Header(std::string_view line) {
  const auto view = json::ScanObject(line);
  if (!view.ok() || view->String("format") != "meta-mcp-audit/1") {
    return Bad(
        "this is no audit export (it begins with a line of \"format\":\"meta-mcp-audit/1\")");
  }
  tenant_ = view->String("tenant").value_or("");
  ChainStart start;
  start.previous = HexDecode(view->String("previous").value_or(""));
  const auto removed =
      MerkleFrontier::Decode(Base64Decode(view->String("removed").value_or("")).value_or(""));
  if (start.previous.size() != 32 || !removed) return Bad("\"previous\" or \"removed\" is damaged");
  if (removed->size() == 0 && start.previous != kChainStart) {
    return Bad("the chain does not begin at its start");
  }
  start.removed = *removed;
  if (!options_.key) {
    METAMCP_ASSIGN_OR_RETURN(options_.key, VerifyKey::FromPem(view->String("key").value_or("")));
  }
  chain_ = std::make_unique<ChainVerifier>(tenant_, view->String("origin").value_or(""),
                                           std::move(start));
  if (const auto note = view->String("checkpoint")) {
    METAMCP_ASSIGN_OR_RETURN(const Checkpoint base, OpenCheckpoint(*note, *options_.key));
    chain_->Expect(base, "the export");
  }
  for (const auto& [note, source] : options_.checkpoints) {
    METAMCP_ASSIGN_OR_RETURN(const Checkpoint kept, OpenCheckpoint(note, *options_.key));
    chain_->Expect(kept, source);
  }
  return absl::OkStatus();
}

absl::Status ExportChecker::Record(std::string_view line) {
  const auto view = json::ScanObject(line);
  const auto seq = json::RawInt64(view->Raw("seq"));
  if (!seq || !view->Has("record")) return Bad("a record without seq or content");
  chain_->Add(*seq, view->Raw("record"), HexDecode(view->String("hash").value_or("")));
  return absl::OkStatus();
}

absl::Status ExportChecker::Note(std::string_view line) {
  const auto view = json::ScanObject(line);
  const auto checkpoint = OpenCheckpoint(view->String("note").value_or(""), *options_.key);
  if (!checkpoint.ok()) {
    chain_->Fail(chain_->size() + 1, std::string(checkpoint.status().message()));
    return absl::OkStatus();
  }
  chain_->Expect(*checkpoint, "the export");
  return absl::OkStatus();
}

absl::Status ExportChecker::End(std::string_view line) {
  const auto view = json::ScanObject(line);
  ended_ = true;
  chain_->Finish(json::RawInt64(view->Raw("seq")).value_or(-1),
                 HexDecode(view->String("hash").value_or("")));
  return absl::OkStatus();
}

absl::Status ExportChecker::Finish() {
  if (!chain_) return Bad("the file is empty");
  if (!ended_) chain_->Finish();
  return absl::OkStatus();
}

}  // namespace metamcp::audit
