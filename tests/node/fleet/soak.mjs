// usage: soak.mjs [SECONDS]   under scripts/with_postgres; scripts/soak starts it.
// A cluster with keys, 10,000 clients that hold a stream each, and 1,667 calls a second, for 600
// seconds. Exit 0 only if no call failed, no stream was lost, answers came in time and memory did
// not grow.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { gatewayBinary } from '../lib/paths.mjs';
import { waitForTools } from '../lib/servers.mjs';
import { Fleet } from './fleet.mjs';

const seconds = Number(process.argv[2] ?? process.env.SOAK_SECONDS ?? 600);
const RATE = Number(process.env.SOAK_RATE ?? 1667);
const CLIENTS = Number(process.env.SOAK_CLIENTS ?? 10000);
const KEY = 'key-of-the-soak-0123456789';
const SERVERS = ['e1', 'e2', 'e3', 'e4', 'e5', 'e6'];
const LOOK_MS = 5000;
// What memory may have grown by from the second quarter to the last: caches and fragments settle.
const GROWTH_MAX = 1.05;
const GROWTH_KIB = 3000;
const say = (line) => process.stdout.write(`${line}\n`);

// The load generator. `lines` resolves with the next JSON line that it prints.
function load(args) {
  const child = spawn(join(dirname(gatewayBinary()), 'metamcp-load'), args, {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`metamcp-load ${args.join(' ')} said nothing`);
    return JSON.parse(value);
  };
  const ended = new Promise((resolve) => child.once('close', resolve));
  process.on('exit', () => child.kill('SIGKILL'));
  return { child, line, ended };
}

const rssKib = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]);
const mean = (list) => list.reduce((sum, each) => sum + each, 0) / list.length;

async function main() {
  const bin = dirname(gatewayBinary());
  const mcpServers = Object.fromEntries(
    SERVERS.map((name) => [
      name,
      { command: join(bin, 'metamcp-fixture-echo'), args: ['--stdio', '--name', name] },
    ]),
  );
  const auth = { anonymousLoopback: false, keys: [{ name: 'soak', key: KEY, roles: ['operator'] }] };
  const limits = { streamsPerClientMax: CLIENTS };
  const fleet = await Fleet.create({ config: { mcpServers, auth, limits } });
  const problems = [];
  try {
    await fleet.startAll();
    const gateways = fleet.of('gateway');
    const headers = { authorization: `Bearer ${KEY}` };
    for (const gateway of gateways) {
      await waitForTools(gateway.url, SERVERS.map((name) => `${name}__echo`), { headers });
    }
    const common = ['--key', KEY, ...gateways.flatMap(({ url }) => ['--url', url])];
    const held = load(['--op', 'streams', '--connections', String(CLIENTS), ...common]);
    const open = await held.line();
    if (open.open !== CLIENTS) problems.push(`${open.open} streams of ${CLIENTS}`);
    const calls = load([
      ...['--connections', '240', '--rate', String(RATE), '--seconds', String(seconds), '--warmup', '5'],
      ...SERVERS.flatMap((name) => ['--tool', `${name}__echo`]),
      ...common,
      ...[...fleet.members.values()].flatMap(({ name, pid }) => ['--pid', `${name}=${pid}`]),
    ]);
    const samples = new Map([...fleet.members.keys()].map((name) => [name, []]));
    let over = false;
    const sampling = (async () => {
      while (!over) {
        await sleep(LOOK_MS);
        for (const { name, pid } of fleet.members.values()) samples.get(name).push(rssKib(pid));
      }
    })();
    const result = await calls.line();
    over = true;
    await sampling;
    held.child.stdin.end();
    const { lost } = await held.line();
    await Promise.all([calls.ended, held.ended]);
    const ms = (us) => us / 1000;
    if (result.errors > 0) problems.push(`${result.errors} calls failed`);
    if (lost > 0) problems.push(`${lost} streams were lost`);
    if (result.calls < RATE * seconds * 0.99) problems.push(`only ${result.calls} calls`);
    if (ms(result.p95_us) >= 50) problems.push('p95 is not below 50 ms');
    if (ms(result.first_byte_p95_us) >= 100) problems.push('the first byte is not below 100 ms');
    say(
      `soak: ${result.calls} calls in ${result.seconds.toFixed(0)} s (${result.calls_per_s.toFixed(0)} a second), ` +
        `${CLIENTS} clients connected, ${result.errors} failed, ${lost} streams lost; p50 ${ms(result.p50_us).toFixed(1)}, ` +
        `p95 ${ms(result.p95_us).toFixed(1)}, p99 ${ms(result.p99_us).toFixed(1)} ms; first byte p95 ` +
        `${ms(result.first_byte_p95_us).toFixed(1)}, p99 ${ms(result.first_byte_p99_us).toFixed(1)} ms`,
    );
    for (const [name, all] of samples) {
      const quarter = Math.max(1, Math.floor(all.length / 4));
      const before = mean(all.slice(quarter, 2 * quarter));
      const after = mean(all.slice(-quarter));
      const grows = after > before * GROWTH_MAX && after - before > GROWTH_KIB;
      if (grows) problems.push(`${name} grew from ${before.toFixed(0)} to ${after.toFixed(0)} KiB`);
      say(
        `  ${name}: ${(before / 1024).toFixed(1)} MiB, at the end ${(after / 1024).toFixed(1)} MiB; ` +
          `${(100 * result.pids[name].cpu_share).toFixed(0)} % of a core`,
      );
    }
    for (const problem of problems) say(`  missed: ${problem}`);
    return problems.length === 0;
  } finally {
    await fleet.stop();
  }
}

main().then(
  (good) => process.exit(good ? 0 : 1),
  (error) => {
    process.stderr.write(`soak: ${error.stack}\n`);
    process.exit(1);
  },
);
