// The reference servers behind one endpoint: everything, filesystem and memory over stdio, and
// everything once more over Streamable HTTP, used by unmodified clients of each SDK.
// METAMCP_TARGET=fixture connects to each server directly instead.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { NODE } from '../lib/paths.mjs';
import { assertProgress } from '../lib/scenarios.mjs';
import { SDKS } from '../lib/sdk.mjs';
import {
  EVERYTHING,
  FILESYSTEM,
  MEMORY,
  startEverythingHttp,
  startGateway,
  waitForTools,
} from '../lib/servers.mjs';
import { MAIN_FRONTS, direct } from '../lib/world.mjs';

const TINY_PNG = /^iVBORw0KGgo/;
const textOf = (result) => result.content.map((block) => block.text ?? '').join('');
const stops = [];
let directory;
let upstreams;
let gateway;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'metamcp-reference-'));
  stops.push(() => rm(directory, { recursive: true, force: true }));
  await writeFile(join(directory, 'hello.txt'), 'hello from a file\n');
  const http = await startEverythingHttp();
  stops.push(http.stop);
  const memoryFile = join(directory, 'memory.jsonl');
  upstreams = {
    everything: { command: NODE, args: [EVERYTHING, 'stdio'] },
    'everything-http': { type: 'http', url: http.url },
    filesystem: { command: NODE, args: [FILESYSTEM, directory] },
    memory: { command: NODE, args: [MEMORY], env: { MEMORY_FILE_PATH: memoryFile } },
  };
  if (direct) return;
  gateway = await startGateway({
    mcpServers: upstreams,
    virtualServers: {
      readers: { servers: ['*'], tools: { include: ['*'], annotations: { readOnlyHint: true } } },
    },
  });
  stops.push(gateway.stop);
  await waitForTools(gateway.mcpUrl, [
    'everything__echo',
    'everything-http__echo',
    'filesystem__read_text_file',
    'memory__create_entities',
  ]);
});

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

function endpoint(front, server) {
  if (direct) return upstreams[server];
  if (front.name === '/mcp') return { url: gateway.mcpUrl };
  return { command: gateway.binary, args: ['stdio', '--url', gateway.mcpUrl] };
}

// A session in which items of `server` have the names that `name(plain)` gives.
async function using(sdk, front, server, handlers, act) {
  const session = await sdk.connect(endpoint(front, server), handlers);
  const name = (plain) => (direct ? plain : `${server}__${plain}`);
  const call = (plain, args = {}, options) =>
    session.callTool({ name: name(plain), arguments: args }, options);
  try {
    return await act({ session, client: session.client, name, call });
  } finally {
    await session.close();
  }
}

function everythingTests(sdk, front, server) {
  const use = (handlers, act) => using(sdk, front, server, handlers, act);
  test(`${server}: lists, calls, structured output (M02-AC-I.1 M-AC-5.1.2)`, () =>
    use({}, async ({ client, name, call }) => {
      const names = (await client.listTools()).tools.map((tool) => tool.name);
      assert.ok(names.includes(name('echo')), names.join());
      assert.equal(textOf(await call('echo', { message: 'grüße 👋' })), 'Echo: grüße 👋');
      assert.match(textOf(await call('get-sum', { a: 2, b: 40 })), /42/);
      const weather = await call('get-structured-content', { location: 'Chicago' });
      assert.equal(typeof weather.structuredContent.temperature, 'number');
      const image = (await call('get-tiny-image')).content.find((block) => block.type === 'image');
      assert.match(image.data, TINY_PNG);
    }));
  test(`${server}: resource, template, prompt, completion (M-FR-001.3 P1-Proto-1)`, () =>
    use({}, async ({ client, name }) => {
      const { resources } = await client.listResources();
      assert.ok(resources.length > 0);
      const first = resources.find((each) => each.uri.startsWith('demo://')) ?? resources[0];
      assert.ok((await client.readResource({ uri: first.uri })).contents.length > 0);
      const { resourceTemplates } = await client.listResourceTemplates();
      assert.ok(resourceTemplates.some((each) => each.uriTemplate.includes('{')));
      const arguments_ = { department: 'Engineering', name: 'Alice' };
      const prompt = await client.getPrompt({
        name: name('completable-prompt'),
        arguments: arguments_,
      });
      assert.match(prompt.messages[0].content.text, /Alice/);
      const { completion } = await client.complete({
        ref: { type: 'ref/prompt', name: name('completable-prompt') },
        argument: { name: 'department', value: 'E' },
      });
      assert.deepEqual(completion.values, ['Engineering']);
    }));
  test(`${server}: progress of a long operation (M-FR-001.2)`, () =>
    use({}, async ({ call }) => {
      const seen = [];
      const onprogress = ({ progress }) => seen.push(progress);
      const result = await call(
        'trigger-long-running-operation',
        { duration: 0.4, steps: 4 },
        { onprogress },
      );
      assert.match(textOf(result), /completed/i);
      assertProgress(seen, [1, 2, 3, 4]);
    }));
}

function stateTests(sdk, front) {
  test('filesystem: reads a file that we wrote, writes one that we read (M02-AC-I.1 M-AC-5.2.1)', () =>
    using(sdk, front, 'filesystem', {}, async ({ call }) => {
      assert.match(
        textOf(await call('read_text_file', { path: join(directory, 'hello.txt') })),
        /hello from a file/,
      );
      const path = join(directory, 'written.txt');
      await call('write_file', { path, content: `by ${sdk.name}` });
      assert.equal(await readFile(path, 'utf8'), `by ${sdk.name}`);
      const outside = await call('read_text_file', { path: '/etc/hostname' });
      assert.equal(outside.isError, true, 'the server still guards its directory');
    }));
  test('memory: remembers between calls (M02-AC-I.1 M-AC-5.2.1)', () =>
    using(sdk, front, 'memory', {}, async ({ call }) => {
      const entity = {
        name: `${sdk.name} ${front.name}`,
        entityType: 'client',
        observations: ['was here'],
      };
      await call('create_entities', { entities: [entity] });
      assert.match(textOf(await call('search_nodes', { query: entity.name })), /was here/);
    }));
}

for (const sdk of SDKS) {
  for (const front of MAIN_FRONTS) {
    // Directly, these servers speak only the legacy era; a gateway bridges.
    if (direct && (sdk.era === 'modern' || front.name === 'stdio')) continue;
    describe(`${sdk.name} through ${front.name} (${front.req})`, { timeout: 120000 }, () => {
      everythingTests(sdk, front, 'everything');
      everythingTests(sdk, front, 'everything-http');
      stateTests(sdk, front);
    });
  }
}

test(
  'a virtual server of read-only tools lists nothing that writes (M-AC-5.1.2)',
  { skip: direct },
  async () => {
    const session = await SDKS[0].connect({ url: gateway.virtualUrl('readers') });
    try {
      const { tools } = await session.client.listTools();
      assert.ok(tools.some((tool) => tool.name === 'filesystem__read_text_file'));
      assert.ok(tools.every((tool) => tool.annotations?.readOnlyHint === true));
      const hidden = session.callTool({
        name: 'filesystem__write_file',
        arguments: { path: 'x', content: 'y' },
      });
      const outcome = await hidden.then(
        (result) => ({ result }),
        (error) => ({ error }),
      );
      assert.ok(outcome.error, 'a tool that is not listed cannot be called');
    } finally {
      await session.close();
    }
  },
);
