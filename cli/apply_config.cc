#include "cli/apply_config.h"

#include "common/base/names.h"

namespace metamcp::cli {
namespace {

void FillAuth(const config::ServerAuthConfig& from, catalog::v1::UpstreamAuth& to) {
  to.set_grant(from.grant);
  to.set_client_id(from.client_id);
  to.set_client_secret(from.client_secret);
  to.set_private_key(from.private_key);
  to.set_key_id(from.key_id);
  to.set_algorithm(from.algorithm);
  to.mutable_scopes()->Assign(from.scopes.begin(), from.scopes.end());
  to.set_authorization_server(from.authorization_server);
  to.set_audience(from.audience);
  to.set_per_principal(from.per_principal);
  to.set_private_networks(from.private_networks);
  to.set_id_token(from.id_token);
  to.set_identity_provider(from.identity_provider);
  to.set_identity_client_id(from.identity_client_id);
  to.set_identity_client_secret(from.identity_client_secret);
}

void FillSandbox(const config::SandboxRules& from, catalog::v1::UpstreamSandbox& to) {
  to.set_profile(from.profile);
  to.mutable_read()->Assign(from.read.begin(), from.read.end());
  to.mutable_write()->Assign(from.write.begin(), from.write.end());
  to.mutable_network()->Assign(from.network.begin(), from.network.end());
  to.mutable_env()->Assign(from.env.begin(), from.env.end());
  to.set_memory_bytes(from.memory_bytes);
  to.set_processes(static_cast<int32_t>(from.processes));
  to.set_cpu_s(from.cpu_s);
  to.set_files(static_cast<int32_t>(from.files));
  to.set_file_bytes(from.file_bytes);
}

void FillSharing(const config::SharingConfig& from, common::v1::ObjectMeta& meta) {
  meta.set_owner(from.owner);
  meta.set_team(from.team);
  meta.set_visibility(!from.visibility.empty() ? from.visibility
                      : from.team.empty()      ? "public"
                                               : "team");
}

void FillUpstream(const std::string& key, const config::ServerConfig& from,
                  catalog::v1::Upstream& to) {
  auto& meta = *to.mutable_meta();
  meta.set_name(Slug(key));
  meta.set_display_name(from.display_name.empty() ? key : from.display_name);
  meta.set_origin("file");
  FillSharing(from.sharing, meta);
  meta.mutable_tags()->Assign(from.tags.begin(), from.tags.end());
  to.set_enabled(!from.disabled);
  auto& spec = *to.mutable_spec();
  spec.set_type(from.type);
  spec.set_command(from.command);
  spec.mutable_args()->Assign(from.args.begin(), from.args.end());
  for (const auto& [name, value] : from.env) (*spec.mutable_env())[name] = value;
  spec.set_cwd(from.cwd);
  spec.set_url(from.url);
  for (const auto& [name, value] : from.headers) (*spec.mutable_headers())[name] = value;
  spec.set_era(from.era);
  spec.set_isolation(from.isolation);
  spec.set_interactive(from.interactive);
  spec.set_timeout_ms(from.timeout_ms);
  spec.set_priority(static_cast<int32_t>(from.priority));
  for (const auto& [tool, ms] : from.tool_timeouts_ms) {
    (*spec.mutable_tool_timeouts_ms())[tool] = ms;
  }
  spec.set_allow_tls12(from.tls.min == "1.2");
  spec.set_ca_file(from.tls.ca);
  spec.set_client_cert_file(from.tls.certificate);
  spec.set_client_key_file(from.tls.key);
  spec.set_allow_plain_http(from.allow_plain_http);
  for (const auto& fallback : from.fallbacks) spec.add_fallbacks(Slug(fallback));
  spec.set_untrusted(!from.trusted);
  spec.set_concurrency(static_cast<int32_t>(from.concurrency));
  if (from.auth != config::ServerAuthConfig()) FillAuth(from.auth, *spec.mutable_auth());
  if (from.sandbox != config::SandboxRules()) FillSandbox(from.sandbox, *spec.mutable_sandbox());
}

void FillSelector(const config::SelectorConfig& from, catalog::v1::Selector& to) {
  to.mutable_include()->Assign(from.include.begin(), from.include.end());
  to.mutable_exclude()->Assign(from.exclude.begin(), from.exclude.end());
  to.set_annotations(from.annotations);
}

void FillOverride(const config::OverrideConfig& from, catalog::v1::ItemOverride& to) {
  to.set_name(from.name);
  to.set_title(from.title);
  to.set_description(from.description);
  to.set_annotations(from.annotations);
  to.set_disabled(from.disabled);
  for (const auto& [name, rule] : from.arguments) {
    auto& out = (*to.mutable_arguments())[name];
    out.set_rename(rule.rename);
    out.set_default_value(rule.default_value);
    out.set_fixed_value(rule.value);
    out.set_hidden(rule.hidden);
    out.set_coerce(rule.coerce);
  }
}

// A server is named in the file by its key or its slug; the catalog knows slugs.
std::string SlugOfKey(const config::Config& config, const std::string& text) {
  return config.mcp_servers.contains(text) ? Slug(text) : text;
}

// "My Server.tool" as "my-server.tool".
std::string QualifiedBySlug(const config::Config& config, const std::string& item) {
  for (const auto& [key, server] : config.mcp_servers) {
    if (item.size() > key.size() && item[key.size()] == '.' && item.starts_with(key)) {
      return QualifiedName(Slug(key), item.substr(key.size() + 1));
    }
  }
  return item;
}

void FillVirtualServer(const config::Config& config, const std::string& name,
                       const config::VirtualServerConfig& from, catalog::v1::VirtualServer& to) {
  auto& meta = *to.mutable_meta();
  meta.set_name(name);
  meta.set_display_name(from.title.empty() ? name : from.title);
  meta.set_origin("file");
  FillSharing(from.sharing, meta);
  to.set_enabled(!from.disabled);
  auto& spec = *to.mutable_spec();
  spec.set_title(from.title);
  spec.set_instructions(from.instructions);
  for (const std::string& server : from.servers) spec.add_servers(SlugOfKey(config, server));
  spec.set_prefix(from.prefix);
  FillSelector(from.tools, *spec.mutable_tools());
  FillSelector(from.resources, *spec.mutable_resources());
  FillSelector(from.prompts, *spec.mutable_prompts());
  for (const auto& [item, rule] : from.overrides) {
    FillOverride(rule, (*spec.mutable_overrides())[QualifiedBySlug(config, item)]);
  }
  spec.set_metrics_label(from.metrics_label);
  spec.set_mode(from.mode);
  spec.set_suggest(from.suggest);
  spec.set_max_output(from.max_output);
}

}  // namespace

catalog::v1::ApplyConfigRequest ToApplyConfig(const config::Config& config) {
  catalog::v1::ApplyConfigRequest request;
  request.set_name_separator(config.gateway.name_separator);
  for (const auto& [key, server] : config.mcp_servers) {
    FillUpstream(key, server, *request.add_upstreams());
  }
  for (const auto& [name, server] : config.virtual_servers) {
    FillVirtualServer(config, name, server, *request.add_virtual_servers());
  }
  return request;
}

}  // namespace metamcp::cli
