// From a task in plain words to a run, without any model: suggest, preview, approve, watch, result, on
// the servers of the sample.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NODE } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { startModelServer } from '../lib/model_server.mjs';
import { EVERYTHING, FILESYSTEM, MEMORY, startGateway, waitForTools } from '../lib/servers.mjs';
import { SDKS } from '../lib/sdk.mjs';

const shape = process.env.METAMCP_SHAPE;
const README = 'find every TODO in these files, store a note per file, and write a summary';

describe('suggest', { skip: shape === 'processes' && 'neither workflows nor the ai service run there' }, () => {
  let folder;
  let gateway;
  const cli = async (...args) => {
    const url = new URL(gateway.adminUrl).origin;
    const began = Date.now();
    const { code, stdout, stderr } = await run(gateway.binary, ['--url', url, ...args]);
    return { code, stdout, stderr, ms: Date.now() - began };
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metamcp-suggest-'));
    await writeFile(join(folder, 'a.js'), 'one\n// TODO: first\ntwo\n// todo: second\n');
    await writeFile(join(folder, 'b.js'), 'nothing to do here\n');
    gateway = await startGateway({
      mcpServers: {
        filesystem: { command: NODE, args: [FILESYSTEM, folder] },
        memory: { command: NODE, args: [MEMORY], env: { MEMORY_FILE_PATH: join(folder, 'm.jsonl') } },
        everything: { command: NODE, args: [EVERYTHING, 'stdio'] },
      },
      virtualServers: { asks: { suggest: true } },
    });
    const tools = ['filesystem__read_text_file', 'memory__create_entities', 'everything__get-sum'];
    await waitForTools(gateway.mcpUrl, tools);
  });
  after(async () => {
    await gateway?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('the task of the README, from words to a result (M-P1, M-UJ-A3.g)', async () => {
    const preview = await cli('suggest', README);
    assert.equal(preview.code, 0, preview.stderr);
    assert.match(preview.stdout, /filesystem\.read_text_file/);
    assert.match(preview.stdout, /memory\.create_entities/);
    assert.match(preview.stdout, /filesystem\.write_file \(may destroy\)/);
    assert.match(preview.stdout, /Nothing has happened/);
    const refused = await cli('suggest', README, '--run', '--input', '{}');
    assert.equal(refused.code, 2);

    const files = [join(folder, 'a.js'), join(folder, 'b.js')];
    const input = { files, summary_path: join(folder, 'summary.md') };
    const ran = await cli('suggest', README, '--run', '--yes', '--input', JSON.stringify(input));
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.match(ran.stdout, /is completed/);
    const summary = await readFile(input.summary_path, 'utf8');
    assert.match(summary, /a\.js: 2 lines with TODO\n {2}\/\/ TODO: first\n {2}\/\/ todo: second/);
    assert.match(summary, /b\.js: 0 lines with TODO/);
    const notes = await readFile(join(folder, 'm.jsonl'), 'utf8');
    const entities = notes.trim().split('\n').map((line) => JSON.parse(line));
    const [first, second] = files.map((name) => entities.find((entity) => entity.name === name));
    assert.deepEqual(first.observations, ['// TODO: first', '// todo: second']);
    assert.deepEqual(second.observations, []);
    assert.equal(first.entityType, 'note');
  });

  test('refactoring reads, examines, asks for the new text and writes (M-AC-5.3.1)', async () => {
    const task = 'Refactor the authentication function in src/auth.py';
    const { stdout, code, ms } = await cli('--output', 'json', 'suggest', task);
    assert.equal(code, 0);
    assert.ok(ms < 3000, `${ms} ms`);
    const reply = JSON.parse(stdout);
    const tools = reply.steps.map((step) => step.tool);
    assert.equal(tools[0], 'filesystem.read_text_file');
    assert.equal(tools.at(-1), 'filesystem.write_file');
    assert.equal(reply.steps.at(-1).arguments.content, '${input.new_content}');
    assert.equal(reply.valid, true);
  });

  test('a task that no tool does is a question with the nearest tools (M-AC-5.3.3)', async () => {
    const { stdout, code } = await cli('suggest', 'book a flight to Oslo');
    assert.equal(code, 1);
    assert.match(stdout, /Question: .*book a flight to Oslo/);
  });

  test('saved, it is a workflow like any other (M-UJ-S3.s2)', async () => {
    const saved = await cli('suggest', 'add 40 and 2', '--save', 'adding');
    assert.equal(saved.code, 0, saved.stdout + saved.stderr);
    const ran = await cli('workflow', 'run', 'adding');
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.match(ran.stdout, /42/);
  });

  for (const sdk of SDKS) {
    test(`${sdk.name} has it as a tool`, async () => {
      const session = await sdk.connect({ url: gateway.virtualUrl('asks') }, {});
      try {
        const { tools } = await session.client.listTools();
        assert.ok(tools.some((tool) => tool.name === 'suggest_workflow'));
        const task = 'read notes.txt';
        const result = await session.callTool({ name: 'suggest_workflow', arguments: { task } });
        const said = JSON.parse(result.content[0].text);
        assert.equal(said.valid, true);
        assert.equal(said.steps[0].tool, 'filesystem__read_text_file');
      } finally {
        await session.close();
      }
    });
  }
});

// The plan of a model for the task of the README.
const PLAN = {
  name: 'todos',
  inputs: [
    { name: 'files', type: 'array', description: 'the files' },
    { name: 'summary_path', type: 'string', description: 'where the summary goes' },
  ],
  steps: [
    { id: 'read', title: 'read', tool: 'filesystem.read_text_file', arguments: '{"path":"${item}"}', forEach: '${input.files}', dependsOn: [] },
    {
      id: 'note', title: 'note', tool: 'memory.create_entities', forEach: '${input.files}', dependsOn: [],
      arguments: JSON.stringify({
        entities: [{
          name: '${item}', entityType: 'note',
          observations: '${[steps.read[index].content | split("\\n")[] | select(test("TODO"; "i"))]}',
        }],
      }),
    },
    {
      id: 'write', title: 'write', tool: 'filesystem.write_file', forEach: '', dependsOn: ['note'],
      arguments: JSON.stringify({
        path: '${input.summary_path}',
        content: '${[steps.read[].content | split("\\n")[] | select(test("TODO"; "i"))] | join("\\n")}',
      }),
    },
  ],
  questions: [],
};

test('the task of the README with a local model, and when it goes away (M-P1, M-UJ-A3.g)', {
  skip: shape === 'processes' && 'neither workflows nor the ai service run there',
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'metamcp-suggest-'));
  const model = await startModelServer((body) =>
    JSON.stringify(JSON.stringify(body).includes('You plan a workflow') ? PLAN : {
      goals: ['read each file', 'store a note per file', 'write a summary'],
    }));
  const gateway = await startGateway({
    mcpServers: {
      filesystem: { command: NODE, args: [FILESYSTEM, folder] },
      memory: { command: NODE, args: [MEMORY], env: { MEMORY_FILE_PATH: join(folder, 'm.jsonl') } },
    },
    ai: { providers: { local: { api: 'chat', url: model.url, model: 'small' } } },
  });
  const cli = (...args) =>
    run(gateway.binary, ['--url', new URL(gateway.adminUrl).origin, 'suggest', README, ...args]);
  try {
    await waitForTools(gateway.mcpUrl, ['filesystem__read_text_file', 'memory__create_entities']);
    const files = [join(folder, 'a.js'), join(folder, 'b.js')];
    await writeFile(files[0], 'one\n// TODO: first\n');
    await writeFile(files[1], '// todo: second\n');
    const preview = await cli();
    assert.match(preview.stdout, /made by small/, preview.stdout);
    assert.match(preview.stdout, /filesystem\.write_file \(may destroy\)/);
    const input = { files, summary_path: join(folder, 'summary.md') };
    const ran = await cli('--run', '--yes', '--input', JSON.stringify(input));
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.equal(await readFile(input.summary_path, 'utf8'), '// TODO: first\n// todo: second');
    assert.match(await readFile(join(folder, 'm.jsonl'), 'utf8'), /todo: second/);
    await model.stop();
    const without = await cli('--refine', 'write it to out.md');
    assert.equal(without.code, 0, without.stdout);
    assert.match(without.stdout, /made without a model/);
    assert.match(without.stdout, /No model helped/);
  } finally {
    await gateway.stop();
    await model.stop().catch(() => {});
    await rm(folder, { recursive: true, force: true });
  }
});
