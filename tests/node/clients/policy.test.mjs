// Who may do what, from the outside: rules hide and deny, are read again when their file changes, and
// say why; teams and visibility; the command line that checks, tries and explains.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WAIT_MS, pause } from '../../conformance/lib/wait.mjs';
import { run } from '../lib/process.mjs';
import { SDKS } from '../lib/sdk.mjs';
import { fixtureStdio, modernRequest, startGateway, waitForTools } from '../lib/servers.mjs';

const KEYS = { dev: ['developer'], ops: ['operator'], root: ['admin'], vic: ['viewer'], aud: ['auditor'] };
const secretOf = (name) => `key-of-${name}-0123456789`;
const bearer = (name) => ({ authorization: `Bearer ${secretOf(name)}` });
const RULES = `
# Only operators see failures.
deny no-errors
  if tool = fixture.test_error_handling and role != operator
  because "Failures are for operators."
deny no-secret-header if tool ~ *x_mcp_header and args.query ~ secret*
deny no-bots if client ~ *bot*
`;

const folder = mkdtempSync(join(tmpdir(), 'metamcp-policy-'));
const file = join(folder, 'rules.policy');
let gateway;

const request = (who, method, params, options = {}) =>
  modernRequest(options.url ?? gateway.mcpUrl, method, params, { headers: bearer(who) });
const call = (who, name, args = {}, options = {}) =>
  request(who, 'tools/call', { name, arguments: args, ...options.params }, options);
const toolsOf = async (who, url) =>
  (await request(who, 'tools/list', {}, { url })).result.tools.map(({ name }) => name);
const cli = (who, ...args) =>
  run(gateway.binary, [...args, '--url', gateway.at('/'), '--token', secretOf(who)]);
const rest = (who, path, options = {}) =>
  fetch(gateway.at(`/api/v1/${path}`), { ...options, headers: { 'content-type': 'application/json', ...bearer(who) } });
async function eventually(check) {
  for (const end = Date.now() + 2 * WAIT_MS; ; await pause(50)) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not in time: ${check}`);
  }
}

before(async () => {
  writeFileSync(file, RULES);
  gateway = await startGateway({
    auth: {
      keys: Object.entries(KEYS).map(([name, roles]) => ({ name, key: secretOf(name), roles })),
    },
    policy: { file },
    mcpServers: {
      fixture: fixtureStdio(),
      closed: { ...fixtureStdio(), team: 'core' },
    },
    virtualServers: {
      all: {},
      team: { team: 'core', servers: ['fixture'] },
      found: { mode: 'search', servers: ['fixture'] },
    },
  });
  await waitForTools(gateway.virtualUrl('all'),
    ['fixture__test_error_handling', 'closed__test_error_handling'], { headers: bearer('ops') });
});
after(async () => {
  await gateway?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('a denied tool is hidden and refused, with rule and reason (M-NFR-004.3)', async () => {
  assert.ok(!(await toolsOf('dev')).includes('fixture__test_error_handling'));
  assert.ok((await toolsOf('ops')).includes('fixture__test_error_handling'));
  for (const name of ['fixture__test_error_handling', 'fixture.test_error_handling']) {
    const { error } = await call('dev', name);
    assert.match(error.message, /the rule "no-errors" denies tool fixture\.test_error_handling: Failures are for operators\./);
    assert.equal(error.code, -31003);
  }
  assert.ok((await call('ops', 'fixture__test_error_handling')).result.isError);
});

for (const sdk of SDKS) {
  test(`${sdk.name}: lists and calls as the rules say (M-NFR-004.3)`, async () => {
    // The SDKs of these tests send no key; loopback's principal is an administrator.
    const session = await sdk.connect({ url: gateway.mcpUrl });
    try {
      const { tools } = await session.client.listTools();
      assert.ok(!tools.some(({ name }) => name === 'fixture__test_error_handling'));
      await assert.rejects(session.callTool({ name: 'fixture__test_error_handling', arguments: {} }),
        /no-errors/);
    } finally {
      await session.close();
    }
  });
}

test('rules on arguments and clients deny at the call and hide nothing (M-NFR-004.3)', async () => {
  assert.ok((await toolsOf('dev')).includes('fixture__test_x_mcp_header'));
  assert.ok((await call('dev', 'fixture__test_simple_text')).result);
  const bot = await call('dev', 'fixture__test_simple_text', {}, {
    params: { _meta: { 'io.modelcontextprotocol/clientInfo': { name: 'a-bot', version: '1' } } },
  });
  assert.match(bot.error.message, /no-bots/);
  const found = await rest('dev', 'call', {
    method: 'POST',
    body: JSON.stringify({ target: 'fixture.test_x_mcp_header', arguments: { query: 'secret-1' } }),
  });
  assert.equal(found.status, 403);
  assert.match((await found.json()).error.message, /no-secret-header/);
});

test('the search tools find and call as the rules say (M-NFR-004.3)', async () => {
  const url = gateway.virtualUrl('found');
  const search = async (who) => {
    const { result } = await call(who, 'search_tools', { query: 'error handling fails' }, { url });
    return result.structuredContent.tools.map(({ name }) => name);
  };
  assert.ok(!(await search('dev')).includes('fixture__test_error_handling'));
  assert.ok((await search('ops')).includes('fixture__test_error_handling'));
  const described = await call('dev', 'describe_tool', { name: 'fixture__test_error_handling' }, { url });
  assert.ok(described.result.isError);
  const called = await call('dev', 'call_tool',
    { name: 'fixture__test_error_handling', arguments: {} }, { url });
  assert.match(called.error.message, /no-errors/);
});

describe('teams and visibility', () => {
  test('what is of another team is not there (M-NFR-004.3)', async () => {
    assert.ok(!(await toolsOf('dev', gateway.virtualUrl('all'))).some((n) => n.startsWith('closed__')));
    assert.ok((await toolsOf('ops', gateway.virtualUrl('all'))).some((n) => n.startsWith('closed__')));
    const { error } = await call('dev', 'closed__test_simple_text', {}, { url: gateway.virtualUrl('all') });
    assert.match(error.message, /no tool "closed__test_simple_text"/);
    const foreign = await fetch(gateway.virtualUrl('team'), { method: 'POST', headers: bearer('dev') });
    const missing = await fetch(gateway.virtualUrl('none'), { method: 'POST', headers: bearer('dev') });
    assert.equal(foreign.status, missing.status);
    assert.ok((await toolsOf('ops', gateway.virtualUrl('team'))).length > 0);
  });

  test('REST shows no more than MCP (M-NFR-004.3)', async () => {
    const names = async (who, path, key) =>
      (await (await rest(who, path)).json())[key].map((one) => one.meta?.name ?? one.upstream);
    assert.ok(!(await names('dev', 'servers', 'upstreams')).includes('closed'));
    assert.ok((await names('ops', 'servers', 'upstreams')).includes('closed'));
    assert.ok(!(await names('dev', 'virtual-servers', 'virtualServers')).includes('team'));
    assert.ok(!(await names('dev', 'items?virtual_server=all&page_size=500', 'items')).includes('closed'));
    assert.equal((await rest('dev', 'servers/closed')).status, 404);
    assert.equal((await rest('ops', 'servers/closed')).status, 200);
    assert.equal((await rest('dev', 'virtual-servers/team')).status, 404);
  });
});

test('status and events name no server of a foreign team (M-NFR-004.3)', async () => {
  const namesOf = ({ servers, upstreams, virtualServers }) =>
    [...(servers ?? upstreams), ...virtualServers].map(({ name }) => name);
  const status = async (who) => (await rest(who, 'status')).json();
  const firstEvent = async (who) => {
    const stop = new AbortController();
    const response = await rest(who, 'events', { signal: stop.signal });
    let text = '';
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (text.includes('\n\n')) break;
    }
    stop.abort();
    return JSON.parse(text.match(/^data: (.*)$/m)[1]);
  };
  for (const ask of [status, firstEvent]) {
    const seen = namesOf(await ask('vic'));
    assert.ok(seen.includes('fixture') && !seen.includes('closed') && !seen.includes('team'), seen);
    const all = namesOf(await ask('ops'));
    assert.ok(all.includes('closed') && all.includes('team'), all);
  }
  assert.equal((await status('vic')).upstreams.total, 1);
  assert.equal((await rest('vic', 'virtual-servers/team/connect')).status, 404);
});

test('last calls are replayed against rules that are not in force (M-NFR-004.3)', async () => {
  await call('dev', 'fixture__test_simple_text');
  await call('ops', 'fixture__test_simple_text');
  await call('dev', 'fixture__test_error_handling');
  const proposed = join(folder, 'proposed.policy');
  writeFileSync(proposed, 'deny no-text if tool = fixture.test_simple_text and subject = dev\n' +
    'deny no-header if tool ~ *x_mcp_header and has args.query');
  const replay = async (...args) => {
    const { code, stdout, stderr } = await cli('aud', 'policy', 'replay', proposed, '--since', '1h',
      '--output', 'json', ...args);
    assert.ok(code === 0 || code === 1, stderr);
    return { code, ...JSON.parse(stdout) };
  };
  const found = await eventually(async () => {
    const now = await replay();
    const denied = now.changes.filter(({ item, after }) =>
      item === 'fixture.test_simple_text' && after === 'deny');
    const allowed = now.changes.some(({ item, before, after }) =>
      item === 'fixture.test_error_handling' && before === 'deny' && after === 'allow');
    // Arguments are not in the audit.
    const open = now.changes.some(({ after, rule }) => after === 'undecided' && rule === 'no-header');
    return denied.length > 0 && allowed && open && { now, denied };
  });
  assert.equal(found.now.code, 1);
  for (const one of found.denied) {
    assert.equal(one.subject, 'dev');
    assert.equal(one.rule, 'no-text');
    assert.match(one.example, /^[0-9a-f-]{36}$/);
  }
  assert.ok(found.now.byPrincipal.dev >= 2);
  const table = await cli('aud', 'policy', 'replay', proposed, '--since', '1h');
  assert.match(table.stdout, /fixture\.test_simple_text +allow +deny +no-text/);
  writeFileSync(proposed, RULES);
  assert.equal((await replay()).changed, 0, 'the rules in force change nothing');
  writeFileSync(proposed, 'deny if');
  const wrong = await cli('aud', 'policy', 'replay', proposed);
  assert.match(wrong.stderr, /rules:1:\d+/);
  assert.notEqual(wrong.code, 0);
  for (const who of ['dev', 'ops', 'root']) {
    assert.equal((await rest(who, 'policy:replay', { method: 'POST', body: '{}' })).status, 403, who);
  }
});

test('the command line explains, shows, checks and tries (M-NFR-004.3)', async () => {
  const explained = await cli('ops', 'policy', 'explain', 'x', 'fixture.test_error_handling',
    '--role', 'developer', '--output', 'json');
  const said = JSON.parse(explained.stdout);
  assert.equal(said.effect, 'deny');
  assert.equal(said.rule, 'no-errors');
  assert.equal(said.hidden, true);
  assert.notEqual((await cli('dev', 'policy', 'show')).code, 0, 'it needs the role operator');
  assert.match((await cli('ops', 'policy', 'show')).stdout, /no-secret-header/);
  assert.equal((await run(gateway.binary, ['policy', 'check', file])).code, 0);
  const cases = join(folder, 'cases.json');
  const one = { tool: 'fixture.test_error_handling', roles: ['developer'], expect: 'deny' };
  writeFileSync(cases, JSON.stringify({ cases: [one] }));
  const args = ['policy', 'test', cases, '--file', file];
  assert.equal((await run(gateway.binary, args)).code, 0);
  writeFileSync(cases, JSON.stringify({ cases: [one, { ...one, expect: 'allow' }] }));
  const failed = await run(gateway.binary, args);
  assert.equal(failed.code, 1);
  assert.match(failed.stdout, /FAILED cases\[1\]: expected allow, found deny by the rule no-errors/);
});

test('a changed file is read again, one with mistakes changes nothing (M-NFR-004.3)',
  { skip: process.env.METAMCP_SHAPE === 'cluster' && 'several processes read it' }, async () => {
    writeFileSync(file, `${RULES}\ndeny broken if tol = x\n`);
    const bad = await run(gateway.binary, ['policy', 'check', file]);
    assert.notEqual(bad.code, 0);
    assert.match(bad.stderr, /rules\.policy:\d+:16: found "tol".*did you mean "tool"\?/s);
    const reload = await rest('root', 'config:reload', { method: 'POST' });
    assert.equal(reload.status, 400);
    assert.match((await reload.json()).error.message, /rules\.policy:\d+:16/);
    assert.match((await call('dev', 'fixture__test_error_handling')).error.message, /no-errors/);
    assert.ok((await call('dev', 'fixture__test_simple_text')).result);
    writeFileSync(file, 'deny no-text if tool = fixture.test_simple_text');
    await eventually(async () => (await call('dev', 'fixture__test_simple_text')).error);
    assert.ok((await call('dev', 'fixture__test_error_handling')).result);
    assert.ok(!(await toolsOf('dev')).includes('fixture__test_simple_text'));
    writeFileSync(file, RULES);
    await eventually(async () => (await call('dev', 'fixture__test_simple_text')).result);
  });
