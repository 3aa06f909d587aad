#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/problem.h"

// The configuration of every Meta-MCP program as plain values. Member initialisers are the
// defaults; settings.cc describes each setting once (name, unit, range, environment variable).
namespace metamcp::config {

struct CorsConfig {
  std::vector<std::string> origins;  // empty: CORS is off
  bool credentials = false;
  int64_t max_age_s = 600;
  bool operator==(const CorsConfig&) const = default;
};

// TLS of the gateway's own listener.
struct GatewayTlsConfig {
  std::string certificate;  // PEM file; empty: plain HTTP
  std::string key;
  std::string client_ca;  // of clients' certificates; empty: nobody is asked for one
  std::string min = "1.3";
  bool operator==(const GatewayTlsConfig&) const = default;
};

struct GatewayConfig {
  std::string listen = "127.0.0.1:8931";
  GatewayTlsConfig tls;
  std::string listen_unix;  // empty: <data-dir>/serve.sock
  std::string public_url;
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> allowed_origins;
  CorsConfig cors;
  std::string name_separator = "__";
  int64_t page_size = 1000;
  int64_t first_list_wait_ms = 3'000;
  int64_t request_timeout_ms = 900'000;
  int64_t header_timeout_ms = 10'000;
  int64_t sse_keep_alive_ms = 15'000;
  int64_t session_idle_ms = 1'800'000;
  int64_t drain_ms = 10'000;
  bool operator==(const GatewayConfig&) const = default;
};

struct TlsConfig {
  std::string min = "1.3";  // 1.2 or 1.3
  std::string ca;           // PEM file of further authorities
  std::string certificate;  // PEM file of ours, for those who ask; empty: none
  std::string key;
  bool operator==(const TlsConfig&) const = default;
};

// How an upstream is logged in to by OAuth. Texts hold ${VAR} references unexpanded.
struct ServerAuthConfig {
  std::string grant;  // authorization_code, client_credentials, enterprise, token_exchange or none;
                      // empty: the first
  std::string client_id;
  std::string client_secret;
  std::string private_key;
  std::string key_id;
  std::string algorithm;
  std::vector<std::string> scopes;
  std::string authorization_server;
  std::string audience;  // of token_exchange; empty: the server's URL as resource
  bool per_principal = false;
  bool private_networks = false;
  std::string id_token;
  std::string identity_provider;
  std::string identity_client_id;
  std::string identity_client_secret;
  bool operator==(const ServerAuthConfig&) const = default;
};

// What a server over stdio may touch. Empty and 0: as the profile says that this one is based on.
struct SandboxRules {
  std::string profile;               // none, default, strict or a name of sandbox.profiles
  std::vector<std::string> read;     // paths that can be read, beside the system's programs
  std::vector<std::string> write;    // paths that can be changed
  std::vector<std::string> network;  // none, host, public, or host:port
  std::vector<std::string> env;      // variables of ours that it sees
  int64_t memory_bytes = 0;
  int64_t processes = 0;
  int64_t cpu_s = 0;  // of each process
  int64_t files = 0;  // open ones, of each process
  int64_t file_bytes = 0;
  bool operator==(const SandboxRules&) const = default;
};

struct SandboxConfig {
  std::string profile = "none";  // of servers that name none
  std::map<std::string, SandboxRules> profiles;
  bool unsafe = false;
  bool production = false;
  bool operator==(const SandboxConfig&) const = default;
};

struct SecretsConfig {
  bool dumps = false;
  bool operator==(const SecretsConfig&) const = default;
};

// Whose something is, and who sees it; see docs/security.md.
struct SharingConfig {
  std::string owner;
  std::string team;
  std::string visibility;  // private, team, public; empty: team where there is one, else public
  bool operator==(const SharingConfig&) const = default;
};

// One upstream. command, args, env, url and headers hold ${VAR} references unexpanded: the
// connector expands them when it connects (expand.h).
struct ServerConfig {
  SharingConfig sharing;
  std::string type;  // stdio, http, sse or ws; always set after loading
  std::string command;
  std::vector<std::string> args;
  std::map<std::string, std::string> env;
  std::string cwd;
  std::string url;
  std::map<std::string, std::string> headers;
  std::string display_name;  // the key in mcpServers unless set
  bool disabled = false;
  std::string era = "auto";  // auto, legacy or modern
  std::string isolation;     // shared, principal, session, call; empty: the default of the type
  bool interactive = false;
  int64_t timeout_ms = 0;  // 0: connector.callTimeoutMs
  std::map<std::string, int64_t> tool_timeouts_ms;
  int64_t priority = 0;
  int64_t concurrency = 0;  // 0: connector.concurrency
  std::vector<std::string> fallbacks;
  std::vector<std::string> tags;
  bool trusted = true;
  TlsConfig tls;
  bool allow_plain_http = false;
  ServerAuthConfig auth;
  SandboxRules sandbox;
  bool operator==(const ServerConfig&) const = default;
};

// Picks items by glob; empty include means all.
struct SelectorConfig {
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  std::string annotations;  // JSON object, or empty
  bool operator==(const SelectorConfig&) const = default;
};

struct ArgumentConfig {
  std::string rename;
  std::string default_value;  // JSON, or empty
  std::string value;          // JSON sent always, or empty
  bool hidden = false;
  std::string coerce;  // string, integer, number, boolean or empty
  bool operator==(const ArgumentConfig&) const = default;
};

struct OverrideConfig {
  std::string name;
  std::string title;
  std::string description;
  std::string annotations;  // JSON object, or empty
  bool disabled = false;
  std::map<std::string, ArgumentConfig> arguments;
  bool operator==(const OverrideConfig&) const = default;
};

struct VirtualServerConfig {
  SharingConfig sharing;
  std::string title;
  std::string instructions;
  std::vector<std::string> servers;  // globs over slugs and names; empty: all
  std::string prefix = "slug";       // slug, none, or fixed text
  SelectorConfig tools;
  SelectorConfig resources;
  SelectorConfig prompts;
  std::map<std::string, OverrideConfig> overrides;  // by "slug.original"
  std::string metrics_label;
  std::string mode = "all";  // all or search
  bool suggest = false;
  int64_t max_output = 0;  // characters; 0: no limit
  bool disabled = false;
  bool operator==(const VirtualServerConfig&) const = default;
};

// One static bearer key. `key` is expanded and secret: never print it.
struct KeyConfig {
  std::string name;
  std::string key;
  std::string tenant = "default";
  std::vector<std::string> roles;
  bool operator==(const KeyConfig&) const = default;
};

// Our own tokens. `secret` is expanded and secret: never print it.
struct JwtConfig {
  std::string secret;  // empty: only tokens under the key ring
  std::string issuer = "meta-mcp";
  std::string audience = "meta-mcp";
  int64_t expiry_minutes = 10'080;  // of `token create`
  bool operator==(const JwtConfig&) const = default;
};

// Somebody else whose tokens are taken.
struct IssuerConfig {
  std::string issuer;
  std::string jwks_url;  // neither this nor the file: found in the issuer's metadata
  std::string jwks_file;
  std::vector<std::string> audiences;
  std::vector<std::string> algorithms;
  std::string default_role;
  std::string subject_claim = "sub";
  std::string name_claim = "name";
  std::string roles_claim = "roles";
  std::string teams_claim = "groups";
  std::string scopes_claim;  // empty: scope, else scp
  std::map<std::string, std::string> role_map;
  TlsConfig tls;
  bool operator==(const IssuerConfig&) const = default;
};

// A client certificate, by what it must say (all that is given), and who shows it.
struct CertificateConfig {
  std::string uri;
  std::string dns;
  std::string email;
  std::string subject;  // as RFC 2253 writes it
  std::string tenant = "default";
  std::vector<std::string> roles;
  std::vector<std::string> teams;
  bool operator==(const CertificateConfig&) const = default;
};

// Somebody who may use the REST API with a password.
struct BasicUserConfig {
  std::string hash;  // of the password, as `meta-mcp token password` makes it
  std::string tenant = "default";
  std::vector<std::string> roles;
  std::vector<std::string> teams;
  bool operator==(const BasicUserConfig&) const = default;
};

struct BasicConfig {
  bool enabled = false;
  std::map<std::string, BasicUserConfig> users;  // by name
  bool operator==(const BasicConfig&) const = default;
};

struct AuthConfig {
  std::vector<KeyConfig> keys;
  std::map<std::string, CertificateConfig> certificates;  // by a name of ours
  BasicConfig basic;
  JwtConfig jwt;
  std::map<std::string, IssuerConfig> issuers;     // by a name of ours
  std::map<std::string, std::string> scopes;       // by virtual server, joined by spaces
  std::map<std::string, std::string> tool_scopes;  // by glob over slug.tool, likewise
  int64_t clock_skew_s = 60;
  int64_t key_max_age_days = 365;  // of keys in the database; 0: any
  bool anonymous_loopback = true;
  std::string token_store = "database";  // database or memory
  std::string client_metadata_url;       // empty: below gateway.publicUrl where that is https
  bool operator==(const AuthConfig&) const = default;
};

// How much of something may be used. One bucket for each value of `scope` (and of `per`) that
// `match` fits.
struct LimitRuleConfig {
  std::string name;   // empty: made of the others
  std::string scope;  // global, tenant, principal, team, client, upstream or tool
  std::string match = "*";
  std::string per;                // another scope, or empty
  std::string surface = "calls";  // calls or admin
  std::string rate;               // "100/minute", or empty
  int64_t burst = 0;              // 0: as many as the rate names
  int64_t concurrency = 0;        // 0: no limit
  int64_t daily_quota = 0;        // 0: no limit
  bool operator==(const LimitRuleConfig&) const = default;
};

// Who may use what; the rules are in common/policy.
struct PolicyConfig {
  std::string file;                // of rules, relative to the configuration; empty: none
  std::vector<std::string> rules;  // further rules, each a text
  std::string otherwise = "auto";  // policy.default: allow, deny or auto
  std::string consent = "auto";    // off, auto or destructive
  bool self_approval = true;
  int64_t approval_s = 600;  // how long an approval may be decided, and then used
  std::string path;          // of the file, as it was found
  std::string text;          // of the file, as it was read
  bool operator==(const PolicyConfig&) const = default;
};

struct LimitsConfig {
  std::vector<LimitRuleConfig> rules;
  int64_t body_bytes_max = 8 << 20;
  int64_t header_bytes_max = 32 << 10;
  int64_t json_depth_max = 64;
  int64_t result_bytes_max = 32 << 20;
  int64_t connections_max = 20'000;
  int64_t streams_per_client_max = 64;
  int64_t sessions_max = 100'000;
  int64_t calls_max = 4096;
  int64_t queue_max = 1024;
  int64_t servers_max = 1000;
  int64_t tools_per_server_max = 10'000;
  bool operator==(const LimitsConfig&) const = default;
};

struct DatabaseConfig {
  std::string url;  // empty: sqlite at <data-dir>/storage.db
  int64_t pool_size = 4;
  int64_t connect_timeout_ms = 5000;
  int64_t statement_timeout_ms = 30'000;
  bool operator==(const DatabaseConfig&) const = default;
};

struct ServiceConfig {
  std::string address;  // empty: in this process
  bool operator==(const ServiceConfig&) const = default;
};

struct ServiceTlsConfig {
  std::string certificate;
  std::string key;
  std::string ca;
  bool operator==(const ServiceTlsConfig&) const = default;
};

struct WorkflowConfig {
  bool http_loopback = false;
  int64_t retention_days = 30;  // of ended runs; 0: they stay
  int64_t runs_per_principal_max = 10'000;
  bool schedules = true;
  bool operator==(const WorkflowConfig&) const = default;
};

struct AuditConfig {
  std::string mode = "buffered";  // strict, buffered or off
  std::vector<std::string> payload_servers;
  int64_t payload_bytes_max = 64 << 10;
  int64_t spool_bytes_max = int64_t{1} << 30;
  int64_t spool_sync_ms = 20;
  int64_t retention_days = 365;
  int64_t checkpoint_ms = 10'000;
  std::string checkpoint_file;  // empty: audit-checkpoints.jsonl in the data directory
  std::string checkpoint_webhook;
  bool checkpoint_webhook_private = false;
  std::string signing_key_file;  // empty: audit-key.pem in the data directory
  bool operator==(const AuditConfig&) const = default;
};

struct BreakerConfig {
  int64_t failures = 5;
  int64_t open_ms = 10'000;
  bool operator==(const BreakerConfig&) const = default;
};

// One model of one vendor. `key` is expanded and secret: never print it.
struct AiProviderConfig {
  std::string api;  // responses, chat or anthropic
  std::string url;  // of the API, without the path of the call; empty: the vendor's
  std::string model;
  std::string key;
  int64_t timeout_ms = 20'000;
  int64_t output_tokens_max = 4096;
  bool stream = true;
  bool json_schema = true;
  bool allow_plain_http = false;
  int64_t requests_per_minute = 0;  // 0: no limit
  int64_t tokens_per_day = 0;       // 0: no limit
  int64_t input_cents = 0;          // of a million tokens
  int64_t output_cents = 0;
  bool operator==(const AiProviderConfig&) const = default;
};

struct AiLimitsConfig {
  int64_t requests_per_minute = 30;  // of one principal; 0: no limit
  int64_t tokens_per_day = 0;
  int64_t cents_per_day = 0;
  bool operator==(const AiLimitsConfig&) const = default;
};

struct AiConfig {
  std::map<std::string, AiProviderConfig> providers;
  std::vector<std::string> order;  // empty: by name
  int64_t suggest_timeout_ms = 3000;
  AiLimitsConfig per_principal;
  BreakerConfig breaker = {3, 30'000};
  int64_t cache_entries = 1000;
  int64_t cache_ttl_ms = 600'000;
  bool history = false;   // suggestions from the audit
  bool chat_api = false;  // /v1/chat/completions and /v1/models
  bool operator==(const AiConfig&) const = default;
};

struct ServicesConfig {
  std::string listen;     // gRPC address of this program when it runs one service
  std::string advertise;  // where the others reach it; empty: listen
  ServiceConfig catalog;
  ServiceConfig connector;
  ServiceConfig audit;
  ServiceTlsConfig tls;
  bool allow_plaintext = false;
  std::string probe_listen;    // plain health for probes; empty: none
  std::string metrics_listen;  // /metrics of this process; empty: none
  bool reflection = false;
  int64_t drain_delay_ms = 0;
  std::string keys_file;  // empty: keys.json in the data directory
  bool operator==(const ServicesConfig&) const = default;
};

struct CatalogConfig {
  int64_t refresh_ms = 300'000;
  int64_t list_timeout_ms = 30'000;
  std::string pins = "auto";         // off, auto, record, warn or quarantine
  std::string new_tools = "accept";  // accept or quarantine
  bool operator==(const CatalogConfig&) const = default;
};

struct BackoffConfig {
  int64_t min_ms = 250;
  int64_t max_ms = 30'000;
  bool operator==(const BackoffConfig&) const = default;
};

struct ConnectorConfig {
  int64_t connect_timeout_ms = 60'000;
  int64_t heartbeat_ms = 30'000;
  BackoffConfig backoff;
  BreakerConfig breaker;
  int64_t call_timeout_ms = 60'000;
  int64_t hard_timeout_ms = 600'000;
  int64_t question_timeout_ms = 600'000;
  int64_t parked_max = 10'000;
  int64_t parked_per_principal_max = 1000;
  int64_t instance_idle_ms = 600'000;
  int64_t stop_grace_ms = 3000;
  int64_t concurrency = 64;
  int64_t processes_max = 256;
  int64_t log_lines = 1000;
  bool operator==(const ConnectorConfig&) const = default;
};

struct TracesConfig {
  std::string endpoint;
  std::string protocol =
      "auto";  // grpc, http, json, or auto: what OTEL_EXPORTER_OTLP_PROTOCOL says
  int64_t per_10000 = 10'000;
  bool follow_parent = true;
  int64_t keep = 0;  // spans in memory
  bool operator==(const TracesConfig&) const = default;
};

// What is looked for in definitions, arguments and results, and what is done where it is found:
// off, log, mask or block.
struct DetectorsConfig {
  // off, definitions (log, there only), log, mask or block.
  std::string hidden_unicode = "definitions";
  std::string instructions = "definitions";
  std::string exfiltration = "definitions";
  std::string secrets = "off";
  std::string personal_data = "off";
  bool operator==(const DetectorsConfig&) const = default;
};

struct TaintConfig {
  std::string mode = "consent";  // off, consent or refuse
  int64_t ttl_ms = 3'600'000;
  bool operator==(const TaintConfig&) const = default;
};

struct CacheConfig {
  std::string backend = "memory";  // memory or database
  int64_t bytes_max = 64 << 20;    // 0: nothing is kept
  int64_t entry_bytes_max = 1 << 20;
  int64_t ttl_max_ms = 3'600'000;
  std::vector<std::string> resources;  // each "SERVER-GLOB SECONDS"
  bool operator==(const CacheConfig&) const = default;
};

struct TelemetryConfig {
  TracesConfig traces;
  std::string log_level = "info";
  std::string log_format = "auto";  // json, text, or auto: text on a terminal
  std::string log_file;
  int64_t log_file_bytes_max = 10 << 20;
  int64_t log_file_days_max = 0;
  int64_t log_files_max = 5;
  int64_t log_keep_bytes = 1 << 20;
  std::vector<std::string> counters;  // each "NAME FIELD=GLOB..."
  bool operator==(const TelemetryConfig&) const = default;
};

struct Config {
  int64_t version = 1;
  GatewayConfig gateway;
  std::map<std::string, ServerConfig> mcp_servers;             // by display name
  std::map<std::string, VirtualServerConfig> virtual_servers;  // by name (a slug)
  AuthConfig auth;
  PolicyConfig policy;
  LimitsConfig limits;
  SandboxConfig sandbox;
  SecretsConfig secrets;
  DatabaseConfig database;
  ServicesConfig services;
  CatalogConfig catalog;
  ConnectorConfig connector;
  WorkflowConfig workflow;
  AuditConfig audit;
  AiConfig ai;
  DetectorsConfig detectors;
  TaintConfig taint;
  CacheConfig cache;
  TelemetryConfig telemetry;
  bool operator==(const Config&) const = default;
};

}  // namespace metamcp::config
