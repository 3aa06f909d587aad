// Calls that wait for a person: official clients of both eras that can be asked, clients that cannot,
// the command line and REST; denial, timeout, a client that leaves, a restart between. Nothing runs
// without it.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE, gatewayBinary } from '../lib/paths.mjs';
import { Child, run } from '../lib/process.mjs';
import { SDKS } from '../lib/sdk.mjs';
import { FILESYSTEM, modernRequest, startGateway, waitForTools } from '../lib/servers.mjs';

const KEYS = { ada: ['developer'], eve: ['developer'], boss: ['operator'] };
const secretOf = (name) => `key-of-${name}-0123456789`;
const bearer = (name) => ({ authorization: `Bearer ${secretOf(name)}` });
const TOOL = 'files__write_file';

const folder = mkdtempSync(join(tmpdir(), 'metamcp-consent-'));
const config = (policy, more = {}) => ({
  auth: {
    anonymousLoopback: true,
    keys: Object.entries(KEYS).map(([name, roles]) => ({ name, key: secretOf(name), roles })),
  },
  policy: {
    rules: ['consent writes if tool = files.write_file because "Files are precious."'],
    ...policy,
  },
  mcpServers: { files: { command: NODE, args: [FILESYSTEM, folder] } },
  ...more,
});

let gateway;
let number = 0;
const fresh = () => join(folder, `file-${++number}`);
const call = (who, path, content = 'x', options = {}) =>
  modernRequest(options.url ?? gateway.mcpUrl, 'tools/call',
    { name: TOOL, arguments: { path, content }, _meta: options.meta },
    { headers: bearer(who), signal: options.signal });
const CAN_ASK = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} } } };
const cli = (who, ...args) =>
  run(gateway.binary, [...args, '--url', gateway.at('/'), '--token', secretOf(who)]);
const approvalOf = (reply) => {
  assert.match(reply.error?.message ?? JSON.stringify(reply), /a person must allow files.write_file/);
  return reply.error.message.match(/meta-mcp approve ([0-9a-f-]{36})/)[1];
};
async function rest(who, method, path, body) {
  const response = await fetch(gateway.at(`/api/v1/${path}`), {
    method,
    headers: { 'content-type': 'application/json', ...bearer(who) },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, body: await response.json().catch(() => ({})) };
}

before(async () => {
  gateway = await startGateway(config());
  await waitForTools(gateway.mcpUrl, [TOOL]);
});
after(async () => {
  await gateway?.stop();
  rmSync(folder, { recursive: true, force: true });
});

for (const sdk of SDKS) {
  describe(sdk.name, () => {
    const using = async (handler, act) => {
      const handlers = handler ? { 'elicitation/create': handler } : {};
      const session = await sdk.connect({ url: gateway.mcpUrl }, handlers);
      try {
        return await act((path, content) =>
          session.callTool({ name: TOOL, arguments: { path, content } }));
      } finally {
        await session.close().catch(() => {});
      }
    };

    test('a person is shown what would be written, and then it is (M-AC-5.5.2)', async () => {
      const path = fresh();
      const asked = [];
      const handler = (params) => {
        if (asked.length === 0) assert.ok(!existsSync(path), 'nothing runs before the answer');
        asked.push(params);
        return { action: 'accept', content: { allow: 'once' } };
      };
      await using(handler, async (write) => {
        const result = await write(path, 'allowed');
        assert.ok(!result.isError, JSON.stringify(result));
        assert.equal(readFileSync(path, 'utf8'), 'allowed');
        assert.equal(asked.length, 1);
        assert.match(asked[0].message, /files\.write_file/);
        assert.ok(asked[0].message.includes(path));
        assert.match(asked[0].message, /Files are precious\./);
        // Once is once.
        await write(path, 'again');
        assert.equal(asked.length, 2);
      });
    });

    for (const action of ['decline', 'cancel']) {
      test(`${action}: nothing is written (M-AC-5.5.2)`, async () => {
        const path = fresh();
        await using(() => ({ action }), async (write) => {
          await assert.rejects(write(path, 'no'), /a person denied this call/);
        });
        assert.ok(!existsSync(path));
      });
    }

    test('a client that cannot be asked learns the approval (M-FR-007.2)', async () => {
      const path = fresh();
      await using(undefined, async (write) => {
        await assert.rejects(write(path, 'no'), /meta-mcp approve [0-9a-f-]{36}/);
      });
      assert.ok(!existsSync(path));
    });
  });
}

test('what is allowed for 15 minutes holds for that tool and client (M-FR-007.2)', async () => {
  const sdk = SDKS.at(-1);
  let asked = 0;
  const handler = () => {
    ++asked;
    return { action: 'accept', content: { allow: '15 minutes' } };
  };
  const session = await sdk.connect({ url: gateway.mcpUrl }, { 'elicitation/create': handler });
  for (let i = 0; i < 3; ++i) {
    await session.callTool({ name: TOOL, arguments: { path: fresh(), content: 'x' } });
  }
  await session.close();
  assert.equal(asked, 1);
  const { stdout } = await run(gateway.binary, [
    'approval', 'list', '--state', 'granted', '--output', 'json', '--url', gateway.at('/'),
    '--token', secretOf('boss'),
  ]);
  const granted = JSON.parse(stdout).approvals.filter(({ item }) => item === 'files.write_file');
  for (const { id } of granted) assert.equal((await cli('boss', 'approval', 'revoke', id)).code, 0);
  const path = fresh();
  const reply = await modernRequest(gateway.mcpUrl, 'tools/call',
    { name: TOOL, arguments: { path, content: 'x' } });
  approvalOf(reply);
  assert.ok(!existsSync(path));
});

test('the command line approves; the same call passes once (M-FR-007.2)', async () => {
  const path = fresh();
  const id = approvalOf(await call('ada', path));
  assert.equal(approvalOf(await call('ada', path)), id, 'the same approval, not another');
  const { stdout } = await cli('ada', 'approval', 'list');
  assert.ok(stdout.includes(id) && stdout.includes(path));
  assert.ok(!(await cli('eve', 'approval', 'list')).stdout.includes(id));
  assert.notEqual((await cli('eve', 'approve', id)).code, 0);
  assert.ok(!existsSync(path));
  const approved = await cli('ada', 'approve', id);
  assert.equal(approved.code, 0, approved.stderr);
  approvalOf(await call('ada', path, 'other content'));
  approvalOf(await call('eve', path));
  assert.ok(!existsSync(path));
  const done = await call('ada', path);
  assert.ok(done.result, JSON.stringify(done));
  assert.equal(readFileSync(path, 'utf8'), 'x');
  approvalOf(await call('ada', path));
  assert.notEqual((await cli('ada', 'approve', id)).code, 0, 'used');
});

test('a denial by REST ends the call, and by the command line (M-AC-5.5.2)', async () => {
  const path = fresh();
  const id = approvalOf(await call('ada', path));
  const denied = await rest('boss', 'POST', `approvals/${id}/decide`, { approve: false });
  assert.equal(denied.status, 200, JSON.stringify(denied.body));
  assert.match((await call('ada', path)).error.message, /a person denied this call/);
  const next = approvalOf(await call('ada', path));
  assert.notEqual(next, id);
  assert.equal((await cli('ada', 'deny', next)).code, 0);
  assert.match((await call('ada', path)).error.message, /a person denied this call/);
  assert.ok(!existsSync(path));
});

test('of two calls at once one uses the approval (M-FR-007.2)', async () => {
  const path = fresh();
  const id = approvalOf(await call('ada', path));
  assert.equal((await cli('ada', 'approve', id)).code, 0);
  const replies = await Promise.all(Array.from({ length: 6 }, () => call('ada', path)));
  assert.equal(replies.filter(({ result }) => result).length, 1);
});

test('calls by REST and by the command line wait, too (M-FR-007.2)', async () => {
  const path = fresh();
  const body = { method: 'tools/call', target: 'files.write_file', arguments: { path, content: 'r' } };
  const refused = await rest('ada', 'POST', 'call', body);
  assert.equal(refused.status, 409);
  assert.equal(refused.body.error.reason, 'CONSENT_REQUIRED');
  const shell = await cli('ada', 'tool', 'call', 'files.write_file', JSON.stringify({ path, content: 'r' }));
  assert.notEqual(shell.code, 0);
  assert.ok(!existsSync(path));
  const id = refused.body.error.message.match(/approve ([0-9a-f-]{36})/)[1];
  await rest('boss', 'POST', `approvals/${id}/decide`, { approve: true });
  assert.equal((await rest('ada', 'POST', 'call', body)).status, 200);
  assert.ok(existsSync(path));
});

test('a forged or altered answer runs nothing (M-FR-007.2)', async () => {
  const path = fresh();
  const asked = await call('ada', path, 'x', { meta: CAN_ASK });
  assert.equal(asked.result.resultType, 'input_required', JSON.stringify(asked));
  const answer = (state, args = { path, content: 'x' }, who = 'ada') =>
    modernRequest(gateway.mcpUrl, 'tools/call', {
      name: TOOL, arguments: args, requestState: state, _meta: CAN_ASK,
      inputResponses: { metamcp_consent: { action: 'accept', content: { allow: 'always' } } },
    }, { headers: bearer(who) });
  const state = asked.result.requestState;
  for (const reply of [
    await answer(''),
    await answer(`${state.slice(0, -2)}AA`),
    await answer(state, { path, content: 'other' }),
    await answer(state, { path, content: 'x' }, 'eve'),
  ]) {
    assert.ok(reply.error, JSON.stringify(reply));
  }
  assert.ok(!existsSync(path));
  assert.ok((await answer(state)).result);
  assert.ok(existsSync(path));
  rmSync(path);
  assert.ok((await answer(state)).error || existsSync(path), 'always: a new call, not a replay');
});

test('a client that leaves instead of answering runs nothing (M-AC-5.5.2)', async () => {
  const path = fresh();
  for (const sdk of SDKS) {
    const asked = Promise.withResolvers();
    const handler = () => {
      asked.resolve();
      return new Promise(() => {});
    };
    const session = await sdk.connect({ url: gateway.mcpUrl }, { 'elicitation/create': handler });
    const calling = session.callTool({ name: TOOL, arguments: { path, content: 'x' } }).catch(() => {});
    await asked.promise;
    await session.close();
    await Promise.race([calling, sleep(2000)]);
  }
  await sleep(300);
  assert.ok(!existsSync(path));
});

test('nobody answers in time: nothing runs (M-AC-5.5.2)', async () => {
  const own = await startGateway(config({}, { connector: { questionTimeoutMs: 1500 } }));
  try {
    await waitForTools(own.mcpUrl, [TOOL]);
    const path = fresh();
    const session = await SDKS[0].connect(
      { url: own.mcpUrl }, { 'elicitation/create': () => new Promise(() => {}) });
    await assert.rejects(session.callTool({ name: TOOL, arguments: { path, content: 'x' } }));
    await session.close().catch(() => {});
    assert.ok(!existsSync(path));
  } finally {
    await own.stop();
  }
});

test('policy.consent and policy.selfApproval (M-FR-007.2)', async () => {
  const own = await startGateway(
    config({ rules: [], consent: 'destructive', selfApproval: false }));
  try {
    await waitForTools(own.mcpUrl, ['files__edit_file']);
    const path = join(folder, `edited-${++number}`);
    writeFileSync(path, 'before');
    const edit = () => modernRequest(own.mcpUrl, 'tools/call', {
      name: 'files__edit_file', _meta: CAN_ASK,
      arguments: { path, edits: [{ oldText: 'before', newText: 'after' }], dryRun: false },
    }, { headers: bearer('ada') });
    const reply = await edit();
    const id = reply.error.message.match(/approve ([0-9a-f-]{36})/)[1];
    const decide = (who) => fetch(own.at(`/api/v1/approvals/${id}/decide`), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...bearer(who) },
      body: '{"approve":true}',
    });
    assert.equal((await decide('ada')).status, 403);
    assert.equal(readFileSync(path, 'utf8'), 'before');
    assert.equal((await decide('boss')).status, 200);
    assert.ok((await edit()).result);
    assert.equal(readFileSync(path, 'utf8'), 'after');
    // It reads only: nobody is asked.
    const listed = await modernRequest(own.mcpUrl, 'tools/call',
      { name: 'files__list_directory', arguments: { path: folder } }, { headers: bearer('ada') });
    assert.ok(listed.result, JSON.stringify(listed));
  } finally {
    await own.stop();
  }
});

// One process, whose data folder a second one takes over.
test('an approval survives a restart between question, decision and call (M-FR-007.2)',
  { skip: process.env.METAMCP_SHAPE && 'one process' }, async () => {
    const home = mkdtempSync(join(tmpdir(), 'metamcp-restart-'));
    const file = join(home, 'config.json');
    mkdirSync(join(home, 'data'));
    writeFileSync(file, JSON.stringify({ version: 1, ...config() }), { mode: 0o600 });
    const start = async () => {
      const child = new Child(gatewayBinary(), [
        'serve', '--listen', '127.0.0.1:0', '--config', file, '--data-dir', join(home, 'data')]);
      const ready = await child.line((line) => line.match(/^ready mcp=(\S+) .*pid=(\d+)/));
      await waitForTools(ready[1], [TOOL]);
      return { url: ready[1], pid: Number(ready[2]), child };
    };
    try {
      const path = fresh();
      let now = await start();
      const id = approvalOf(await call('ada', path, 'x', { url: now.url }));
      const asked = await call('ada', path, 'y', { url: now.url, meta: CAN_ASK });
      process.kill(now.pid, 'SIGKILL');
      await now.child.stop(1000);
      now = await start();
      const decided = await fetch(new URL(`/api/v1/approvals/${id}/decide`, now.url), {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...bearer('boss') },
        body: '{"approve":true}',
      });
      assert.equal(decided.status, 200);
      assert.ok(!existsSync(path));
      await now.child.stop(15000);
      now = await start();
      assert.ok((await call('ada', path, 'x', { url: now.url })).result);
      assert.equal(readFileSync(path, 'utf8'), 'x');
      // The question that a client still holds is answered at the new process.
      const answered = await modernRequest(now.url, 'tools/call', {
        name: TOOL, arguments: { path, content: 'y' }, _meta: CAN_ASK,
        requestState: asked.result.requestState,
        inputResponses: { metamcp_consent: { action: 'accept' } },
      }, { headers: bearer('ada') });
      assert.ok(answered.result, JSON.stringify(answered));
      assert.equal(readFileSync(path, 'utf8'), 'y');
      await now.child.stop(15000);
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });

test('by default what says that it destroys waits, for whoever came with a key (M-FR-007.2)', async () => {
  const own = await startGateway(config({ rules: undefined }));
  try {
    await waitForTools(own.mcpUrl, ['files__edit_file']);
    const path = join(folder, `default-${++number}`);
    writeFileSync(path, 'before');
    const edit = (headers) => modernRequest(own.mcpUrl, 'tools/call', {
      name: 'files__edit_file',
      arguments: { path, edits: [{ oldText: 'before', newText: 'after' }], dryRun: false },
    }, { headers });
    const { error } = await edit(bearer('ada'));
    assert.equal(error.data.reason, 'CONSENT_REQUIRED');
    assert.equal(readFileSync(path, 'utf8'), 'before');
    // It may be repeated: nobody is asked.
    const written = await modernRequest(own.mcpUrl, 'tools/call',
      { name: TOOL, arguments: { path, content: 'before' } }, { headers: bearer('ada') });
    assert.ok(written.result, JSON.stringify(written));
    // Whoever sits before this machine is asked by the client.
    assert.ok((await edit({})).result);
    assert.equal(readFileSync(path, 'utf8'), 'after');
  } finally {
    await own.stop();
  }
});

test('a right that is gone between question and answer runs nothing (M-FR-007.2)',
  { skip: process.env.METAMCP_SHAPE === 'cluster' && 'several processes read the file' }, async () => {
    const before = config();
    const own = await startGateway(before);
    const file = join(own.directory, 'config.json');
    const change = async (next) => {
      writeFileSync(file, JSON.stringify({ version: 1, ...before, ...next }), { mode: 0o600 });
      const reload = await fetch(own.at('/api/v1/config:reload'), { method: 'POST' });
      assert.equal(reload.status, 200, await reload.text());
    };
    try {
      await waitForTools(own.mcpUrl, [TOOL]);
      const losses = {
        'its role': { auth: { ...before.auth, keys: before.auth.keys.map((key) =>
          (key.name === 'ada' ? { ...key, roles: ['auditor'] } : key)) } },
        'its key': { auth: { ...before.auth, keys: before.auth.keys.filter(({ name }) => name !== 'ada') } },
        'the policy': { policy: { rules: [...before.policy.rules, 'deny none if tool = files.write_file'] } },
      };
      for (const [what, next] of Object.entries(losses)) {
        const path = fresh();
        const asked = await call('ada', path, 'x', { url: own.mcpUrl, meta: CAN_ASK });
        assert.equal(asked.result?.resultType, 'input_required', JSON.stringify(asked));
        await change(next);
        const answered = await modernRequest(own.mcpUrl, 'tools/call', {
          name: TOOL, arguments: { path, content: 'x' }, _meta: CAN_ASK,
          requestState: asked.result.requestState,
          inputResponses: { metamcp_consent: { action: 'accept' } },
        }, { headers: bearer('ada') });
        assert.ok(answered.error, `${what}: ${JSON.stringify(answered)}`);
        assert.ok(!existsSync(path), what);
        await change({});
      }
    } finally {
      await own.stop();
    }
  });
