// What leaves a running installation as telemetry: every name in it is in the reference, and no secret
// is in it. Each secret is planted once, then many things go right and wrong, and then everything is
// searched: metrics, log records and lines, spans, the audit in each format, standard error, log
// file, spool, database.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSpanSink } from '../lib/collector.mjs';
import { startModelServer } from '../lib/model_server.mjs';
import { ROOT, gatewayBinary } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import {
  fixtureStdio, modernRequest, startFixture, startGateway, waitForTools,
} from '../lib/servers.mjs';

const shape = process.env.METAMCP_SHAPE;
const able = existsSync(join(dirname(gatewayBinary()), 'meta-mcp-otlp.so'));

// What each is, and its value.
const SECRETS = {
  'key of an operator': 'planted4be1-operator-key',
  'key of an auditor': 'planted4be1-auditor-key',
  'bearer token that is refused': 'planted4be1-wrong-bearer',
  'header of a client': 'planted4be1-client-header',
  'argument of a call': 'planted4be1-argument',
  'argument of a call that failed': 'planted4be1-failed',
  'name of an argument': 'planted4be1-the-name',
  'query of a URI': 'planted4be1-uri-query',
  'header to a server': 'planted4be1-server-header',
  'environment of a server': 'planted4be1-server-env',
  'password in the URL of a server': 'planted4be1-url-password',
  'token in the URL of a server': 'planted4be1-url-query',
  'header to the collector': 'planted4be1-collector-header',
  'key of a model': 'planted4be1-model-key',
  'task of a suggestion': 'planted4be1-task',
  'answer to a question': 'planted4be1-answer',
  ...(shape ? {} : { 'value of the vault': 'planted4be1-vault-value' }),
};

// What a database keeps because it is asked to: suggestions with their tasks (docs/ai.md), and the spool
// events as they are until the audit service has them (docs/audit.md).
const MAY_BE = {
  'task of a suggestion': /storage\.db|the database/,
  'query of a URI': /audit-spool/,
  'name of an argument': /audit-spool/,
};

// The names of the tables of docs/telemetry-reference.md.
function readReference() {
  const tables = {};
  let rows;
  for (const line of readFileSync(join(ROOT, 'docs/telemetry-reference.md'), 'utf8').split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim());
    if (/^\| (metric|label|event|field|attribute|attribute of the resource) \|/.test(line)) {
      rows = tables[cells[1]] = new Map();
    } else if (line.startsWith('| `')) {
      rows.set(cells[1].replaceAll('`', ''), cells.slice(2).join('|'));
    }
  }
  return tables;
}

// {name, labels} of each sample of Prometheus' text format.
function* samplesOf(text) {
  for (const line of text.split('\n')) {
    const found = line.match(/^([a-zA-Z_:][\w:]*)(\{.*\})? /);
    if (!found) continue;
    const labels = [...(found[2] ?? '').matchAll(/(?:^\{|,)(\w+)="/g)].map(([, name]) => name);
    yield { name: found[1], labels };
  }
}

let sink, gateway, model, fixture;
const as = (key) => ({ authorization: `Bearer ${SECRETS[key]}` });
const operator = as('key of an operator');
const auditor = as('key of an auditor');
const rest = (path, options = {}) =>
  fetch(gateway.at(`/api/v1/${path}`), {
    ...options,
    headers: { ...operator, 'content-type': 'application/json', ...options.headers },
  });
const call = (name, args = {}, more = {}) =>
  modernRequest(gateway.mcpUrl, 'tools/call', { name, arguments: args, ...more.params }, {
    headers: { ...operator, 'x-client-secret': SECRETS['header of a client'] },
    ...more,
  });

async function setVaultValue() {
  const data = readdirSync(gateway.directory).find((name) => name.startsWith('data'));
  const child = spawn(gateway.binary, ['secret', 'set', 'TOK', '--config',
    join(gateway.directory, 'config.json'), '--data-dir', join(gateway.directory, data)]);
  child.stdin.end(`${SECRETS['value of the vault']}\n`);
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(code, 0);
}

describe('telemetry', { skip: !able && 'built without opentelemetry-cpp' }, () => {
  before(async () => {
    sink = await startSpanSink();
    model = await startModelServer(() => 'no plan at all');
    fixture = await startFixture('--era', 'legacy');
    const traces = { endpoint: sink.url, protocol: 'json' };
    gateway = await startGateway({
      auth: {
        anonymousLoopback: false,
        keys: [
          { name: 'boss', key: SECRETS['key of an operator'], roles: ['admin', 'operator'] },
          { name: 'otto', key: SECRETS['key of an auditor'], roles: ['auditor'] },
        ],
      },
      telemetry: {
        traces: { ...traces, keep: 2000 },
        logLevel: 'debug',
        counters: ['echoes item=*echo'],
      },
      ai: {
        order: ['first'],
        providers: {
          first: { api: 'chat', url: model.url, model: 'm-1', key: SECRETS['key of a model'] },
        },
      },
      mcpServers: {
        stdio: { ...fixtureStdio('--era', 'modern'), env: { SECRET: '${PLANTED_ENV}' } },
        http: {
          type: 'http',
          url: `${fixture.url}?token=\${PLANTED_QUERY}`,
          headers: { 'x-secret': '${PLANTED_HEADER}' },
        },
        fix: {
          command: join(dirname(gatewayBinary()), 'metamcp-fixture-stdio'),
          toolTimeoutsMs: { silence: 100 },
        },
        away: {
          type: 'http',
          url: 'http://meta:${PLANTED_PASSWORD}@127.0.0.1:9/mcp',
        },
        ...(shape ? {} : {
          vault: { ...fixtureStdio('--era', 'modern'), env: { TOKEN: '${secret:TOK}' } },
        }),
      },
    }, {
      env: {
        // By reference, as docs/configuration.md advises: the catalog keeps what the file says.
        PLANTED_ENV: SECRETS['environment of a server'],
        PLANTED_QUERY: SECRETS['token in the URL of a server'],
        PLANTED_HEADER: SECRETS['header to a server'],
        PLANTED_PASSWORD: SECRETS['password in the URL of a server'],
        OTEL_LOGS_EXPORTER: 'otlp',
        META_MCP_SERVICES_METRICS_LISTEN: '127.0.0.1:0',
        OTEL_EXPORTER_OTLP_HEADERS: `x-collector=${SECRETS['header to the collector']}`,
      },
    });
    if (!shape) await setVaultValue();
    await waitForTools(gateway.mcpUrl, [
      'stdio__test_simple_text', 'http__test_simple_text', 'fix__silence',
      ...(shape ? [] : ['vault__test_simple_text']),
    ], { headers: operator });
    await doManyThings();
    await sleep(2500);
  });
  after(async () => {
    for (const one of [gateway, fixture, model, sink]) await one?.stop();
  });

  async function doManyThings() {
    const plain = { query: SECRETS['argument of a call'] };
    for (const server of ['stdio', 'http']) {
      for (const tool of ['test_simple_text', 'test_x_mcp_header', 'test_error_handling']) {
        await call(`${server}__${tool}`, plain);
      }
      await modernRequest(gateway.mcpUrl, 'resources/read', {
        uri: `test://nothing?key=${SECRETS['query of a URI']}`,
      }, { headers: operator });
      await modernRequest(gateway.mcpUrl, 'prompts/get', { name: `${server}__test_simple_prompt` },
        { headers: operator });
    }
    await call('fix__silence', { secret: SECRETS['argument of a call that failed'] });
    await call('fix__no_such_tool', { [SECRETS['name of an argument']]: 1 });
    await call('fix__echo', plain);
    const capabilities = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } };
    const question = { message: 'who?' };
    const asked = await call('http__test_elicitation', question, {
      params: { _meta: capabilities },
    });
    if (asked.result?.inputRequests) {
      const content = { username: SECRETS['answer to a question'], email: 'e@example.com' };
      await call('http__test_elicitation', question, {
        params: {
          _meta: capabilities,
          requestState: asked.result.requestState,
          inputResponses: Object.fromEntries(Object.keys(asked.result.inputRequests)
            .map((key) => [key, { action: 'accept', content }])),
        },
      });
    }
    await modernRequest(gateway.mcpUrl, 'tools/list', {}, {
      headers: { authorization: `Bearer ${SECRETS['bearer token that is refused']}` },
    });
    await rest('servers');
    await rest('config:reload', { method: 'POST' });
    await rest('nothing/of/the/kind');
    await rest('suggestions', {
      method: 'POST',
      body: JSON.stringify({ task: SECRETS['task of a suggestion'] }),
    });
    await rest('telemetry/performance');
    await rest('telemetry/map');
    await rest('audit/records', { headers: auditor });
  }

  // What each process serves at /metrics.
  async function scrape() {
    const texts = [await (await fetch(gateway.at('/metrics'), { headers: operator })).text()];
    for (const { ready } of gateway.children) {
      const url = ready[0].match(/ metrics=(\S+)/)?.[1];
      if (url) texts.push(await (await fetch(url, { headers: operator })).text());
    }
    assert.ok(texts.length >= (shape ? 4 : 2), 'every process has metrics');
    return texts.join('\n');
  }

  test('every metric and label that is served is in the reference (P1-Obs-2)', async () => {
    const { metric, label } = readReference();
    let samples = 0;
    for (const { name, labels } of samplesOf(await scrape())) {
      ++samples;
      const family = [name, name.replace(/_(bucket|sum|count)$/, ''),
        name.replace(/^metamcp_user_\w+_total$/, 'metamcp_user_*_total')].find((one) => metric.has(one));
      assert.ok(family, `${name} is not in docs/telemetry-reference.md`);
      for (const one of labels) {
        assert.ok(label.has(one), `label ${one} of ${name} is not in docs/telemetry-reference.md`);
        assert.ok(one === 'le' || metric.get(family).includes(`\`${one}\``), `${name} has no label ${one}`);
      }
    }
    assert.ok(samples > 50);
  });

  test('every log event and field that is exported is in the reference (P1-Obs-1)', async () => {
    const { event, field, 'attribute of the resource': resource } = readReference();
    assert.ok(sink.records.all.length > 10);
    for (const record of sink.records.all) {
      assert.ok(event.has(record.event), `${record.event} is not in docs/telemetry-reference.md`);
      for (const name of Object.keys(record.attributes)) {
        assert.ok(name === 'event.name' || field.has(name), `${name} of ${record.event}`);
        assert.ok(name === 'event.name' || event.get(record.event).includes(`\`${name}\``),
          `${record.event} has no field ${name}`);
      }
      for (const name of Object.keys(record.resource)) assert.ok(resource.has(name), name);
      assert.match(record.severityText, /^(DEBUG|INFO|WARN|ERROR)$/);
    }
    const { lines } = await (await rest('telemetry/logs?limit=5000')).json();
    assert.ok(lines.length > 10);
    for (const { line: text } of lines) {
      const line = typeof text === 'string' ? JSON.parse(text) : text;
      assert.ok(event.has(line.event), line.event);
      for (const name of Object.keys(line)) assert.ok(field.has(name), `${name} of ${line.event}`);
    }
  });

  test('log records carry trace and service, of every process (P3-Log-1)', async () => {
    const [failed] = await sink.records.until(({ event, attributes }) =>
      event === 'call.failed' && attributes.upstream === 'fix', 'the failed call');
    assert.match(failed.traceId, /^[0-9a-f]{32}$/);
    assert.ok(sink.spans.of(failed.traceId).length > 0, 'it is the trace of the call');
    assert.equal(failed.severityText, 'WARN');
    const services = new Set(sink.records.all.map(({ service }) => service));
    assert.ok(services.size >= (shape ? 3 : 1), [...services].join());
    const spansOf = sink.spans.all.find(({ service }) => service === failed.service);
    assert.ok(sink.records.all.some(({ resource }) =>
      resource['service.instance.id'] === spansOf.resource['service.instance.id']),
    'spans and records of a process have one instance');
  });

  test('every attribute of a span is in the reference (P3-Trc-1)', () => {
    const { attribute, 'attribute of the resource': resource } = readReference();
    assert.ok(sink.spans.all.length > 20);
    for (const span of sink.spans.all) {
      for (const name of Object.keys(span.attributes)) {
        assert.ok(attribute.has(name), `${name} of ${span.name} is not in docs/telemetry-reference.md`);
      }
      for (const name of Object.keys(span.resource)) assert.ok(resource.has(name), name);
    }
  });

  // [where, text] of all that is kept or leaves.
  async function* everything() {
    yield ['metrics', await scrape()];
    for (const body of sink.bodies) yield ['OTLP', body];
    yield ['kept lines', await (await rest('telemetry/logs?limit=5000')).text()];
    yield ['kept spans', await (await rest('telemetry/spans?limit=5000')).text()];
    yield ['errors', await (await rest('errors?byClient=true&byItem=true')).text()];
    for (const format of ['jsonl', 'csv', 'cef', 'otlp']) {
      const url = `audit/export?format=${format}&limit=10000`;
      yield [`audit as ${format}`, (await (await rest(url, { headers: auditor })).json()).lines];
    }
    for (const { child } of gateway.children) {
      yield [`standard error of ${child.command}`, child.stderr];
      yield [`standard output of ${child.command}`, child.stdout];
    }
    for (const path of filesOf(gateway.directory)) yield [path, readFileSync(path, 'latin1')];
    if (gateway.databaseUrl) {
      const { code, stdout, stderr } = await run('pg_dump', ['--inserts', gateway.databaseUrl]);
      assert.equal(code, 0, stderr);
      yield ['the database', stdout];
    }
  }
  // The configuration has its secrets by intent.
  const filesOf = (folder) => readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && path !== join(gateway.directory, 'config.json'));

  test('no planted secret is in anything that is kept or sent (A15, P3-SOC-4)', async () => {
    const found = [];
    let places = 0;
    for await (const [where, text] of everything()) {
      ++places;
      assert.ok(typeof text === 'string', where);
      for (const [what, secret] of Object.entries(SECRETS)) {
        if (MAY_BE[what]?.test(where)) continue;
        const forms = [secret, Buffer.from(secret).toString('base64').replace(/=+$/, '').slice(0, -1),
          Buffer.from(secret).toString('hex'), encodeURIComponent(secret)];
        for (const form of forms) {
          const at = text.indexOf(form);
          if (at < 0) continue;
          found.push(`${what} in ${where}: …${text.slice(Math.max(0, at - 120), at + 60)}…`);
          break;
        }
      }
    }
    assert.deepEqual(found, []);
    assert.ok(places > 10);
  });

  test('with personal fields, only what a client asked for in its own words (A15)', async () => {
    const url = 'audit/export?personal=true&limit=10000';
    const { lines } = await (await rest(url, { headers: auditor })).json();
    for (const what of ['argument of a call', 'argument of a call that failed', 'key of an operator',
      'header to a server', 'environment of a server', 'key of a model']) {
      assert.ok(!lines.includes(SECRETS[what]), what);
    }
  });

  // Last: what is sent from here on is lost.
  for (const [how, answer] of [
    ['refuses', () => 503], ['hangs', () => undefined],
  ]) {
    test(`a collector that ${how} holds up no call, and is counted (M-NFR-002.2)`, { timeout: 60000 }, async () => {
      sink.answer = answer;
      const count = async (result) => {
        let sum = 0;
        for (const [, value] of (await scrape()).matchAll(
          new RegExp(`^metamcp_log_records_total\\{result="${result}"\\} (\\d+)`, 'gm'))) sum += Number(value);
        return sum;
      };
      const before = await count('failed');
      const times = [];
      for (let i = 0; i < 40; ++i) {
        const begun = performance.now();
        await call('fix__no_such_tool');
        times.push(performance.now() - begun);
      }
      const median = times.toSorted((a, b) => a - b)[20];
      assert.ok(median < 250, `${median} ms`);
      for (const end = Date.now() + 30000; (await count('failed')) <= before; await sleep(200)) {
        assert.ok(Date.now() < end, 'what was not taken is counted');
      }
      const { lines } = await (await rest('telemetry/logs?event=logs.not_exported')).json();
      assert.ok(lines.length >= 1);
    });
  }

  test('a stop does not wait for a collector that hangs longer than its time limit', { timeout: 60000 }, async () => {
    const begun = Date.now();
    await gateway.child.stop(30000);
    assert.equal((await gateway.child.exit).code, 0);
    assert.ok(Date.now() - begun < 25000, `${Date.now() - begun} ms`);
  });
});
