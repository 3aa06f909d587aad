#pragma once

#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/db/testing.h"
#include "common/json/dom.h"
#include "services/workflow/engine/engine.h"

namespace metamcp::workflow::testing {

using Json = nlohmann::ordered_json;

// Tools of a test. Each call is noted; a handler answers with a result object or an error.
class FakeCaller final : public Caller {
 public:
  struct Call {
    std::string tool, arguments, key;
  };
  using Handler = std::function<absl::StatusOr<ToolResult>(const Call&)>;

  Awaitable<absl::StatusOr<ToolInfo>> Describe(const CallContext&, std::string tool) override {
    ToolInfo info;
    info.repeatable = repeatable.count(tool) > 0 || reads.count(tool) > 0;
    info.reads = reads.count(tool) > 0;
    if (const auto it = samples.find(tool); it != samples.end()) info.sample = it->second;
    info.fingerprint = "abc123";
    if (handlers.count(tool) == 0) co_return MakeError("TOOL_NOT_FOUND", "test", tool);
    co_return info;
  }
  Awaitable<absl::StatusOr<ToolResult>> CallTool(const CallContext&, std::string tool,
                                                 std::string arguments, std::string key) override {
    Call call{tool, std::move(arguments), std::move(key)};
    calls.push_back(call);
    ++running;
    most = std::max(most, running);
    struct Done {
      ~Done() { --*count; }
      int* count;
    } done{&running};
    if (delay.count() > 0) {
      auto pause = Sleep(delay);
      const bool slept = co_await std::move(pause);
      if (!slept) ++cancelled;
    }
    const auto it = handlers.find(tool);
    if (it == handlers.end()) co_return MakeError("TOOL_NOT_FOUND", "test", tool);
    co_return it->second(call);
  }
  Awaitable<absl::StatusOr<HttpReply>> CallHttp(const CallContext&, HttpCall call) override {
    requests.push_back(call);
    if (!http) co_return MakeError("UPSTREAM_UNAVAILABLE", "test", "no network");
    co_return http(call);
  }

  Awaitable<absl::StatusOr<ApprovalInfo>> LookUpApproval(const CallContext&,
                                                         std::string id) override {
    ++looks;
    if (approvals_away) co_return absl::UnavailableError("away");
    const auto it = approvals.find(id);
    if (it == approvals.end()) co_return MakeError("NOT_FOUND", "test", id);
    co_return it->second.info;
  }
  Awaitable<absl::Status> DecideApproval(const CallContext& ctx, std::string id,
                                         bool approve) override {
    const auto it = approvals.find(id);
    if (it == approvals.end()) co_return MakeError("NOT_FOUND", "test", id);
    ApprovalInfo& info = it->second.info;
    const std::string wanted = approve ? "approved" : "denied";
    if (info.state == wanted) co_return absl::OkStatus();
    if (info.state != "waiting") co_return MakeError("APPROVAL_CLOSED", "test", info.state);
    info.state = wanted;
    info.decided_by = ctx.principal ? ctx.principal->subject : std::string();
    co_return absl::OkStatus();
  }
  Awaitable<void> HearDenial(const CallContext&, std::string id) override {
    if (approvals.count(id) > 0 && approvals[id].info.state == "denied") {
      approvals[id].info.state = "closed";
    }
    co_return;
  }
  // A tool that a person must allow, as the call chain does it: for one call with these arguments.
  Handler Asking(Handler then) {
    return [this, then](const Call& call) -> absl::StatusOr<ToolResult> {
      const std::string digest = call.tool + call.arguments;
      for (auto& [id, approval] : approvals) {
        ApprovalInfo& info = approval.info;
        if (approval.digest != digest) continue;
        if (info.state == "approved") {
          info.state = "used";
          ++allowed;
          return then(call);
        }
        if (info.state == "denied") {
          info.state = "closed";
          return MakeError("CONSENT_DENIED", "policy", "a person denied this call");
        }
        if (info.state == "waiting") return Required(id);
      }
      const std::string id = StrCat("approval-", approvals.size() + 1);
      Approval& made = approvals[id];
      made.digest = digest;
      made.info.state = "waiting";
      made.info.item = call.tool;
      made.info.shown = call.arguments;
      made.info.rule = "ask";
      made.info.reason = "Files are precious.";
      made.info.expires_us = NowMicros() + approval_us;
      return Required(id);
    };
  }
  static absl::Status Required(const std::string& id) {
    return MakeError("CONSENT_REQUIRED", "policy", "a person must allow it", {{"approval", id}});
  }

  struct Approval {
    ApprovalInfo info;
    std::string digest;
  };
  std::map<std::string, Approval> approvals;  // by id
  int64_t approval_us = 600'000'000;
  bool approvals_away = false;
  int looks = 0, allowed = 0;

  size_t Count(const std::string& tool) const {
    size_t n = 0;
    for (const Call& call : calls) n += call.tool == tool ? 1 : 0;
    return n;
  }

  std::map<std::string, Handler> handlers;
  std::set<std::string> repeatable, reads;
  std::map<std::string, std::string> samples;
  std::function<absl::StatusOr<HttpReply>(const HttpCall&)> http;
  std::vector<Call> calls;
  std::vector<HttpCall> requests;
  std::chrono::milliseconds delay{0};
  int running = 0, most = 0, cancelled = 0;
};

inline FakeCaller::Handler Answer(std::string json) {
  return [json](const FakeCaller::Call&) -> absl::StatusOr<ToolResult> {
    ToolResult out;
    out.result = StrCat("{\"content\":[],\"structuredContent\":", json, "}");
    return out;
  };
}
inline FakeCaller::Handler Failing(std::string text) {
  return [text](const FakeCaller::Call&) -> absl::StatusOr<ToolResult> {
    ToolResult out;
    out.is_error = true;
    out.result =
        StrCat("{\"content\":[{\"type\":\"text\",\"text\":\"", text, "\"}],\"isError\":true}");
    return out;
  };
}

// An engine over a database of its own. `Restart` drops the process's memory as a crash would: what
// was not stored is gone, and the leases stay.
class EngineFixture {
 public:
  explicit EngineFixture(db::TestBackend backend = db::TestBackend::kSqliteFile)
      : scratch_(backend) {
    if (scratch_.url().empty()) return;
    auto opened = db::OpenDatabaseBlocking(scratch_.url());
    EXPECT_TRUE(opened.ok()) << opened.status();
    database_ = *std::move(opened);
    EXPECT_TRUE(SqlStore::MigrateBlocking(*database_).ok());
    executor_ = std::make_unique<db::DbExecutor>(*database_);
    JqWorkers::Options jq;
    jq.program = METAMCP_JQ_PROGRAM;
    jq_ = std::make_unique<JqWorkers>(io_.get_executor(), jq);
    Open();
  }
  ~EngineFixture() {
    if (engine_) Close();
    engine_.reset();
    jq_.reset();
    Turn(std::chrono::milliseconds(20));
  }

  bool usable() const { return database_ != nullptr; }
  Engine& engine() { return *engine_; }
  FakeCaller& caller() { return caller_; }
  JqWorkers& jq() { return *jq_; }
  SqlStore store() { return SqlStore(*database_); }
  db::Database& database() { return *database_; }
  db::DbExecutor& db_executor() { return *executor_; }
  boost::asio::io_context& io() { return io_; }

  void Open() {
    EngineOptions options;
    options.owner = NewUuidV7();
    options.lease = std::chrono::milliseconds(1000);
    options.renew = std::chrono::milliseconds(200);
    options.poll = std::chrono::milliseconds(50);
    options.retry_pause = std::chrono::milliseconds(5);
    if (tune) tune(options);
    engine_ = std::make_unique<Engine>(io_.get_executor(), *executor_, *jq_, caller_, options);
    engine_->Start();
  }
  std::chrono::seconds patience{20};
  // Changes the options of the next engine.
  std::function<void(EngineOptions&)> tune;

  void Close() {
    bool stopped = false;
    boost::asio::co_spawn(io_, Stopping(engine_.get(), &stopped), boost::asio::detached);
    TurnUntil([&] { return stopped; });
  }
  void Restart() {
    Close();
    engine_.reset();
    Open();
  }

  // Stores a document; its name.
  std::string Store(const std::string& source, const Limits& limits = Limits()) {
    std::vector<Problem> problems;
    const auto definition = ReadDefinition(source, limits, &problems);
    for (const Problem& one : problems) ADD_FAILURE() << one.path << ": " << one.message;
    if (!definition) return "";
    DefinitionRow row;
    row.tenant = "default";
    row.name_space = definition->name_space;
    row.name = definition->name;
    row.version = definition->version;
    row.document = definition->document;
    row.digest = definition->digest;
    EXPECT_TRUE(store().PutDefinition(row).ok());
    return definition->name;
  }
  std::string Start(const std::string& name, const std::string& input = "null",
                    const std::string& version = "") {
    Engine::NewRun run;
    run.name = name;
    run.version = version;
    run.input = input;
    const auto started = TryStart(std::move(run));
    EXPECT_TRUE(started.ok()) << started.status();
    return started.ok() ? started->id : std::string();
  }
  absl::StatusOr<RunRow> TryStart(Engine::NewRun run) {
    run.name_space = "default";
    if (run.principal.empty()) run.principal = R"({"subject":"tester","roles":["operator"]})";
    std::optional<absl::StatusOr<RunRow>> started;
    boost::asio::co_spawn(io_, Starting(engine_.get(), std::move(run), &started),
                          boost::asio::detached);
    TurnUntil([&] { return started.has_value(); });
    return *started;
  }
  RunRow Get(const std::string& id) {
    auto row = store().GetRun("default", id);
    EXPECT_TRUE(row.ok()) << row.status();
    return row.ok() ? *row : RunRow();
  }
  RunRow WaitForState(const std::string& id, const std::set<std::string>& states) {
    TurnUntil([&] { return states.count(Get(id).state) > 0; });
    return Get(id);
  }
  RunRow WaitForEnd(const std::string& id) {
    TurnUntil([&] { return IsFinal(Get(id).state) && !engine_->Holds(id); });
    return Get(id);
  }
  RunRow Run(const std::string& source, const std::string& input = "null") {
    const std::string name = Store(source);
    return name.empty() ? RunRow() : WaitForEnd(Start(name, input));
  }
  std::map<std::string, StepRow> Steps(const std::string& id) {
    std::map<std::string, StepRow> out;
    auto rows = store().Steps(id);
    EXPECT_TRUE(rows.ok());
    for (StepRow& row : *rows) out[row.path] = row;
    return out;
  }

  void Turn(std::chrono::milliseconds time) {
    io_.restart();
    io_.run_for(time);
  }
  void TurnUntil(const std::function<bool()>& holds) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) {
        ADD_FAILURE() << "waited too long";
        return;
      }
      Turn(std::chrono::milliseconds(5));
    }
  }

 private:
  static Awaitable<void> Stopping(Engine* engine, bool* stopped) {
    auto stopping = engine->Stop();
    co_await std::move(stopping);
    *stopped = true;
  }
  static Awaitable<void> Starting(Engine* engine, Engine::NewRun run,
                                  std::optional<absl::StatusOr<RunRow>>* out) {
    auto starting = engine->StartRun(std::move(run));
    *out = co_await std::move(starting);
  }

  boost::asio::io_context io_;
  db::ScratchDatabase scratch_;
  std::unique_ptr<db::Database> database_;
  std::unique_ptr<db::DbExecutor> executor_;
  std::unique_ptr<JqWorkers> jq_;
  FakeCaller caller_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace metamcp::workflow::testing
