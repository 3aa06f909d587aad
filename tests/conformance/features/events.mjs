// What goes on beside results: progress, cancellation, log lines, changes.
import assert from 'node:assert/strict';
import { META, has, isModern } from '../lib/revisions.mjs';
import { eventually, pause } from '../lib/wait.mjs';
import { uriOf } from '../upstream/items.mjs';
import { NO_LEVEL } from '../upstream/server.mjs';
import { good, listAll } from './basics.mjs';

const ofCall = (label) => ({ message }) => message.params?.arguments?.label === label;

async function progress(cell) {
  const { c, s, client, up } = cell;
  for (const token of [`token-${cell.nonce()}`, 7]) {
    const label = cell.nonce();
    const from = up.received.length;
    const before = client.notifications.length;
    const params = { name: cell.tool('counts'), arguments: { label } };
    good(await client.request('tools/call', params, { meta: { progressToken: token } }));
    const seen = client.notifications.entries
      .slice(before)
      .filter(({ method }) => method === 'notifications/progress');
    assert.deepEqual(seen.map((each) => each.params.progress), [1, 2, 3]);
    assert.deepEqual(seen.map((each) => each.params.total), [3, 3, 3]);
    for (const { params: got } of seen) {
      assert.strictEqual(got.progressToken, token, "the client's token and its type");
      if (has(s, 'progressMessage') && has(c, 'progressMessage'))
        assert.match(got.message, /^step/);
      if (!has(c, 'progressMessage')) assert.equal(got.message, undefined);
    }
    const { message } = await up.received.wait('the call', ofCall(label), { from });
    assert.notEqual(message.params._meta?.progressToken, undefined, 'a token for the upstream');
  }
  const label = cell.nonce();
  const before = client.notifications.length;
  good(await client.request('tools/call', { name: cell.tool('counts'), arguments: { label } }));
  const unasked = client.notifications.entries.slice(before);
  assert.ok(!unasked.some(({ method }) => method === 'notifications/progress'), 'progress unasked');
  return has(s, 'progressMessage') && !has(c, 'progressMessage') ? 'reduced' : 'works';
}

async function cancel(cell) {
  const { client, up } = cell;
  const [label, other] = [cell.nonce(), cell.nonce()];
  const start = (name) =>
    client.begin('tools/call', { name: cell.tool('waits'), arguments: { label: name } });
  const from = up.received.length;
  const first = start(label);
  await eventually('the call runs', () => up.waiting.has(label));
  // Where nothing tells which call a question belongs to, gateways may run one call at a time.
  const second = up.transport === 'http' ? start(other) : undefined;
  if (second) await eventually('a second call runs', () => up.waiting.has(other));
  await first.cancel();
  await eventually('the upstream knows', () => up.cancelled.includes(label));
  if (second) assert.ok(up.waiting.has(other), 'another call was cancelled too');
  const told = up.received.entries
    .slice(from)
    .filter(({ message }) => message.method === 'notifications/cancelled');
  const byNotice = !up.modern || up.transport !== 'http';
  assert.equal(told.length, byNotice ? 1 : 0, 'notifications/cancelled at the upstream');
  if (second) {
    await second.cancel();
    await eventually('the upstream knows again', () => up.cancelled.includes(other));
  }
  good(await client.request('tools/call', { name: cell.tool('sum'), arguments: { a: 1, b: 2 } }));
  return 'works';
}

async function log(cell) {
  const { c, s, client, up } = cell;
  const chat = async (options = {}) => {
    const label = cell.nonce();
    const from = [client.notifications.length, up.received.length];
    good(await client.request(
      'tools/call', { name: cell.tool('chats'), arguments: { label } }, options));
    const { message } = await up.received.wait('the call', ofCall(label), { from: from[1] });
    const lines = client.notifications.entries.slice(from[0]).filter(
      ({ method, params }) => method === 'notifications/message' && params.data.endsWith(label));
    return { levels: lines.map(({ params }) => params.level), message };
  };
  if (cell.direct && !isModern(c)) good(await client.setLevel('info'));
  else if (isModern(c)) {
    const silent = await chat({ level: '' });
    assert.deepEqual(silent.levels, [], 'log lines that nobody asked for');
  } else {
    const bad = await client.request('logging/setLevel', { level: NO_LEVEL });
    assert.equal(bad.error?.code, -32602, 'a bad level');
    good(await client.setLevel('info'));
  }
  const { levels, message } = await chat({ level: 'info' });
  assert.deepEqual(levels, ['info', 'error']);
  if (isModern(s)) assert.equal(message.params._meta[META.logLevel], 'info', 'the level upstream');
  return 'works';
}

async function listChanged(cell) {
  const { client, up } = cell;
  const watching = await client.watch({ lists: true });
  const name = `extra_${cell.nonce()}`;
  for (const there of [true, false]) {
    let from = client.notifications.length;
    up.setExtra(name, there);
    for (let heard = 0; ; heard += 1) {
      const note = await client.notifications.wait(
        `list_changed when a tool ${there ? 'came' : 'went'}`,
        ({ method }) => method === 'notifications/tools/list_changed',
        { from },
      );
      if (isModern(cell.c)) assert.equal(note.params?._meta?.[META.subscription], watching.id);
      from = client.notifications.entries.indexOf(note) + 1;
      const tools = await listAll(cell, 'tools/list', 'tools');
      if (tools.some((tool) => tool.name === cell.tool(name)) === there) break;
      assert.ok(heard < 20, 'the list never changed');
    }
  }
  await watching.stop();
  return 'works';
}

async function subscription(cell) {
  const { client, up } = cell;
  const uri = uriOf(up, 'watched');
  const before = up.subscriptions(uri);
  const watching = await client.watch({ uris: [uri] });
  await eventually('the upstream has the subscription', () => up.subscriptions(uri) > before);
  const from = client.notifications.length;
  up.touch();
  const note = await client.notifications.wait(
    'resources/updated',
    ({ method, params }) => method === 'notifications/resources/updated' && params.uri === uri,
    { from },
  );
  if (isModern(cell.c)) assert.equal(note.params._meta?.[META.subscription], watching.id);
  const { contents } = good(await client.request('resources/read', { uri }));
  assert.equal(contents[0].text, `v${up.version}`, 'the new content');
  await watching.stop();
  await eventually(
    'the upstream is rid of the subscription', () => up.subscriptions(uri) === before);
  const after = client.notifications.length;
  up.touch();
  good(await client.request('tools/call', { name: cell.tool('sum'), arguments: { a: 1, b: 2 } }));
  await pause(20);
  const late = client.notifications.entries.slice(after).map(({ method }) => method);
  assert.ok(!late.includes('notifications/resources/updated'), 'an update after the end');
  return 'works';
}

export const EVENTS = [
  { id: 'progress', run: progress },
  { id: 'cancel', run: cancel },
  { id: 'log', run: log },
  { id: 'list_changed', run: listChanged },
  { id: 'subscription', run: subscription },
];
