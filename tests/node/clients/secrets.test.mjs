// The vault: values by ${secret:NAME}, set and rotated while the gateway runs, sealed on disk, sealed
// again when the key ring changes; never in an answer, the log or the database.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { spawn } from 'node:child_process';
import { NODE, ROOT, gatewayBinary } from '../lib/paths.mjs';
import { Child } from '../lib/process.mjs';
import { modernRequest, waitForTools } from '../lib/servers.mjs';
import { eventually } from '../../conformance/lib/wait.mjs';

const TARGET = join(ROOT, 'tests/attacks/target.mjs');
const binary = gatewayBinary();
const directory = mkdtempSync(join(tmpdir(), 'metamcp-secrets-'));
const config = join(directory, 'config.json');
const data = join(directory, 'data');
let gateway;

async function start() {
  const child = new Child(binary, ['serve', '--listen', '127.0.0.1:0', '--config', config, '--data-dir', data]);
  const url = await child.line((line) => line.match(/^ready mcp=(\S+)/)?.[1]);
  const pid = await child.line((line) => line.match(/pid=(\d+)/)?.[1]);
  return { child, url, pid, stop: () => child.stop(15000) };
}

before(async () => {
  writeFileSync(config, JSON.stringify({
    version: 1,
    mcpServers: { target: { command: NODE, args: [TARGET], env: { TOKEN: '${secret:TOK}' } } },
  }));
  gateway = await start();
});
after(async () => {
  await gateway?.stop();
  rmSync(directory, { recursive: true, force: true });
});

// Runs the command line with `input` on its standard input.
function cli(args, input = '') {
  return new Promise((resolve) => {
    const child = spawn(binary, [...args, '--config', config, '--data-dir', data]);
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    child.on('close', (code) => resolve({ code, text }));
    child.stdin.end(input);
  });
}

const call = async (name) => {
  const answer = await modernRequest(gateway.url, 'tools/call', { name: `target__${name}`, arguments: {} });
  return answer.result?.content?.[0]?.text;
};
const token = async () => JSON.parse((await call('environment')) ?? '{}').TOKEN;

function everyByte() {
  const files = readdirSync(data).map((name) => join(data, name)).filter((path) => statSync(path).isFile());
  return files.map((path) => readFileSync(path, 'latin1')).join('') + gateway.child.stderr;
}

test('a server waits for its secret, and gets it when it is set (NFR-004)', async () => {
  const before = await modernRequest(gateway.url, 'tools/list');
  assert.ok(!before.result.tools.some((tool) => tool.name === 'target__echo'));
  const { code, text } = await cli(['secret', 'set', 'TOK'], 'first-planted-value\n');
  assert.equal(code, 0, text);
  await waitForTools(gateway.url, ['target__echo']);
  assert.equal(await token(), 'first-planted-value');
  const list = await cli(['secret', 'list']);
  assert.match(list.text, /TOK\s+sealed\s+target/);
  assert.doesNotMatch(list.text, /planted/);
});

test('a rotation reaches the server between calls', async () => {
  const napping = call('nap');
  const { code, text } = await cli(['secret', 'rotate', 'TOK'], 'second-planted-value');
  assert.equal(code, 0, text);
  assert.equal(await napping, 'first-planted-value', 'the call under way was lost');
  await eventually('the second value', async () => (await token()) === 'second-planted-value', 15000);
});

test('no value is on the disk or in the log, and the process cannot be dumped', () => {
  assert.doesNotMatch(everyByte(), /planted-value/);
  // The kernel gives files of a process that is not dumpable to root.
  assert.equal(statSync(`/proc/${gateway.pid}/environ`).uid, 0);
});

test('what is no name, no value or not there is refused', async () => {
  assert.notEqual((await cli(['secret', 'set', '1BAD'], 'x')).code, 0);
  assert.notEqual((await cli(['secret', 'set', 'EMPTY'], '\n')).code, 0);
  assert.notEqual((await cli(['secret', 'set', 'BIG'], 'x'.repeat(70_000))).code, 0);
  assert.notEqual((await cli(['secret', 'rotate', 'ABSENT'], 'x')).code, 0);
  assert.notEqual((await cli(['secret', 'remove', 'ABSENT'])).code, 0);
  const { text } = await cli(['secret', 'list']);
  assert.doesNotMatch(text, /BAD|EMPTY|BIG|ABSENT/);
});

test('a new key of the ring seals all again, so that the old one can go', async () => {
  await gateway.stop();
  const file = join(data, 'keys.json');
  const keys = JSON.parse(readFileSync(file, 'utf8')).keys;
  const fresh = { kid: 'fresh', key: randomBytes(32).toString('base64') };
  writeFileSync(file, JSON.stringify({ keys: [fresh, ...keys] }));
  gateway = await start();
  await eventually('the second value', async () => (await token()) === 'second-planted-value', 15000);
  await gateway.stop();
  writeFileSync(file, JSON.stringify({ keys: [fresh] }));
  gateway = await start();
  await eventually('the second value', async () => (await token()) === 'second-planted-value', 15000);
});

test('a removed secret is gone for its server', async () => {
  const { code, text } = await cli(['secret', 'remove', 'TOK']);
  assert.equal(code, 0, text);
  const gone = async () => (await cli(['server', 'status', 'target'])).text.includes('secret set TOK');
  await eventually('the secret is missed', gone, 20000);
});
