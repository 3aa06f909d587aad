#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "cli/commands.h"
#include "cli/doctor.h"
#include "cli/rest_json.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/atomic_file.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

class Doctor {
 public:
  Doctor(CommandContext& ctx, std::string name, bool again)
      : ctx_(ctx), name_(std::move(name)), again_(again) {}

  absl::Status Run() {
    ReadFailed();
    if (again_ && failed_before_.empty()) {
      ctx_.Say("Nothing failed last time; 'meta-mcp doctor' looks at everything.");
      return absl::OkStatus();
    }
    config::Config config;
    if (!ctx_.remote()) {
      if (Wanted("installation")) CheckInstallation(ctx_, &findings_);
      config = CheckConfiguration(ctx_, &findings_);
      if (Wanted("database")) CheckDatabase(ctx_, config, &findings_);
    }
    const bool running = CheckGateway(config);
    METAMCP_RETURN_IF_ERROR(running ? DiagnoseServers() : CheckServers(config));
    if (!ctx_.remote()) WriteFailed();
    Print();
    if (findings_.failed()) ctx_.exit_code = kExitFailed;
    return absl::OkStatus();
  }

 private:
  bool Wanted(const std::string& area) const { return !again_ || failed_before_.count(area) > 0; }
  bool WantedServer(const std::string& name) const {
    return name_.empty() ? Wanted(StrCat("server ", name)) : Slug(name) == Slug(name_);
  }

  bool CheckGateway(const config::Config& config) {
    RestRequest request("GET", ApiPath({"status"}));
    request.timeout = std::chrono::seconds(10);
    const auto status = ctx_.rest().Call(request);
    const std::string where = ctx_.Target().name();
    if (status.ok()) {
      findings_.Ok("gateway", "running", StrCat("answers at ", where));
      return true;
    }
    const std::string said(Sv(status.status().message()));
    const int code = ExitCodeOf(status.status());
    if (code == kExitUnreachable && !ctx_.remote()) {
      if (ctx_.start_gateway && !config.mcp_servers.empty()) return StartGateway();
      findings_.Warn("gateway", "running", StrCat("none answers at ", where),
                     "Start it with 'meta-mcp serve'; the servers are checked from here meanwhile.",
                     "not-running.md");
    } else {
      findings_.Failed("gateway", "running", said,
                       code == kExitDenied ? "Give a valid key with --token."
                                           : "Check the URL and that the gateway runs.",
                       code == kExitDenied ? "auth.md" : "not-running.md");
    }
    return false;
  }

  // Only a gateway can start servers and speak with them.
  bool StartGateway() {
    const absl::Status started = ctx_.start_gateway(ctx_);
    if (started.ok()) {
      findings_.Warn("gateway", "running",
                     "none ran; one was started for this look and ends a minute after it",
                     "Start one that stays with 'meta-mcp serve'.", "not-running.md");
      return true;
    }
    findings_.Failed("gateway", "start", std::string(Sv(started.message())),
                     "Mend what its last words name; the servers are checked from here meanwhile.",
                     "not-running.md");
    return false;
  }

  absl::Status DiagnoseServers() {
    METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, ListAll(ctx_, "servers", "upstreams"));
    std::vector<std::string> names;
    bool found = false;
    for (const nlohmann::json& upstream : ArrayOf(reply, "upstreams")) {
      const std::string name = TextOf(ObjectOf(upstream, "meta"), "name");
      // One of our own services is nothing to connect to.
      if (TextOf(ObjectOf(upstream, "spec"), "type") == "service") continue;
      names.push_back(name);
      if (!WantedServer(name)) continue;
      found = true;
      if (!BoolOf(upstream, "enabled") && name_.empty()) continue;
      Diagnose(name);
    }
    return found || name_.empty() ? absl::OkStatus() : NoSuchServer(names);
  }

  void Diagnose(const std::string& name) {
    const std::string area = StrCat("server ", name);
    RestRequest request("POST", ApiPath({"servers", name, "diagnose"}), "{}");
    const auto reply = CallJson(ctx_, request);
    if (!reply.ok()) {
      findings_.Failed(area, "diagnose", std::string(Sv(reply.status().message())),
                       StrCat("See 'meta-mcp server logs ", name, "'."), "handshake.md");
      return;
    }
    for (const nlohmann::json& step : ArrayOf(*reply, "steps")) {
      Finding finding;
      finding.area = area;
      finding.step = TextOf(step, "step");
      const std::string outcome = TextOf(step, "outcome");
      finding.outcome = outcome == "ok"        ? Finding::Outcome::kOk
                        : outcome == "skipped" ? Finding::Outcome::kSkipped
                                               : Finding::Outcome::kFailed;
      finding.detail = TextOf(step, "detail");
      finding.mend = TextOf(step, "mend");
      finding.playbook = TextOf(step, "playbook");
      findings_.Add(std::move(finding));
    }
  }

  absl::Status CheckServers(const config::Config& config) {
    if (ctx_.remote()) return absl::OkStatus();
    std::vector<std::string> names;
    bool found = false;
    for (const auto& [name, server] : config.mcp_servers) {
      names.push_back(name);
      if (!WantedServer(name)) continue;
      found = true;
      CheckServerLocally(ctx_, name, server, &findings_);
    }
    return found || name_.empty() ? absl::OkStatus() : NoSuchServer(names);
  }

  absl::Status NoSuchServer(const std::vector<std::string>& names) const {
    const std::string near = Nearest(name_, names);
    return Fail("NOT_FOUND", StrCat("there is no server \"", name_, "\""),
                near.empty() ? "'meta-mcp server list' shows all."
                             : StrCat("Did you mean \"", near, "\"?"));
  }

  // What failed is kept, so that --again can look at just that.
  std::string StatePath() const { return StrCat(ctx_.DataDir(), "/doctor.json"); }
  void ReadFailed() {
    std::ifstream file(StatePath(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto state = json::ParseJson(text);
    if (!state.ok()) return;
    for (const nlohmann::json& area : ArrayOf(*state, "failed")) {
      if (area.is_string()) failed_before_.insert(area.get<std::string>());
    }
  }
  void WriteFailed() {
    std::set<std::string> areas;
    // What was not looked at is as it was.
    if (again_ || !name_.empty()) areas = failed_before_;
    for (const Finding& finding : findings_.list()) areas.erase(finding.area);
    for (const Finding& finding : findings_.list()) {
      if (finding.outcome == Finding::Outcome::kFailed) areas.insert(finding.area);
    }
    nlohmann::ordered_json state;
    state["failed"] = areas;
    // Only a convenience: a folder that cannot be written is among the findings anyway.
    (void)config::ReplaceTextBlocking(StatePath(), json::DumpJson(state));
  }

  void Print() {
    if (ctx_.json()) {
      PrintAsJson();
      return;
    }
    std::string area;
    int failed = 0;
    for (const Finding& f : findings_.list()) {
      if (f.area != area) *ctx_.out << (area.empty() ? "" : "\n") << OneLine(f.area) << "\n";
      area = f.area;
      *ctx_.out << "  " << OutcomeName(f.outcome) << "  " << OneLine(f.step)
                << (f.detail.empty() ? "" : ": ") << Printable(f.detail) << "\n";
      if (f.outcome == Finding::Outcome::kOk || f.outcome == Finding::Outcome::kSkipped) continue;
      if (f.outcome == Finding::Outcome::kFailed) ++failed;
      if (!f.mend.empty()) *ctx_.out << "      what to do: " << OneLine(f.mend) << "\n";
      if (!f.playbook.empty()) {
        *ctx_.out << "      more: docs/playbooks/" << OneLine(f.playbook) << "\n";
      }
    }
    *ctx_.out << "\n"
              << (failed == 0 ? std::string("Nothing failed.")
                              : StrCat(failed, failed == 1 ? " check" : " checks",
                                       " failed. After mending: meta-mcp doctor --again"))
              << "\n";
  }

  void PrintAsJson() {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Finding& f : findings_.list()) {
      nlohmann::ordered_json row;
      row["area"] = f.area;
      row["step"] = f.step;
      row["outcome"] = OutcomeName(f.outcome);
      row["detail"] = f.detail;
      if (!f.mend.empty()) row["mend"] = f.mend;
      if (!f.playbook.empty()) row["playbook"] = StrCat("docs/playbooks/", f.playbook);
      list.push_back(std::move(row));
    }
    nlohmann::ordered_json out;
    out["ok"] = !findings_.failed();
    out["findings"] = std::move(list);
    ctx_.PrintJson(json::DumpJson(out));
  }

  CommandContext& ctx_;
  const std::string name_;
  const bool again_;
  std::set<std::string> failed_before_;
  Findings findings_;
};

}  // namespace

void AddDoctorCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto name = std::make_shared<std::string>();
  auto again = std::make_shared<bool>(false);
  Command doctor = root.Sub("doctor", "Finds what is wrong and says how to mend it");
  doctor.Example("meta-mcp doctor")
      .Example("meta-mcp doctor git")
      .Example("meta-mcp doctor --again")
      .More(
          "Looks at the installation, the configuration, the gateway and each server: name, "
          "connection, TLS, credentials, start, handshake, list and one call that changes "
          "nothing. Starts a gateway for a minute where none runs. Exit code 1 when something "
          "failed.");
  doctor.OptionalArgument("NAME", name.get(), "only this server")
      .Flag("--again", again.get(), "only what failed last time");
  doctor.Run([&ctx, name, again] { return Doctor(ctx, *name, *again).Run(); });
}

}  // namespace metamcp::cli
