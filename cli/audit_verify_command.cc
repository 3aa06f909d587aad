// Proving the audit: by the service over the database, or here over an export.

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/audit/export_check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct VerifyOptions {
  std::string file, key, checkpoints;
};

struct Verdict {
  bool valid = false;
  int64_t bad_seq = 0;
  std::string problem;
  int64_t records = 0;
  int64_t checkpoints = 0;
  int64_t unproved = 0;
  int64_t outside = 0;
  std::string remark;
};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return UsageError(StrCat("cannot read ", path));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

absl::StatusOr<Verdict> VerifyOnline(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"audit", "verify"}))));
  Verdict out;
  out.valid = BoolOf(reply, "valid");
  out.bad_seq = NumberOf(reply, "badSeq");
  out.problem = TextOf(reply, "problem");
  out.records = NumberOf(reply, "records");
  out.checkpoints = NumberOf(reply, "checkpoints");
  out.unproved = NumberOf(reply, "unproved");
  out.outside = NumberOf(reply, "outside");
  if (out.outside == 0) out.remark = "no checkpoints were kept outside the database";
  return out;
}

absl::StatusOr<Verdict> VerifyFile(const VerifyOptions& o) {
  audit::ExportCheckOptions options;
  Verdict out;
  if (!o.key.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string pem, ReadFile(o.key));
    const auto key = audit::VerifyKey::FromPem(pem);
    if (!key.ok()) return UsageError(StrCat(o.key, " is no Ed25519 public key in PEM"));
    options.key = *key;
  } else {
    out.remark = "the key was taken from the export itself; give --key to prove who signed";
  }
  if (!o.checkpoints.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string text, ReadFile(o.checkpoints));
    const auto notes = audit::ReadCheckpointLines(text);
    if (!notes.ok()) return UsageError(StrCat(o.checkpoints, " holds no checkpoints"));
    for (const std::string& note : *notes) options.checkpoints.emplace_back(note, o.checkpoints);
    out.outside = static_cast<int64_t>(notes->size());
  }
  std::ifstream file(o.file, std::ios::binary);
  if (!file) return UsageError(StrCat("cannot read ", o.file));
  audit::ExportChecker check(std::move(options));
  absl::Status status;
  for (std::string line; status.ok() && std::getline(file, line);) status = check.Line(line);
  if (status.ok()) status = check.Finish();
  if (!status.ok()) return UsageError(StrCat(o.file, ": ", Sv(status.message())));
  out.valid = !check.fault();
  if (check.fault()) {
    out.bad_seq = check.fault()->seq;
    out.problem = check.fault()->what;
  }
  out.records = check.records();
  out.checkpoints = check.checkpoints();
  out.unproved = check.unproved();
  if (out.valid && !check.complete()) out.remark = "the export does not reach the end of the log";
  return out;
}

absl::Status Verify(CommandContext& ctx, const VerifyOptions& o) {
  if (o.file.empty() && (!o.key.empty() || !o.checkpoints.empty())) {
    return UsageError("--key and --checkpoints belong to a FILE");
  }
  METAMCP_ASSIGN_OR_RETURN(const Verdict verdict,
                           o.file.empty() ? VerifyOnline(ctx) : VerifyFile(o));
  if (!verdict.valid) ctx.exit_code = kExitFailed;
  if (ctx.json()) {
    nlohmann::json out;
    out["valid"] = verdict.valid;
    out["badSeq"] = verdict.bad_seq;
    out["problem"] = verdict.problem;
    out["records"] = verdict.records;
    out["checkpoints"] = verdict.checkpoints;
    out["unproved"] = verdict.unproved;
    out["outside"] = verdict.outside;
    out["remark"] = verdict.remark;
    ctx.PrintJson(json::DumpJson(out));
    return absl::OkStatus();
  }
  if (!verdict.valid) {
    *ctx.out << "NOT VALID: record " << verdict.bad_seq << ": " << OneLine(verdict.problem) << "\n";
  } else {
    *ctx.out << "valid: " << verdict.records << " records, " << verdict.checkpoints
             << " checkpoints (" << verdict.outside << " kept outside), " << verdict.unproved
             << " records behind the last one\n";
  }
  if (!verdict.remark.empty()) ctx.Note(verdict.remark);
  return absl::OkStatus();
}

}  // namespace

void AddAuditVerifyCommand(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<VerifyOptions>();
  Command verify = group.Sub("verify", "Proves that records are complete and unaltered");
  verify.Example("meta-mcp audit verify")
      .Example(
          "meta-mcp audit verify audit.jsonl --key audit-public.pem --checkpoints "
          "audit-checkpoints.jsonl")
      .More(
          "Without a file the gateway checks its database; with an export in jsonl it is checked "
          "here, and no gateway is asked. Names the first bad record; exit code 1 then.");
  verify.OptionalArgument("FILE", &o->file, "an export")
      .Option("--key", &o->key, "public key ('meta-mcp audit key'), kept from before", "FILE")
      .Option("--checkpoints", &o->checkpoints, "checkpoints that were kept elsewhere", "FILE");
  verify.Run([&ctx, o] { return Verify(ctx, *o); });
}

}  // namespace metamcp::cli
