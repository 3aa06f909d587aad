// Suggestions over one virtual server and for one caller: what is not for them is in no plan, whoever
// plans; what somebody did several times is proposed to them, and to nobody else.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startModelServer } from '../lib/model_server.mjs';
import { NODE } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { EVERYTHING, FILESYSTEM, MEMORY, modernRequest, startGateway, waitForTools } from '../lib/servers.mjs';

const shape = process.env.METAMCP_SHAPE;
const secretOf = (name) => `key-of-${name}-0123456789`;
const bearer = (name) => ({ authorization: `Bearer ${secretOf(name)}` });
const WRITE = { task: 'write "hi" to notes.txt' };

describe('suggestions for one caller', { skip: shape === 'processes' && 'the ai service does not run there' }, () => {
  let folder;
  let gateway;
  let model;
  const post = async (who, path, body) => {
    const response = await fetch(gateway.at(`/api/v1/${path}`), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...bearer(who) },
      body: JSON.stringify(body),
    });
    return { status: response.status, ...(await response.json()) };
  };
  const everyTool = (reply) => JSON.stringify([reply.steps, reply.gaps, reply.considered, reply.workflow]);
  const cli = (who, ...args) =>
    run(gateway.binary, [...args, '--url', gateway.at('/'), '--token', secretOf(who)]);
  const call = (who, name, args, server) =>
    modernRequest(server ? gateway.virtualUrl(server) : gateway.mcpUrl, 'tools/call',
      { name, arguments: args }, { headers: bearer(who) });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metamcp-scope-'));
    model = await startModelServer(() => '{}');
    gateway = await startGateway({
      auth: {
        keys: ['ann', 'bob', 'root', 'aud'].map((name) => ({
          name, key: secretOf(name), roles: { root: ['admin'], aud: ['auditor', 'viewer'] }[name] ?? ['developer'],
        })),
      },
      policy: {
        rules: [
          'deny no-writing if tool = filesystem.write_file and subject = ann',
          'deny no-sums if tool = everything.get-sum and subject = aud',
        ],
      },
      mcpServers: {
        filesystem: { command: NODE, args: [FILESYSTEM, folder] },
        everything: { command: NODE, args: [EVERYTHING, 'stdio'] },
        memory: { command: NODE, args: [MEMORY], env: { MEMORY_FILE_PATH: join(folder, 'm.jsonl') }, team: 'core' },
      },
      virtualServers: {
        readers: {
          suggest: true,
          tools: { include: ['*'], annotations: { readOnlyHint: true } },
        },
        renamed: {
          suggest: true,
          servers: ['filesystem'],
          overrides: {
            'filesystem.read_text_file': { name: 'look_into', arguments: { path: { rename: 'where' } } },
          },
        },
        closed: { team: 'core', suggest: true },
        off: { disabled: true },
      },
      ai: { history: true, providers: { m: { api: 'chat', url: model.url, model: 'm', key: 'k' } } },
    });
    await waitForTools(gateway.mcpUrl, ['filesystem__write_file', 'everything__get-sum'], { headers: bearer('bob') });
  });
  after(async () => {
    await gateway?.stop();
    await model?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('a rule keeps a tool out of every part of a suggestion', async () => {
    const bobs = await post('bob', 'suggestions', { ...WRITE, withoutModel: true });
    assert.equal(bobs.steps[0].tool, 'filesystem.write_file');
    const anns = await post('ann', 'suggestions', { ...WRITE, withoutModel: true });
    assert.doesNotMatch(everyTool(anns), /write_file/);
    const chosen = await post('ann', 'suggestions', { ...WRITE, choices: { write: 'filesystem.write_file' } });
    assert.equal(chosen.status, 400);
    // What a caller says is hidden, or is not, changes nothing.
    const more = await post('ann', 'suggestions', { ...WRITE, hidden: [], withoutModel: true });
    assert.doesNotMatch(everyTool(more), /write_file/);
  });

  test('nor does a model see or get it, whatever it answers', async () => {
    const plan = {
      name: 'w', inputs: [], questions: [],
      steps: [{ id: 'w', title: 'w', tool: 'filesystem.write_file', arguments: '{"path":"a","content":"b"}', forEach: '', dependsOn: [] }],
    };
    model.answer((body) =>
      JSON.stringify(JSON.stringify(body).includes('You plan a workflow') ? plan : { goals: ['write notes.txt'] }));
    const anns = await post('ann', 'suggestions', WRITE);
    assert.equal(anns.madeBy, 'planner');
    assert.doesNotMatch(everyTool(anns), /write_file/);
    assert.ok(model.requests.length >= 2);
    for (const { body } of model.requests) assert.doesNotMatch(JSON.stringify(body.response_format), /write_file/);
    const bobs = await post('bob', 'suggestions', WRITE);
    assert.equal(bobs.madeBy, 'model', JSON.stringify(bobs.notes));
    // What is kept of one is not for the other.
    const again = await post('ann', 'suggestions', WRITE);
    assert.doesNotMatch(everyTool(again), /write_file/);
  });

  test('a team’s server is in nobody else’s suggestions', async () => {
    const task = { task: 'create entities in the knowledge graph', withoutModel: true };
    assert.match(everyTool(await post('root', 'suggestions', task)), /memory\./);
    assert.doesNotMatch(everyTool(await post('ann', 'suggestions', task)), /memory\./);
  });

  test('over the tools of one virtual server, by the names its clients see', async () => {
    const readers = await post('bob', 'suggestions', { ...WRITE, virtualServer: 'readers', withoutModel: true });
    assert.equal(readers.virtualServer, 'readers');
    assert.doesNotMatch(everyTool(readers), /write_file/);
    const renamed = await post('bob', 'suggestions', { task: 'read notes.txt', virtualServer: 'renamed', withoutModel: true });
    assert.equal(renamed.valid, true, JSON.stringify(renamed.problems));
    assert.equal(renamed.steps[0].tool, 'filesystem.read_text_file');
    assert.equal(renamed.steps[0].exposed, 'look_into');
    // A workflow calls it at /mcp, where its argument has its own name.
    assert.equal(renamed.steps[0].arguments.path, 'notes.txt');
    const shown = await cli('bob', 'suggest', 'read notes.txt', '--server', 'renamed', '--without-model');
    assert.equal(shown.code, 0, shown.stdout + shown.stderr);
    assert.match(shown.stdout, /look_into/);
    const chosen = await post('bob', 'suggestions', {
      task: 'open notes.txt', virtualServer: 'renamed', choices: { open_note: 'look_into', open: 'look_into' }, withoutModel: true,
    });
    assert.equal(chosen.status, 200);
    for (const name of ['closed', 'off', 'nobody', 'x'.repeat(5000)])
      assert.equal((await post('bob', 'suggestions', { ...WRITE, virtualServer: name })).status, 404, name.slice(0, 20));
    assert.equal((await post('root', 'suggestions', { ...WRITE, virtualServer: 'closed', withoutModel: true })).status, 200);
  });

  test('the tool of a virtual server suggests within it', async () => {
    const suggest = async (who, server, task) => {
      const { result } = await call(who, 'suggest_workflow', { task }, server);
      return JSON.parse(result.content[0].text);
    };
    model.answer(() => ({ status: 503 }));
    const renamed = await suggest('bob', 'renamed', 'read notes.txt');
    assert.equal(renamed.steps[0].tool, 'look_into');
    assert.doesNotMatch(JSON.stringify(await suggest('bob', 'readers', WRITE.task)), /write_file/);
    assert.doesNotMatch(JSON.stringify(await suggest('ann', 'renamed', WRITE.task)), /write_file/);
  });

  test('what was done several times is proposed, to whom it belongs', { timeout: 60000 }, async () => {
    for (let i = 0; i < 3; ++i) {
      await call('ann', 'everything__echo', { message: `secret-${i}` });
      await call('ann', 'everything__get-sum', { a: i, b: 1 });
    }
    let found;
    for (let i = 0; i < 100 && !found?.chains?.length; ++i) {
      found = await post('ann', 'suggestions:history', {});
      if (!found.chains?.length) await sleep(100);
    }
    assert.equal(found.status, 200, JSON.stringify(found));
    const [chain] = found.chains;
    assert.deepEqual(chain.tools, ['everything.echo', 'everything.get-sum']);
    assert.equal(Number(chain.occurrences), 3);
    assert.equal(chain.suggestion.valid, true, JSON.stringify(chain.suggestion.problems));
    assert.equal(chain.suggestion.madeBy, 'history');
    assert.doesNotMatch(JSON.stringify(found), /secret-/);
    assert.deepEqual(Object.keys(chain.suggestion.workflow.input.properties).sort(), ['a', 'b', 'message']);

    assert.equal((await post('ann', 'suggestions:history', { occurrences: 4 })).chains.length, 0);
    assert.equal((await post('bob', 'suggestions:history', {})).chains.length, 0, 'another’s chains');
    assert.equal((await post('bob', 'suggestions:history', { subject: 'ann' })).status, 403);
    assert.equal((await post('root', 'suggestions:history', { subject: 'ann' })).status, 403, 'no right to read the audit');
    // The auditor may read of it, but not use the tool.
    const auditors = await post('aud', 'suggestions:history', { subject: 'ann' });
    assert.equal(auditors.status, 200);
    assert.equal(auditors.chains.length, 0);
    for (const bad of [{ days: -1 }, { days: 91 }, { occurrences: 1 }, { occurrences: 1001 }])
      assert.equal((await post('ann', 'suggestions:history', bad)).status, 400, JSON.stringify(bad));
    assert.equal((await post('ann', 'suggestions:history', { subject: 'nobody-at-all' })).status, 403);

    const listed = await cli('ann', 'suggest', '--from-history');
    assert.match(listed.stdout, /everything\.echo, everything\.get-sum/);
    const saved = await cli('ann', 'suggest', '--from-history', '--pick', '1', '--save', 'again');
    assert.equal(saved.code, 0, saved.stdout + saved.stderr);
    const ran = await cli('ann', 'workflow', 'run', 'again', '--input', '{"message":"x","a":20,"b":22}');
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.match(ran.stdout, /42/);
    const feedback = await cli('root', 'ai', 'feedback', '--output', 'json');
    assert.match(feedback.stdout, /"madeBy": ?"history"/);
    assert.doesNotMatch((await cli('bob', 'ai', 'feedback', '--output', 'json')).stdout, /history/);
  });
});

test('history is off unless it is set', { skip: shape === 'processes' }, async () => {
  const gateway = await startGateway({ mcpServers: { everything: { command: NODE, args: [EVERYTHING, 'stdio'] } } });
  try {
    const response = await fetch(`${gateway.adminUrl}/suggestions:history`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}',
    });
    assert.match(JSON.stringify(await response.json()), /ai\.history/);
  } finally {
    await gateway.stop();
  }
});
