// One face over the official TypeScript SDKs, so that each scenario is written once.
//
// connect(endpoint, handlers) opens a client on {url}, {sse}, {ws} or {command, args}. `handlers` maps the
// methods a server may ask for to functions of its params; the capabilities follow from it.
import * as v2 from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport as SseV1 } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { WebSocketClientTransport as WsV1 } from '@modelcontextprotocol/sdk/client/websocket.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';

const INFO = { name: 'meta-mcp-tests', version: '1.0.0' };
const V1_SCHEMAS = {
  'elicitation/create': ElicitRequestSchema,
  'sampling/createMessage': CreateMessageRequestSchema,
  'roots/list': ListRootsRequestSchema,
};

// `urls`: the client opens addresses for its user (URL elicitation).
function capabilitiesOf(handlers, { urls = false } = {}) {
  const capabilities = {};
  if (handlers['elicitation/create']) {
    capabilities.elicitation = { form: {}, ...(urls ? { url: {} } : {}) };
  }
  if (handlers['sampling/createMessage']) capabilities.sampling = {};
  if (handlers['roots/list']) capabilities.roots = {};
  return capabilities;
}

// Keeps the notifications a client got, and lets a test wait for one.
class Notifications {
  #seen = [];
  #waiting = new Set();

  push(notification) {
    this.#seen.push(notification);
    for (const check of this.#waiting) check();
  }

  // Resolves with the first notification of `method` that `accept` takes; undefined after timeoutMs.
  async wait(method, accept, timeoutMs) {
    const find = () =>
      this.#seen.find((each) => each.method === method && accept(each.params ?? {}));
    if (find()) return find();
    return new Promise((resolve) => {
      const done = (value) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve(value);
      };
      const check = () => find() && done(find());
      const timer = setTimeout(() => done(undefined), timeoutMs);
      this.#waiting.add(check);
    });
  }
}

// Opens the channel on which changes arrive: a listen stream in the modern era. A legacy client
// subscribes to URIs by request and has its list changes unasked.
async function watch(client, era, { uris = [], lists = false }) {
  if (era === 'modern') {
    const filter = lists
      ? { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true }
      : {};
    if (uris.length > 0) filter.resourceSubscriptions = uris;
    const subscription = await client.listen(filter);
    return { honored: subscription.honoredFilter, close: () => subscription.close() };
  }
  for (const uri of uris) await client.subscribeResource({ uri });
  const close = async () => {
    for (const uri of uris) await client.unsubscribeResource({ uri });
  };
  return { honored: { resourceSubscriptions: uris }, close };
}

function face(client, era, notifications) {
  return {
    client,
    era,
    notifications,
    watch: (what) => watch(client, era, what),
    callTool: (params, options) =>
      client.callTool(params, ...(client instanceof ClientV1 ? [undefined] : []), options),
    close: () => client.close(),
  };
}

function transportV1(endpoint) {
  if (endpoint.url) return new HttpV1(new URL(endpoint.url));
  if (endpoint.sse) return new SseV1(new URL(endpoint.sse));
  if (endpoint.ws) return new WsV1(new URL(endpoint.ws));
  return new StdioV1(endpoint);
}

function transportV2(endpoint) {
  if (endpoint.url) return new v2.StreamableHTTPClientTransport(new URL(endpoint.url));
  if (endpoint.sse) return new v2.SSEClientTransport(new URL(endpoint.sse));
  return new StdioV2(endpoint);
}

async function connectV1(endpoint, handlers = {}, options = {}) {
  const client = new ClientV1(INFO, { capabilities: capabilitiesOf(handlers, options) });
  for (const [method, handler] of Object.entries(handlers)) {
    client.setRequestHandler(V1_SCHEMAS[method], (request) => handler(request.params ?? {}));
  }
  const notifications = new Notifications();
  client.fallbackNotificationHandler = async (notification) => notifications.push(notification);
  await client.connect(transportV1(endpoint));
  return face(client, 'legacy', notifications);
}

async function connectV2(endpoint, handlers = {}, era = 'modern', options = {}) {
  const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy';
  const client = new v2.Client(INFO, {
    capabilities: capabilitiesOf(handlers, options),
    versionNegotiation: { mode },
  });
  for (const [method, handler] of Object.entries(handlers)) {
    client.setRequestHandler(method, (request) => handler(request.params ?? {}));
  }
  const notifications = new Notifications();
  client.fallbackNotificationHandler = async (notification) => notifications.push(notification);
  await client.connect(transportV2(endpoint));
  return face(client, era, notifications);
}

// The 2.x SDK has no WebSocket.
const withoutWs = (front) => front.name !== '/ws';

export const SDKS = [
  { name: 'TypeScript SDK 1.x', era: 'legacy', connect: connectV1, speaks: () => true },
  {
    name: 'TypeScript SDK 2.x, legacy',
    era: 'legacy',
    connect: (e, h, o) => connectV2(e, h, 'legacy', o),
    speaks: withoutWs,
  },
  {
    name: 'TypeScript SDK 2.x, modern',
    era: 'modern',
    connect: (e, h, o) => connectV2(e, h, 'modern', o),
    speaks: withoutWs,
  },
];
