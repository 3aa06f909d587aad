// One request to a gateway and what became of it: no SDK between a fault and its witness.
import { Agent, request } from 'node:http';

const META = 'io.modelcontextprotocol/';
const TIMEOUT_MS = 40000;

export const meta = (more = {}) => ({
  [`${META}protocolVersion`]: '2026-07-28',
  [`${META}clientCapabilities`]: {},
  ...more,
});

// Connections that are kept, as a balancer keeps them to each of its targets.
export class Connections {
  #agents = new Map();

  to(url) {
    const { host } = new URL(url);
    if (!this.#agents.has(host)) this.#agents.set(host, new Agent({ keepAlive: true }));
    return this.#agents.get(host);
  }

  // A target that gets no new requests; those on their way go on.
  forget(url) {
    this.#agents.delete(new URL(url).host);
  }

  close() {
    for (const agent of this.#agents.values()) agent.destroy();
  }
}

// Sends one HTTP request. Resolves with {status, headers, body} or {lost: code, sent}: `sent` says
// whether the server may have seen it. `onData` gets pieces as they come.
export function http(url, { method = 'POST', headers = {}, body, agent = false, onData, signal } = {}) {
  return new Promise((resolve) => {
    let connected = false;
    const out = request(url, { method, headers, agent, signal });
    // Also of a stream that is kept alive.
    const timer = setTimeout(() => {
      out.destroy(Object.assign(new Error('no answer'), { code: 'NO_ANSWER' }));
    }, TIMEOUT_MS);
    const settle = (outcome) => {
      clearTimeout(timer);
      resolve(outcome);
    };
    const lost = (code) => settle({ lost: code, sent: connected });
    out.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => (connected = true));
      else connected = true;
    });
    out.on('error', (error) => lost(error.code ?? String(error)));
    out.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (data) => {
        text += data;
        onData?.(data);
      });
      response.on('error', (error) => lost(error.code ?? String(error)));
      response.on('close', () => lost('cut'));
      response.on('end', () =>
        settle({ status: response.statusCode, headers: response.headers, body: text }),
      );
    });
    out.end(body);
  });
}

// The messages of an answer, in order.
export function messagesOf({ headers, body }) {
  if (!headers['content-type']?.includes('event-stream')) return body ? [JSON.parse(body)] : [];
  return body
    .split('\n')
    .filter((line) => line.startsWith('data:') && line.length > 6)
    .map((line) => JSON.parse(line.slice(5)));
}

// One JSON-RPC request. Resolves with {answer, messages, status, headers} or {lost, sent}.
export async function rpc(url, method, params, { id = 1, headers = {}, session, key, ...more } = {}) {
  const legacy = session !== undefined;
  const message = { jsonrpc: '2.0', id, method, params: legacy ? params : { _meta: meta(), ...params } };
  const outcome = await http(url, {
    ...more,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': legacy ? '2025-11-25' : '2026-07-28',
      ...(legacy ? {} : { 'mcp-method': method, ...(params.name ? { 'mcp-name': params.name } : {}) }),
      ...(session ? { 'mcp-session-id': session } : {}),
      ...(key ? { authorization: `Bearer ${key}` } : {}),
      ...headers,
    },
    body: JSON.stringify(message),
  });
  if (outcome.lost) return outcome;
  let messages;
  try {
    messages = messagesOf(outcome);
  } catch {
    return { lost: `HTTP ${outcome.status}, no JSON: ${outcome.body.slice(0, 200)}`, sent: true };
  }
  const answer = messages.findLast((each) => each.id === id && !each.method);
  if (!answer) return { ...outcome, messages, lost: `HTTP ${outcome.status} without an answer`, sent: true };
  return { ...outcome, messages, answer };
}

// Why a call failed, or undefined: our reason where there is one.
export function failureOf(outcome) {
  if (outcome.lost) return { lost: outcome.lost, sent: outcome.sent };
  const { error, result } = outcome.answer;
  if (error) return { reason: error.data?.reason, message: error.message };
  if (result.isError) return { reason: 'isError', message: JSON.stringify(result.content) };
  return undefined;
}

export const textOf = (outcome) => outcome.answer?.result?.content?.[0]?.text;
