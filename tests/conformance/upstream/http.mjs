// HTTP transports of scripted servers: Streamable HTTP of both eras, and HTTP+SSE.
import { randomUUID } from 'node:crypto';
import { META, has } from '../lib/revisions.mjs';
import { EventWriter } from '../lib/sse.mjs';
import { Peer } from './server.mjs';

export async function readJson(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

export function sendJson(res, status, body, headers = {}) {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, { ...(body && { 'content-type': 'application/json' }), ...headers });
  res.end(body && JSON.stringify(body));
}

const refusal = (id, code, message) =>
  ({ jsonrpc: '2.0', id: id ?? null, error: { code, message } });

// The reply to one POST: JSON, or an event stream once something comes before the response.
class PostExchange {
  #closed = [];
  writer;

  constructor(res, streamOptions) {
    this.res = res;
    this.streamOptions = streamOptions;
    this.finished = false;
    res.on('close', () => {
      if (!this.finished) this.#closed.forEach((callback) => callback());
    });
  }

  onClosed(callback) {
    this.#closed.push(callback);
  }

  send(message) {
    this.writer ??= new EventWriter(this.res, this.streamOptions());
    return this.writer.message(message);
  }

  finish(response, headers, status = 200) {
    this.finished = true;
    if (this.writer) {
      if (response) this.writer.message(response);
      this.writer.end();
    } else if (response) sendJson(this.res, status, response, headers);
    else this.res.destroy();
  }
}

function decodeHeader(value) {
  const encoded = /^=\?base64\?(.*)\?=$/.exec(value ?? '');
  return encoded ? Buffer.from(encoded[1], 'base64').toString('utf8') : value;
}

// What the headers of a modern POST must repeat of its body.
function modernHeaderProblem(server, req, message) {
  const { headers } = req;
  const { method, params } = message;
  if (message.id === undefined) return undefined;
  if (headers['mcp-protocol-version'] !== params?._meta?.[META.version])
    return `MCP-Protocol-Version is ${headers['mcp-protocol-version']}`;
  if (headers['mcp-method'] !== method) return `Mcp-Method is ${headers['mcp-method']}`;
  const named = { 'tools/call': 'name', 'prompts/get': 'name', 'resources/read': 'uri' }[method];
  const name = method.startsWith('tasks/') ? params.taskId : params[named];
  if (name !== undefined && decodeHeader(headers['mcp-name']) !== name)
    return `Mcp-Name is ${headers['mcp-name']}`;
  const said = params.arguments?.text;
  if (params.name === 'echo' && decodeHeader(headers['mcp-param-said']) !== said)
    return `Mcp-Param-Said is ${headers['mcp-param-said']}`;
  return undefined;
}

async function serveModern(server, peer, req, res) {
  if (req.method !== 'POST') return sendJson(res, 405);
  const message = await readJson(req);
  if (!message || Array.isArray(message))
    return sendJson(res, 400, refusal(null, -32700, 'bad JSON'));
  if (message.method === undefined) {
    server.problem('a response was POSTed');
    return sendJson(res, 400, refusal(null, -32600, 'no responses here'));
  }
  if (message.params?._meta?.[META.version] !== server.revision)
    return sendJson(res, 400, refusal(message.id, -32602, 'no envelope'));
  if (req.headers['mcp-session-id']) server.problem('Mcp-Session-Id on a modern request');
  const problem = modernHeaderProblem(server, req, message);
  if (problem) {
    server.problem(`${problem} for ${message.method}`);
    return sendJson(res, 400, refusal(message.id, -32020, problem));
  }
  const exchange = new PostExchange(res, () => ({}));
  const response = await peer.receive(message, exchange, req.headers);
  if (message.id === undefined) return sendJson(res, 202);
  if (message.method === 'subscriptions/listen') return undefined;
  const code = response?.error?.code;
  const status = code === -32601 ? 404 : code === -32021 ? 400 : 200;
  return exchange.finish(response, {}, status);
}

class LegacySession {
  constructor(server) {
    this.id = randomUUID();
    this.stream = undefined;
    this.posts = 0;
    this.peer = new Peer(server, (message) => this.stream?.message(message) ?? false);
  }
}

function checkLegacyHeaders(server, session, req, message) {
  const accept = req.headers.accept ?? '';
  if (
    req.method === 'POST' &&
    !(accept.includes('application/json') && accept.includes('text/event-stream')))
    server.problem(`Accept of a POST is ${accept}`);
  const version = req.headers['mcp-protocol-version'];
  if (session?.peer.ready && has(server.revision, 'versionHeader') && version !== server.revision)
    server.problem(`MCP-Protocol-Version is ${version} for ${message?.method ?? req.method}`);
}

async function serveLegacy(server, sessions, req, res) {
  const session = sessions.get(req.headers['mcp-session-id']);
  if (req.headers['mcp-session-id'] !== undefined && !session)
    return sendJson(res, 404, refusal(null, -32001, 'Session not found'));
  if (req.method === 'GET' || req.method === 'DELETE') {
    if (!session) return sendJson(res, 400, refusal(null, -32000, 'no session'));
    checkLegacyHeaders(server, session, req);
    if (req.method === 'DELETE') {
      sessions.delete(session.id);
      session.peer.close();
      return sendJson(res, 200);
    }
    session.stream = new EventWriter(res, { ids: 'get' });
    const { stream } = session;
    res.on('close', () => session.stream === stream && (session.stream = undefined));
    return undefined;
  }
  const message = await readJson(req);
  if (!message) return sendJson(res, 400, refusal(null, -32700, 'bad JSON'));
  if (!session && message.method !== 'initialize')
    return sendJson(res, 400, refusal(message.id, -32000, 'Bad Request: no session'));
  const current = session ?? new LegacySession(server);
  checkLegacyHeaders(server, session, req, message);
  sessions.set(current.id, current);
  current.posts += 1;
  const exchange = new PostExchange(res, () => ({ ids: `p${current.posts}` }));
  const response = await current.peer.receive(message, exchange, req.headers);
  if (message.method === undefined || message.id === undefined) return sendJson(res, 202);
  return exchange.finish(response, session ? {} : { 'mcp-session-id': current.id });
}

// Returns the handler of the server's one Streamable HTTP path.
export function streamableHttp(server) {
  if (server.modern) {
    const peer = new Peer(server, () => false);
    return (req, res) => serveModern(server, peer, req, res);
  }
  const sessions = new Map();
  return (req, res) => serveLegacy(server, sessions, req, res);
}

// Returns the handler of HTTP+SSE: GET opens the stream, POST ?session= takes messages.
export function httpSse(server, messagePath) {
  const sessions = new Map();
  return async (req, res, url) => {
    if (req.method === 'GET' && url.pathname !== messagePath) {
      const id = randomUUID();
      const writer = new EventWriter(res);
      const push = (message) => writer.message(message);
      sessions.set(id, { peer: new Peer(server, push), push });
      writer.event('endpoint', `${messagePath}?session=${id}`);
      res.on('close', () => {
        sessions.get(id).peer.close();
        sessions.delete(id);
      });
      return undefined;
    }
    const session = sessions.get(url.searchParams.get('session'));
    if (req.method !== 'POST' || url.pathname !== messagePath) return sendJson(res, 405);
    if (!session) return sendJson(res, 404);
    const message = await readJson(req);
    sendJson(res, 202);
    const response = await session.peer.receive(message, { send: session.push }, req.headers);
    return response && session.push(response);
  };
}
