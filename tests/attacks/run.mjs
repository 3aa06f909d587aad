// Attacks on running gateways, one after the other, each with the outcome that is asserted.
//
//   node tests/attacks/run.mjs [--only TEXT] [--write docs/attacks.md | --check docs/attacks.md]
//
// Three gateways: one as on a laptop (loopback, no key), one with keys, small limits and the rules of
// production, one with TLS. After each attack they must serve. Exit 1 if an attack succeeded. The page is written
// from the same list; --check fails if it is not current.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../node/lib/paths.mjs';
import { startGateway, waitForTools } from '../node/lib/servers.mjs';
import auth from './auth.mjs';
import http from './http.mjs';
import jsonrpc from './jsonrpc.mjs';
import { KEYS, bearer, serves } from './lib.mjs';
import state from './state.mjs';
import tls, { startTlsGateway } from './tls.mjs';

const ATTACKS = [...auth, ...http, ...jsonrpc, ...state, ...tls];
const TARGET = join(ROOT, 'tests/attacks/target.mjs');

function page() {
  const rows = ATTACKS.map(({ area, what, expect }, i) => `| ${i + 1} | ${area} | ${what} | ${expect} |`);
  return `# Attacks

<!-- Generated from tests/attacks; node tests/attacks/run.mjs --write docs/attacks.md rewrites it. -->

\`make attacks\` runs each of these against running gateways, one as on a laptop, one with keys, small
limits and \`sandbox.production\`, one with TLS, and asserts the outcome; after each, they must still serve.
What programs try inside their sandboxes is in \`tests/node/clients/sandbox.test.mjs\`
([what a server may touch](security/sandbox.md)).

| | area | attack | outcome |
|---|---|---|---|
${rows.join('\n')}
`;
}

async function startWorld() {
  const mcpServers = { target: { command: process.execPath, args: [TARGET] } };
  const env = { PLANTED_SECRET: 'planted-secret', META_MCP_TELEMETRY_LOG_FORMAT: 'json' };
  const open = await startGateway({
    mcpServers, virtualServers: { few: { servers: ['target'] } },
  }, { env });
  const keyed = await startGateway({
    mcpServers: { target: { ...mcpServers.target, sandbox: 'strict' } },
    auth: {
      anonymousLoopback: false,
      keys: Object.entries(KEYS).map(([name, key]) => ({
        name, key, roles: [name === 'other' ? 'operator' : name],
      })),
    },
    gateway: { headerTimeoutMs: 2000 },
    limits: { resultBytesMax: 1 << 20, sessionsMax: 50, bodyBytesMax: 1 << 20 },
    sandbox: { production: true, profile: 'strict' },
  }, { env });
  await waitForTools(open.mcpUrl, ['target__echo']);
  await waitForTools(keyed.mcpUrl, ['target__echo'], { headers: bearer('admin') });
  const secure = await startTlsGateway();
  const stop = () => Promise.all([open.stop(), keyed.stop(), secure.stop()]);
  return { open, keyed, tls: secure, keys: KEYS, stop };
}

async function run(only) {
  const world = await startWorld();
  let failed = 0;
  let ran = 0;
  try {
    for (const [i, { area, what, run: attempt }] of ATTACKS.entries()) {
      if (only && !`${area}: ${what}`.includes(only)) continue;
      ++ran;
      try {
        await attempt(world);
        await serves(world);
        console.log(`ok ${i + 1} ${area}: ${what}`);
      } catch (error) {
        ++failed;
        console.log(`not ok ${i + 1} ${area}: ${what}\n    ${String(error.message ?? error).replaceAll('\n', '\n    ')}`);
      }
    }
  } finally {
    await world.stop();
  }
  console.log(`${ran - failed} passed, ${failed} failed`);
  return failed === 0 && ran > 0 ? 0 : 1;
}

const [option, value] = process.argv.slice(2);
if (option === '--write') {
  writeFileSync(value, page());
} else if (option === '--check') {
  if (readFileSync(value, 'utf8') !== page()) {
    console.error(`${value} is not current: node tests/attacks/run.mjs --write ${value}`);
    process.exit(1);
  }
  console.log('attacks: ok');
} else {
  process.exit(await run(option === '--only' ? value : ''));
}
