// A scripted MCP client of one revision on one transport: raw messages, so that what is sent is
// exactly that revision's wire. Whatever arrives is checked against the revision's schema.
import { META, has, isModern } from '../lib/revisions.mjs';
import { schemasOf } from '../lib/schema.mjs';
import { Log, eventually, within } from '../lib/wait.mjs';
import { TRANSPORTS } from './transports.mjs';

const ROUNDS_MAX = 8;
const encodeHeader = (value) =>
  /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value) && !/^=\?base64\?.*\?=$/.test(value)
    ? value
    : `=?base64?${Buffer.from(value, 'utf8').toString('base64')}?=`;

// `reply` if it is a result; else says what came instead.
function expectResult(method, reply) {
  if (reply.result) return reply;
  throw new Error(`${method} was answered by ${reply.lost ?? JSON.stringify(reply.error)}`);
}

export class Client {
  problems = [];
  notifications = new Log(); // {method, params, stream}
  asked = new Log(); // {method, params, key}: what the server side asked
  #pending = new Map();
  #nextId = 0;

  // `handlers` maps the methods that may be asked to functions of params; they return a result or
  // throw {code, message}.
  constructor({ revision, transport, capabilities = {}, handlers = {}, endpoint, refuses }) {
    Object.assign(this, { revision, transport, handlers, capabilities, refuses });
    this.modern = isModern(revision);
    this.schemas = schemasOf(revision);
    this.wire = new TRANSPORTS[transport](endpoint, {
      message: (message, via) => this.#take(message, via),
      lost: (id, why) => this.#lost(id, why),
      problem: (text) => this.problem(text),
    });
    this.wire.modern = this.modern;
  }

  problem(text) {
    this.problems.push(`client (${this.revision}, ${this.transport}): ${text}`);
  }

  #check(findings, message) {
    for (const each of findings)
      this.problem(`${each} in ${JSON.stringify(message).slice(0, 300)}`);
  }

  async open() {
    await this.wire.open();
    if (this.modern) {
      const { result } = expectResult('server/discover', await this.request('server/discover', {}));
      this.serverCapabilities = result.capabilities;
      return this;
    }
    const clientInfo = { name: `kit-${this.revision}`, version: '1' };
    const { capabilities, revision } = this;
    const params = { protocolVersion: revision, capabilities, clientInfo };
    const { result, headers } = expectResult('initialize', await this.request('initialize', params));
    if (result.protocolVersion !== revision)
      this.problem(`asked for ${revision}, got ${result.protocolVersion}`);
    this.serverCapabilities = result.capabilities;
    const session = headers?.get('mcp-session-id');
    if (session) this.wire.headers['mcp-session-id'] = session;
    if (has(revision, 'versionHeader')) this.wire.headers['mcp-protocol-version'] = revision;
    await this.notify('notifications/initialized');
    if (this.wire.listen) this.streamStatus = await this.wire.listen();
    return this;
  }

  async notify(method, params) {
    await this.wire.send({ jsonrpc: '2.0', method, ...(params && { params }) }).sent;
  }

  // The envelope of a modern request, and its headers.
  #envelope(method, params, { level = this.level, capabilities = this.capabilities, meta, said }) {
    if (!this.modern) {
      const _meta = meta && { _meta: { ...params._meta, ...meta } };
      return { params: { ...params, ..._meta }, headers: {} };
    }
    const _meta = {
      ...params._meta,
      [META.version]: this.revision,
      [META.info]: { name: `kit-${this.revision}`, version: '1' },
      [META.capabilities]: capabilities,
      ...(level && { [META.logLevel]: level }),
      ...meta,
    };
    const headers = { 'mcp-protocol-version': this.revision, 'mcp-method': method };
    const name = params.name ?? params.uri ?? params.taskId;
    if (name !== undefined && method !== 'completion/complete')
      headers['mcp-name'] = encodeHeader(name);
    if (said !== undefined) headers['mcp-param-said'] = encodeHeader(said);
    return { params: { ...params, _meta }, headers };
  }

  // Sends one request. Returns {id, reply, cancel}; reply resolves with {result or error, status,
  // headers, lost}. `onNotification` hears what comes on the request's own stream.
  begin(method, params = {}, options = {}) {
    const id = options.id ?? (this.#nextId += 1);
    const { params: full, headers } = this.#envelope(method, params, options);
    const bare = !this.modern && Object.keys(full).length === 0;
    const message = { jsonrpc: '2.0', id, method, ...(!bare && { params: full }) };
    const entry = { method, notes: [] };
    entry.reply = new Promise((resolve) => {
      entry.resolve = resolve;
    });
    this.#pending.set(id, entry);
    const post = this.wire.send(message, { headers });
    post.sent
      .then(({ status, headers: got }) => Object.assign(entry, { status, headers: got }))
      .catch((error) => this.#lost(id, String(error)));
    const cancel = () => this.#cancel(id, post);
    return { id, notes: entry.notes, reply: entry.reply, cancel };
  }

  #cancel(id, post) {
    const entry = this.#pending.get(id);
    if (!entry) return undefined; // it was answered meanwhile
    entry.cancelled = true;
    if (this.modern && this.transport === 'http') return post.abandon();
    return this.notify('notifications/cancelled', { requestId: id, reason: 'changed my mind' });
  }

  async request(method, params, options = {}) {
    const begun = this.begin(method, params, options);
    return within(begun.reply, `${method} of ${this.revision} over ${this.transport}`, options.ms);
  }

  // A request whose questions are answered by the handlers. `rounds` counts them.
  async call(method, params, options = {}) {
    let reply = await this.request(method, params, options);
    let rounds = 0;
    const notes = [...reply.notes];
    while (this.modern && reply.result?.resultType === 'input_required') {
      if ((rounds += 1) > ROUNDS_MAX) throw new Error(`${method} asks without end`);
      const { inputRequests = {}, requestState } = reply.result;
      const inputResponses = {};
      for (const [key, each] of Object.entries(inputRequests)) {
        this.asked.push({ ...each, key });
        inputResponses[key] = await this.handlers[each.method](each.params ?? {});
      }
      const state = requestState === undefined ? {} : { requestState };
      reply = await this.request(method, { ...params, inputResponses, ...state }, options);
      notes.push(...reply.notes);
    }
    return { ...reply, rounds, notes };
  }

  #lost(id, why) {
    const entry = this.#pending.get(id);
    if (!entry) return;
    this.#pending.delete(id);
    entry.resolve({ ...entry, lost: why });
  }

  #take(message, via) {
    if (Array.isArray(message)) return message.forEach((each) => this.#take(each, via));
    if (!message || typeof message !== 'object') return this.problem(`no message: ${message}`);
    if (message.method === undefined) return this.#answered(message, via);
    if (message.id !== undefined) return this.#askedBy(message);
    this.#check(this.schemas.notification('server', message), message);
    const { method, params = {} } = message;
    const stream = this.#streamOf(message, via);
    const note = { method, params, stream };
    this.#pending.get(stream)?.notes.push(note);
    return this.notifications.push(note);
  }

  // Which request a notification belongs to: by its stream, else by its progress token.
  #streamOf({ params }, { stream }) {
    if (stream !== undefined) return stream;
    const subscription = params?._meta?.[META.subscription];
    return subscription ?? undefined;
  }

  #answered(message, { status }) {
    const entry = this.#pending.get(message.id);
    if (!entry)
      return this.problem(`an answer to nothing: ${JSON.stringify(message).slice(0, 200)}`);
    this.#pending.delete(message.id);
    this.#check(this.schemas.response(entry.method, message), message);
    if (entry.cancelled) this.problem(`${entry.method} was answered after it was cancelled`);
    const { result, error } = message;
    // The status of a stream is known when its head came, which is before its messages.
    return setImmediate(
      () => entry.resolve({ ...entry, status: status ?? entry.status, result, error }));
  }

  async #askedBy(message) {
    const { id, method, params = {} } = message;
    const foreign = this.refuses?.(this.revision, message);
    if (!foreign) this.#check(this.schemas.request('server', message), message);
    if (this.modern) return this.problem(`a request from the server: ${method}`);
    const respond = (body) => this.wire.send({ jsonrpc: '2.0', id, ...body }).sent.catch(() => {});
    if (method === 'ping') return respond({ result: {} });
    this.asked.push({ method, params, id });
    const handler = this.handlers[method];
    if (!handler || foreign)
      return respond({ error: { code: -32601, message: `no ${method} here` } });
    try {
      return await respond({ result: await handler(params) });
    } catch ({ code = -32603, message: text }) {
      return respond({ error: { code, message: text } });
    }
  }

  setLevel(level) {
    this.level = level;
    return this.modern ? { result: {} } : this.request('logging/setLevel', { level });
  }

  // Hears of changes: `lists` and the resources of `uris`. Resolves with {stop()}.
  async watch({ lists = false, uris = [] }) {
    if (!this.modern) {
      for (const uri of uris) await this.#must('resources/subscribe', { uri });
      return {
        stop: async () =>
          Promise.all(uris.map((uri) => this.#must('resources/unsubscribe', { uri })))
      };
    }
    const wanted = lists ? { toolsListChanged: true, promptsListChanged: true } : {};
    const notifications = { ...wanted, ...(uris.length > 0 && { resourceSubscriptions: uris }) };
    const begun = this.begin('subscriptions/listen', { notifications }, { level: '' });
    const name = 'notifications/subscriptions/acknowledged';
    const accept = (note) => note.method === name && note.stream === begun.id;
    const early = begun.reply.then((reply) => {
      throw new Error(`listen ended: ${JSON.stringify(reply.error ?? reply.lost ?? reply.result)}`);
    });
    early.catch(() => {});
    const ack = await Promise.race([this.notifications.wait('the acknowledgement', accept), early]);
    if (JSON.stringify(ack.params.notifications) !== JSON.stringify(notifications))
      this.problem(
        `asked to hear ${JSON.stringify(notifications)}, got ${JSON.stringify(ack.params)}`);
    return { id: begun.id, stop: () => begun.cancel() };
  }

  async #must(method, params) {
    const { result, error, lost } = await this.request(method, params);
    if (!result) throw new Error(`${method}: ${JSON.stringify(error ?? lost)}`);
  }

  async close() {
    await this.wire.close();
  }

  // Resolves when nothing is pending any more.
  async idle() {
    await eventually('every request is answered', () => this.#pending.size === 0);
  }
}
