// Runs a cluster until Ctrl-C, or until a command ends: started by scripts/cluster, which says how.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SHAPE, makeCertificates, planCluster, startTcpBalancer } from './lib/cluster.mjs';
import { NODE, ROOT, gatewayBinary } from './lib/paths.mjs';

const GRACE_MS = 20000;
const RESTART_MS = 300;

const dash = process.argv.indexOf('--');
const command = dash < 0 ? [] : process.argv.slice(dash + 1);
const { values } = parseArgs({
  args: process.argv.slice(2, dash < 0 ? undefined : dash),
  options: {
    gateways: { type: 'string', default: String(SHAPE.gateways) },
    connectors: { type: 'string', default: String(SHAPE.connectors) },
    catalogs: { type: 'string', default: String(SHAPE.catalogs) },
    workflows: { type: 'string', default: String(SHAPE.workflows) },
    audits: { type: 'string', default: String(SHAPE.audits) },
    ais: { type: 'string', default: String(SHAPE.ais) },
    listen: { type: 'string', default: '127.0.0.1:8931' },
    config: { type: 'string' },
    directory: { type: 'string', default: join(ROOT, '.run', 'cluster') },
    plaintext: { type: 'boolean', default: false },
  },
});

const directory = resolve(values.directory);
const stateFile = join(directory, 'state.json');
const processes = [];
let balancer;
let stopping = false;

function writeState() {
  const state = {
    url: balancer?.url,
    supervisor: process.pid,
    processes: processes.map(({ name, role, listen, http, child, starts, ready }) => ({
      name,
      role,
      pid: child?.pid,
      listen,
      http,
      starts,
      ready,
    })),
  };
  writeFileSync(`${stateFile}.new`, JSON.stringify(state, null, 2));
  renameSync(`${stateFile}.new`, stateFile);
}

// Starts one process, and again whenever it ends. Resolves when it is ready.
function supervise(one, binary, config) {
  return new Promise((ready, failed) => {
    const data = join(directory, one.name);
    const child = spawn(binary, [...one.args, '--config', config, '--data-dir', data], {
      env: { ...process.env, ...one.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // Ctrl-C is for this process, which ends them in order
    });
    one.child = child;
    one.ready = false;
    one.starts = (one.starts ?? 0) + 1;
    child.stderr.pipe(one.log, { end: false });
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!line.startsWith('ready ')) return;
      one.ready = true;
      writeState();
      ready();
    });
    one.ended = new Promise((done) => child.once('close', done));
    one.ended.then(async (code) => {
      if (stopping) return;
      if (one.starts === 1 && !one.ready) {
        failed(new Error(`${one.name} ended (${code}); see ${one.log.path}`));
        return;
      }
      one.ready = false;
      writeState();
      await sleep(RESTART_MS);
      if (!stopping) await supervise(one, binary, config).catch(() => {});
    });
    writeState();
  });
}

async function stop(code) {
  if (stopping) return;
  stopping = true;
  await balancer?.stop();
  for (const role of ['workflow', 'ai', 'gateway', 'connector', 'audit', 'catalog']) {
    await Promise.all(
      processes
        .filter((one) => one.role === role && one.child)
        .map(async ({ child, ended }) => {
          child.kill('SIGCONT');
          child.kill('SIGTERM');
          const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
          await ended;
          clearTimeout(timer);
        }),
    );
  }
  rmSync(directory, { recursive: true, force: true });
  process.exit(code);
}
process.on('exit', () => {
  for (const { child } of processes) {
    if (child && child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
});
process.on('SIGINT', () => stop(command.length > 0 ? 130 : 0));
process.on('SIGTERM', () => stop(143));

function sampleConfig() {
  const servers = join(ROOT, 'samples', 'quickstart', 'node_modules', '@modelcontextprotocol');
  const server = (name) => ({
    command: NODE,
    args: [join(servers, `server-${name}`, 'dist', 'index.js')],
  });
  const file = join(directory, 'config.json');
  const mcpServers = { everything: server('everything'), memory: server('memory') };
  writeFileSync(file, JSON.stringify({ version: 1, mcpServers }, null, 2), { mode: 0o600 });
  return file;
}

async function main() {
  const databaseUrl = process.env.METAMCP_TEST_POSTGRES_URL;
  const binary = gatewayBinary();
  if (!databaseUrl || !binary) throw new Error('start this by scripts/cluster');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const config = values.config ? resolve(values.config) : sampleConfig();
  const certificates = values.plaintext
    ? null
    : await makeCertificates(binary, join(directory, 'certs'));
  const shape = {
    gateways: Number(values.gateways),
    connectors: Number(values.connectors),
    catalogs: Number(values.catalogs),
    workflows: Number(values.workflows),
    audits: Number(values.audits),
    ais: Number(values.ais),
  };
  const plan = await planCluster({ shape, databaseUrl, directory, certificates });
  for (const one of plan) {
    one.log = createWriteStream(join(directory, `${one.name}.log`), { flags: 'a' });
    processes.push(one);
    await supervise(one, binary, config);
  }
  const targets = plan.filter(({ role }) => role === 'gateway').map(({ http }) => http);
  balancer = await startTcpBalancer(targets, values.listen);
  writeState();
  if (command.length > 0) {
    const env = {
      ...process.env,
      METAMCP_CLUSTER_URL: balancer.url,
      METAMCP_CLUSTER_STATE: stateFile,
    };
    const child = spawn(command[0], command.slice(1), { stdio: 'inherit', env });
    child.on('error', (error) => {
      process.stderr.write(`${command[0]}: ${error.message}\n`);
      stop(127);
    });
    child.on('close', (code, signal) => stop(signal ? 1 : code));
    return;
  }
  const count = Object.entries(shape).map(([what, n]) => `${n} ${what}`);
  process.stdout.write(
    `Meta-MCP as ${count.join(', ')}${certificates ? ', mutual TLS between them,' : ''} at\n\n` +
      `  ${balancer.url}/mcp\n\n` +
      `Logs and state.json are in ${directory}; Ctrl-C ends everything.\n`,
  );
}

main().catch((error) => {
  process.stderr.write(`cluster: ${error.message}\n`);
  stop(1);
});
