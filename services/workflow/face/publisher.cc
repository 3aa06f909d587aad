#include "services/workflow/face/publisher.h"

#include <chrono>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/mcp/convert.h"
#include "common/telemetry/log.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

namespace catalog_pb = metamcp::catalog::v1;

constexpr char kTenant[] = "default";
constexpr char kService[] = "workflow";
// Other processes publish on the same database.
constexpr std::chrono::milliseconds kLook(2000);
constexpr std::chrono::milliseconds kCoalesce(100);
constexpr std::chrono::milliseconds kRetry(1000);
constexpr int kChildrenDeep = 8;

CallContext Context() {
  auto who = std::make_shared<Principal>();
  who->subject = "workflow";
  who->kind = "service";
  who->roles = {"viewer"};
  who->method = "internal";
  return CallContext(std::move(who), CallContext::Clock::now() + std::chrono::seconds(20));
}

catalog_pb::UpstreamStatus Status() {
  catalog_pb::UpstreamStatus status;
  status.set_state("ready");
  status.set_reachable(true);
  status.set_listed(true);
  status.set_era("modern");
  status.set_protocol_version("2026-07-28");
  status.set_server_info(R"({"name":"meta-mcp-workflow","title":"Workflows","version":"1"})");
  status.set_capabilities(StrCat(R"({"tools":{"listChanged":true},"extensions":{")",
                                 mcp::kTasksExtension, R"(":{}}})"));
  return status;
}

// Notes that something changed; what, the next look finds out.
class ChangeSink final : public Sink<catalog_pb::WatchCatalogResponse> {
 public:
  explicit ChangeSink(Publisher& publisher) : publisher_(publisher) {}
  Awaitable<absl::Status> Write(catalog_pb::WatchCatalogResponse message) override {
    if (message.end()) publisher_.Changed();
    co_return absl::OkStatus();
  }

 private:
  Publisher& publisher_;
};

}  // namespace

Publisher::Publisher(boost::asio::any_io_executor executor, db::DbExecutor& database,
                     catalog_pb::CatalogService& catalog, Limits limits)
    : executor_(executor),
      database_(database),
      catalog_(catalog),
      limits_(limits),
      turn_(executor),
      work_(executor),
      tasks_(executor) {}

void Publisher::Start() {
  tasks_.Spawn("workflow.publish", Loop());
  tasks_.Spawn("workflow.follow_catalog", Follow());
}

Awaitable<void> Publisher::Stop() {
  stopping_ = true;
  tasks_.CancelAll();
  co_await tasks_.Join(std::chrono::seconds(5));
}

void Publisher::Changed() {
  look_ = true;
  work_.Notify();
}

Awaitable<void> Publisher::Loop() {
  while (!stopping_) {
    look_ = false;
    auto updating = Update();
    const absl::Status updated = co_await CatchStatus(std::move(updating));
    if (!updated.ok() && !stopping_) {
      Log(LogLevel::kWarning, "workflow.not_published",
          {{"error", std::string(updated.message())}});
    }
    if (!look_) {
      boost::asio::steady_timer timer(executor_, updated.ok() ? kLook : kRetry);
      timer.async_wait([this](const boost::system::error_code& error) {
        if (!error) work_.Notify();
      });
      co_await work_.Wait();
    }
    const bool slept = co_await Sleep(kCoalesce);
    if (!slept) co_return;
  }
}

Awaitable<void> Publisher::Follow() {
  while (!stopping_) {
    ChangeSink sink(*this);
    CallContext ctx = Context();
    ctx.deadline = CallContext::Clock::now() + std::chrono::hours(12);
    catalog_pb::WatchCatalogRequest request;
    auto watching = catalog_.WatchCatalog(ctx, std::move(request), sink);
    (void)co_await CatchStatus(std::move(watching));
    const bool slept = co_await Sleep(kRetry);
    if (!slept) co_return;
  }
}

Awaitable<Hints> Publisher::AskHints(std::string tool) {
  if (const auto it = asked_.find(tool); it != asked_.end()) co_return it->second;
  catalog_pb::ExplainItemRequest request;
  request.set_name(tool);
  const CallContext ctx = Context();
  auto explaining = catalog_.ExplainItem(ctx, std::move(request));
  const auto response = co_await std::move(explaining);
  Hints hints;
  if (response.ok()) {
    for (const auto& item : response->items()) {
      if (item.kind() != catalog_pb::ITEM_KIND_TOOL) continue;
      hints = HintsOf(item.definition());
      if (item.hidden_reason().empty()) break;
    }
  }
  asked_[tool] = hints;
  co_return hints;
}

Awaitable<absl::StatusOr<HintsByName>> Publisher::HintsFor(const Definition& definition,
                                                           int depth) {
  HintsByName out;
  for (const std::string& tool : definition.tools) {
    auto asking = AskHints(tool);
    out[tool] = co_await std::move(asking);
  }
  for (const auto& [path, task] : definition.by_path) {
    if (task->kind != TaskKind::kRun || depth >= kChildrenDeep) continue;
    const std::string key = ChildKey(task->child_namespace, task->child_name);
    if (out.count(key) > 0) continue;
    const std::string name_space =
        task->child_namespace.empty() ? definition.name_space : task->child_namespace;
    std::function<absl::StatusOr<DefinitionRow>(db::Database&)> op =
        [name_space, task](db::Database& database) {
          return SqlStore(database).GetDefinition(kTenant, name_space, task->child_name,
                                                  task->child_version);
        };
    const CallContext ctx = Context();
    auto reading = database_.Run<DefinitionRow>(ctx, std::move(op));
    const auto row = co_await std::move(reading);
    if (absl::IsNotFound(row.status())) continue;
    if (!row.ok()) co_return row.status();
    std::vector<Problem> problems;
    const auto child = ReadDefinition(row->document, limits_, &problems);
    if (child == nullptr) continue;
    auto asking = HintsFor(*child, depth + 1);
    const auto known = co_await std::move(asking);
    if (!known.ok()) co_return known.status();
    out[key] = DeriveHints(*child, *known);
  }
  co_return out;
}

// Fills `list_`; returns it as bytes to compare.
Awaitable<absl::StatusOr<std::string>> Publisher::MakeTools() {
  std::function<absl::StatusOr<std::vector<PublishedRow>>(db::Database&)> op =
      [](db::Database& database) { return FaceStore(database).ListPublished(kTenant); };
  const CallContext ctx = Context();
  auto reading = database_.Run<std::vector<PublishedRow>>(ctx, std::move(op));
  const auto rows = co_await std::move(reading);
  if (!rows.ok()) co_return rows.status();
  asked_.clear();
  list_.Clear();
  list_.set_kind(catalog_pb::ITEM_KIND_TOOL);
  for (const PublishedRow& row : *rows) {
    std::vector<Problem> problems;
    const auto definition = ReadDefinition(row.definition.document, limits_, &problems);
    if (definition == nullptr) continue;
    auto asking = HintsFor(*definition, 0);
    const auto known = co_await std::move(asking);
    if (!known.ok()) co_return known.status();
    catalog_pb::Item& item = *list_.add_items();
    item.set_kind(catalog_pb::ITEM_KIND_TOOL);
    item.set_original_name(ToolName(definition->name_space, definition->name));
    item.set_definition(ToolDefinition(*definition, *known, row.object.sharing));
  }
  co_return list_.SerializeAsString();
}

Awaitable<absl::Status> Publisher::Update() {
  const auto turn = co_await turn_.Lock();
  auto making = MakeTools();
  const auto tools = co_await std::move(making);
  if (!tools.ok()) co_return tools.status();
  const CallContext ctx = Context();
  catalog_pb::RegisterProviderRequest registration;
  registration.set_service(kService);
  registration.set_display_name("Workflows");
  // Without any workflow there is no server of theirs, until the first one is published.
  registration.set_create(list_.items_size() > 0);
  auto registering = catalog_.RegisterProvider(ctx, std::move(registration));
  const auto registered = co_await std::move(registering);
  if (absl::IsNotFound(registered.status())) co_return absl::OkStatus();
  if (!registered.ok()) co_return registered.status();
  const auto& upstream = registered->upstream();
  upstream_id_ = upstream.meta().id();
  const std::string now = StrCat(upstream.meta().id(), "\n", *tools);
  const bool known = upstream.status().reachable() &&
                     upstream.status().tools() == list_.items_size() && now == told_;
  if (known) co_return absl::OkStatus();
  catalog_pb::ReportRequest report;
  report.set_upstream_id(upstream.meta().id());
  *report.mutable_status() = Status();
  *report.add_lists() = list_;
  auto reporting = catalog_.Report(ctx, std::move(report));
  const auto reported = co_await std::move(reporting);
  if (reported.ok()) told_ = now;
  co_return reported.status();
}

}  // namespace metamcp::workflow
