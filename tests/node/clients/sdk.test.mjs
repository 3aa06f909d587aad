// The official TypeScript clients against the fixture through the gateway: HTTP and stdio in
// front, HTTP and stdio behind, client and server of the same era.
// METAMCP_TARGET=fixture leaves the gateway out, which shows that a failure is not the fixture's.
import { after, before, describe, test } from 'node:test';
import { SCENARIOS } from '../lib/scenarios.mjs';
import { SDKS } from '../lib/sdk.mjs';
import { fixtureStdio, startFixture, startGateway, waitForTools } from '../lib/servers.mjs';

const direct = process.env.METAMCP_TARGET === 'fixture';
const FRONTS = [
  { name: '/mcp', req: 'P1-Transports-5' },
  { name: 'stdio', req: 'P1-Transports-4' },
];
const BACKS = [
  { name: 'HTTP', req: 'M-AC-5.2.2' },
  { name: 'stdio', req: 'M-AC-5.2.1' },
];
const plain = (name) => name;
const prefixed = (name) => `fixture__${name}`;

// Resolves with the endpoint of each front, and how to stop what was started.
async function world(back, era) {
  const stops = [];
  const stop = async () => {
    for (const each of stops.reverse()) await each();
  };
  try {
    const fixture = back === 'HTTP' ? await startFixture('--era', era) : undefined;
    if (fixture) stops.push(fixture.stop);
    const stdio = fixtureStdio('--era', era);
    if (direct) return { endpoints: { '/mcp': fixture && { url: fixture.url }, stdio }, named: plain, stop };
    const upstream = fixture ? { type: 'http', url: fixture.url } : stdio;
    const gateway = await startGateway({ mcpServers: { fixture: { ...upstream, era } } });
    stops.push(gateway.stop);
    await waitForTools(gateway.mcpUrl, [prefixed('test_simple_text')]);
    const bridge = { command: gateway.binary, args: ['stdio', '--url', gateway.mcpUrl] };
    return { endpoints: { '/mcp': { url: gateway.mcpUrl }, stdio: bridge }, named: prefixed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

for (const era of ['legacy', 'modern']) {
  for (const back of BACKS) {
    describe(`${era} upstream over ${back.name} (${back.req})`, () => {
      let running;
      before(async () => {
        running = await world(back.name, era);
      });
      after(() => running?.stop());
      for (const sdk of SDKS.filter((each) => each.era === era)) {
        for (const front of FRONTS) {
          const impossible = direct && front.name === '/mcp' && back.name === 'stdio';
          if (impossible || (direct && front.name === 'stdio' && back.name === 'HTTP')) continue;
          describe(`${sdk.name} through ${front.name} (${front.req})`, () => {
            for (const scenario of SCENARIOS.filter((each) => !each.eras || each.eras.includes(era))) {
              test(`${scenario.name} (${scenario.req})`, { timeout: 60000 }, async () => {
                const connect = (handlers) => sdk.connect(running.endpoints[front.name], handlers);
                const session = await connect({});
                try {
                  await scenario.run({ session, connect, tool: running.named, prompt: running.named });
                } finally {
                  await session.close();
                }
              });
            }
          });
        }
      }
    });
  }
}
