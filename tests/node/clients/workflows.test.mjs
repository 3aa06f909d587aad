// Workflows from the outside: published ones as tools of real clients of each SDK and era, approval
// by elicitation, by REST and by the command line, runs as tasks, and who may do what.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_TESTS, PYTHON } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { SDKS } from '../lib/sdk.mjs';
import { fixtureStdio, modernRequest, startGateway, waitForTools } from '../lib/servers.mjs';

const TASKS = 'io.modelcontextprotocol/tasks';
const KEYS = {
  root: ['admin'],
  ann: ['operator'],
  ben: ['operator'],
  vic: ['viewer'],
};
const secretOf = (name) => `key-of-${name}-0123456789`;
const keysOf = (names) =>
  names.map((name) => ({ name, key: secretOf(name), roles: KEYS[name] }));
const bearer = (name) => (name ? { authorization: `Bearer ${secretOf(name)}` } : {});

const SUM = `
name: sum
summary: Adds two numbers, twice
input:
  type: object
  required: [a, b]
  properties: { a: { type: number }, b: { type: number } }
steps:
  - id: first
    tool: fixture.test_structured_output
    arguments: { a: "\${input.a}", b: "\${input.b}" }
  - id: second
    tool: fixture.test_structured_output
    arguments: { a: "\${steps.first.sum}", b: 0 }
output: { sum: "\${steps.second.sum}" }
`;
const asks = (name, more = '') => `
name: ${name}
summary: Adds after somebody has approved it
steps:
  - id: ok
    approval: { title: "Add the numbers?", show: "1 + 2"${more} }
  - id: add
    tool: fixture.test_structured_output
    arguments: { a: 1, b: 2 }
    dependsOn: [ok]
output: { sum: "\${steps.add.sum}" }
`;
const slow = (name) => `
name: ${name}
steps:
  - { id: rest, wait: PT60S }
`;
// A workflow that calls itself as the tool that it is.
const LOOP = `
name: loop
steps:
  - { id: again, tool: workflow.loop, arguments: {} }
output: "\${steps.again}"
`;

let gateway;

async function rest(who, method, path, body) {
  const response = await fetch(gateway.at(`/api/v1${path}`), {
    method,
    headers: { 'content-type': 'application/json', ...bearer(who) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : {} };
}

async function must(who, method, path, body) {
  const reply = await rest(who, method, path, body);
  assert.ok(reply.status < 300, `${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
  return reply.body;
}

const create = (who, source, more = {}) => must(who, 'POST', '/workflows', { source, ...more });
const publish = (who, name, more = {}) => must(who, 'POST', `/workflows/${name}/publish`, more);
const runOf = async (who, id) => (await must(who, 'GET', `/runs/${id}`)).run;
const newestRun = async (name) =>
  (await must(undefined, 'GET', `/runs?workflow=${name}&pageSize=1`)).runs[0];

async function eventually(what, probe, timeoutMs = 20000) {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(50)) {
    const value = await probe();
    if (value) return value;
  }
  throw new Error(`${what}: not in time`);
}
const ended = (id, who) =>
  eventually(`end of ${id}`, async () => {
    const run = await runOf(who, id);
    return ['completed', 'failed', 'cancelled', 'rolled-back'].includes(run.state) && run;
  });

const cli = (...args) =>
  run(gateway.binary, ['--url', gateway.at('/'), ...args], { timeoutMs: 60000 });

// The three programs of that shape have no workflow service among them.
const absent = process.env.METAMCP_SHAPE === 'processes';
const suite = absent ? describe.skip : describe;

before(async () => {
  if (absent) return;
  gateway = await startGateway({
    mcpServers: { fixture: fixtureStdio() },
    auth: { anonymousLoopback: true, keys: keysOf(Object.keys(KEYS)) },
    virtualServers: { flows: { servers: ['workflow'], prefix: 'none' } },
  });
  await waitForTools(gateway.mcpUrl, ['fixture__test_structured_output']);
  await create(undefined, SUM);
  await create(undefined, asks('asks'));
  await create(undefined, slow('slow'));
  for (const name of ['sum', 'asks', 'slow']) await publish(undefined, name);
  await waitForTools(gateway.mcpUrl, ['workflow__sum', 'workflow__asks', 'workflow__slow']);
});
after(() => gateway?.stop());

for (const sdk of SDKS) {
  suite(`workflows as tools: ${sdk.name}`, { timeout: 120000 }, () => {
    const using = async (handlers, act, url = gateway.mcpUrl) => {
      const session = await sdk.connect({ url }, handlers);
      try {
        return await act(session);
      } finally {
        await session.close();
      }
    };

    test('are listed with what they are, and in virtual servers that pick them (M-FR-006)', () =>
      using({}, async (session) => {
        const { tools } = await session.client.listTools();
        const tool = tools.find((each) => each.name === 'workflow__sum');
        assert.deepEqual(tool.inputSchema.required, ['a', 'b']);
        assert.equal(tool._meta['meta-mcp/workflow'].name, 'sum');
        assert.match(tool._meta['meta-mcp/workflow'].digest, /^[0-9a-f]{64}$/);
        // What no step says is left to MCP's default.
        assert.equal(typeof tool.annotations.readOnlyHint, 'boolean');
        const flows = await sdk.connect({ url: gateway.virtualUrl('flows') });
        try {
          const names = (await flows.client.listTools()).tools.map((each) => each.name);
          assert.ok(names.includes('sum'), names);
        } finally {
          await flows.close();
        }
      }));

    test('run for their caller, with progress for each step and structured output (M-FR-006.4)', () =>
      using({}, async (session) => {
        const told = [];
        const result = await session.callTool(
          { name: 'workflow__sum', arguments: { a: 2, b: 3 } },
          { onprogress: (progress) => told.push(progress) },
        );
        assert.deepEqual(result.structuredContent, { sum: 5 });
        assert.equal((await runOf(undefined, result._meta['meta-mcp/run'].id)).state, 'completed');
        assert.ok(told.some(({ message }) => message === 'second: done'), JSON.stringify(told));
        assert.ok(told.every(({ progress }, i) => i === 0 || progress > told[i - 1].progress));
      }));

    test('refuse wrong arguments as a result (M-NFR-005.3)', () =>
      using({}, async (session) => {
        const result = await session.callTool({ name: 'workflow__sum', arguments: { a: 'x' } });
        assert.equal(result.isError, true);
      }));

    test('ask their caller to approve, once (M-FR-007.2)', () => {
      const asked = [];
      const handlers = {
        'elicitation/create': (params) => {
          asked.push(params.message);
          return { action: 'accept', content: { decision: 'approve', comment: 'fine' } };
        },
      };
      return using(handlers, async (session) => {
        const result = await session.callTool({ name: 'workflow__asks', arguments: {} });
        assert.deepEqual(result.structuredContent, { sum: 3 });
        assert.equal(asked.length, 1);
        assert.match(asked[0], /Add the numbers\?[^]*1 \+ 2/);
        const { id } = result._meta['meta-mcp/run'];
        const again = await rest(undefined, 'POST', `/runs/${id}/decide`, { action: 'deny' });
        assert.ok([404, 409].includes(again.status), JSON.stringify(again));
      });
    });

    test('a denial ends the run (M-FR-007.2)', () =>
      using({ 'elicitation/create': () => ({ action: 'decline' }) }, async (session) => {
        const result = await session.callTool({ name: 'workflow__asks', arguments: {} });
        assert.equal(result.isError, true);
        assert.equal((await newestRun('asks')).state, 'failed');
      }));

    test('an approval that is put off stays open for others (M-FR-007.2)', () =>
      using({ 'elicitation/create': () => ({ action: 'cancel' }) }, async (session) => {
        const result = await session.callTool({ name: 'workflow__asks', arguments: {} });
        assert.equal(result.isError, true);
        const { id } = await newestRun('asks');
        assert.equal((await runOf(undefined, id)).pending.length, 1);
        const { code, stderr } = await cli('workflow', 'decide', id, 'approve');
        assert.equal(code, 0, stderr);
        assert.equal((await ended(id)).state, 'completed');
      }));

    test('a client that cannot be asked waits for an approval elsewhere (M-FR-007.2)', () =>
      using({}, async (session) => {
        const before = (await newestRun('asks'))?.id;
        const calling = session.callTool({ name: 'workflow__asks', arguments: {} });
        const { id } = await eventually('the run', async () => {
          const newest = await newestRun('asks');
          return newest.id !== before && (await runOf(undefined, newest.id)).pending.length && newest;
        });
        await must(undefined, 'POST', `/runs/${id}/decide`, { action: 'approve' });
        assert.deepEqual((await calling).structuredContent, { sum: 3 });
      }));

    test('cancelling the call cancels the run (M-FR-006.6)', () =>
      using({}, async (session) => {
        const before = (await newestRun('slow'))?.id;
        const abort = new AbortController();
        const calling = session.callTool(
          { name: 'workflow__slow', arguments: {} },
          { signal: abort.signal },
        );
        calling.catch(() => {});
        const { id } = await eventually('the run', async () => {
          const newest = await newestRun('slow');
          return newest && newest.id !== before && newest;
        });
        abort.abort();
        await assert.rejects(calling);
        assert.equal((await ended(id)).state, 'cancelled');
      }));

    test('clients hear that one is published, changed or taken away (M-FR-001.3)', () =>
      using({}, async (session) => {
        const name = `fresh-${sdk.era}-${SDKS.indexOf(sdk)}`;
        const watching = await session.watch({ lists: true });
        await create(undefined, slow(name));
        await publish(undefined, name);
        const heard = await session.notifications.wait(
          'notifications/tools/list_changed', () => true, 10000);
        assert.ok(heard);
        const names = (await session.client.listTools()).tools.map((each) => each.name);
        assert.ok(names.includes(`workflow__${name}`), names);
        await must(undefined, 'POST', `/workflows/${name}/unpublish`, {});
        await eventually('it is gone', async () => {
          const { tools } = await session.client.listTools();
          return !tools.some((each) => each.name === `workflow__${name}`);
        });
        await watching.close();
      }));
  });
}

suite('workflows as tools: Python SDK', () => {
  const script = join(NODE_TESTS, 'python', 'workflow_check.py');
  for (const mode of ['legacy', 'auto']) {
    test(`${mode}: runs, and is asked to approve (M-FR-007.2)`, { timeout: 120000 }, async () => {
      assert.ok(existsSync(PYTHON), PYTHON);
      const args = [script, '--mode', mode, '--url', gateway.mcpUrl];
      const { code, stdout, stderr } = await run(PYTHON, args, { timeoutMs: 100000 });
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^ok$/m);
    });
  }
});

suite('long runs as tasks', () => {
  const ask = (method, params) => taskRequest(gateway.mcpUrl, method, params);

  test('a modern client with the extension gets one, and its questions (M-FR-006.4)', async () => {
    const { result } = await ask('tools/call', { name: 'workflow__asks', arguments: {} });
    assert.equal(result.resultType, 'task', JSON.stringify(result));
    const { taskId } = result;
    const waiting = await eventually('the question', async () => {
      const task = (await ask('tasks/get', { taskId })).result;
      return task.status === 'input_required' && task;
    });
    const [key] = Object.keys(waiting.inputRequests);
    const inputResponses = { [key]: { action: 'accept', content: { decision: 'approve' } } };
    await ask('tasks/update', { taskId, inputResponses });
    const done = await eventually('the end', async () => {
      const task = (await ask('tasks/get', { taskId })).result;
      return task.status === 'completed' && task;
    });
    assert.deepEqual(done.result.structuredContent, { sum: 3 });
  });

  test('cancelling the task cancels the run (M-FR-006.6)', async () => {
    const { result } = await ask('tools/call', { name: 'workflow__slow', arguments: {} });
    const { id } = await newestRun('slow');
    await ask('tasks/cancel', { taskId: result.taskId });
    assert.equal((await ended(id)).state, 'cancelled');
  });

  test('a client of 2025-11-25 asks for one (M-FR-006.4)', async () => {
    const [v1] = SDKS;
    const session = await v1.connect({ url: gateway.mcpUrl });
    try {
      const { tools } = await session.client.listTools();
      const tool = tools.find((each) => each.name === 'workflow__sum');
      assert.equal(tool.execution?.taskSupport, 'optional');
      const events = [];
      const stream = session.client.experimental.tasks.callToolStream(
        { name: 'workflow__sum', arguments: { a: 4, b: 4 } }, undefined, { task: { ttl: 60000 } });
      for await (const event of stream) events.push(event);
      assert.equal(events[0].type, 'taskCreated', JSON.stringify(events));
      assert.deepEqual(events.at(-1).result.structuredContent, { sum: 8 });
    } finally {
      await session.close();
    }
  });
});

async function taskRequest(url, method, params) {
  const target = params.name ?? params.taskId;
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      'mcp-name': target,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method,
      params: {
        ...params,
        _meta: {
          'io.modelcontextprotocol/protocolVersion': '2026-07-28',
          'io.modelcontextprotocol/clientCapabilities': {
            elicitation: {},
            extensions: { [TASKS]: {} },
          },
        },
      },
    }),
  });
  const text = await response.text();
  return JSON.parse(text.startsWith('{') ? text : text.trim().split('data:').at(-1));
}

suite('bounds', () => {
  test('a workflow that calls itself as a tool ends with a clear error (M-NFR-005.3)', async () => {
    // The first version stands so that the tool is there when the second one names it.
    await create(undefined, LOOP.replace('tool: workflow.loop, arguments: {}', 'wait: PT1S')
      .replace('output: "${steps.again}"', 'version: 1.0.0'));
    await publish(undefined, 'loop');
    await waitForTools(gateway.mcpUrl, ['workflow__loop']);
    // A catalog hears within a second of what came about at another one.
    await eventually('the tool in the catalog that checks', async () => {
      const { status, body } = await rest(
        undefined, 'POST', '/workflows', { source: `version: 2.0.0${LOOP}` });
      if (status >= 300) assert.match(JSON.stringify(body), /no server offers the tool/);
      return status < 300;
    });
    await publish(undefined, 'loop');
    const { result } = await modernRequest(
      gateway.mcpUrl, 'tools/call', { name: 'workflow__loop', arguments: {} });
    assert.equal(result.isError, true);
    const { runs } = await must(undefined, 'GET', '/runs?workflow=loop&pageSize=50');
    assert.equal(runs.length, 8);
    const deepest = await runOf(undefined, runs[0].id);
    assert.match(JSON.stringify(deepest.error), /calls itself/);
  });
});

suite('who may do what', () => {
  const denied = async (code, who, method, path, body) => {
    const { status, body: reply } = await rest(who, method, path, body);
    assert.equal(status, code, `${who} ${method} ${path}: ${JSON.stringify(reply)}`);
  };

  test('a workflow is its owner\'s and the administrators\' to change (M-FR-007.2)', async () => {
    await create('ann', slow('anns'));
    await denied(403, 'ben', 'POST', '/workflows', { source: `version: 2.0.0${slow('anns')}` });
    await denied(403, 'ben', 'DELETE', '/workflows/anns');
    await denied(403, 'ben', 'POST', '/workflows/anns/publish', {});
    await create('root', `version: 2.0.0${slow('anns')}`);
    const { workflow } = await must('ben', 'GET', '/workflows/anns');
    assert.equal(workflow.owner, 'ann');
    await must('ann', 'POST', '/workflows/anns/share', { owner: 'ben' });
    await create('ben', `version: 3.0.0${slow('anns')}`);
    await denied(403, 'ann', 'DELETE', '/workflows/anns');
  });

  test('what is private is not there for others (M-FR-007.2)', async () => {
    await create('ann', slow('secret'), { visibility: 'private' });
    await denied(404, 'ben', 'GET', '/workflows/secret');
    await denied(404, 'ben', 'POST', '/workflows/secret/runs', {});
    await denied(409, 'ben', 'POST', '/workflows', { source: `version: 2.0.0${slow('secret')}` });
    await denied(409, 'ann', 'POST', '/workflows/secret/publish', {});
    // Nor does a workflow of somebody else's run it.
    const child = { document: { dsl: '1.0.3', namespace: 'default', name: 'thief', version: '1.0.0' },
      do: [{ take: { run: { workflow: { namespace: 'default', name: 'secret', version: '1.0.0' } } } }] };
    await denied(400, 'ben', 'POST', '/workflows', { source: JSON.stringify(child) });
    const listed = async (who) =>
      (await must(who, 'GET', '/workflows?pageSize=500')).workflows.map(({ name }) => name);
    assert.ok(!(await listed('ben')).includes('secret'));
    assert.ok((await listed('ann')).includes('secret'));
    assert.ok((await listed('root')).includes('secret'));
    await must('ann', 'POST', '/workflows/secret/share', { visibility: 'public' });
    await must('vic', 'GET', '/workflows/secret');
  });

  test('runs are their starter\'s, the owner\'s and the administrators\' (M-FR-007.2)', async () => {
    await create('ann', slow('shared'));
    const { run: started } = await must('ben', 'POST', '/workflows/shared/runs', {});
    const { id } = started;
    assert.equal(started.startedBy, 'ben');
    await denied(404, 'vic', 'GET', `/runs/${id}`);
    await denied(404, 'vic', 'GET', `/runs/${id}/events`);
    const listed = async (who) =>
      (await must(who, 'GET', '/runs?workflow=shared')).runs.map((each) => each.id);
    assert.deepEqual(await listed('vic'), []);
    for (const who of ['ann', 'ben', 'root']) assert.deepEqual(await listed(who), [id]);
    await must('ann', 'POST', `/runs/${id}/pause`, {});
    await must('ben', 'POST', `/runs/${id}/resume`, {});
    await must('root', 'POST', `/runs/${id}/cancel`, {});
    assert.equal((await ended(id, 'root')).state, 'cancelled');
  });

  test('the starter does not approve where another person must (M-FR-007.2)', async () => {
    await create('ann', asks('two-eyes', ', separate: true'));
    const { run: started } = await must('ann', 'POST', '/workflows/two-eyes/runs', {});
    const pending = await eventually('the approval', async () =>
      (await runOf('ann', started.id)).pending[0]);
    assert.equal(pending.mayDecide ?? false, false);
    await denied(403, 'ann', 'POST', `/runs/${started.id}/decide`, { action: 'approve' });
    await denied(404, 'vic', 'POST', `/runs/${started.id}/decide`, { action: 'approve' });
    await must('ben', 'POST', `/runs/${started.id}/decide`, { action: 'approve' });
    const done = await ended(started.id, 'ann');
    assert.equal(done.state, 'completed');
    assert.match(JSON.stringify(done.steps), /"by":"ben"/);
  });

  test('named approvers decide with any role, others do not (M-FR-007.2)', async () => {
    await create('ann', asks('named', ', approvers: [user:vic]'));
    const { run: started } = await must('ann', 'POST', '/workflows/named/runs', {});
    await eventually('the approval', async () => (await runOf('ann', started.id)).pending[0]);
    await denied(403, 'root', 'POST', `/runs/${started.id}/decide`, { action: 'approve' });
    const seen = await runOf('vic', started.id);
    assert.deepEqual(seen.pending[0].approvers, ['user:vic']);
    assert.equal(seen.pending[0].mayDecide, true);
    await must('vic', 'POST', `/runs/${started.id}/decide`, { action: 'deny', comment: 'no' });
    assert.equal((await ended(started.id, 'ann')).state, 'failed');
  });

  test('a run whose key is removed stops at the next step (M-NFR-005.3)', async () => {
    const source = `
name: outlives
steps:
  - { id: rest, wait: PT3S }
  - { id: add, tool: fixture.test_structured_output, arguments: { a: 1, b: 1 }, dependsOn: [rest] }
`;
    await create('root', source);
    const { run: started } = await must('ben', 'POST', '/workflows/outlives/runs', {});
    const file = join(gateway.directory, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8'));
    config.auth.keys = keysOf(['root', 'ann', 'vic']);
    writeFileSync(file, JSON.stringify(config));
    await eventually('the key is gone', async () =>
      (await rest('ben', 'GET', '/workflows')).status === 401);
    const done = await ended(started.id, 'root');
    assert.equal(done.state, 'failed');
    assert.match(JSON.stringify(done.error), /the key of ben is no longer valid/);
  });
});
