#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/doctor.h"
#include "common/base/error.h"
#include "common/base/key_ring.h"
#include "common/base/strings.h"
#include "common/config/load.h"
#include "common/db/database.h"
#include "common/db/open_database.h"

namespace metamcp::cli {
namespace {

constexpr std::string_view kInstallation = "installation";

// Whether others than the owner have any right on the file.
bool OpenToOthers(const struct stat& info) { return (info.st_mode & (S_IRWXG | S_IRWXO)) != 0; }

}  // namespace

std::string_view OutcomeName(Finding::Outcome outcome) {
  switch (outcome) {
    case Finding::Outcome::kOk:
      return "ok";
    case Finding::Outcome::kWarning:
      return "warning";
    case Finding::Outcome::kFailed:
      return "failed";
    case Finding::Outcome::kSkipped:
      return "skipped";
  }
  return "failed";
}

void Findings::Ok(std::string area, std::string step, std::string detail) {
  Finding finding;
  finding.area = std::move(area);
  finding.step = std::move(step);
  finding.detail = std::move(detail);
  list_.push_back(std::move(finding));
}

void Findings::Warn(std::string area, std::string step, std::string detail, std::string mend,
                    std::string playbook) {
  Failed(std::move(area), std::move(step), std::move(detail), std::move(mend), std::move(playbook));
  list_.back().outcome = Finding::Outcome::kWarning;
}

void Findings::Failed(std::string area, std::string step, std::string detail, std::string mend,
                      std::string playbook) {
  Ok(std::move(area), std::move(step), std::move(detail));
  list_.back().outcome = Finding::Outcome::kFailed;
  list_.back().mend = std::move(mend);
  list_.back().playbook = std::move(playbook);
}

bool Findings::failed() const {
  for (const Finding& finding : list_) {
    if (finding.outcome == Finding::Outcome::kFailed) return true;
  }
  return false;
}

void CheckInstallation(CommandContext& ctx, Findings* findings) {
  const std::string area(kInstallation);
  findings->Ok(area, "version", StrCat("meta-mcp ", METAMCP_VERSION, " at ", ctx.program));
  if (ctx.describe_sandbox) {
    const std::string sandbox = ctx.describe_sandbox();
    if (sandbox.rfind("none: ", 0) == 0) {
      findings->Warn(area, "sandbox", sandbox,
                     "Servers run with your rights; see docs/security/sandbox.md.", "spawn.md");
    } else {
      findings->Ok(area, "sandbox", sandbox);
    }
  }
  const std::string folder = ctx.DataDir();
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) {
    if (errno == ENOENT) {
      findings->Warn(area, "data folder", StrCat(folder, " does not exist yet"),
                     "Run 'meta-mcp init'.", "config.md");
    } else {
      findings->Failed(area, "data folder", StrCat(folder, ": ", std::strerror(errno)),
                       "Make it readable for you, or choose another with --data-dir.", "config.md");
    }
    return;
  }
  if (!S_ISDIR(info.st_mode) || ::access(folder.c_str(), R_OK | W_OK | X_OK) != 0) {
    findings->Failed(area, "data folder", StrCat(folder, " is no folder that you can write"),
                     StrCat("Run: chmod u+rwx ", folder, ", or choose another with --data-dir."),
                     "config.md");
  } else if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    findings->Failed(area, "data folder", StrCat("others may write to ", folder),
                     StrCat("Run: chmod 700 ", folder), "config.md");
  } else {
    findings->Ok(area, "data folder", folder);
  }
  struct statvfs space {};
  if (::statvfs(folder.c_str(), &space) == 0) {
    const uint64_t mib = static_cast<uint64_t>(space.f_bavail) * space.f_frsize >> 20;
    if (mib < 100) {
      findings->Warn(area, "free space", StrCat(mib, " MiB are left for ", folder),
                     "Make room; the database needs some to write.", "database.md");
    }
  }
  const std::string keys = StrCat(folder, "/keys.json");
  if (::stat(keys.c_str(), &info) != 0) {
    findings->Ok(area, "key file", "made at the first start");
  } else if (OpenToOthers(info)) {
    findings->Failed(area, "key file", StrCat("others may read ", keys),
                     StrCat("Run: chmod 600 ", keys), "config.md");
  } else if (const auto ring = KeyRing::LoadOrCreateBlocking(keys); !ring.ok()) {
    findings->Failed(area, "key file", StrCat(keys, ": ", Sv(ring.status().message())),
                     "Restore it from a backup, or remove it: clients then begin new sessions.",
                     "config.md");
  } else {
    findings->Ok(area, "key file", keys);
  }
}

config::Config CheckConfiguration(CommandContext& ctx, Findings* findings) {
  const std::string area = "configuration";
  const std::string path = ctx.ConfigPath();
  config::LoadOptions options;
  options.env = ctx.env;
  const auto loaded = config::LoadConfigBlocking(path, options);
  if (!loaded.ok()) {
    std::string message(Sv(loaded.status().message()));
    while (!message.empty() && message.back() == '\n') message.pop_back();
    findings->Failed(area, "file", message, "Correct the place that is named.", "config.md");
    return config::Config();
  }
  for (const config::Problem& note : loaded->notes) {
    findings->Warn(area, "file", config::FormatProblem(note), note.mend, "config.md");
  }
  if (!loaded->from_file) {
    findings->Warn(area, "file", StrCat(path, " does not exist; the defaults hold"),
                   "Run 'meta-mcp init'.", "config.md");
  } else {
    findings->Ok(area, "file",
                 StrCat(path, ": ", loaded->config.mcp_servers.size(), " servers, ",
                        loaded->config.virtual_servers.size(), " virtual servers"));
  }
  CheckListenerTls(loaded->config.gateway.tls, findings);
  return loaded->config;
}

void CheckDatabase(CommandContext& ctx, const config::Config& config, Findings* findings) {
  const std::string area = "database";
  const std::string file = StrCat(ctx.DataDir(), "/storage.db");
  std::string url = config.database.url;
  if (url.empty()) {
    if (::access(file.c_str(), F_OK) != 0) {
      findings->Ok(area, "open", "made at the first start");
      return;
    }
    url = StrCat("sqlite:", file);
  }
  db::OpenOptions options;
  options.pool_size = 1;
  const auto database = db::OpenDatabaseBlocking(url, options);
  if (database.ok()) {
    findings->Ok(area, "open", config.database.url.empty() ? file : "reachable");
    return;
  }
  findings->Failed(area, "open", std::string(Sv(database.status().message())),
                   "Check that it is there, that it is yours, and database.url.", "database.md");
}

}  // namespace metamcp::cli
