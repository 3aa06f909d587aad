// The client's half of each transport. A transport has open(), send(message, {headers}), close(); it gives what arrives to `on.message(message, {stream})`, where `stream` is the id of the request
// whose stream carried it, if one did, and what is wrong on the wire to `on.problem(text)`.
// send() returns {sent, abandon}: `sent` resolves with {status, headers} once the peer took it.
import { Child } from './child.mjs';
import { readEvents } from '../lib/sse.mjs';
import { within } from '../lib/wait.mjs';

const JSON_POST = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
};

const parse = (text, on) => {
  try {
    return JSON.parse(text);
  } catch {
    on.problem(`not JSON: ${String(text).slice(0, 200)}`);
    return undefined;
  }
};

export class StreamableHttp {
  headers = {}; // sent with every request
  modern = false;
  #streams = new Set();

  constructor(endpoint, on) {
    Object.assign(this, { url: endpoint.url, own: endpoint.headers ?? {}, on });
  }

  async open() {}

  #fetch(method, { headers, body, signal }) {
    return fetch(
      this.url, { method, headers: { ...this.own, ...this.headers, ...headers }, body, signal });
  }

  send(message, { headers = {} } = {}) {
    const abort = new AbortController();
    this.#streams.add(abort);
    const { id } = message;
    const isRequest = message.method !== undefined && id !== undefined;
    const post = this.#fetch('POST', {
      headers: { ...JSON_POST, ...headers },
      body: JSON.stringify(message),
      signal: abort.signal,
    });
    const sent = post.then((response) => this.#answered(response, message, isRequest));
    const done = sent.then(({ drained }) => drained);
    done.catch(() => {}).finally(() => this.#streams.delete(abort));
    return { sent, abandon: () => abort.abort() };
  }

  async #answered(response, message, isRequest) {
    const { status, headers } = response;
    const type = headers.get('content-type') ?? '';
    let drained;
    if (type.includes('text/event-stream')) drained = this.#read(response, message.id);
    else {
      const text = await response.text();
      const body = text === '' ? undefined : parse(text, this.on);
      if (!isRequest && status !== 202)
        this.on.problem(
          `${message.method ?? 'a response'} was answered by HTTP ${status}: ${text}`);
      if (isRequest && body) this.on.message(body, { stream: message.id, status });
      else if (isRequest) this.on.lost(message.id, `HTTP ${status} ${text.slice(0, 200)}`);
    }
    return { status, headers, drained };
  }

  async #read(response, stream) {
    try {
      for await (const { data, id, event } of readEvents(response.body)) {
        if (this.modern && id !== undefined)
          this.on.problem(`an event id on a modern stream: ${id}`);
        if (event !== undefined && event !== 'message') this.on.problem(`an event named ${event}`);
        if (data) this.on.message(parse(data, this.on), { stream });
      }
      if (stream !== undefined) this.on.lost(stream, 'the stream ended');
    } catch (error) {
      if (stream !== undefined) this.on.lost(stream, String(error));
    }
  }

  // Opens the stream of a legacy session. Resolves with the HTTP status.
  async listen() {
    const abort = new AbortController();
    this.#streams.add(abort);
    const response = await this.#fetch(
      'GET', { headers: { accept: 'text/event-stream' }, signal: abort.signal });
    if (response.status === 200) this.#read(response, undefined);
    else await response.text();
    return response.status;
  }

  async close() {
    for (const abort of this.#streams) abort.abort();
    if (!this.headers['mcp-session-id']) return;
    const response = await this.#fetch('DELETE', { headers: {} });
    await response.text();
    if (![200, 202, 204, 405].includes(response.status))
      this.on.problem(`DELETE: ${response.status}`);
  }
}

export class HttpSse {
  headers = {};
  #abort = new AbortController();

  constructor(endpoint, on) {
    Object.assign(this, { url: endpoint.url, own: endpoint.headers ?? {}, on });
  }

  async open() {
    const headers = { accept: 'text/event-stream', ...this.own };
    const response = await fetch(this.url, { headers, signal: this.#abort.signal });
    if (response.status !== 200) throw new Error(`GET ${this.url}: HTTP ${response.status}`);
    const endpoint = new Promise((resolve) => {
      this.#read(response, resolve);
    });
    this.post = new URL(await within(endpoint, 'the endpoint event'), this.url);
    if (this.post.origin !== new URL(this.url).origin) this.on.problem(`endpoint at ${this.post}`);
  }

  async #read(response, gotEndpoint) {
    try {
      for await (const { event, data } of readEvents(response.body)) {
        if (event === 'endpoint') gotEndpoint(data);
        else if (data) this.on.message(parse(data, this.on), {});
      }
    } catch {
      // The stream ends with the client.
    }
  }

  send(message) {
    const headers = { 'content-type': 'application/json', ...this.own, ...this.headers };
    const sent = fetch(this.post, { method: 'POST', headers, body: JSON.stringify(message) }).then(
      async (response) => {
        const text = await response.text();
        if (response.status !== 202) this.on.problem(`POST: HTTP ${response.status} ${text}`);
        return response;
      },
    );
    return { sent, abandon: () => {} };
  }

  async close() {
    this.#abort.abort();
  }
}

export class Stdio {
  headers = {};

  constructor(endpoint, on) {
    Object.assign(this, { endpoint, on });
  }

  async open() {
    const { command, args, env } = this.endpoint;
    this.child = new Child(command, args, { env });
    this.child.onLine((line) => {
      const message = parse(line, this.on);
      if (message) this.on.message(message, {});
    });
  }

  send(message) {
    this.child.write(`${JSON.stringify(message)}\n`);
    return { sent: Promise.resolve({}), abandon: () => {} };
  }

  async close() {
    await this.child.stop();
  }
}

export class WebSocketTransport {
  headers = {};

  constructor(endpoint, on) {
    Object.assign(this, { endpoint, on });
  }

  async open() {
    const { url, headers = {} } = this.endpoint;
    this.socket = new WebSocket(url, { protocols: ['mcp'], headers });
    this.socket.addEventListener('message', ({ data }) => {
      const message = parse(data, this.on);
      if (message) this.on.message(message, {});
    });
    const opened = new Promise((resolve, reject) => {
      this.socket.addEventListener('open', resolve);
      this.socket.addEventListener('error', () => reject(new Error(`no WebSocket at ${url}`)));
    });
    await within(opened, `WebSocket to ${url}`);
    if (this.socket.protocol !== 'mcp') this.on.problem('the subprotocol "mcp" was not taken');
  }

  send(message) {
    this.socket.send(JSON.stringify(message));
    return { sent: Promise.resolve({}), abandon: () => {} };
  }

  async close() {
    const closed = new Promise((resolve) => this.socket.addEventListener('close', resolve));
    this.socket.close();
    await within(closed, 'the WebSocket closes').catch(() => {});
  }
}

export const TRANSPORTS = {
  http: StreamableHttp,
  sse: HttpSse,
  stdio: Stdio,
  ws: WebSocketTransport
};
