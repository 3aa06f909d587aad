// What an unmodified client does with the fixture, directly or through the gateway. Each scenario
// takes a way to connect and the names under which the fixture's items are exposed.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const WATCHED = 'test://watched-resource';
const NOTIFIED_MS = 1500;
const TRIES = 5;
const textOf = (result) => result.content.map((block) => block.text).join('');

async function eventually(what, check, timeoutMs = 10000) {
  let last;
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(20)) {
    last = await check();
    if (last) return last;
  }
  return assert.fail(`${what}: not within ${timeoutMs} ms`);
}

// A legacy client opens its stream for unasked notifications in the background, so the first
// change may come before anyone listens: the change is made again until it is heard.
async function heard(session, method, accept, change) {
  for (let i = 0; i < TRIES; i += 1) {
    await change();
    const got = await session.notifications.wait(method, accept, NOTIFIED_MS);
    if (got) return got;
  }
  return assert.fail(`no ${method} after ${TRIES} changes`);
}

// The SDKs' clients handle a response at once but a notification a turn later, so a last progress
// that arrives in the same read as the result is lost in the client. All others must be there.
export function assertProgress(seen, expected) {
  assert.deepEqual(seen, expected.slice(0, seen.length));
  assert.ok(seen.length >= expected.length - 1, `only ${seen}`);
}

const report = async ({ session, tool }) =>
  JSON.parse(textOf(await session.callTool({ name: tool('test_report'), arguments: {} })));

export const SCENARIOS = [
  {
    name: 'negotiates and says what it offers',
    req: 'M-FR-001.1 M-AC-5.1.2',
    async run({ session }) {
      const { client, era } = session;
      const capabilities = client.getServerCapabilities();
      for (const key of ['tools', 'resources', 'prompts', 'completions'])
        assert.ok(capabilities[key], key);
      assert.ok(client.getServerVersion().name.length > 0);
      if (era === 'modern') assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28');
      else await client.ping();
    },
  },
  {
    name: 'lists and calls tools',
    req: 'M-AC-5.1.2 M-FR-001.3',
    async run({ session, tool }) {
      const { tools } = await session.client.listTools();
      const names = tools.map((each) => each.name);
      for (const name of ['test_simple_text', 'json_schema_2020_12_tool'])
        assert.ok(names.includes(tool(name)), name);
      assert.equal(new Set(names).size, names.length, 'names are unique');
      const schema = tools.find(
        (each) => each.name === tool('json_schema_2020_12_tool'),
      ).inputSchema;
      assert.equal(
        schema.$defs.address.$anchor,
        'addressDef',
        'schemas arrive as they were written',
      );
      const result = await session.callTool({ name: tool('test_simple_text'), arguments: {} });
      assert.equal(textOf(result), 'This is a simple text response for testing.');
    },
  },
  {
    name: 'gets every kind of content and structured output',
    req: 'M-FR-001.3',
    async run({ session, tool }) {
      const mixed = await session.callTool({
        name: tool('test_multiple_content_types'),
        arguments: {},
      });
      assert.deepEqual(
        mixed.content.map((block) => block.type),
        ['text', 'image', 'resource'],
      );
      const audio = await session.callTool({ name: tool('test_audio_content'), arguments: {} });
      assert.equal(audio.content[0].mimeType, 'audio/wav');
      const sum = await session.callTool({
        name: tool('test_structured_output'),
        arguments: { a: 19, b: 23 },
      });
      assert.deepEqual(sum.structuredContent, { sum: 42 });
    },
  },
  {
    name: 'gets tool failures as results and unknown tools as errors',
    req: 'M-AC-5.1.3',
    async run({ session, tool }) {
      const failed = await session.callTool({ name: tool('test_error_handling'), arguments: {} });
      assert.equal(failed.isError, true);
      assert.match(textOf(failed), /intentionally returns an error/);
      const unknown = session.callTool({ name: tool('no_such_tool'), arguments: {} });
      const outcome = await unknown.then(
        (result) => ({ result }),
        (error) => ({ error }),
      );
      assert.ok(
        outcome.error ? outcome.error.code === -32602 : outcome.result.isError,
        JSON.stringify(outcome),
      );
    },
  },
  {
    name: 'reads resources and templates',
    req: 'M-FR-001.3',
    async run({ session }) {
      const { client } = session;
      const { resources } = await client.listResources();
      assert.ok(resources.some((each) => each.uri === 'test://static-text'));
      const text = await client.readResource({ uri: 'test://static-text' });
      assert.equal(text.contents[0].text, 'This is the content of the static text resource.');
      const binary = await client.readResource({ uri: 'test://static-binary' });
      assert.ok(
        Buffer.from(binary.contents[0].blob, 'base64').subarray(1, 4).equals(Buffer.from('PNG')),
      );
      const { resourceTemplates } = await client.listResourceTemplates();
      assert.ok(resourceTemplates.some((each) => each.uriTemplate === 'test://template/{id}/data'));
      const filled = await client.readResource({ uri: 'test://template/b%20c/data' });
      assert.match(filled.contents[0].text, /"templateTest":true/);
      await assert.rejects(client.readResource({ uri: 'test://nowhere' }), (error) =>
        [-32602, -32002].includes(error.code),
      );
    },
  },
  {
    name: 'gets prompts',
    req: 'M-FR-001.3',
    async run({ session, prompt }) {
      const { client } = session;
      const { prompts } = await client.listPrompts();
      const listed = prompts.find((each) => each.name === prompt('test_prompt_with_arguments'));
      assert.deepEqual(
        listed.arguments.map((each) => each.name),
        ['arg1', 'arg2'],
      );
      const filled = await client.getPrompt({
        name: listed.name,
        arguments: { arg1: 'one', arg2: 'zwei ü' },
      });
      assert.equal(
        filled.messages[0].content.text,
        "Prompt with arguments: arg1='one', arg2='zwei ü'",
      );
    },
  },
  {
    name: 'completes arguments of prompts and templates',
    req: 'P1-Proto-1',
    async run({ session, prompt }) {
      const { completion } = await session.client.complete({
        ref: { type: 'ref/prompt', name: prompt('test_prompt_with_arguments') },
        argument: { name: 'arg1', value: 'par' },
      });
      assert.deepEqual(completion.values, ['paris', 'park', 'party']);
      const template = await session.client.complete({
        ref: { type: 'ref/resource', uri: 'test://template/{id}/data' },
        argument: { name: 'id', value: '12' },
      });
      assert.deepEqual(template.completion.values, ['12', '123']);
    },
  },
  {
    name: 'sees progress in order',
    req: 'M-FR-001.2',
    async run({ session, tool }) {
      const seen = [];
      const params = { name: tool('test_tool_with_progress'), arguments: {} };
      await session.callTool(params, { onprogress: (each) => seen.push(each.progress) });
      assertProgress(seen, [0, 50, 100]);
    },
  },
  {
    name: 'cancels a call, and the server that runs it knows',
    req: 'M-FR-001.2',
    async run(context) {
      const { session, tool } = context;
      const label = randomUUID();
      const stop = new AbortController();
      const params = { name: tool('test_wait_until_cancelled'), arguments: { label } };
      const call = session.callTool(params, { signal: stop.signal });
      const failed = assert.rejects(call);
      await eventually('the call runs', async () =>
        (await report(context)).waiting.includes(label),
      );
      stop.abort('the test changed its mind');
      await failed;
      await eventually('the cancel arrives', async () =>
        (await report(context)).cancelled.includes(label),
      );
    },
  },
  {
    name: 'hears of a resource that it subscribed to',
    req: 'M-FR-001.2',
    async run({ session, tool }) {
      const watching = await session.watch({ uris: [WATCHED] });
      assert.deepEqual(watching.honored.resourceSubscriptions, [WATCHED]);
      const change = () =>
        session.callTool({ name: tool('test_trigger_resource_update'), arguments: {} });
      await heard(session, 'notifications/resources/updated', ({ uri }) => uri === WATCHED, change);
      await watching.close();
    },
  },
  {
    name: 'hears that lists changed, and lists again',
    req: 'M-FR-001.2 M-AC-5.1.1',
    async run({ session, tool }) {
      const watching = await session.watch({ lists: true });
      const has = async () => {
        const { tools } = await session.client.listTools(undefined, { cacheMode: 'bypass' });
        return tools.some((each) => each.name === tool('test_extra_tool'));
      };
      const before = await has();
      let changes = 0;
      await heard(
        session,
        'notifications/tools/list_changed',
        () => true,
        () => {
          changes += 1;
          return session.callTool({ name: tool('test_trigger_tool_change'), arguments: {} });
        },
      );
      const expected = changes % 2 === 1 ? !before : before;
      await eventually('the new list', async () => (await has()) === expected);
      await heard(
        session,
        'notifications/prompts/list_changed',
        () => true,
        () => session.callTool({ name: tool('test_trigger_prompt_change'), arguments: {} }),
      );
      await watching.close();
    },
  },
  {
    name: 'answers elicitation, sampling and roots',
    req: 'P1-Proto-1',
    async run({ connect, tool }) {
      const asked = [];
      const session = await connect({
        'elicitation/create': (params) => {
          asked.push('elicitation');
          const fields = Object.keys(params.requestedSchema.properties);
          return {
            action: 'accept',
            content: Object.fromEntries(fields.map((field) => [field, `my ${field}`])),
          };
        },
        'sampling/createMessage': (params) => {
          asked.push('sampling');
          const content = { type: 'text', text: `echo ${params.messages[0].content.text}` };
          return { role: 'assistant', content, model: 'test-model', stopReason: 'endTurn' };
        },
        'roots/list': () => {
          asked.push('roots');
          return { roots: [{ uri: 'file:///home/tester/project', name: 'project' }] };
        },
      });
      try {
        const call = async (name, args = {}) =>
          textOf(await session.callTool({ name: tool(name), arguments: args }));
        assert.match(
          await call('test_elicitation', { message: 'Who?' }),
          /"username":"my username"/,
        );
        assert.match(await call('test_sampling', { prompt: 'hello' }), /echo hello/);
        assert.match(
          await call('test_input_required_result_list_roots'),
          /file:\/\/\/home\/tester\/project/,
        );
        assert.equal(
          await call('test_input_required_result_multi_round'),
          'my name likes my color',
        );
        assert.match(
          await call('test_input_required_result_multiple_inputs'),
          /echo Generate a greeting my name, 1 roots/,
        );
        for (const kind of ['elicitation', 'sampling', 'roots'])
          assert.ok(asked.includes(kind), kind);
      } finally {
        await session.close();
      }
    },
  },
  {
    name: 'is not asked for what it did not declare',
    req: 'M-FR-001.1',
    async run({ session, tool }) {
      const call = session.callTool({
        name: tool('test_input_required_result_elicitation'),
        arguments: {},
      });
      const outcome = await call.then(
        (result) => ({ result }),
        (error) => ({ error }),
      );
      assert.ok(outcome.error || outcome.result.isError, JSON.stringify(outcome));
    },
  },
  {
    name: 'gets log lines of a call when it asks for them',
    req: 'M-FR-001.2',
    eras: ['legacy'],
    async run({ session, tool }) {
      await session.client.setLoggingLevel('debug');
      await session.callTool({ name: tool('test_tool_with_logging'), arguments: {} });
      const last = ({ data }) => data === 'Tool execution completed';
      assert.ok(await session.notifications.wait('notifications/message', last, 5000));
    },
  },
  {
    name: 'runs many calls at once, each with its own answer',
    req: 'A-L2.P3',
    async run({ session, tool }) {
      const sums = await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          session.callTool({ name: tool('test_structured_output'), arguments: { a: i, b: 1000 } }),
        ),
      );
      assert.deepEqual(
        sums.map((each) => each.structuredContent.sum),
        sums.map((_, i) => i + 1000),
      );
    },
  },
];
