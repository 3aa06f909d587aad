// Serves the sample: usage run.mjs PATH_TO_META_MCP. Started by scripts/run_sample.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const SERVERS = join(HERE, 'node_modules', '@modelcontextprotocol');
const STATE = resolve('.run', 'quickstart');
const FILES = join(STATE, 'files');
// Something to find, beside the file to read.
const EXAMPLES = {
  'hello.txt': 'Hello from the sample.\n',
  'shop.js': '// TODO: check the total\nexport const total = (items) => items.length;\n',
  'notes.md': '# Notes\n\nTODO: ask about opening hours\nTODO: order paper\n',
};
const TASK = 'find every TODO in these files, store a note per file, and write a summary';
const UPSTREAMS = ['everything', 'filesystem', 'memory', 'everything-http'];
const GATEWAY = resolve(process.argv[2]);
const GRACE_MS = 10000;
const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};

const children = [];
let stopping = false;

// Ends what was started, newest first, and leaves nobody behind.
async function stop(code) {
  if (stopping) return;
  stopping = true;
  for (const child of children.reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = new Promise((done) => child.once('close', done));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    await gone;
    clearTimeout(timer);
  }
  process.exit(code);
}

function start(name, command, args, options) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let stderr = '';
  child.stderr.on('data', (data) => {
    stderr = (stderr + data).slice(-4000);
  });
  child.on('error', (error) => {
    stderr = error.message;
  });
  child.on('close', (code) => {
    if (stopping) return;
    process.stderr.write(`${name} ended (${code}):\n${stderr}\n`);
    stop(1);
  });
  children.push(child);
  return child;
}

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

// The names of all tools that the gateway lists.
async function listTools(url) {
  const names = [];
  let cursor;
  do {
    const params = { _meta: META, ...(cursor === undefined ? {} : { cursor }) };
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'tools/list',
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params }),
    });
    const { result } = await response.json();
    names.push(...result.tools.map((tool) => tool.name));
    cursor = result.nextCursor;
  } while (cursor !== undefined);
  return names;
}

// Waits until every server has said what it offers, so that what is pasted works at once; for those
// that do not start, not longer than that.
async function connected(url, patienceMs = 15000) {
  for (const end = Date.now() + patienceMs; Date.now() < end && !stopping; await sleep(200)) {
    const names = await listTools(url).catch(() => []);
    if (UPSTREAMS.every((upstream) => names.some((name) => name.startsWith(`${upstream}__`)))) return;
  }
}

function explain(url) {
  const readers = new URL('/servers/readers/mcp', url).href;
  const config = { mcpServers: { 'meta-mcp': { type: 'http', url } } };
  process.stdout.write(`
Meta-MCP serves ${UPSTREAMS.length} MCP servers at

  ${url}
  ${readers}   (read-only tools)

In a client that takes a URL, for example:

  claude mcp add --transport http meta-mcp ${url}

or in a file with an mcpServers block:

  ${JSON.stringify(config)}

To have a workflow made and run, in another terminal:

  ${GATEWAY} --url ${new URL(url).origin} suggest "${TASK}"

It asks for files, for example ${join(FILES, 'shop.js')}, ${join(FILES, 'notes.md')},
and where the summary goes, for example ${join(FILES, 'summary.md')}.

The filesystem server sees ${FILES}. Ctrl-C ends everything.

`);
}

// Says what is connected whenever that changes: in place on a terminal, else a line each time.
async function status(url) {
  let before = '';
  while (!stopping) {
    let line;
    try {
      const names = await listTools(url);
      line = UPSTREAMS.map((upstream) => {
        const count = names.filter((name) => name.startsWith(`${upstream}__`)).length;
        return `${upstream} ${count > 0 ? `${count} tools` : 'connecting'}`;
      }).join(' · ');
    } catch (error) {
      line = `no answer: ${error.message}`;
    }
    if (line !== before && !stopping) {
      process.stdout.write(process.stdout.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
      before = line;
    }
    await sleep(1000);
  }
}

async function main() {
  mkdirSync(FILES, { recursive: true });
  for (const [name, text] of Object.entries(EXAMPLES)) writeFileSync(join(FILES, name), text);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(0));

  const port = await freePort();
  const everything = join(SERVERS, 'server-everything', 'dist', 'index.js');
  start(
    'everything over HTTP',
    process.execPath,
    ['--require', join(HERE, 'loopback.cjs'), everything, 'streamableHttp'],
    {
      env: { ...process.env, PORT: String(port) },
    },
  ).stdout.resume();

  const listen = process.env.LISTEN ? ['--listen', process.env.LISTEN] : [];
  const args = ['serve', '--config', join(HERE, 'config.json'), '--data-dir', STATE, ...listen];
  const serve = start('meta-mcp', GATEWAY, args, {
    env: {
      ...process.env,
      QUICKSTART_NODE: process.execPath,
      QUICKSTART_SERVERS: SERVERS,
      QUICKSTART_FILES: FILES,
      QUICKSTART_HTTP_URL: `http://127.0.0.1:${port}/mcp`,
    },
  });
  for await (const line of createInterface({ input: serve.stdout })) {
    const ready = line.match(/^ready mcp=(\S+) /);
    if (ready) {
      connected(ready[1]).then(() => {
        if (stopping) return;
        explain(ready[1]);
        status(ready[1]);
      });
    }
  }
}

await main();
