// usage: rolling.mjs   under scripts/with_postgres; scripts/rolling starts it.
// Restarts every process of a cluster, one after the other, then upgrades all to the next release
// across a step of the database, and takes that back, while calls arrive at ROLLING_RATE (500) a
// second. Exit 0 only if not one failed.
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gatewayBinary } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { waitForTools } from '../lib/servers.mjs';
import { Fleet } from './fleet.mjs';
import { Steady } from './steady.mjs';

const SETTLE_MS = 1500;
const SERVERS = ['e1', 'e2', 'e3', 'e4', 'e5', 'e6'];
const say = (line) => process.stdout.write(`${line}\n`);

// One after the other as an orchestrator does it: the next goes when this one is ready again.
async function roll(fleet, binary) {
  const began = Date.now();
  for (const role of ['catalog', 'connector', 'gateway']) {
    for (const member of fleet.of(role)) {
      const code = await member.end();
      if (code !== 0) throw new Error(`${member.name} ended with ${code}`);
      await member.start(binary);
      await sleep(SETTLE_MS);
    }
  }
  return (Date.now() - began) / 1000;
}

// Resolves with a line for each part: what, seconds, calls, failures.
export async function rolling({ rate, parts = ['restart', 'upgrade', 'back'] }) {
  const bin = dirname(gatewayBinary());
  const next = join(bin, 'meta-mcp-next');
  const mcpServers = Object.fromEntries(
    SERVERS.map((name) => [
      name,
      { command: join(bin, 'metamcp-fixture-echo'), args: ['--stdio', '--name', name] },
    ]),
  );
  const fleet = await Fleet.create({
    config: { mcpServers },
    env: { META_MCP_SERVICES_DRAIN_DELAY_MS: '500' },
  });
  const lines = [];
  try {
    await fleet.startAll();
    const tools = SERVERS.map((name) => `${name}__echo`);
    for (const gateway of fleet.of('gateway')) await waitForTools(gateway.url, tools);
    for (const part of parts) {
      const steady = new Steady(fleet, { rate, servers: SERVERS });
      await steady.start();
      await sleep(SETTLE_MS);
      if (part === 'upgrade') {
        const [catalog] = fleet.of('catalog');
        const options = ['migrate', '--config', fleet.config, '--data-dir', join(fleet.directory, 'migrate')];
        const { code, stderr } = await run(next, options, { env: catalog.env });
        if (code !== 0) throw new Error(`migrate: ${stderr}`);
      }
      const seconds = await roll(fleet, part === 'upgrade' ? next : fleet.binary);
      await sleep(SETTLE_MS);
      await steady.stop();
      const steps = await fleet.sql(
        fleet.directUrl,
        "SELECT max(number) FROM schema_migrations WHERE component = 'directory'",
      );
      lines.push({
        part,
        seconds,
        steps: Number(steps),
        calls: steady.sent,
        failed: steady.failed,
        p95: steady.percentile(0.95),
        failures: steady.failures,
        program: basename(part === 'upgrade' ? next : fleet.binary),
      });
    }
    return lines;
  } catch (error) {
    error.message += `\n${fleet.logText().slice(-4000)}`;
    throw error;
  } finally {
    await fleet.stop({ keep: process.env.ROLLING_KEEP === '1' });
    if (process.env.ROLLING_KEEP === '1') say(`logs: ${fleet.directory}/log`);
  }
}

async function main() {
  const rate = Number(process.env.ROLLING_RATE ?? 500);
  const lines = await rolling({ rate });
  for (const line of lines) {
    say(
      `${line.part} to ${line.program}: 8 processes in ${line.seconds.toFixed(0)} s, ${line.calls} calls ` +
        `at ${rate} a second, ${line.failed} failed, p95 ${line.p95.toFixed(0)} ms, database at step ${line.steps}`,
    );
    for (const failure of line.failures) say(`  ${JSON.stringify(failure)}`);
  }
  return lines.every(({ failed }) => failed === 0);
}

if (process.argv[1] === import.meta.filename) {
  main().then(
    (good) => process.exit(good ? 0 : 1),
    (error) => {
      process.stderr.write(`rolling: ${error.stack}\n`);
      process.exit(1);
    },
  );
}
