// Workflows of Arazzo descriptions: imported, checked and run over registered tools; what is not there
// is refused by name, and then nothing is stored.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NODE } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { EVERYTHING, FILESYSTEM, MEMORY, startGateway, waitForTools } from '../lib/servers.mjs';

const shape = process.env.METAMCP_SHAPE;
const NOTES = `
arazzo: 1.0.1
info: { title: Notes, version: 1.2.0 }
sourceDescriptions:
  - { name: memory, url: ./memory.yaml, type: openapi }
workflows:
  - workflowId: keepNote
    summary: Reads a file, keeps a note of it and says how it went
    inputs: { $ref: '#/components/inputs/place' }
    steps:
      - stepId: read-it
        operationId: read_text_file
        parameters:
          - { name: path, in: query, value: $inputs.path }
        successCriteria:
          - condition: $statusCode == 200
          - { context: $response.body#/content, condition: '^TODO', type: regex }
        outputs: { text: $response.body#/content }
      - stepId: keep
        operationId: $sourceDescriptions.memory.create_entities
        requestBody:
          payload:
            entities: [{ name: $inputs.path, entityType: note, observations: ['{$steps.read-it.outputs.text}!'] }]
      - stepId: look
        x-mcp-tool: memory.read_graph
        successCriteria:
          - context: $response.body
            condition: $.entities[?@.entityType == 'note' && count(@.observations) > 0]
            type: jsonpath
          - condition: $response.body#/entities/0/entityType == 'NOTE'
        outputs: { first: $response.body#/entities/0/name }
      - stepId: say
        operationId: echo
        parameters:
          - { name: message, in: query, value: 'kept {$steps.look.outputs.first}' }
    outputs: { name: $steps.look.outputs.first }
components:
  inputs:
    place: { type: object, required: [path], properties: { path: { type: string } } }
`;

describe('arazzo', { skip: shape === 'processes' && 'workflows do not run there' }, () => {
  let folder;
  let gateway;
  const cli = (...args) => run(gateway.binary, ['--url', new URL(gateway.adminUrl).origin, ...args]);
  const imports = async (text, ...args) => {
    const file = join(folder, 'x.arazzo.yaml');
    await writeFile(file, text);
    return cli('workflow', 'import', file, ...args);
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metamcp-arazzo-'));
    await writeFile(join(folder, 'a.txt'), 'TODO: rest');
    await writeFile(join(folder, 'b.txt'), 'nothing');
    gateway = await startGateway({
      mcpServers: {
        filesystem: { command: NODE, args: [FILESYSTEM, folder] },
        memory: { command: NODE, args: [MEMORY], env: { MEMORY_FILE_PATH: join(folder, 'm.jsonl') } },
        everything: { command: NODE, args: [EVERYTHING, 'stdio'] },
      },
    });
    await waitForTools(gateway.mcpUrl, ['filesystem__read_text_file', 'memory__read_graph', 'everything__echo']);
  });
  after(async () => {
    await gateway?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('a description becomes a workflow that runs', async () => {
    const stored = await imports(NOTES);
    assert.equal(stored.code, 0, stored.stdout + stored.stderr);
    assert.match(stored.stdout, /keepnote 1\.2\.0 is stored/);
    const good = await cli('workflow', 'run', 'keepnote', '--input', JSON.stringify({ path: join(folder, 'a.txt') }));
    assert.equal(good.code, 0, good.stdout + good.stderr);
    assert.match(good.stdout, /a\.txt/);
    const graph = await cli('tool', 'call', 'memory__read_graph');
    assert.match(graph.stdout, /TODO: rest!/);
    const bad = await cli('workflow', 'run', 'keepnote', '--input', JSON.stringify({ path: join(folder, 'b.txt') }));
    assert.notEqual(bad.code, 0);
    assert.match(bad.stdout + bad.stderr, /success criteria of read-it/);
  });

  test('retries are made as often as they are allowed', async () => {
    const text = `
arazzo: 1.0.0
info: { title: x, version: 1.0.0 }
sourceDescriptions: []
workflows:
  - workflowId: again
    steps:
      - stepId: read
        operationId: read_text_file
        parameters: [{ name: path, in: path, value: ${join(folder, 'missing.txt')} }]
        onFailure: [{ name: r, type: retry, retryAfter: 0.05, retryLimit: 2 }]
`;
    assert.equal((await imports(text)).code, 0);
    const failed = await cli('workflow', 'run', 'again');
    assert.notEqual(failed.code, 0);
    const id = (failed.stdout + failed.stderr).match(/run ([0-9a-f-]{36})/)[1];
    const history = await cli('workflow', 'history', id, '--output', 'json');
    assert.equal(history.stdout.match(/"kind": ?"tool"/g).length, 3, 'one attempt and two more');
  });

  test('what is not there is refused by name, and nothing is stored', async () => {
    const before = (await cli('workflow', 'list', '--output', 'json')).stdout;
    const cases = {
      'the operationId findPets': [NOTES.replace('operationId: echo', 'operationId: findPets'), /no tool "findPets".*--map/],
      'a header': [NOTES.replace('name: message, in: query', 'name: message, in: header'), /in: header/],
      goto: [NOTES.replace('        operationId: echo', '        onFailure: [{ name: g, type: goto, stepId: say }]\n        operationId: echo'), /goto is not there/],
      xpath: [NOTES.replace('type: regex', 'type: xpath'), /xpath/],
      'another version': [NOTES.replace('1.0.1', '2.0.0'), /no description of Arazzo 1\.0/],
      'no Arazzo': ['[1, 2]', /Arazzo/],
      'no YAML': ['a: [', /./],
      'an alias bomb': ['a: &a [x]\nb: [*a, *a]', /./],
      nothing: ['', /./],
    };
    for (const [name, [text, says]] of Object.entries(cases)) {
      const { code, stdout, stderr } = await imports(text);
      assert.notEqual(code, 0, name);
      assert.match(stdout + stderr, says, name);
    }
    assert.equal((await cli('workflow', 'list', '--output', 'json')).stdout, before);
    const chosen = await imports(cases['the operationId findPets'][0].replace('keepNote', 'chosen'), '--map', 'findPets=everything.echo');
    assert.equal(chosen.code, 0, chosen.stdout + chosen.stderr);
    const checked = await imports(NOTES.replace('keepNote', 'onlyChecked'), '--check');
    assert.equal(checked.code, 0);
    assert.match(checked.stdout, /filesystem\.read_text_file@mcp/);
    assert.doesNotMatch((await cli('workflow', 'list')).stdout, /onlychecked/);
  });

  test('what looks like an expression of ours is a text', async () => {
    const text = NOTES.replace('keepNote', 'textual').replace("'kept {$steps.look.outputs.first}'", "'${env} ${ $workflow }'");
    assert.equal((await imports(text)).code, 0);
    const ran = await cli('workflow', 'run', 'textual', '--output', 'json', '--input', JSON.stringify({ path: join(folder, 'a.txt') }));
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  });
});
