// What attacks are made with: raw sockets, raw JSON, and the gateways under attack.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const KEYS = {
  admin: 'admin-key-0123456789abcdef', operator: 'operator-key-0123456789abcdef',
  viewer: 'viewer-key-0123456789abcdef', other: 'other-key-0123456789abcdef',
};
export const bearer = (who) => ({ authorization: `Bearer ${KEYS[who]}` });
export const MODERN = '2026-07-28';
const META = {
  'io.modelcontextprotocol/protocolVersion': MODERN,
  'io.modelcontextprotocol/clientCapabilities': {},
};

// One attack: `expect` says in words what must come of it, `run` asserts it.
export const attack = (area, what, expect, run) => ({ area, what, expect, run });

// Sends `bytes` (or the pieces of an array, `pause` ms apart) and resolves with all that comes back
// until the server closes or `ms` have passed: {text, closed}.
export function raw(url, bytes, { ms = 1500, pause = 0 } = {}) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    let text = '';
    let over = false;
    const end = (closed) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, closed });
    };
    const timer = setTimeout(() => end(false), ms);
    socket.on('data', (data) => (text += data.toString('latin1')));
    socket.on('error', () => end(true));
    socket.on('close', () => end(true));
    (async () => {
      for (const piece of Array.isArray(bytes) ? bytes : [bytes]) {
        if (over) return;
        socket.write(piece);
        if (pause) await sleep(pause);
      }
    })();
  });
}

export const statuses = (text) => [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((m) => Number(m[1]));

export function hostOf(url) {
  return new URL(url).host;
}

// A head of a POST to /mcp of a modern client, the fields that follow and the body.
export function post(url, body, fields = '', { host = hostOf(url), length = true } = {}) {
  const size = length ? `Content-Length: ${Buffer.byteLength(body)}\r\n` : '';
  return `POST /mcp HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n` +
    `Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: ${MODERN}\r\n` +
    `Mcp-Method: tools/list\r\n${size}${fields}\r\n${body}`;
}

export const listing = JSON.stringify({
  jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: META },
});

// Sends a body as it is; resolves with {status, headers, text, json}.
export async function send(url, body, { headers = {}, method = 'POST' } = {}) {
  const response = await fetch(url, {
    method,
    headers: {
      'content-type': 'application/json', accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: method === 'GET' || method === 'HEAD' ? undefined : body,
    redirect: 'manual',
    duplex: 'half',
  });
  const text = await response.text();
  let json;
  const data = text.split('\n').filter((line) => line.startsWith('data:') && line.length > 6);
  try {
    json = JSON.parse(data.length > 0 ? data.at(-1).slice(5) : text);
  } catch {
    // No JSON is an answer, too.
  }
  return { status: response.status, headers: response.headers, text, json };
}

// A modern request, whose headers say the same as its body unless `headers` says otherwise.
export function modern(url, method, params = {}, { headers = {}, id = 1, meta = {} } = {}) {
  const body = JSON.stringify({
    jsonrpc: '2.0', id, method, params: { ...params, _meta: { ...META, ...meta } },
  });
  return send(url, body, { headers: modernHeaders(method, params.name ?? params.uri, headers) });
}
export function modernHeaders(method, name, more = {}) {
  const plain = name !== undefined && /^[\x21-\x7e]+$/.test(name);
  const encoded = plain ? name : `=?base64?${Buffer.from(String(name)).toString('base64')}?=`;
  return {
    'mcp-protocol-version': MODERN, 'mcp-method': method,
    ...(name === undefined ? {} : { 'mcp-name': encoded }), ...more,
  };
}

// Opens a legacy session; resolves with its id.
export async function session(url, headers = {}) {
  const answer = await send(url, JSON.stringify({
    jsonrpc: '2.0', id: 0, method: 'initialize',
    params: {
      protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'attack', version: '1' },
    },
  }), { headers });
  assert.equal(answer.status, 200, answer.text);
  return answer.headers.get('mcp-session-id');
}
export const inSession = (id, more = {}) => ({
  'mcp-session-id': id, 'mcp-protocol-version': '2025-06-18', ...more,
});

// After an attack the gateway serves as before.
export async function serves(world) {
  const answer = await modern(world.open.mcpUrl, 'tools/call', {
    name: 'target__echo', arguments: { text: 'still here' },
  });
  assert.match(answer.text, /still here/);
  const other = await modern(world.keyed.mcpUrl, 'tools/list', {}, { headers: bearer('viewer') });
  assert.equal(other.status, 200);
}

export const refusedBy = (answer, code) => {
  assert.equal(answer.json?.error?.code, code, answer.text.slice(0, 300));
};
export { assert, sleep };
