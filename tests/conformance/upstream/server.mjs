// A scripted MCP server of one revision. It knows nothing of transports: a transport opens a Peer
// per legacy session or connection and gives it what arrives.
import { META, TASKS_EXTENSION, has, isModern } from '../lib/revisions.mjs';
import { schemasOf } from '../lib/schema.mjs';
import { Log } from '../lib/wait.mjs';
import { Call, InputRequired, RpcError } from './call.mjs';
import * as items from './items.mjs';
import { Tasks } from './tasks.mjs';
import { callTool } from './tools.mjs';

const PAGE = 6;
// What clients call to see an unknown method refused.
export const NO_METHOD = 'no/such_method';
// What clients ask for to see an unknown log level refused, by whoever it is.
export const NO_LEVEL = 'no-such-level';
const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];
const CACHED = /^(server\/discover|.*\/list|resources\/read)$/;

export class ScriptedServer {
  received = new Log(); // {peer, message, headers}
  problems = []; // what was wrong on the wire, as texts
  peers = new Set();
  listens = new Set();
  extra = new Set();
  version = 1;
  waiting = new Map();
  cancelled = [];
  visited = new Set();
  tasksSeen = [];
  answers = new Log(); // {nonce, kind, result or error}

  // `interactive` says to the gateway from the start that it asks.
  constructor({ name, revision, transport, interactive = false }) {
    Object.assign(this, { name, revision, transport, interactive });
    this.modern = isModern(revision);
    this.schemas = schemasOf(revision);
    this.tasks = new Tasks(this);
  }

  problem(text) {
    this.problems.push(`${this.name} (${this.revision}, ${this.transport}): ${text}`);
  }

  capabilities() {
    const { revision } = this;
    const capabilities = {
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { subscribe: true, listChanged: true },
      logging: {},
    };
    if (has(revision, 'completionsCapability')) capabilities.completions = {};
    if (this.modern) capabilities.extensions = { [TASKS_EXTENSION]: {} };
    else if (has(revision, 'tasks'))
      capabilities.tasks = { list: {}, cancel: {}, requests: { tools: { call: {} } } };
    return capabilities;
  }

  // Adds a tool or takes it away, and says so to everybody who may hear it.
  setExtra(name, there) {
    if (there) this.extra.add(name);
    else this.extra.delete(name);
    this.#announce('notifications/tools/list_changed', {}, (filter) => filter.toolsListChanged);
  }

  touch() {
    this.version += 1;
    const uri = items.resourcesOf(this)[2].uri;
    const wants = (filter) => filter.resourceSubscriptions?.includes(uri);
    this.#announce('notifications/resources/updated', { uri }, wants, (peer) => peer.uris.has(uri));
  }

  elicitationComplete(elicitationId) {
    this.#announce('notifications/elicitation/complete', { elicitationId }, () => false);
  }

  #announce(method, params, wants, peerWants = () => true) {
    for (const { filter, id, exchange } of this.listens) {
      if (!wants(filter)) continue;
      const _meta = { [META.subscription]: id };
      exchange.send({ jsonrpc: '2.0', method, params: { ...params, _meta } });
    }
    for (const peer of this.peers) {
      if (peer.ready && peerWants(peer)) peer.push({ jsonrpc: '2.0', method, params });
    }
  }

  subscriptions(uri) {
    const listening =
      [...this.listens].filter((l) => l.filter.resourceSubscriptions?.includes(uri));
    return listening.length + [...this.peers].filter((peer) => peer.uris.has(uri)).length;
  }
}

export class Peer {
  capabilities = {};
  logLevel = undefined;
  uris = new Set();
  ready = false;
  #calls = new Map();
  #asked = new Map();
  #nextAsk = 0;

  // `push(message)` sends what belongs to no request.
  constructor(server, push) {
    this.server = server;
    this.push = push;
    server.peers.add(this);
  }

  close() {
    this.server.peers.delete(this);
    for (const listen of this.server.listens) {
      if (listen.peer === this) this.server.listens.delete(listen);
    }
    for (const abort of this.#calls.values()) abort.abort();
  }

  // Takes one message. `exchange` carries what belongs to it: send(message), onClosed(callback).
  // Resolves with the response, or undefined if there is none.
  async receive(message, exchange, headers = {}) {
    const { server } = this;
    server.received.push({ peer: this, message, headers });
    if (message.method === undefined) return this.#answered(message);
    if (message.id === undefined) return this.#notified(message);
    // A gateway may find out which era this is by asking in the other's words.
    const probe = message.method === (server.modern ? 'initialize' : 'server/discover');
    const wrong = message.method === NO_METHOD || message.params?.level === NO_LEVEL;
    if (!probe && !wrong)
      this.#check(server.schemas.request('client', message), message);
    const respond = (body) => ({ jsonrpc: '2.0', id: message.id, ...body });
    const abort = new AbortController();
    this.#calls.set(message.id, abort);
    exchange.onClosed?.(() => server.modern && abort.abort());
    try {
      const result = await this.#request(message, exchange, abort);
      if (abort.signal.aborted) return undefined;
      return result === undefined ? undefined :
                                    respond({ result: this.#finished(message, result) });
    } catch (error) {
      if (abort.signal.aborted) return undefined;
      if (error instanceof InputRequired) return respond({ result: error.result });
      if (!(error instanceof RpcError)) throw error;
      const { code, message: text, data } = error;
      return respond({ error: { code, message: text, ...(data && { data }) } });
    } finally {
      if (message.method !== 'subscriptions/listen') this.#calls.delete(message.id);
    }
  }

  #check(findings, message) {
    for (const each of findings)
      this.server.problem(`${each} in ${JSON.stringify(message).slice(0, 300)}`);
  }

  #finished({ method }, result) {
    if (!this.server.modern || result.resultType) return result;
    const cached = CACHED.test(method) ? { ttlMs: 0, cacheScope: 'private' } : {};
    return { resultType: 'complete', ...cached, ...result };
  }

  // Sends a request to the client. Resolves with {result} or {error}.
  ask(method, params, exchange) {
    const id = (this.#nextAsk += 1);
    return new Promise((resolve) => {
      this.#asked.set(id, { method, resolve });
      exchange.send({ jsonrpc: '2.0', id, method, params });
    });
  }

  #answered(message) {
    const asked = this.#asked.get(message.id);
    if (this.server.modern || !asked) {
      this.server.problem(`an answer to nothing: ${JSON.stringify(message).slice(0, 200)}`);
      return undefined;
    }
    this.#asked.delete(message.id);
    if (message.error === undefined)
      this.#check(this.server.schemas.response(asked.method, message), message);
    asked.resolve(message.error ? { error: message.error } : { result: message.result });
    return undefined;
  }

  #notified(message) {
    this.#check(this.server.schemas.notification('client', message), message);
    if (message.method === 'notifications/initialized') this.ready = true;
    if (message.method === 'notifications/cancelled')
      this.#calls.get(message.params?.requestId)?.abort();
    return undefined;
  }

  #page(key, items, params) {
    const at = params?.cursor === undefined ? 0 : Number(params.cursor);
    if (!(at >= 0 && at < Math.max(items.length, 1))) throw new RpcError(-32602, 'bad cursor');
    const more = at + PAGE < items.length ? { nextCursor: String(at + PAGE) } : {};
    return { [key]: items.slice(at, at + PAGE), ...more };
  }

  async #request(message, exchange, abort) {
    const { server } = this;
    const { method, params = {} } = message;
    const own = server.modern
      ? this.#modern(message, exchange, abort)
      : this.#legacy(method, params);
    if (own !== undefined) return own === LISTENING ? undefined : own;
    switch (method) {
      case 'tools/list':
        return this.#page('tools', items.toolsOf(server), params);
      case 'resources/list':
        return this.#page('resources', items.resourcesOf(server), params);
      case 'resources/templates/list':
        return this.#page('resourceTemplates', items.templatesOf(server), params);
      case 'prompts/list':
        return this.#page('prompts', items.promptsOf(server), params);
      case 'tools/call':
        return callTool(new Call(this, message, exchange, abort));
      case 'resources/read':
        return { contents: items.readResource(server, params.uri) };
      case 'prompts/get':
        return items.getPrompt(server, params);
      case 'completion/complete':
        return items.complete(params);
      default: {
        const answer =
          has(server.revision, 'tasks') ? server.tasks.answer(method, params) : undefined;
        if (answer === undefined) throw new RpcError(-32601, `no method ${method}`);
        return answer;
      }
    }
  }

  #legacy(method, params) {
    const { server } = this;
    if (method === 'initialize') {
      this.capabilities = params.capabilities ?? {};
      this.clientInfo = params.clientInfo;
      const serverInfo = { name: server.name, version: '1' };
      const { revision } = server;
      return { protocolVersion: revision, capabilities: server.capabilities(), serverInfo };
    }
    if (method === 'ping') return {};
    if (method === 'logging/setLevel') {
      if (!LEVELS.includes(params.level)) throw new RpcError(-32602, 'no such level');
      this.logLevel = params.level;
      return {};
    }
    if (method === 'resources/subscribe') this.uris.add(params.uri);
    else if (method === 'resources/unsubscribe') this.uris.delete(params.uri);
    else return undefined;
    return {};
  }

  #modern({ id, method, params }, exchange, abort) {
    const { server } = this;
    if (method === 'server/discover') {
      const serverInfo = { name: server.name, version: '1' };
      const _meta = { 'io.modelcontextprotocol/serverInfo': serverInfo };
      return { supportedVersions: [server.revision], capabilities: server.capabilities(), _meta };
    }
    if (method !== 'subscriptions/listen') return undefined;
    const filter = params.notifications ?? {};
    const listen = { peer: this, id, filter, exchange };
    server.listens.add(listen);
    abort.signal.addEventListener('abort', () => server.listens.delete(listen));
    const _meta = { [META.subscription]: id };
    exchange.send({
      jsonrpc: '2.0',
      method: 'notifications/subscriptions/acknowledged',
      params: { notifications: filter, _meta },
    });
    return LISTENING;
  }
}

// A listen has no response while it lasts.
const LISTENING = Symbol('listening');
