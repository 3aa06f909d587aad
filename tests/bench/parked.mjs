// usage: node parked.mjs [--calls N]        (METAMCP_BIN names the gateway)
// Parks N calls of modern clients at a legacy HTTP server, which has asked something and waits, and
// prints as one line of JSON what they cost: {calls, rss_kib_before, rss_kib_parked, kib_each}.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { start } from '../conformance/adapters/meta_mcp.mjs';
import { Client } from '../conformance/client/client.mjs';
import { clientCapabilities } from '../conformance/features/questions.mjs';
import { eventually } from '../conformance/lib/wait.mjs';
import { startUpstreams } from '../conformance/upstream/host.mjs';

const AT_ONCE = 32;
const { values } = parseArgs({ options: { calls: { type: 'string', default: '2000' } } });
const calls = Number(values.calls);
const revision = '2026-07-28';

const rssKib = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

const upstreams = await startUpstreams([
  { name: 'legacy', revision: '2025-11-25', transport: 'http' },
]);
const room = calls + 1000;
const gateway = await start({
  upstreams: upstreams.describe(),
  settings: { connector: { parkedMax: room, parkedPerPrincipalMax: room, concurrency: 100000 } },
});
try {
  const client = await new Client({
    revision,
    transport: 'http',
    capabilities: clientCapabilities(revision),
    endpoint: gateway.endpoint('http'),
  }).open();
  let asked = 0;
  const ask = async () => {
    const params = { name: 'legacy__asks', arguments: { kind: 'form', nonce: `n${(asked += 1)}` } };
    const { result, error } = await client.request('tools/call', params, { ms: 60000 });
    if (result?.resultType !== 'input_required') throw new Error(JSON.stringify(error ?? result));
  };
  await eventually('the server joins', () => ask().then(() => true, () => false), 30000);
  // What one-time work costs is not a parked call's.
  await Promise.all(Array.from({ length: AT_ONCE }, ask));
  const already = (await gateway.holdings()).parked;
  const before = rssKib(gateway.pid);
  const lane = async () => {
    for (let i = 0; i < calls / AT_ONCE; i += 1) await ask();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  const parked = (await gateway.holdings()).parked - already;
  const after = rssKib(gateway.pid);
  const row = {
    calls: parked,
    rss_kib_before: before,
    rss_kib_parked: after,
    kib_each: (after - before) / parked,
  };
  process.stdout.write(`${JSON.stringify(row)}\n`);
  await client.close();
} finally {
  await gateway.stop();
  await upstreams.stop();
}
process.exit(0);
