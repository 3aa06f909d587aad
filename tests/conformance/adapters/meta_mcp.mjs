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

export async function start({ upstreams, settings = {} }) {
  const directory = mkdtempSync(join(tmpdir(), 'metamcp-kit-'));
  const servers = upstreams.map(({ name: key, transport, era, url, command, args }) => {
    const reach = command ? { type: 'stdio', command, args } : { type: transport, url };
    return [key, { ...reach, era }];
  });
  const config = { version: 1, mcpServers: Object.fromEntries(servers), ...settings };
  const file = join(directory, 'config.json');
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  const program = binary();
  const options = ['--config', file, '--data-dir', join(directory, 'data')];
  const child = new Child(program, ['serve', ...options, '--listen', '127.0.0.1:0']);
  const stop = async () => {
    await child.stop();
    rmSync(directory, { recursive: true, force: true });
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
