// Steps of workflows under the policy: calls that a person must allow wait for him, whether the run
// was begun by a client of either era, by REST or by the command line; rights count as they are when
// a step runs; steps that a model answers pass rules, limits and the record, too.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startModelServer } from '../lib/model_server.mjs';
import { NODE } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { SDKS } from '../lib/sdk.mjs';
import { FILESYSTEM, startGateway, waitForTools } from '../lib/servers.mjs';

const KEYS = { root: ['admin'], ada: ['operator'], eve: ['operator'], vic: ['viewer'], otto: ['auditor'] };
const secretOf = (name) => `key-of-${name}-0123456789`;
const keysOf = (roles) =>
  Object.entries(roles).map(([name, its]) => ({ name, key: secretOf(name), roles: its }));
const bearer = (name) => ({ authorization: `Bearer ${secretOf(name)}` });
const folder = mkdtempSync(join(tmpdir(), 'metamcp-flow-consent-'));

const write = (name, more = '') => `
name: ${name}
summary: Writes a file
input:
  type: object
  required: [path]
  properties: { path: { type: string } }
steps:
  - id: write
    tool: files.write_file
    arguments: { path: "\${input.path}", content: written }${more}
  - id: read
    tool: files.read_text_file
    arguments: { path: "\${input.path}" }
    dependsOn: [write]
output: { text: "\${steps.read.content}" }
`;
const ASKS = `
name: model
steps:
  - id: slot
    ai: { prompt: "Say it.", input: "data", schema: { type: object, required: [said], additionalProperties: false, properties: { said: { type: string } } } }
output: "\${steps.slot}"
`;

let gateway;
let model;
let number = 0;
const fresh = () => join(folder, `file-${++number}`);

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
async function eventually(what, probe, timeoutMs = 30000) {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(50)) {
    const value = await probe();
    if (value) return value;
  }
  throw new Error(`${what}: not in time`);
}
const runOf = async (who, id) => (await must(who, 'GET', `/runs/${id}`)).run;
const ended = (id, who = 'root') =>
  eventually(`end of ${id}`, async () => {
    const now = await runOf(who, id);
    return ['completed', 'failed', 'cancelled', 'rolled-back'].includes(now.state) && now;
  });
const waiting = (id, who = 'root') =>
  eventually(`question of ${id}`, async () => {
    const now = await runOf(who, id);
    return now.state === 'waiting' && now.pending?.length > 0 && now;
  });
const start = async (who, name, input = {}) =>
  (await must(who, 'POST', `/workflows/${name}/runs`, { input })).run.id;
const cli = (who, ...args) =>
  run(gateway.binary, [...args, '--url', gateway.at('/'), '--token', secretOf(who)], { timeoutMs: 60000 });

const absent = process.env.METAMCP_SHAPE === 'processes';
const suite = absent ? describe.skip : describe;

before(async () => {
  if (absent) return;
  model = await startModelServer(() => JSON.stringify({ said: 'hello' }));
  gateway = await startGateway({
    auth: { anonymousLoopback: true, keys: keysOf(KEYS) },
    policy: {
      rules: [
        'consent writes if tool = files.write_file because "Files are precious."',
        'deny models if tool = meta-mcp.fill and subject = eve because "No models for eve."',
      ],
    },
    ai: { providers: { one: { api: 'chat', url: model.url, model: 'm', key: 'k-0123456789' } } },
    mcpServers: { files: { command: NODE, args: [FILESYSTEM, folder] } },
  });
  await waitForTools(gateway.mcpUrl, ['files__write_file'], { headers: bearer('root') });
  for (const source of [write('writes'), write('goes-on', '\n    onError: continue'), ASKS])
    await must('root', 'POST', '/workflows', { source });
  await must('root', 'POST', '/workflows/writes/publish', {});
  await waitForTools(gateway.mcpUrl, ['workflow__writes'], { headers: bearer('root') });
});
after(async () => {
  await gateway?.stop();
  await model?.stop();
  rmSync(folder, { recursive: true, force: true });
});

for (const sdk of SDKS) {
  suite(`a client whose run waits: ${sdk.name}`, { timeout: 120000 }, () => {
    const using = async (handler, act) => {
      const handlers = handler ? { 'elicitation/create': handler } : {};
      const session = await sdk.connect({ url: gateway.mcpUrl }, handlers);
      try {
        return await act((path) => session.callTool({ name: 'workflow__writes', arguments: { path } }));
      } finally {
        await session.close().catch(() => {});
      }
    };

    test('is asked, sees what would be done, and it is done once (M-FR-007.2 M-AC-5.5.2)', async () => {
      const path = fresh();
      const asked = [];
      const handler = (params) => {
        if (asked.length === 0) assert.ok(!existsSync(path), 'nothing runs before the answer');
        asked.push(params.message);
        return { action: 'accept', content: { decision: 'approve' } };
      };
      await using(handler, async (call) => {
        const result = await call(path);
        assert.deepEqual(result.structuredContent, { text: 'written' }, JSON.stringify(result));
        assert.equal(asked.length, 1);
        assert.match(asked[0], /files\.write_file/);
        assert.ok(asked[0].includes(path));
        assert.match(asked[0], /Files are precious\.[^]*workflow writes/);
        await call(path);
        assert.equal(asked.length, 2, 'once is once');
      });
    });

    test('says no, and nothing is done (M-AC-5.5.2)', async () => {
      const path = fresh();
      await using(() => ({ action: 'decline' }), async (call) => {
        const result = await call(path);
        assert.equal(result.isError, true);
        assert.match(JSON.stringify(result.content), /Not approved: denied by local/);
      });
      assert.ok(!existsSync(path));
    });

    test('puts it off, and somebody else allows it (M-FR-007.2)', async () => {
      const path = fresh();
      await using(() => ({ action: 'cancel' }), async (call) => {
        assert.equal((await call(path)).isError, true);
      });
      const [{ id }] = (await must('root', 'GET', '/runs?workflow=writes&pageSize=1')).runs;
      await waiting(id);
      const { code, stderr } = await cli('root', 'workflow', 'decide', id, 'approve');
      assert.equal(code, 0, stderr);
      assert.equal((await ended(id)).state, 'completed');
      assert.equal(readFileSync(path, 'utf8'), 'written');
    });

    test('cannot be asked, and waits for the command line (M-FR-007.2)', async () => {
      const path = fresh();
      await using(undefined, async (call) => {
        const calling = call(path);
        const approval = await eventually('the approval', async () => {
          const { approvals = [] } = await must('root', 'GET', '/approvals');
          return approvals.find(({ shown }) => shown.includes(path));
        });
        assert.match(approval.client, /^workflow writes /);
        assert.equal((await cli('root', 'approve', approval.id)).code, 0);
        assert.deepEqual((await calling).structuredContent, { text: 'written' });
      });
    });
  });
}

suite('a run of nobody who is there', { timeout: 120000 }, () => {
  test('shows who, what and with which arguments, and goes on by the approval (M-FR-007.2)', async () => {
    const path = fresh();
    const id = await start('ada', 'writes', { path });
    const now = await waiting(id, 'ada');
    const [pending] = now.pending;
    assert.equal(pending.kind, 'consent');
    assert.equal(pending.mayDecide, true);
    assert.equal(pending.detail.tool, 'files.write_file');
    assert.ok(pending.detail.show.includes(path));
    assert.equal(now.startedBy, 'ada');
    const { stdout } = await cli('ada', 'workflow', 'history', id);
    assert.match(stdout, /waits for a person to allow files\.write_file/);
    assert.ok(stdout.includes(path) && stdout.includes('Files are precious.'), stdout);
    await sleep(1500);
    assert.ok(!existsSync(path));
    const approved = await cli('root', 'approve', pending.detail.approval);
    assert.equal(approved.code, 0, approved.stderr);
    assert.equal((await ended(id)).state, 'completed');
    assert.equal(readFileSync(path, 'utf8'), 'written');
    const again = await rest('ada', 'POST', `/runs/${id}/decide`, { action: 'approve' });
    assert.ok([404, 409].includes(again.status), JSON.stringify(again));
    assert.notEqual((await cli('root', 'approve', pending.detail.approval)).code, 0, 'it is used');
  });

  test('is denied by REST; the step’s error policy says what then (M-AC-5.5.2)', async () => {
    for (const [name, state] of [['writes', 'failed'], ['goes-on', 'completed']]) {
      const path = fresh();
      if (name === 'goes-on') writeFileSync(path, 'as it was');
      const id = await start('ada', name, { path });
      await waiting(id, 'ada');
      await must('root', 'POST', `/runs/${id}/decide`, { action: 'deny', comment: 'not today' });
      const done = await ended(id);
      assert.equal(done.state, state, JSON.stringify(done.error));
      if (state === 'failed') assert.match(JSON.stringify(done.error), /Not approved.*not today/);
      else assert.equal(readFileSync(path, 'utf8'), 'as it was');
    }
  });

  test('is not decided by somebody whose it is not (M-FR-007.2)', async () => {
    const path = fresh();
    const id = await start('ada', 'writes', { path });
    const { pending: [{ detail }] } = await waiting(id, 'ada');
    assert.equal((await rest('vic', 'POST', `/runs/${id}/decide`, { action: 'approve' })).status, 404);
    assert.notEqual((await cli('vic', 'approve', detail.approval)).code, 0);
    await must('ada', 'POST', `/runs/${id}/cancel`, {});
    assert.equal((await ended(id)).state, 'cancelled');
    await cli('root', 'approve', detail.approval);
    await sleep(1500);
    assert.ok(!existsSync(path));
  });

  test('of two answers at once one counts, and the file is written once (M-FR-007.2)', async () => {
    const path = fresh();
    const id = await start('ada', 'writes', { path });
    await waiting(id, 'ada');
    const replies = await Promise.all(
      ['approve', 'deny', 'approve', 'deny'].map((action, i) =>
        rest(i % 2 ? 'root' : 'ada', 'POST', `/runs/${id}/decide`, { action })));
    assert.ok(replies.some(({ status }) => status === 200));
    const done = await ended(id);
    const events = await fetch(gateway.at(`/api/v1/runs/${id}/events`), { headers: bearer('ada') });
    assert.equal((await events.text()).split('"step.decided"').length - 1, 1);
    assert.equal(existsSync(path), done.state === 'completed');
  });
});

suite('steps that a model answers', { timeout: 60000 }, () => {
  test('pass the policy and the record under the run’s principal (M-FR-006 M-FR-005.4)', async () => {
    const id = await start('ada', 'model');
    const done = await ended(id);
    assert.equal(done.state, 'completed', JSON.stringify(done.error));
    assert.deepEqual(done.output, { said: 'hello' });
    const found = await eventually('the record', async () => {
      const { records = [] } = await must('otto', 'GET', '/audit/records?subject=ada');
      return records.find(({ personal }) => personal.target === 'meta-mcp.fill');
    });
    assert.equal(found.record.action, 'tools/call');
    assert.equal(found.record.outcome, 'ok');
  });

  test('are denied by a rule, which the error names (M-NFR-005.3)', async () => {
    const asked = model.requests.length;
    const done = await ended(await start('eve', 'model'));
    assert.equal(done.state, 'failed');
    assert.match(JSON.stringify(done.error), /No models for eve/);
    assert.equal(model.requests.length, asked, 'no model is asked');
  });

  test('are nobody else’s to call (M-FR-007.2)', async () => {
    const reply = await rest('root', 'POST', '/call',
      { method: 'tools/call', target: 'meta-mcp.fill', arguments: { prompt: 'x' } });
    assert.equal(reply.body.error?.reason, 'TOOL_NOT_FOUND', JSON.stringify(reply));
  });
});

suite('rights count as they are when a step runs', { timeout: 60000 }, () => {
  test('a role that went away meanwhile is gone for the next step (M-FR-007.4)', async () => {
    await must('root', 'POST', '/workflows', { source: `
name: later
steps:
  - { id: rest, wait: PT3S }
  - { id: list, tool: files.list_allowed_directories, arguments: {}, dependsOn: [rest] }
` });
    const id = await start('ada', 'later');
    const file = join(gateway.directory, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8'));
    config.auth.keys = keysOf({ ...KEYS, ada: ['auditor'] });
    writeFileSync(file, JSON.stringify(config));
    await eventually('the role is gone', async () =>
      (await rest('ada', 'POST', '/workflows/later/runs', {})).status === 403);
    const done = await ended(id);
    assert.equal(done.state, 'failed');
    assert.match(JSON.stringify(done.error), /none of your roles may use MCP/);
  });
});
