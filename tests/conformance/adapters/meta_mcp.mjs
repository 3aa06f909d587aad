// Meta-MCP under test. METAMCP_BIN names the program; else the newest build of this tree is taken.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from '../client/child.mjs';
import { within } from '../lib/wait.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
export const name = 'Meta-MCP';

function binary() {
  if (process.env.METAMCP_BIN) return process.env.METAMCP_BIN;
  const built = ['release', 'dev'].map((preset) => join(ROOT, 'build', preset, 'bin', 'meta-mcp'));
  const age = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const newest = built.sort((a, b) => age(b) - age(a))[0];
  if (age(newest) === 0) throw new Error('no gateway: build it or set METAMCP_BIN');
  return newest;
}

// Settings under which what clients leave behind is given up soon.
export const QUICK_EXPIRY = {
  gateway: { sessionIdleMs: 2000 },
  connector: { questionTimeoutMs: 3000, instanceIdleMs: 1000, heartbeatMs: 1000 },
};

// Parked calls and legacy sessions that the gateway has now.
async function holdings(admin) {
  const get = async (path) => (await fetch(new URL(path, admin))).json();
  const { connections = [] } = await get('/api/v1/connections');
  const { sessions = [] } = await get('/api/v1/sessions');
  const sum = (key) => connections.reduce((total, each) => total + Number(each[key] ?? 0), 0);
  return { sessions: sessions.length, parked: sum('parked'), inFlight: sum('inFlight') };
}

// `directory` is one that a gateway left with stop({keep: true}).
export async function start({ upstreams, settings = {}, directory: given }) {
  const directory = given ?? mkdtempSync(join(tmpdir(), 'metamcp-kit-'));
  const servers = upstreams.map((upstream) => {
    const { name: key, transport, era, interactive, url, command, args } = upstream;
    const reach = command ? { type: 'stdio', command, args } : { type: transport, url };
    return [key, { ...reach, era, ...(interactive && { interactive }) }];
  });
  const config = { version: 1, mcpServers: Object.fromEntries(servers), ...settings };
  const file = join(directory, 'config.json');
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  const program = binary();
  const options = ['--config', file, '--data-dir', join(directory, 'data')];
  const child = new Child(program, ['serve', ...options, '--listen', '127.0.0.1:0']);
  const stop = async ({ keep = false } = {}) => {
    await child.stop();
    if (!keep) rmSync(directory, { recursive: true, force: true });
  };
  const ready = new Promise((resolve, reject) => {
    child.onLine((line) => {
      const found = /^ready mcp=(\S+) admin=(\S+) pid=(\d+)/.exec(line);
      if (found) resolve(found);
    });
    child.exit.then(() => reject(new Error(`the gateway ended:\n${child.stderr}`)));
  });
  try {
    const [, mcp, admin, pid] = await within(ready, 'the gateway is ready', 30000);
    const at = (path, scheme = 'http') => new URL(path, mcp).href.replace(/^http/, scheme);
    const endpoints = {
      http: { url: mcp },
      sse: { url: at('/sse') },
      ws: { url: at('/ws', 'ws') },
      stdio: { command: program, args: ['stdio', '--url', mcp] },
    };
    return {
      endpoint: (transport) => endpoints[transport],
      toolName: (server, tool) => `${server}__${tool}`,
      promptName: (server, prompt) => `${server}__${prompt}`,
      admin,
      holdings: () => holdings(admin),
      pid: Number(pid),
      child,
      directory,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
