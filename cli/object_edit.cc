#include "cli/object_edit.h"

#include <nlohmann/json.hpp>

#include "cli/rest_json.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/edit.h"
#include "common/json/dom.h"

// Servers and virtual servers are edited alike: in config.json where they stand there, and in the
// gateway that runs.
namespace metamcp::cli {

const ObjectKind& ServerKind() {
  static const ObjectKind kKind = {"server", "servers", config::RemoveServerBlocking,
                                   config::SetServerDisabledBlocking};
  return kKind;
}

const ObjectKind& VirtualServerKind() {
  static const ObjectKind kKind = {"virtual server", "virtual-servers",
                                   config::RemoveVirtualServerBlocking,
                                   config::SetVirtualServerDisabledBlocking};
  return kKind;
}

absl::Status ReloadRunning(CommandContext& ctx) {
  if (ctx.remote() || !ctx.GatewayRuns()) {
    ctx.Say("No gateway runs; it takes effect at the next start.");
    return absl::OkStatus();
  }
  const auto reply = ctx.rest().Call(RestRequest("POST", ApiPath({"config:reload"}), "{}"));
  if (!reply.ok()) {
    return Annotate(reply.status(),
                    "config.json was changed, but the running gateway kept its configuration: ");
  }
  ctx.Say("The running gateway took it over.");
  return absl::OkStatus();
}

void SayDone(CommandContext& ctx, std::string_view verb, std::string_view kind,
             std::string_view name) {
  if (!ctx.json()) {
    std::string sentence = StrCat(verb, " ", kind, " ", OneLine(name), ".");
    sentence[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(sentence[0])));
    ctx.Say(sentence);
    return;
  }
  nlohmann::ordered_json out;
  out["done"] = verb;
  out["kind"] = kind;
  out["name"] = name;
  ctx.PrintJson(json::DumpJson(out));
}

absl::Status CheckNameIsFree(CommandContext& ctx, const ObjectKind& kind, const std::string& name) {
  if (ctx.remote() || !ctx.GatewayRuns()) return absl::OkStatus();
  const auto reply = CallJson(ctx, RestRequest("GET", ApiPath({kind.collection, name})));
  if (!reply.ok()) return absl::OkStatus();
  const std::string_view member = kind.name == "server" ? "upstream" : "virtualServer";
  const std::string origin = TextOf(ObjectOf(ObjectOf(*reply, member), "meta"), "origin");
  if (origin == "file" || origin == "builtin") return absl::OkStatus();
  return Fail("ALREADY_EXISTS",
              StrCat("the running gateway has a ", kind.name, " \"", name, "\" from the API"),
              "Remove that one first, or choose another name.");
}

absl::Status RemoveObject(CommandContext& ctx, const ObjectKind& kind, const std::string& name) {
  absl::Status in_file = absl::NotFoundError("");
  if (!ctx.remote()) in_file = kind.remove(ctx.ConfigPath(), name);
  if (in_file.ok()) {
    SayDone(ctx, "removed", kind.name, name);
    return ReloadRunning(ctx);
  }
  if (!absl::IsNotFound(in_file)) return in_file;
  // It may have been made through the API.
  const auto reply = ctx.rest().Call(RestRequest("DELETE", ApiPath({kind.collection, Slug(name)})));
  if (!reply.ok()) {
    const bool nobody = ExitCodeOf(reply.status()) == kExitUnreachable;
    return nobody && !ctx.remote() ? in_file : reply.status();
  }
  SayDone(ctx, "removed", kind.name, name);
  return absl::OkStatus();
}

absl::Status SetObjectEnabled(CommandContext& ctx, const ObjectKind& kind, const std::string& name,
                              bool enabled) {
  const std::string_view verb = enabled ? "enabled" : "disabled";
  absl::Status in_file = absl::NotFoundError("");
  if (!ctx.remote()) {
    in_file = kind.set_disabled(ctx.ConfigPath(), name, !enabled);
    if (!in_file.ok() && !absl::IsNotFound(in_file)) return in_file;
    if (!ctx.GatewayRuns()) {
      METAMCP_RETURN_IF_ERROR(in_file);
      SayDone(ctx, verb, kind.name, name);
      return ReloadRunning(ctx);
    }
  }
  // The file and the gateway's own note of the wish must agree, so both are told.
  if (in_file.ok()) {
    METAMCP_RETURN_IF_ERROR(
        ctx.rest().Call(RestRequest("POST", ApiPath({"config:reload"}), "{}")).status());
  }
  const RestRequest request("POST", ApiPath({kind.collection, Slug(name), "enabled"}),
                            enabled ? R"({"enabled":true})" : R"({"enabled":false})");
  METAMCP_RETURN_IF_ERROR(ctx.rest().Call(request).status());
  SayDone(ctx, verb, kind.name, name);
  return absl::OkStatus();
}

}  // namespace metamcp::cli
