#include "cli/ai_eval.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/ai_options.h"
#include "cli/eval_score.h"
#include "cli/suite.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/open_database.h"
#include "common/json/dom.h"
#include "common/telemetry/log.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"
#include "services/ai/app.h"
#include "services/catalog/app.h"
#include "services/workflow/app.h"

namespace metamcp::cli {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using nlohmann::json;

struct Captured {
  std::string server;
  std::vector<std::pair<std::string, std::string>> tools;  // name, definition
};

struct Data {
  std::vector<Captured> catalogs;
  std::vector<EvalTask> tasks;
};

absl::StatusOr<json> ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return MakeError("NOT_FOUND", "cli", StrCat("cannot read ", path.string()));
  const std::string text(std::istreambuf_iterator<char>(file), {});
  auto parsed = metamcp::json::ParseJson(text);
  if (parsed.ok()) return parsed;
  return MakeError("ARGUMENT_INVALID", "cli",
                   StrCat(path.string(), ": ", std::string(parsed.status().message())));
}

absl::StatusOr<Data> ReadData(const std::string& folder, const std::string& name) {
  const auto shape = [](const fs::path& path) {
    return MakeError("ARGUMENT_INVALID", "cli",
                     StrCat(path.string(), " has not the shape that tests/data/ai/README.md says"));
  };
  Data out;
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(folder) / "catalogs", error)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& path : files) {
    METAMCP_ASSIGN_OR_RETURN(const json file, ReadFile(path));
    if (!file.is_object() || !file.contains("tools") || !file["tools"].is_array()) {
      return shape(path);
    }
    Captured captured;
    captured.server = file.value("server", path.stem().string());
    for (const json& tool : file["tools"]) {
      if (!tool.is_object() || !tool.contains("name") || !tool["name"].is_string()) {
        return shape(path);
      }
      captured.tools.emplace_back(tool["name"].get<std::string>(), metamcp::json::DumpJson(tool));
    }
    out.catalogs.push_back(std::move(captured));
  }
  const fs::path tasks = fs::path(folder) / name;
  METAMCP_ASSIGN_OR_RETURN(const json file, ReadFile(tasks));
  if (!file.is_array() || out.catalogs.empty()) return shape(tasks);
  for (const json& one : file) {
    EvalTask task;
    if (!one.is_object() || !one.contains("gold") || !one["gold"].is_array()) return shape(tasks);
    task.id = one.value("id", "");
    task.task = one.value("task", "");
    for (const json& step : one["gold"]) {
      if (!step.is_array()) return shape(tasks);
      std::vector<std::string> tools;
      for (const json& tool : step) {
        if (tool.is_string()) tools.push_back(tool.get<std::string>());
      }
      task.gold.push_back(std::move(tools));
    }
    if (task.gold.empty()) return shape(tasks);
    out.tasks.push_back(std::move(task));
  }
  return out;
}

CallContext Context() {
  auto who = std::make_shared<Principal>();
  who->subject = "eval";
  who->kind = "service";
  who->roles = {"admin"};
  who->method = "internal";
  return CallContext(std::move(who), CallContext::Clock::now() + std::chrono::minutes(2));
}

// The servers as if they were connected, with the tools that they had.
Awaitable<absl::Status> Fill(catalog::v1::CatalogService& catalog, const Data& data) {
  const CallContext ctx = Context();
  catalog::v1::ApplyConfigRequest config;
  config.set_name_separator("__");
  for (const Captured& captured : data.catalogs) {
    catalog::v1::Upstream& upstream = *config.add_upstreams();
    upstream.mutable_meta()->set_name(captured.server);
    upstream.mutable_meta()->set_display_name(captured.server);
    upstream.mutable_meta()->set_origin("file");
    upstream.mutable_meta()->set_visibility("public");
    upstream.mutable_spec()->set_type("stdio");
    upstream.mutable_spec()->set_command("true");
    upstream.set_enabled(true);
  }
  auto applying = catalog.ApplyConfig(ctx, std::move(config));
  const auto applied = co_await std::move(applying);
  if (!applied.ok()) co_return applied.status();
  for (const Captured& captured : data.catalogs) {
    catalog::v1::GetUpstreamRequest get;
    get.set_name(captured.server);
    auto getting = catalog.GetUpstream(ctx, std::move(get));
    const auto upstream = co_await std::move(getting);
    if (!upstream.ok()) co_return upstream.status();
    catalog::v1::ReportRequest report;
    report.set_upstream_id(upstream->upstream().meta().id());
    report.mutable_status()->set_state("ready");
    report.mutable_status()->set_reachable(true);
    report.mutable_status()->set_listed(true);
    report.mutable_status()->set_tools(static_cast<int>(captured.tools.size()));
    catalog::v1::ItemList& list = *report.add_lists();
    list.set_kind(catalog::v1::ITEM_KIND_TOOL);
    for (const auto& [name, definition] : captured.tools) {
      catalog::v1::Item& item = *list.add_items();
      item.set_kind(catalog::v1::ITEM_KIND_TOOL);
      item.set_original_name(name);
      item.set_definition(definition);
    }
    auto reporting = catalog.Report(ctx, std::move(report));
    const auto reported = co_await std::move(reporting);
    if (!reported.ok()) co_return reported.status();
  }
  co_return absl::OkStatus();
}

EvalAnswer AnswerOf(const ai::v1::SuggestResponse& response) {
  EvalAnswer out;
  out.considered.assign(response.considered().begin(), response.considered().end());
  for (const auto& step : response.steps()) {
    if (!step.tool().empty()) out.plan.push_back(step.tool());
  }
  out.made = response.steps_size() > 0;
  out.valid = response.valid();
  out.made_by = response.made_by();
  out.took_ms = response.took_ms();
  out.cost_micros = response.cost_micros();
  return out;
}

void PrintTask(const EvalTask& task, const EvalAnswer& answer,
               const ai::v1::SuggestResponse& response) {
  const bool exact = Matched(task, answer.plan) == static_cast<int>(task.gold.size()) &&
                     answer.plan.size() == task.gold.size();
  std::cout << task.id << (exact ? "  exact   " : "  differs ")
            << (answer.made && !answer.valid ? "INVALID " : "") << task.task << "\n";
  if (exact && (answer.valid || !answer.made)) return;
  std::cout << "      plan:";
  for (const std::string& tool : answer.plan) std::cout << " " << tool;
  std::cout << "\n      gold:";
  for (const auto& step : task.gold) std::cout << " " << step.front();
  std::cout << "\n      first:";
  for (size_t i = 0; i < answer.considered.size() && i < 10; ++i) {
    std::cout << " " << answer.considered[i];
  }
  std::cout << "\n";
  for (const auto& problem : response.problems()) {
    std::cout << "      " << problem.path() << ": " << problem.message() << "\n";
  }
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3f", value);
  return text;
}

void Print(const EvalScore& score, const EvalOptions& options) {
  if (options.json) {
    nlohmann::ordered_json out;
    out["tasks"] = score.tasks;
    out["plans"] = score.plans;
    out["byModel"] = score.by_model;
    out["recallAt10"] = score.recall_10;
    out["completeAt20"] = score.complete_20;
    out["planPrecision"] = score.precision;
    out["planRecall"] = score.recall;
    out["planF1"] = score.f1;
    out["exactSet"] = score.exact;
    out["validPlans"] = score.valid;
    out["p50Ms"] = score.p50_ms;
    out["p95Ms"] = score.p95_ms;
    out["costMicros"] = score.cost_micros;
    std::cout << metamcp::json::DumpJson(out) << std::endl;
    return;
  }
  std::cout << "tasks           " << score.tasks << "\n"
            << "plans made      " << score.plans << " (" << score.by_model << " by a model)\n"
            << "tool recall@10  " << Number(score.recall_10) << "\n"
            << "complete@20     " << Number(score.complete_20) << "\n"
            << "plan F1         " << Number(score.f1) << " (precision " << Number(score.precision)
            << ", recall " << Number(score.recall) << ")\n"
            << "exact set       " << Number(score.exact) << "\n"
            << "valid plans     " << Number(score.valid) << "\n"
            << "latency         p50 " << score.p50_ms << " ms, p95 " << score.p95_ms << " ms\n"
            << "cost            " << score.cost_micros << " millionths\n";
}

Awaitable<absl::Status> Run(asio::any_io_executor executor, db::DbExecutor& database,
                            const Data& data, const config::Config& config,
                            const EvalOptions& options) {
  auto creating = catalog::CatalogApp::Create(executor, database);
  auto catalog_app = co_await std::move(creating);
  if (!catalog_app.ok()) co_return catalog_app.status();
  const auto catalog = catalog::v1::MakeCatalogServiceDirect((*catalog_app)->service());
  const auto http = http::NewHttpClient(executor, http::HttpClientOptions());
  workflow::AppOptions workflow_options;
  workflow_options.owner = NewUuidV7();
  workflow_options.jq_program = ProgramBeside("meta-mcp-jq");
  const KeyRing keys = KeyRing::Ephemeral();
  workflow::App workflow_app(executor, database, *catalog, *http, keys,
                             std::move(workflow_options));
  const auto workflows = workflow::v1::MakeWorkflowServiceDirect(workflow_app.service());
  ai::AppOptions ai_options = ToAiOptions(config.ai);
  ai_options.requests_per_minute = 0;
  if (!options.with_model) ai_options.providers.clear();
  ai::App ai_app(database, *http, *catalog, *workflows, std::move(ai_options));
  const auto ai = ai::v1::MakeAiServiceDirect(ai_app.service());
  auto filling = Fill(*catalog, data);
  absl::Status status = co_await std::move(filling);
  std::vector<EvalAnswer> answers;
  for (const EvalTask& task : data.tasks) {
    if (!status.ok()) break;
    const CallContext ctx = Context();
    ai::v1::SuggestRequest request;
    request.set_task(task.task);
    request.set_without_model(!options.with_model);
    auto suggesting = ai->Suggest(ctx, std::move(request));
    const auto response = co_await std::move(suggesting);
    if (!response.ok()) {
      status = Annotate(response.status(), StrCat(task.id, ": "));
      break;
    }
    answers.push_back(AnswerOf(*response));
    if (options.verbose && !options.json) PrintTask(task, answers.back(), *response);
  }
  auto stopping = workflow_app.Stop();
  co_await std::move(stopping);
  auto ending = (*catalog_app)->Stop();
  (void)co_await std::move(ending);
  if (status.ok()) Print(Score(data.tasks, answers), options);
  co_return status;
}

int Failed(const absl::Status& status) {
  std::cerr << "meta-mcp: " << status.message() << std::endl;
  return process::ExitCodeOf(status);
}

}  // namespace

int RunAiEval(const EvalOptions& options) {
  SetLogService("meta-mcp");
  SetLogLevel(LogLevel::kError);
  const auto data = ReadData(options.folder, options.tasks);
  if (!data.ok()) return Failed(data.status());
  config::Config config;
  if (options.with_model) {
    process::StartOptions start;
    start.service = "meta-mcp";
    start.config_path = options.config_path;
    start.data_dir = options.data_dir;
    auto ground = process::OpenGroundBlocking(start);
    if (!ground.ok()) return Failed(ground.status());
    config = ground->loaded.config;
    if (config.ai.providers.empty()) {
      return Failed(MakeError("CONFIG_INVALID", "cli", "no model is configured: add ai.providers"));
    }
  }
  auto database = db::OpenDatabaseBlocking("sqlite::memory:");
  if (!database.ok()) return Failed(database.status());
  for (const auto& migrate : {&catalog::CatalogApp::MigrateBlocking,
                              &workflow::App::MigrateBlocking, &ai::App::MigrateBlocking}) {
    const absl::Status migrated = migrate(**database);
    if (!migrated.ok()) return Failed(migrated);
  }
  db::DbExecutor executor(**database);
  return process::RunLoop([&](asio::io_context& io, process::WaitSignal) -> Awaitable<int> {
    auto running = Run(io.get_executor(), executor, *data, config, options);
    const absl::Status status = co_await std::move(running);
    co_return status.ok() ? 0 : Failed(status);
  });
}

}  // namespace metamcp::cli
