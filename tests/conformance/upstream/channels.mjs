// Transports with one channel per connection: lines (stdio) and WebSocket messages.
import { createInterface } from 'node:readline';
import { acceptWebSocket } from '../lib/websocket.mjs';
import { Peer } from './server.mjs';

// Serves one connection of `server`. `send(text)` writes a message; feed the result with texts.
function serveChannel(server, send) {
  const push = (message) => send(JSON.stringify(message));
  const peer = new Peer(server, push);
  const exchange = { send: push };
  const take = async (text) => {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return server.problem(`not JSON: ${text.slice(0, 200)}`);
    }
    const response = await peer.receive(message, exchange);
    return response && push(response);
  };
  return { take, close: () => peer.close() };
}

export function serveLines(server, socket) {
  const channel = serveChannel(server, (text) => socket.writable && socket.write(`${text}\n`));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => channel.close());
  return channel;
}

export function serveSocket(server, req, socket) {
  let channel;
  const connection = acceptWebSocket(req, socket, {
    message: (text) => channel.take(text),
    closed: () => channel.close(),
  });
  if (connection.protocol !== 'mcp') server.problem('no subprotocol "mcp" was offered');
  channel = serveChannel(server, (text) => connection.send(text));
}

// Takes connections of stdio_relay.mjs: the first line names the server.
export function serveRelay(servers, socket) {
  let channel;
  const lines = createInterface({ input: socket });
  // A connection that breaks ends its session, not the runner.
  lines.on('error', () => socket.destroy());
  lines.on('line', (line) => {
    if (channel) return channel.take(line);
    const server = servers.get(line);
    if (!server) return socket.destroy();
    channel = serveLines(server, socket);
    return undefined;
  });
  socket.on('error', () => socket.destroy());
}
