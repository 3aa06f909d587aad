#!/usr/bin/env node
// The client that the conformance suite tests in its client role: a gateway of its own in front of
// the suite's mock server, and a small script behind the gateway's legacy front.
//
//   node drive.mjs URL      (the suite adds the URL and sets MCP_CONFORMANCE_*)
//
// Ports and state directory are this process's own, as the suite runs scenarios side by side.
import { setTimeout as sleep } from 'node:timers/promises';
import { SDKS } from '../lib/sdk.mjs';
import { logIn } from '../lib/login.mjs';
import { startGateway } from '../lib/servers.mjs';

const [url] = process.argv.slice(2);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const version = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION ?? '2025-11-25';
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
const modern = version >= '2026-07-28';
const TIMEOUT_MS = 25000;

// Applies what a form suggests, as a client does that offers its user the defaults.
function answerForm({ requestedSchema }) {
  const content = {};
  for (const [name, field] of Object.entries(requestedSchema?.properties ?? {})) {
    if (field.default !== undefined) content[name] = field.default;
  }
  return { action: 'accept', content };
}

const HANDLERS = {
  'elicitation/create': answerForm,
  'sampling/createMessage': () => ({
    role: 'assistant',
    model: 'none',
    content: { type: 'text', text: 'sampled' },
  }),
  'roots/list': () => ({ roots: [] }),
};

// Waits until the gateway lists a tool of the mock, or has given the mock up.
async function tools(client) {
  for (const end = Date.now() + TIMEOUT_MS; Date.now() < end; await sleep(50)) {
    const listed = await client.client.listTools();
    if (listed.tools.length > 0) return listed.tools;
  }
  return [];
}

// Waits until the gateway has shaken hands with a mock that offers nothing.
async function connected() {
  for (const end = Date.now() + TIMEOUT_MS; Date.now() < end; await sleep(50)) {
    const { connections } = await (await fetch(`${gateway.adminUrl}/connections`)).json();
    if (connections.some(({ status }) => status.reachable)) return;
  }
}

async function callAll(client, calls) {
  for (const { name, arguments: args } of calls) {
    await client.callTool({ name, arguments: args }).catch((error) => console.error(name, error));
  }
}

async function connection() {
  const { connections } = await (await fetch(`${gateway.adminUrl}/connections`)).json();
  return connections[0] ?? { status: {} };
}

// Waits until the mock is connected or wants a login; false when neither comes.
async function settled() {
  for (const end = Date.now() + TIMEOUT_MS; Date.now() < end; await sleep(50)) {
    const { status } = await connection();
    if (status.reachable || status.state === 'needs-login') return status.state;
    // What cannot be logged in to fails again and again.
    if (status.attempts >= 3) return undefined;
  }
  return undefined;
}

const wantsLogin = async () => ['needed', 'more'].includes((await connection()).login);

// The first tool; undefined when a login is wanted first, or none comes.
async function firstTool(client) {
  for (const end = Date.now() + 5000; Date.now() < end; await sleep(50)) {
    const { tools: listed } = await client.client.listTools();
    if (listed.length > 0) return listed[0];
    if (await wantsLogin()) break;
  }
  return undefined;
}

// Lists and calls; logs in whenever the mock asks for it, as often as a patient user would.
async function useAfterLogin(client) {
  for (let logins = 0; logins < 5; logins += 1) {
    if ((await settled()) === undefined) return;
    const tool = await firstTool(client);
    const result = tool && (await client.callTool({ name: tool.name, arguments: {} }));
    if (result && !result.isError) return;
    if (!(await wantsLogin()) || !(await logIn(gateway, 'mock'))) return;
  }
}

// What a client does through the gateway, by scenario; `default` is for all that only list.
const SCRIPTS = {
  default: tools,
  initialize: connected,
  'request-metadata': connected,
  tools_call: async (client) => {
    await tools(client);
    await client.callTool({ name: 'add_numbers', arguments: { a: 5, b: 3 } });
  },
  'sse-retry': async (client) => {
    await tools(client);
    await client.callTool({ name: 'test_reconnection', arguments: {} });
  },
  'elicitation-sep1034-client-defaults': async (client) => {
    await tools(client);
    await client.callTool({ name: 'test_client_elicitation_defaults', arguments: {} });
  },
  'sep-2322-client-request-state': async (client) => {
    await tools(client);
    await callAll(
      client,
      ['echo_state', 'no_state', 'unrelated', 'no_result_type'].map((each) => ({
        name: `test_mrtr_${each}`,
        arguments: {},
      })),
    );
  },
  'http-standard-headers': async (client) => {
    const [tool] = await tools(client);
    await client.callTool({ name: tool.name, arguments: {} });
    const { resources } = await client.client.listResources();
    if (resources.length > 0) await client.client.readResource({ uri: resources[0].uri });
    const { prompts } = await client.client.listPrompts();
    if (prompts.length > 0) await client.client.getPrompt({ name: prompts[0].name });
  },
  'http-custom-headers': async (client) => {
    await tools(client);
    await callAll(client, context.toolCalls ?? []);
  },
  'http-invalid-tool-headers': async (client) => {
    const listed = await tools(client);
    await callAll(
      client,
      listed.map(({ name }) => ({ name, arguments: { region: 'us-east1' } })),
    );
  },
  'json-schema-2020-12-preservation': async (client) => {
    const listed = await tools(client);
    const { inputSchema } = listed.find(({ name }) => name === 'json_schema_2020_12_tool');
    await client.callTool({ name: 'json_schema_echo', arguments: { schema: inputSchema } });
  },
};

// Which login the scenario is about, from what the suite tells a client.
function loginOf() {
  if (scenario.startsWith('auth/client-credentials')) {
    return {
      grant: 'client_credentials',
      clientId: context.client_id,
      clientSecret: context.client_secret,
      privateKey: context.private_key_pem,
      algorithm: context.signing_algorithm,
    };
  }
  if (scenario === 'auth/enterprise-managed-authorization') {
    return {
      grant: 'enterprise',
      clientId: context.client_id,
      clientSecret: context.client_secret,
      idToken: context.idp_id_token,
      identityProvider: context.idp_issuer,
      identityClientId: context.idp_client_id,
    };
  }
  if (!context.client_id) return undefined;
  return {
    clientId: context.client_id,
    clientSecret: context.client_secret,
    authorizationServer: context.issuer,
  };
}

// 2025-03-26 is asked for by the suite only where it tests the fallbacks of logins.
const upstream = { type: 'http', url, era: modern ? 'modern' : 'legacy' };
if (scenario.startsWith('auth/')) upstream.auth = loginOf();
const gateway = await startGateway({
  mcpServers: { mock: upstream },
  auth: { clientMetadataUrl: 'https://conformance-test.local/client-metadata.json' },
  virtualServers: { plain: { servers: ['mock'], prefix: 'none' } },
  connector: { backoff: { minMs: 50, maxMs: 500 } },
  telemetry: { logLevel: 'debug' },
});
try {
  const legacy = SDKS.find(({ name }) => name === 'TypeScript SDK 1.x');
  const client = await legacy.connect({ url: gateway.virtualUrl('plain') }, HANDLERS);
  const script = scenario.startsWith('auth/') ? useAfterLogin : SCRIPTS[scenario];
  await (script ?? SCRIPTS.default)(client);
  await client.close();
} finally {
  await gateway.stop();
  console.error(gateway.child.stderr);
}
process.exit(0);
