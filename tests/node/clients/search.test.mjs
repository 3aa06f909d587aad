// Tool search: official clients of both eras on a virtual server that lists three tools instead of
// all, find a tool, read its definition and call it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { NODE } from '../lib/paths.mjs';
import { SDKS } from '../lib/sdk.mjs';
import { EVERYTHING, MEMORY, startGateway, waitForItems, waitForTools } from '../lib/servers.mjs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';

const parsed = (result) => JSON.parse(result.content[0].text);

let gateway;
before(async () => {
  gateway = await startGateway({
    mcpServers: {
      everything: { command: NODE, args: [EVERYTHING, 'stdio'] },
      memory: {
        command: NODE,
        args: [MEMORY],
        env: { MEMORY_FILE_PATH: join(tmpdir(), `metamcp-search-${process.pid}.jsonl`) },
      },
    },
    virtualServers: {
      few: { mode: 'search', servers: ['everything'] },
      short: { maxOutput: 100, servers: ['everything'] },
    },
  });
  await waitForTools(gateway.mcpUrl, ['everything__echo', 'memory__read_graph']);
  await waitForItems(gateway.virtualUrl('few'), 'tools/list', ['call_tool']);
});
after(() => gateway?.stop());

for (const sdk of SDKS) {
  describe(`${sdk.name}`, () => {
    let session;
    before(async () => {
      session = await sdk.connect({ url: gateway.virtualUrl('few') }, {});
    });
    after(() => session?.close());
    const use = (name, args) => session.callTool({ name, arguments: args });

    test('sees three tools instead of all', async () => {
      const { tools } = await session.client.listTools();
      assert.deepEqual(
        tools.map((tool) => tool.name),
        ['search_tools', 'describe_tool', 'call_tool'],
      );
    });

    test('finds a tool, reads its definition and calls it', async () => {
      const found = parsed(await use('search_tools', { query: 'sum of two numbers' }));
      const [first] = found.tools;
      assert.equal(first.name, 'everything__get-sum');
      assert.match(first.arguments, /a: number, b: number/);
      const definition = parsed(await use('describe_tool', { name: first.name }));
      assert.deepEqual(definition.inputSchema.required, ['a', 'b']);
      const result = await use('call_tool', { name: first.name, arguments: { a: 40, b: 2 } });
      assert.match(result.content[0].text, /42/);
    });

    test('finds and calls nothing of other virtual servers', async () => {
      const found = parsed(await use('search_tools', { query: 'knowledge graph entities' }));
      assert.ok(found.tools.every((tool) => tool.server === 'everything'));
      const result = await use('call_tool', { name: 'memory__read_graph' });
      assert.equal(result.isError, true);
    });

    test('is told what does not exist, with the nearest names', async () => {
      const described = await use('describe_tool', { name: 'get-sums' });
      assert.equal(described.isError, true);
      const called = await use('call_tool', { name: 'everything__nothing', arguments: {} });
      assert.equal(called.isError, true);
      assert.match(called.content[0].text, /search_tools/);
    });

    test('gets as much output as it asked for, and is told of the rest (M-FR-021)', async () => {
      const message = 'x'.repeat(5000);
      const call = { name: 'everything__echo', arguments: { message } };
      const cut = await use('call_tool', { ...call, max_output: 200 });
      const text = cut.content.map((block) => block.text).join('');
      assert.ok(text.length < 500, `${text.length}`);
      assert.match(text, /\[cut: the first 200 of \d+ characters/);
      const whole = await use('call_tool', call);
      assert.ok(whole.content[0].text.includes(message));
    });

    test('gets the errors of the tool itself', async () => {
      const failed = await use('call_tool', { name: 'everything__get-sum', arguments: { a: 'x' } });
      assert.equal(failed.isError, true);
    });
  });

  test(`${sdk.name}: a virtual server cuts long results (M-FR-021)`, async () => {
    const session = await sdk.connect({ url: gateway.virtualUrl('short') }, {});
    try {
      const message = 'y'.repeat(3000);
      const result = await session.callTool({ name: 'everything__echo', arguments: { message } });
      assert.match(result.content.at(-1).text, /\[cut: /);
    } finally {
      await session.close();
    }
  });
}
