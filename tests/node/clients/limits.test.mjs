// What the official clients make of a limit that is reached: the call fails with our error, and the
// connection goes on.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { SDKS } from '../lib/sdk.mjs';
import { fixtureStdio, startGateway, waitForTools } from '../lib/servers.mjs';

let gateway;
const TOOL = 'fixture__test_simple_text';

before(async () => {
  gateway = await startGateway({
    mcpServers: { fixture: fixtureStdio() },
    limits: { rules: [{ name: 'few', scope: 'client', per: 'tool', rate: '2/hour' }] },
  });
  await waitForTools(gateway.mcpUrl, [TOOL]);
});
after(() => gateway?.stop());

const endpoints = () => ({
  '/mcp': { url: gateway.mcpUrl },
  '/sse': { sse: gateway.at('/sse') },
  stdio: { command: gateway.binary, args: ['stdio', '--url', gateway.mcpUrl] },
});

for (const sdk of SDKS) {
  describe(sdk.name, () => {
    for (const front of ['/mcp', '/sse', 'stdio']) {
      test(`a limit is an error of its call alone over ${front} (P1-Rate-1)`, { timeout: 60000 }, async () => {
        const client = await sdk.connect(endpoints()[front], {});
        try {
          const refused = [];
          // In a cluster each gateway lets the first call of a client through.
          for (let i = 0; i < 12; ++i) {
            await client.callTool({ name: TOOL, arguments: {} }).catch((error) => refused.push(error));
          }
          assert.ok(refused.length >= 3, `${refused.length} refused`);
          for (const error of refused) assert.match(`${error.message}`, /"few"/);
          const tools = await client.client.listTools();
          assert.ok(JSON.stringify(tools).includes(TOOL));
        } finally {
          await client.close();
        }
      });
    }
  });
}
