// One call of a tool, prompt or resource as the scripted server sees it: what it may tell its
// client meanwhile, and how it asks, in the way of its revision.
import { META, has, isModern } from '../lib/revisions.mjs';

export class RpcError extends Error {
  constructor(code, message, data) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

// Thrown by ask() on a modern server: the call ends with this result and starts again with answers.
export class InputRequired extends Error {
  constructor(inputRequests, requestState) {
    super('input required');
    this.result = { resultType: 'input_required', inputRequests, requestState };
  }
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (text) => JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));

export class Call {
  #round = 0;
  #answers = [];

  constructor(peer, message, exchange, abort) {
    this.peer = peer;
    this.server = peer.server;
    this.revision = peer.server.revision;
    this.params = message.params ?? {};
    this.meta = this.params._meta ?? {};
    this.exchange = exchange;
    this.signal = abort.signal;
    if (isModern(this.revision)) this.#takeState();
  }

  #takeState() {
    const { requestState, inputResponses } = this.params;
    if (requestState === undefined) return;
    let state;
    try {
      state = decode(requestState);
    } catch {
      this.server.problem(`requestState came back altered: ${requestState}`);
      throw new RpcError(-32602, 'requestState is not mine');
    }
    if (state.server !== this.server.name || state.name !== (this.params.name ?? this.params.uri))
      throw new RpcError(-32602, 'requestState is of another request');
    this.#answers = inputResponses ? [...state.answers, inputResponses] : state.answers;
  }

  // What the client that causes this call can do.
  get capabilities() {
    return isModern(this.revision) ? (this.meta[META.capabilities] ?? {}) : this.peer.capabilities;
  }

  can(kind) {
    const { elicitation, sampling, roots } = this.capabilities;
    return {
      form: Boolean(elicitation && (elicitation.form || !elicitation.url)),
      url: Boolean(elicitation?.url),
      sampling: Boolean(sampling),
      sampling_tools: Boolean(sampling?.tools),
      roots: Boolean(roots),
    }[kind];
  }

  notify(method, params) {
    this.exchange.send({ jsonrpc: '2.0', method, params });
  }

  progress(progress, total, text) {
    const { progressToken } = this.meta;
    if (progressToken === undefined) return;
    const message = has(this.revision, 'progressMessage') ? { message: text } : {};
    this.notify('notifications/progress', { progressToken, progress, total, ...message });
  }

  // Sends a log line if the client's level wants it.
  log(level, data) {
    const levels = ['debug', 'info', 'notice', 'warning', 'error'];
    const wanted = isModern(this.revision) ? this.meta[META.logLevel] : this.peer.logLevel;
    if (wanted === undefined || levels.indexOf(level) < levels.indexOf(wanted)) return;
    this.notify('notifications/message', { level, logger: this.server.name, data });
  }

  // Resolves, as if the client had refused, when this call is cancelled.
  #cancelled() {
    return new Promise((resolve) => {
      const end = () => resolve({ error: { code: -32800, message: 'cancelled' } });
      this.signal.addEventListener('abort', end);
    });
  }

  // Asks the client `requests`, {key: {method, params}}. Resolves with {key: {result or error}}.
  async ask(requests) {
    const round = this.#round;
    this.#round += 1;
    if (!isModern(this.revision)) {
      const answers = Object.entries(requests).map(async ([key, { method, params }]) => [
        key,
        await Promise.race([this.peer.ask(method, params, this.exchange), this.#cancelled()]),
      ]);
      return Object.fromEntries(await Promise.all(answers));
    }
    const given = this.#answers[round];
    if (given === undefined || Object.keys(requests).some((key) => given[key] === undefined)) {
      const name = this.params.name ?? this.params.uri;
      const answers = this.#answers.slice(0, round);
      throw new InputRequired(requests, encode({ server: this.server.name, name, answers }));
    }
    return Object.fromEntries(Object.entries(given).map(([key, result]) => [key, { result }]));
  }
}
