// Tasks of both flavours through the gateway: clients that know the one, the other or none, in
// front of a server of TypeScript SDK 1.x (tasks of 2025-11-25) and of the modern fixture (the
// extension io.modelcontextprotocol/tasks).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { join } from 'node:path';
import { NODE, NODE_TESTS } from '../lib/paths.mjs';
import { startFixture, startGateway, waitForTools } from '../lib/servers.mjs';

const TASKS = 'io.modelcontextprotocol/tasks';
const TERMINAL = ['completed', 'failed', 'cancelled'];

// A request of 2026-07-28 with its routing headers. Resolves with {status, result, error}.
async function modern(url, capabilities, method, params, headers = {}) {
  const target = params.name ?? params.taskId;
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': capabilities,
  };
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(target ? { 'mcp-name': target } : {}),
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta } }),
  });
  const text = await response.text();
  const last = text.startsWith('{') ? text : text.trim().split('data:').at(-1);
  return { status: response.status, ...JSON.parse(last) };
}

class ModernClient {
  constructor(url, capabilities = { elicitation: {}, extensions: { [TASKS]: {} } }) {
    this.url = url;
    this.capabilities = capabilities;
  }
  ask(method, params, headers) {
    return modern(this.url, this.capabilities, method, params, headers);
  }
  call(name, args = {}, more = {}) {
    return this.ask('tools/call', { name, arguments: args, ...more });
  }
  // Polls until the task has one of `statuses`.
  async until(taskId, statuses) {
    for (let i = 0; i < 200; ++i) {
      const { result, error } = await this.ask('tasks/get', { taskId });
      assert.equal(error, undefined, JSON.stringify(error));
      if (statuses.includes(result.status)) return result;
      await sleep(50);
    }
    throw new Error(`task ${taskId} never became ${statuses}`);
  }
}

async function connectLegacy(url) {
  const client = new Client(
    { name: 'tasks-test', version: '1.0.0' },
    { capabilities: { elicitation: { form: {} } } },
  );
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
    const [field] = Object.keys(params.requestedSchema.properties);
    return { action: 'accept', content: { [field]: field === 'confirm' ? true : 'Ada' } };
  });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  return client;
}

// Calls a tool as a task with SDK 1.x and collects what the stream says.
async function stream(client, name, args = {}) {
  const events = [];
  for await (const event of client.experimental.tasks.callToolStream(
    { name, arguments: args },
    undefined,
    { task: { ttl: 60000 } },
  ))
    events.push(event);
  return events;
}
const textOf = (result) => result.content[0].text;

function suite(name, tools, start) {
  describe(name, () => {
    let gateway;
    let url;
    const stops = [];
    before(async () => {
      const upstream = await start(stops);
      gateway = await startGateway({
        mcpServers: { tasks: upstream },
        virtualServers: { plain: { servers: ['tasks'], prefix: 'none' } },
      });
      stops.push(gateway.stop);
      url = gateway.virtualUrl('plain');
      await waitForTools(url, [tools.good]);
    });
    after(async () => {
      for (const stop of stops.reverse()) await stop();
    });
    const legacy = async (body) => {
      const client = await connectLegacy(url);
      try {
        await client.listTools();
        await body(client);
      } finally {
        await client.close();
      }
    };

    test('a client of 2025-11-25 calls a tool as a task (A12)', () =>
      legacy(async (client) => {
        const { tools: listed } = await client.listTools();
        const good = listed.find((tool) => tool.name === tools.good);
        assert.equal(good.execution?.taskSupport, 'optional');
        const events = await stream(client, tools.good, tools.args);
        assert.equal(events[0].type, 'taskCreated', JSON.stringify(events));
        const last = events.at(-1);
        assert.equal(last.type, 'result', JSON.stringify(last));
        assert.match(textOf(last.result), /x7/);
        const { taskId } = events[0].task;
        assert.equal((await client.experimental.tasks.getTask(taskId)).status, 'completed');
        const { tasks } = await client.experimental.tasks.listTasks();
        assert.ok(tasks.some((task) => task.taskId === taskId));
        await assert.rejects(client.experimental.tasks.cancelTask(taskId), { code: -32602 });
      }));

    test('its task that fails, asks or is cancelled (A12)', () =>
      legacy(async (client) => {
        const failed = await stream(client, tools.failing);
        assert.ok(failed.some((event) => event.type === 'taskStatus' || event.type === 'result'));
        const { taskId } = failed[0].task;
        assert.equal((await client.experimental.tasks.getTask(taskId)).status, 'failed');
        const asked = await stream(client, tools.asking, tools.askingArgs);
        assert.match(textOf(asked.at(-1).result), tools.answered);
        const endless = client.experimental.tasks.callToolStream(
          { name: tools.endless, arguments: tools.endlessArgs },
          undefined,
          { task: {} },
        );
        const first = await endless.next();
        const cancelled = await client.experimental.tasks.cancelTask(first.value.task.taskId);
        assert.equal(cancelled.status, 'cancelled');
        await assert.rejects(client.experimental.tasks.getTask('nobody'), { code: -32602 });
      }));

    test('a legacy client without tasks gets the plain result (A12)', () =>
      legacy(async (client) => {
        const done = await client.callTool({ name: tools.good, arguments: tools.args });
        assert.match(textOf(done), /x7/);
        const failed = await client.callTool({ name: tools.failing, arguments: {} });
        assert.equal(failed.isError, true);
        const asked = await client.callTool({ name: tools.asking, arguments: tools.askingArgs });
        assert.match(textOf(asked), tools.answered);
      }));

    test('a modern client with the extension gets a task (A12)', async () => {
      const client = new ModernClient(url);
      const discovered = (await client.ask('server/discover', {})).result.capabilities;
      assert.ok(discovered.extensions[TASKS]);
      assert.equal(discovered.tasks, undefined);
      const { result } = await client.call(tools.good, tools.args);
      assert.equal(result.resultType, 'task', JSON.stringify(result));
      const done = await client.until(result.taskId, TERMINAL);
      assert.equal(done.resultType, 'complete');
      assert.equal(done.status, 'completed');
      assert.match(textOf(done.result), /x7/);
      assert.equal(done.taskId, result.taskId);
      const failing = await client.call(tools.failing);
      const failed = await client.until(failing.result.taskId, TERMINAL);
      assert.equal(failed.status, 'completed');
      assert.equal(failed.result.isError, true);
    });

    test('answers questions of its task and cancels it (A12)', async () => {
      const client = new ModernClient(url);
      const asking = await client.call(tools.asking, tools.askingArgs);
      const { taskId } = asking.result;
      const { inputRequests } = await client.until(taskId, ['input_required']);
      const [[key, question]] = Object.entries(inputRequests);
      const [field] = Object.keys(question.params.requestedSchema.properties);
      const content = { [field]: field === 'confirm' ? true : 'Ada' };
      const inputResponses = { [key]: { action: 'accept', content } };
      const updated = await client.ask('tasks/update', { taskId, inputResponses });
      assert.deepEqual(Object.keys(updated.result).sort(), ['_meta', 'resultType']);
      assert.match(textOf((await client.until(taskId, TERMINAL)).result), tools.answered);

      const endless = await client.call(tools.endless, tools.endlessArgs);
      for (let i = 0; i < 2; ++i) {
        const ack = await client.ask('tasks/cancel', { taskId: endless.result.taskId });
        assert.equal(ack.result?.resultType, 'complete', JSON.stringify(ack));
      }
      assert.equal((await client.until(endless.result.taskId, TERMINAL)).status, 'cancelled');
    });

    test('a task id is worth nothing to others or altered (A12)', async () => {
      const client = new ModernClient(url);
      const { taskId } = (await client.call(tools.good, tools.args)).result;
      const refused = async (who, id, code, headers) => {
        const { error } = await who.ask('tasks/get', { taskId: id }, headers);
        assert.equal(error?.code, code, JSON.stringify(error));
      };
      await refused(client, `${taskId.slice(0, -2)}AA`, -32602);
      await refused(client, 'nobody', -32602);
      // The same id on another virtual server.
      await refused(new ModernClient(gateway.mcpUrl), taskId, -32602);
      await refused(new ModernClient(url, {}), taskId, -32021);
      await refused(client, taskId, -32020, { 'mcp-name': 'another' });
    });

    test('a modern client without the extension (A12)', async () => {
      const client = new ModernClient(url, { elicitation: {} });
      const { result, error } = await client.call(tools.good, tools.args);
      assert.match(textOf(result ?? error), /x7/);
      const required = await client.call(tools.asking, tools.askingArgs);
      if (tools.modern) return;
      // Driven inside: what the task asks becomes an ordinary question.
      assert.equal(required.result.resultType, 'input_required', JSON.stringify(required));
      const [key] = Object.keys(required.result.inputRequests);
      const done = await client.call(tools.asking, tools.askingArgs, {
        requestState: required.result.requestState,
        inputResponses: { [key]: { action: 'accept', content: { name: 'Ada' } } },
      });
      assert.match(textOf(done.result), tools.answered);
    });

    test('status reaches a listen stream (A12)', async () => {
      const client = new ModernClient(url);
      const { taskId } = (await client.call(tools.asking, tools.askingArgs)).result;
      const abort = new AbortController();
      const response = await fetch(url, {
        method: 'POST',
        signal: abort.signal,
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'mcp-protocol-version': '2026-07-28',
          'mcp-method': 'subscriptions/listen',
        },
        body: JSON.stringify({
          jsonrpc: '2.0',
          id: 'l1',
          method: 'subscriptions/listen',
          params: {
            notifications: { taskIds: [taskId] },
            _meta: {
              'io.modelcontextprotocol/protocolVersion': '2026-07-28',
              'io.modelcontextprotocol/clientCapabilities': client.capabilities,
            },
          },
        }),
      });
      let seen = '';
      for await (const piece of response.body) {
        seen += Buffer.from(piece).toString();
        if (seen.includes('notifications/tasks') && seen.includes('input_required')) break;
      }
      abort.abort();
      assert.ok(seen.includes(`"taskIds":["${taskId}"]`), seen);
      assert.ok(seen.includes(`"taskId":"${taskId}"`), seen);
      await client.ask('tasks/cancel', { taskId });
    });
  });
}

const LEGACY_SERVER = join(NODE_TESTS, 'fixture', 'legacy_tasks.mjs');
suite(
  'tasks of a server of 2025-11-25 (SDK 1.x)',
  {
    good: 'must_task',
    args: { label: 'x7' },
    failing: 'failing_task',
    asking: 'asking_task',
    askingArgs: {},
    answered: /Hello, Ada/,
    endless: 'endless_task',
    endlessArgs: {},
  },
  () => ({ command: NODE, args: [LEGACY_SERVER] }),
);
suite(
  'tasks of a server of 2026-07-28',
  {
    modern: true,
    good: 'slow_compute',
    args: { seconds: 0.2, label: 'x7' },
    failing: 'failing_job',
    asking: 'confirm_delete',
    askingArgs: { filename: 'Ada' },
    answered: /deleted Ada/,
    endless: 'slow_compute',
    endlessArgs: { seconds: 60 },
  },
  async (stops) => {
    const fixture = await startFixture('--era', 'modern');
    stops.push(fixture.stop);
    return { type: 'http', url: fixture.url, era: 'modern' };
  },
);
