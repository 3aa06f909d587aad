#include "common/config/fields.h"

// One row per setting. Defaults are the member initialisers of config.h.
namespace metamcp::config {
namespace {

#define SLOT(member) [](void* o) -> Slot { return &static_cast<Config*>(o)->member; }

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kGiB = int64_t{1} << 30;

constexpr Field Text(std::string_view path, Slot (*slot)(void*), std::string_view description) {
  return Field{path, FieldType::kString, description, slot};
}
constexpr Field List(std::string_view path, Slot (*slot)(void*), std::string_view description) {
  Field f{path, FieldType::kStrings, description, slot};
  return f;
}
constexpr Field Flag(std::string_view path, Slot (*slot)(void*), std::string_view description) {
  Field f{path, FieldType::kBoolean, description, slot};
  return f;
}
constexpr Field Choice(std::string_view path, Slot (*slot)(void*), std::string_view choices,
                       std::string_view description) {
  Field f{path, FieldType::kChoice, description, slot};
  f.choices = choices;
  return f;
}
constexpr Field Count(std::string_view path, Slot (*slot)(void*), int64_t min, int64_t max,
                      std::string_view description, std::string_view unit = {}) {
  Field f{path, FieldType::kInteger, description, slot, unit, min, max};
  return f;
}
constexpr Field Time(std::string_view path, Slot (*slot)(void*), int64_t min, int64_t max,
                     std::string_view description) {
  return Count(path, slot, min, max, description, "ms");
}
constexpr Field Bytes(std::string_view path, Slot (*slot)(void*), int64_t min, int64_t max,
                      std::string_view description) {
  return Count(path, slot, min, max, description, "bytes");
}
constexpr Field Typed(Field f, FieldType type) {
  f.type = type;
  return f;
}
constexpr Field WithFlag(Field f, std::string_view flag) {
  f.flag = flag;
  return f;
}
constexpr Field Secret(Field f) {
  f.secret = true;
  return f;
}
// A change takes effect while the program runs; cli/suite.cc applies it.
constexpr Field Live(Field f) {
  f.restart = false;
  return f;
}

constexpr Field kSettings[] = {
    Count("version", SLOT(version), 0, 1, "Schema version of the file."),
    // gateway
    WithFlag(Typed(Text("gateway.listen", SLOT(gateway.listen),
                        "Address of the HTTP listener; port 0 takes a free one. Anything but "
                        "loopback needs authentication (auth)."),
                   FieldType::kAddress),
             "--listen"),
    Text("gateway.tls.certificate", SLOT(gateway.tls.certificate),
         "PEM file of the listener's certificate chain, the leaf first: then gateway.listen speaks "
         "HTTPS only. Read again when it changes, as are the next two; connections stay."),
    Text("gateway.tls.key", SLOT(gateway.tls.key), "PEM file of its private key."),
    Text("gateway.tls.clientCa", SLOT(gateway.tls.client_ca),
         "PEM file of the authorities of clients' certificates (auth.certificates). Empty: no "
         "client is asked for one."),
    Choice("gateway.tls.min", SLOT(gateway.tls.min), "1.2|1.3",
           "Lowest TLS version of clients; 1.2 is logged as an exception."),
    Text("gateway.listenUnix", SLOT(gateway.listen_unix),
         "Unix socket for the command line and stdio clients. Empty: serve.sock in the data "
         "directory."),
    Typed(Text("gateway.publicUrl", SLOT(gateway.public_url),
               "URL under which clients reach the gateway, when a proxy stands before it."),
          FieldType::kUrl),
    List("gateway.allowedHosts", SLOT(gateway.allowed_hosts),
         "Host headers accepted beside the listen address and publicUrl."),
    List("gateway.allowedOrigins", SLOT(gateway.allowed_origins),
         "Origin headers accepted beside those of the gateway itself."),
    List("gateway.cors.origins", SLOT(gateway.cors.origins),
         "Origins whose browser pages may read answers. Empty: CORS is off."),
    Flag("gateway.cors.credentials", SLOT(gateway.cors.credentials),
         "Let those pages send credentials."),
    Count("gateway.cors.maxAgeS", SLOT(gateway.cors.max_age_s), 0, 86'400,
          "How long browsers keep a preflight answer.", "s"),
    Live(Text("gateway.nameSeparator", SLOT(gateway.name_separator),
              "Between slug and tool name in exposed names: 1 to 4 characters of A-Z, a-z, "
              "0-9, _ and -.")),
    Count("gateway.pageSize", SLOT(gateway.page_size), 1, 100'000, "Items in one page of a list."),
    Time("gateway.firstListWaitMs", SLOT(gateway.first_list_wait_ms), 0, kHour,
         "How long a list waits for servers that are new and still connecting."),
    Time("gateway.requestTimeoutMs", SLOT(gateway.request_timeout_ms), 100, kDay,
         "Longest time for one request of a client, questions to it included."),
    Time("gateway.headerTimeoutMs", SLOT(gateway.header_timeout_ms), 100, kHour,
         "Longest time for a client to send a request's header and body."),
    Time("gateway.sseKeepAliveMs", SLOT(gateway.sse_keep_alive_ms), 100, kHour,
         "Time between keep-alive comments on an idle stream, and pings on an idle WebSocket."),
    Time("gateway.sessionIdleMs", SLOT(gateway.session_idle_ms), 1000, 30 * kDay,
         "A legacy session ends after this time without a request or an open stream."),
    Time("gateway.drainMs", SLOT(gateway.drain_ms), 0, kHour,
         "Time for calls in flight to finish when the program stops."),
    // auth
    Live(Flag("auth.anonymousLoopback", SLOT(auth.anonymous_loopback),
              "Clients on this machine need no key. A change takes effect at once.")),
    Live(Flag("auth.basic.enabled", SLOT(auth.basic.enabled),
              "The REST API also takes the names and passwords of auth.basic.users, over "
              "gateway.tls only; MCP never does.")),
    Choice("auth.tokenStore", SLOT(auth.token_store), "database|memory",
           "Where logins at upstreams are kept: sealed in the database, or only as long as the "
           "program runs."),
    Typed(Text("auth.clientMetadataUrl", SLOT(auth.client_metadata_url),
               "Address of our OAuth Client ID Metadata Document, where it is served elsewhere. "
               "Empty: below gateway.publicUrl, if that is https."),
          FieldType::kUrl),
    Live(Secret(Text("auth.jwt.secret", SLOT(auth.jwt.secret),
                     "Secret of at least 32 characters that signs our own tokens (HS256). Empty: "
                     "the variable JWT_SECRET_KEY; without that too, tokens are signed by the "
                     "sealing keys."))),
    Live(Text("auth.jwt.issuer", SLOT(auth.jwt.issuer), "Claim iss of our own tokens.")),
    Live(Text("auth.jwt.audience", SLOT(auth.jwt.audience),
              "Claim aud of our own tokens, which are good at every address of the gateway.")),
    Count("auth.jwt.expiryMinutes", SLOT(auth.jwt.expiry_minutes), 1, 5'256'000,
          "How long a token of 'token create' holds, where it does not say."),
    Count("auth.keyMaxAgeDays", SLOT(auth.key_max_age_days), 0, 36'500,
          "Greatest age of the API keys that the gateway keeps, and what they have where nothing "
          "else is said; 0: they need not end.",
          "days"),
    Live(Count("auth.clockSkewS", SLOT(auth.clock_skew_s), 0, 600,
               "How far the clock of an issuer may differ from ours.", "s")),
    Live(Typed(
        List("auth.scopes", SLOT(auth.scopes),
             "Scopes that tokens need, by virtual server: {\"default\": \"mcp:use\"}; several "
             "by spaces. Keys without scopes need none."),
        FieldType::kStringMap)),
    Live(Typed(List("auth.toolScopes", SLOT(auth.tool_scopes),
                    "Further scopes by tool: {\"git.*\": \"git:read\"}; a star stands for "
                    "any characters of server.tool."),
               FieldType::kStringMap)),
    // policy
    Live(Text("policy.file", SLOT(policy.file),
              "File of rules (see security.md), relative to this one. A change of it takes effect "
              "at once.")),
    Live(List("policy.rules", SLOT(policy.rules), "Further rules, each a text.")),
    Live(Choice("policy.default", SLOT(policy.otherwise), "auto|allow|deny",
                "What holds where no rule matches. auto: allow where there are no rules or only "
                "this machine is served (gateway.listen on loopback), else deny.")),
    Live(Choice("policy.consent", SLOT(policy.consent), "off|auto|destructive",
                "Which tools wait for a person, as a consent rule would say. auto: those that say "
                "that they destroy and may not be repeated, for whoever came with a credential; "
                "destructive: for everybody, and those that say nothing, too (security.md).")),
    Live(Flag("policy.selfApproval", SLOT(policy.self_approval),
              "Who makes a call may approve it; otherwise another operator must.")),
    Live(Count("policy.approvalS", SLOT(policy.approval_s), 10, 86'400,
               "How long an approval may be decided, and an approved call made.", "s")),
    // limits
    Bytes("limits.bodyBytesMax", SLOT(limits.body_bytes_max), 1024, kGiB, "Largest request body."),
    Bytes("limits.headerBytesMax", SLOT(limits.header_bytes_max), 1024, 1 << 20,
          "Largest request header."),
    Count("limits.jsonDepthMax", SLOT(limits.json_depth_max), 8, 1000,
          "Deepest nesting of a JSON message."),
    Bytes("limits.resultBytesMax", SLOT(limits.result_bytes_max), 1024, kGiB,
          "Largest message accepted from an upstream."),
    Count("limits.connectionsMax", SLOT(limits.connections_max), 1, 1'000'000,
          "Client connections at once."),
    Count("limits.streamsPerClientMax", SLOT(limits.streams_per_client_max), 1, 100'000,
          "Open streams of one legacy session."),
    Count("limits.sessionsMax", SLOT(limits.sessions_max), 1, 10'000'000,
          "Legacy sessions at once."),
    Count("limits.callsMax", SLOT(limits.calls_max), 1, 1'000'000, "Calls in flight at once."),
    Count("limits.queueMax", SLOT(limits.queue_max), 1, 1'000'000,
          "Calls that wait for one upstream."),
    Live(Count("limits.serversMax", SLOT(limits.servers_max), 1, 100'000, "Upstreams.")),
    Count("limits.toolsPerServerMax", SLOT(limits.tools_per_server_max), 1, 20'000,
          "Tools, resources, templates or prompts of one upstream."),
    // sandbox
    Text("sandbox.profile", SLOT(sandbox.profile),
         "What servers over stdio may touch that name no profile: none, default, strict, or a name "
         "of sandbox.profiles (security/sandbox.md)."),
    Flag("sandbox.unsafe", SLOT(sandbox.unsafe),
         "Servers start although this machine cannot enforce their profile; each is logged and "
         "shown as unsafe. Without it they do not start."),
    Flag("sandbox.production", SLOT(sandbox.production),
         "Servers over stdio do not start without a sandbox, nor by a package runner whose package "
         "has no exact version."),
    // secrets
    Flag("secrets.dumps", SLOT(secrets.dumps),
         "Core dumps and debuggers of the same user are let in, which shows them every secret in "
         "memory."),
    // database
    WithFlag(Secret(Text("database.url", SLOT(database.url),
                         "postgresql://... or sqlite:PATH. Empty: storage.db in the data "
                         "directory.")),
             "--database-url"),
    Count("database.poolSize", SLOT(database.pool_size), 1, 200,
          "Database connections (PostgreSQL) and reader threads."),
    Time("database.connectTimeoutMs", SLOT(database.connect_timeout_ms), 100, kHour,
         "Longest time to connect to the database."),
    Time("database.statementTimeoutMs", SLOT(database.statement_timeout_ms), 100, kHour,
         "Longest time for one statement."),
    // services
    Typed(Text("services.listen", SLOT(services.listen),
               "gRPC address of a program that runs one service."),
          FieldType::kAddress),
    Typed(Text("services.advertise", SLOT(services.advertise),
               "Address where the other programs of the cluster reach this one. Empty: "
               "services.listen, with this machine's name for 0.0.0.0."),
          FieldType::kAddress),
    Typed(Text("services.catalog.address", SLOT(services.catalog.address),
               "gRPC address of the catalog; several by commas, or dns:///host:port for all "
               "addresses of a name, are taken in turn. Empty: in the same process."),
          FieldType::kTargets),
    Typed(Text("services.connector.address", SLOT(services.connector.address),
               "gRPC address of a connector that is not part of the cluster, written as that of "
               "the catalog. Empty: in the same process, or found by the directory."),
          FieldType::kTargets),
    Typed(Text("services.audit.address", SLOT(services.audit.address),
               "gRPC address of the audit service, written as that of the catalog. Empty: in the "
               "same process; where it is not, nothing is audited."),
          FieldType::kTargets),
    Text("services.tls.certificate", SLOT(services.tls.certificate),
         "PEM file of this process's certificate chain, for mutual TLS 1.3 between services "
         "(certificates.md); read again when it changes, as are the next two."),
    Text("services.tls.key", SLOT(services.tls.key), "PEM file of its private key."),
    Text("services.tls.ca", SLOT(services.tls.ca), "PEM file of the authority of the services."),
    Flag("services.allowPlaintext", SLOT(services.allow_plaintext),
         "Services may speak without TLS beyond this machine: only in a network that is closed "
         "and encrypted by other means. Everybody who reaches them can do everything."),
    Typed(Text("services.probeListen", SLOT(services.probe_listen),
               "Address without TLS that serves grpc.health.v1 and nothing else, for probes that "
               "have no certificate. Empty: none."),
          FieldType::kAddress),
    Typed(Text("services.metricsListen", SLOT(services.metrics_listen),
               "Address (HTTP) of /metrics of this process, as Prometheus reads it; a key with the "
               "role viewer is needed where auth.keys is set. The gateway also has it at its own "
               "address. Empty: none."),
          FieldType::kAddress),
    Flag("services.reflection", SLOT(services.reflection),
         "services.listen also answers grpc.reflection.v1alpha, for tools such as grpcurl."),
    Time("services.drainDelayMs", SLOT(services.drain_delay_ms), 0, 600'000,
         "At the end, time between saying that this process is not ready and refusing new calls: "
         "as long as a balancer needs to notice."),
    Text("services.keysFile", SLOT(services.keys_file),
         "Sealing keys that all programs of a cluster share, for example a mounted Secret; read "
         "again when it changes. Empty: keys.json in the data directory."),
    // catalog
    Time("catalog.refreshMs", SLOT(catalog.refresh_ms), 1000, kDay,
         "Time between refreshes of an upstream's lists that it did not announce."),
    Time("catalog.listTimeoutMs", SLOT(catalog.list_timeout_ms), 100, kHour,
         "Longest time for one upstream to list its items."),
    Live(
        Choice("catalog.pins", SLOT(catalog.pins), "off|auto|record|warn|quarantine",
               "What happens to a tool whose definition is not the approved one any more: nothing; "
               "record: the log warns; warn: clients go on seeing the approved one, too; "
               "quarantine: nobody sees or calls it until it is approved. auto: record where only "
               "this machine is served by one process, else warn (security.md).")),
    Live(Choice("catalog.newTools", SLOT(catalog.new_tools), "accept|quarantine",
                "With catalog.pins: a tool that was never seen is approved as it is, or waits for "
                "an approval.")),
    // connector
    Time("connector.connectTimeoutMs", SLOT(connector.connect_timeout_ms), 100, kHour,
         "Longest time from start to ready; package runners may download first."),
    Time("connector.heartbeatMs", SLOT(connector.heartbeat_ms), 0, kDay,
         "Time between pings of an idle upstream; 0 sends none."),
    Time("connector.backoff.minMs", SLOT(connector.backoff.min_ms), 1, kHour,
         "First wait before connecting again; doubles, with full jitter."),
    Time("connector.backoff.maxMs", SLOT(connector.backoff.max_ms), 1, kDay,
         "Longest wait before connecting again."),
    Count("connector.breaker.failures", SLOT(connector.breaker.failures), 1, 1000,
          "Failures in a row that open an upstream's breaker."),
    Time("connector.breaker.openMs", SLOT(connector.breaker.open_ms), 1, kDay,
         "Time an open breaker refuses calls before it lets one through."),
    Time("connector.callTimeoutMs", SLOT(connector.call_timeout_ms), 100, kDay,
         "Longest time for one call without progress from the upstream."),
    Time("connector.hardTimeoutMs", SLOT(connector.hard_timeout_ms), 100, 7 * kDay,
         "Longest time for one call, progress or not."),
    Time("connector.questionTimeoutMs", SLOT(connector.question_timeout_ms), 100, kDay,
         "How long a call whose server asked something waits for the client's answer."),
    Count("connector.parkedMax", SLOT(connector.parked_max), 1, 10'000'000,
          "Calls at once that wait for their clients' answers."),
    Count("connector.parkedPerPrincipalMax", SLOT(connector.parked_per_principal_max), 1,
          10'000'000, "The same of one principal."),
    Time("connector.instanceIdleMs", SLOT(connector.instance_idle_ms), 100, kDay,
         "A connection of one session or principal ends after this time without a call."),
    Time("connector.stopGraceMs", SLOT(connector.stop_grace_ms), 0, 600'000,
         "Time a child process has after its input closed and after TERM, before KILL."),
    Count("connector.concurrency", SLOT(connector.concurrency), 1, 100'000,
          "Calls at once to one upstream."),
    Count("connector.processesMax", SLOT(connector.processes_max), 0, 100'000,
          "Child processes at once."),
    Count("connector.logLines", SLOT(connector.log_lines), 0, 1'000'000,
          "Lines kept of each upstream's stderr."),
    // workflow
    Flag("workflow.schedules", SLOT(workflow.schedules),
         "This process starts the runs of schedules. Without it schedules rest, unless another "
         "process on the same database has it."),
    Flag("workflow.httpLoopback", SLOT(workflow.http_loopback),
         "call: http of workflows may reach this machine too, not only public addresses. What "
         "listens here often trusts whoever can reach it, the gateway's own API included."),
    Count("workflow.retentionDays", SLOT(workflow.retention_days), 0, 36'500,
          "Runs are deleted so many days after their end, with their steps; 0 keeps them."),
    Count("workflow.runsPerPrincipalMax", SLOT(workflow.runs_per_principal_max), 1, 10'000'000,
          "Runs of one principal at once that have not ended."),
    // audit
    Choice("audit.mode", SLOT(audit.mode), "strict|buffered|off",
           "What is promised of the record of each call: strict stores it before the answer is "
           "given; buffered has it in files of the data directory before the answer is given, and "
           "stores it soon after (audit.md)."),
    List("audit.payloadServers", SLOT(audit.payload_servers),
         "Servers (slugs, or * for all) whose arguments and results are kept, encrypted. Of the "
         "others only names and types of arguments are, with a digest."),
    Bytes("audit.payloadBytesMax", SLOT(audit.payload_bytes_max), 0, 16 << 20,
          "Longest part of the arguments, and of the result, that is kept."),
    Bytes("audit.spoolBytesMax", SLOT(audit.spool_bytes_max), 1 << 16, 1024 * kGiB,
          "Records that wait in files for the audit service; when they are more, calls are "
          "refused."),
    Time("audit.spoolSyncMs", SLOT(audit.spool_sync_ms), 0, 60'000,
         "Longest time until written records are on the disk itself, which matters when the "
         "machine loses power; 0 waits for it before the answer is given."),
    Count("audit.retentionDays", SLOT(audit.retention_days), 0, 36'500,
          "Records older than this are removed, unless a legal hold keeps them; 0 keeps all.",
          "days"),
    Time("audit.checkpointMs", SLOT(audit.checkpoint_ms), 100, kDay,
         "Time between signed checkpoints of what was recorded meanwhile."),
    Text("audit.checkpointFile", SLOT(audit.checkpoint_file),
         "File that checkpoints are also appended to, best where the database's administrators "
         "cannot write. Empty: audit-checkpoints.jsonl in the data directory."),
    Typed(Text("audit.checkpointWebhook", SLOT(audit.checkpoint_webhook),
               "Address that checkpoints are also sent to by POST. Empty: none."),
          FieldType::kUrl),
    Flag("audit.checkpointWebhookPrivate", SLOT(audit.checkpoint_webhook_private),
         "That address may be on this machine or in a private network."),
    Text("audit.signingKeyFile", SLOT(audit.signing_key_file),
         "PEM file of the Ed25519 key that signs checkpoints, for example a mounted Secret. Empty: "
         "audit-key.pem in the data directory, made at the first start."),
    // ai
    List("ai.order", SLOT(ai.order),
         "Providers in the order in which they are asked; empty: by name. Those that are not named "
         "are not asked."),
    Time(
        "ai.suggestTimeoutMs", SLOT(ai.suggest_timeout_ms), 100, 600'000,
        "Longest time for a suggestion; without an answer of a model until then it is made without "
        "one."),
    Count("ai.perPrincipal.requestsPerMinute", SLOT(ai.per_principal.requests_per_minute), 0,
          1'000'000,
          "Requests to models by one principal, at all processes together; 0: no limit."),
    Count("ai.perPrincipal.tokensPerDay", SLOT(ai.per_principal.tokens_per_day), 0, INT64_MAX,
          "Tokens in and out of one principal; 0: no limit."),
    Count("ai.perPrincipal.centsPerDay", SLOT(ai.per_principal.cents_per_day), 0, INT64_MAX,
          "Cost of one principal, by the prices of the providers; 0: no limit."),
    Count("ai.breaker.failures", SLOT(ai.breaker.failures), 1, 1000,
          "Failures in a row after which a provider is left alone."),
    Time("ai.breaker.openMs", SLOT(ai.breaker.open_ms), 10, kHour,
         "Time for which it is left alone."),
    Count("ai.cacheEntries", SLOT(ai.cache_entries), 0, 1'000'000,
          "Answers of models that are kept; 0: none."),
    Time("ai.cacheTtlMs", SLOT(ai.cache_ttl_ms), 0, kDay, "How long they are kept."),
    Flag(
        "ai.history", SLOT(ai.history),
        "Workflows are proposed for chains of calls that somebody made several times, as the audit "
        "has them."),
    Flag("ai.chatApi", SLOT(ai.chat_api),
         "The gateway serves /v1/chat/completions and /v1/models, by the providers whose api is "
         "chat."),
    // detectors
    Live(Choice("detectors.hiddenUnicode", SLOT(detectors.hidden_unicode),
                "off|definitions|log|mask|block",
                "Characters that nobody sees: tags, directions of writing, zero width. Found in "
                "definitions of tools, arguments and results; definitions: logged, and only there "
                "(security.md).")),
    Live(Choice("detectors.instructions", SLOT(detectors.instructions),
                "off|definitions|log|mask|block",
                "Text that speaks to the model, in definitions and results.")),
    Live(Choice("detectors.exfiltration", SLOT(detectors.exfiltration),
                "off|definitions|log|mask|block",
                "Addresses that would carry data away when they are shown or opened, in "
                "definitions and results.")),
    Live(Choice("detectors.secrets", SLOT(detectors.secrets), "off|log|mask|block",
                "Keys, tokens and passwords, in arguments and results.")),
    Live(Choice("detectors.personalData", SLOT(detectors.personal_data), "off|log|mask|block",
                "Mail addresses, telephone numbers, cards and bank accounts, in arguments and "
                "results.")),
    // taint
    Live(Choice("taint.mode", SLOT(taint.mode), "off|consent|refuse",
                "What happens to a call of a destructive or open-world tool after a server that "
                "is not trusted answered in the same scope: it waits for a person, or is refused "
                "(security.md).")),
    Live(Time("taint.ttlMs", SLOT(taint.ttl_ms), 1000, 30 * kDay,
              "How long that scope stays so after the last such answer.")),
    // cache
    Choice("cache.backend", SLOT(cache.backend), "memory|database",
           "Where what servers answered to resources/read is kept while it is fresh: in each "
           "connector's memory, or sealed in the database, for all connectors."),
    Bytes("cache.bytesMax", SLOT(cache.bytes_max), 0, 1024 * kGiB,
          "All of it, of each connector or of the database; 0: nothing is kept."),
    Bytes("cache.entryBytesMax", SLOT(cache.entry_bytes_max), 1024, kGiB,
          "A larger result is not kept."),
    Time("cache.ttlMaxMs", SLOT(cache.ttl_max_ms), 1000, 30 * kDay,
         "Longest time for which a result is given again, whatever its server says."),
    List(
        "cache.resources", SLOT(cache.resources),
        "For servers that do not say how long their resources are fresh, each \"SERVER SECONDS\" "
        "with a glob of names: what they answered is given again to who asked, for so long. Empty: "
        "only what a server says itself (ttlMs)."),
    // telemetry
    WithFlag(Live(Choice("telemetry.logLevel", SLOT(telemetry.log_level),
                         "debug|info|warning|error", "Least important lines that are written.")),
             "--log-level"),
    WithFlag(Choice("telemetry.logFormat", SLOT(telemetry.log_format), "auto|json|text",
                    "Form of log lines; auto is text on a terminal, else JSON."),
             "--log-format"),
    Text("telemetry.logFile", SLOT(telemetry.log_file),
         "File that gets the lines too, as JSON, whatever logFormat says. Empty: none."),
    Bytes("telemetry.logFileBytesMax", SLOT(telemetry.log_file_bytes_max), 4096, kGiB,
          "A log file that would grow beyond this is put aside as logFile.1, and so on."),
    Count("telemetry.logFileDaysMax", SLOT(telemetry.log_file_days_max), 0, 3650,
          "So is one whose first line is older than this; 0: whatever its age.", "days"),
    Count("telemetry.logFilesMax", SLOT(telemetry.log_files_max), 0, 1000,
          "Log files that are kept beside the one that is written."),
    Bytes("telemetry.logKeepBytes", SLOT(telemetry.log_keep_bytes), 0, kGiB,
          "Newest log lines that each process keeps in memory for 'meta-mcp logs'; 0: none."),
    List("telemetry.counters", SLOT(telemetry.counters),
         "Counters of your own, each \"NAME FIELD=GLOB ...\" with the fields item, upstream, "
         "virtual_server, method and outcome: metamcp_user_NAME_total counts the calls that fit."),
    Typed(Text("telemetry.traces.endpoint", SLOT(telemetry.traces.endpoint),
               "URL of an OpenTelemetry collector that is sent the traces by OTLP, for example "
               "http://127.0.0.1:4317. Empty: OTEL_EXPORTER_OTLP_ENDPOINT, and without that none."),
          FieldType::kUrl),
    Choice("telemetry.traces.protocol", SLOT(telemetry.traces.protocol), "auto|grpc|http|json",
           "OTLP over gRPC, over HTTP with Protobuf, or over HTTP with JSON; auto is "
           "OTEL_EXPORTER_OTLP_PROTOCOL, else gRPC."),
    Count("telemetry.traces.per10000", SLOT(telemetry.traces.per_10000), 0, 10'000,
          "How many of 10,000 traces that begin here are recorded."),
    Flag("telemetry.traces.followParent", SLOT(telemetry.traces.follow_parent),
         "A call that comes with a trace context is recorded if its caller records it, whatever "
         "per10000 says."),
    Count("telemetry.traces.keep", SLOT(telemetry.traces.keep), 0, 1'000'000,
          "Newest spans that each process keeps in memory for 'meta-mcp perf', 'slow' and 'map'; "
          "0: none."),
};
#undef SLOT

}  // namespace

std::span<const Field> Settings() { return kSettings; }

}  // namespace metamcp::config
