// Tools that work in tasks. Within one revision tasks are passed on; across eras the gateway may
// map them or drive the task itself and give the plain result.
import assert from 'node:assert/strict';
import { TASKS_EXTENSION, has, isModern } from '../lib/revisions.mjs';
import { eventually } from '../lib/wait.mjs';
import { good } from './basics.mjs';

const textOf = (result) => result.content[0].text;

async function legacyTask(cell, params) {
  const { client } = cell;
  const label = params.arguments.label;
  const begin = async () =>
    good(await client.request('tools/call', { ...params, task: { ttl: 60000 } })).task;
  const task = await begin();
  assert.equal(task.status, 'working');
  const { taskId } = task;
  await eventually('the task is done', async () => {
    const { status } = good(await client.request('tasks/get', { taskId }));
    return status === 'completed';
  });
  const result = good(await client.request('tasks/result', { taskId }));
  assert.equal(textOf(result), `worked ${label}`);
  assert.equal(result._meta?.['io.modelcontextprotocol/related-task']?.taskId, taskId);
  const other = await begin();
  const cancelled = good(await client.request('tasks/cancel', { taskId: other.taskId }));
  assert.equal(cancelled.status, 'cancelled');
  const again = await client.request('tasks/cancel', { taskId: other.taskId });
  assert.equal(again.error?.code, -32602, 'cancelling what has ended');
  const unknown = await client.request('tasks/get', { taskId: 'nothing' });
  assert.equal(unknown.error?.code, -32602, 'an unknown task');
  return 'works';
}

async function modernTask(cell, params) {
  const { client } = cell;
  const extensions = { [TASKS_EXTENSION]: {} };
  const options = { capabilities: { ...client.capabilities, extensions } };
  const first = good(await client.request('tools/call', params, options));
  if (first.resultType === 'complete') {
    assert.equal(textOf(first), `worked ${params.arguments.label}`);
    return 'reduced';
  }
  assert.equal(first.resultType, 'task');
  const { taskId } = first;
  const done = await eventually('the task is done', async () => {
    const got = good(await client.request('tasks/get', { taskId }, options));
    return got.status === 'completed' && got;
  });
  assert.equal(textOf(done.result), `worked ${params.arguments.label}`);
  const second = good(await client.request('tools/call', params, options));
  good(await client.request('tasks/cancel', { taskId: second.taskId }, options));
  const unknown = await client.request('tasks/get', { taskId: 'nothing' }, options);
  assert.equal(unknown.error?.code, -32602, 'an unknown task');
  return 'works';
}

async function task(cell) {
  const { c, s, client, up } = cell;
  const label = cell.nonce();
  const params = { name: cell.tool('works'), arguments: { label } };
  if (!has(s, 'tasks')) {
    // The server has none; a client that speaks of them is not let down by it.
    const echo = { name: cell.tool('echo'), arguments: { text: label } };
    const asTask = c === '2025-11-25' ? { task: { ttl: 60000 } } : {};
    const reply = good(await client.request('tools/call', { ...echo, ...asTask }, { said: label }));
    if (reply.task) return 'works';
    assert.equal(JSON.parse(textOf(reply)).text, label);
    return 'reduced';
  }
  const offered = isModern(c)
    ? client.serverCapabilities.extensions?.[TASKS_EXTENSION]
    : client.serverCapabilities.tasks?.requests?.tools?.call;
  let outcome = 'reduced';
  if (offered)
    outcome = isModern(c) ? await modernTask(cell, params) : await legacyTask(cell, params);
  if (cell.direct) return outcome;
  // Nobody needs to know of tasks to use the tool.
  const { result, error } = await client.call('tools/call', params);
  const text = result && textOf(result);
  assert.equal(text, `worked ${label}`, JSON.stringify(error ?? result));
  const driven = !isModern(s) || offered;
  if (driven) assert.ok(up.tasksSeen.includes(label), 'no task ran');
  return outcome;
}

export const TASKS = [{ id: 'task', run: task }];
