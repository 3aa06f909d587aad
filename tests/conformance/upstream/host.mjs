// Runs scripted servers on loopback, and says how a gateway reaches each.
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serveRelay, serveSocket } from './channels.mjs';
import { httpSse, streamableHttp } from './http.mjs';
import { ScriptedServer } from './server.mjs';

const RELAY = join(dirname(fileURLToPath(import.meta.url)), 'stdio_relay.mjs');

const listening = (server) =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));

// Starts the servers of `wanted`, [{name, revision, transport}]. Resolves with {servers,
// describe(), stop()}; describe() lists {name, revision, transport, era} and {url} or {command, args}.
export async function startUpstreams(wanted) {
  const servers = new Map(wanted.map((each) => [each.name, new ScriptedServer(each)]));
  const routes = new Map();
  for (const server of servers.values()) {
    const path = `/${server.name}`;
    if (server.transport === 'http') routes.set(`${path}/mcp`, streamableHttp(server));
    if (server.transport !== 'sse') continue;
    const handler = httpSse(server, `${path}/message`);
    routes.set(`${path}/sse`, handler);
    routes.set(`${path}/message`, handler);
  }
  const web = createHttpServer((req, res) => {
    const url = new URL(req.url, 'http://kit');
    const route = routes.get(url.pathname);
    if (!route) return res.writeHead(404).end();
    return Promise.resolve(route(req, res, url)).catch((error) => {
      process.stderr.write(`kit: ${error.stack}\n`);
      res.destroy();
    });
  });
  web.keepAliveTimeout = 60000;
  const sockets = new Set();
  const keep = (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  };
  web.on('upgrade', (req, socket) => {
    keep(socket);
    const server = servers.get(/^\/([^/]+)\/ws$/.exec(req.url)?.[1]);
    if (server) serveSocket(server, req, socket);
    else socket.destroy();
  });
  const relay = createTcpServer((socket) => {
    keep(socket);
    serveRelay(servers, socket);
  });
  const webPort = await listening(web);
  const relayPort = await listening(relay);

  const reach = ({ name, transport }) =>
    ({
      http: { url: `http://127.0.0.1:${webPort}/${name}/mcp` },
      sse: { url: `http://127.0.0.1:${webPort}/${name}/sse` },
      ws: { url: `ws://127.0.0.1:${webPort}/${name}/ws` },
      stdio: { command: process.execPath, args: [RELAY, String(relayPort), name] },
    })[transport];
  const describe = () =>
    [...servers.values()].map((server) => ({
      name: server.name,
      revision: server.revision,
      transport: server.transport,
      era: server.modern ? 'modern' : 'legacy',
      interactive: server.interactive,
      ...reach(server),
    }));
  const stop = async () => {
    for (const socket of sockets) socket.destroy();
    web.closeAllConnections();
    await Promise.all([web, relay].map((each) => new Promise((done) => each.close(done))));
  };
  return { servers, describe, stop };
}
