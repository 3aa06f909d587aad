// Exports of the audit as other programs read them: Python's csv, a reader of CEF by its specification,
// and a collector of OpenTelemetry (the real one with METAMCP_COLLECTOR).
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WAIT_MS, pause } from '../../conformance/lib/wait.mjs';
import { startCollector, startSpanSink } from '../lib/collector.mjs';
import { gatewayBinary } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { modernRequest, startGateway, waitForTools } from '../lib/servers.mjs';

// What programs take for something else: formulas, separators, line breaks, other scripts.
const TARGETS = [
  '=HYPERLINK("http://evil.example","x")', '+1+1', '-2+3', '@SUM(A1)', 'a,b', 'say "hi"',
  'line one\nline two\r\nline three', 'pipe|and\\slash', 'key=value x=y', 'émoji 🎉 \u202e', "'quoted'",
];
const READ_CSV = `
import csv, json, sys
with open(sys.argv[1], newline='', encoding='utf-8') as file:
    print(json.dumps(list(csv.DictReader(file, strict=True))))
`;
// By "Implementing ArcSight Common Event Format": header by |, extension by key=value, where a value ends
// before the next key.
const READ_CEF = `
import json, re, sys
def parts(line):
    out, now, at = [], '', 0
    while at < len(line) and len(out) < 7:
        if line[at] == '\\\\':
            now += line[at + 1]; at += 2
        elif line[at] == '|':
            out.append(now); now = ''; at += 1
        else:
            now += line[at]; at += 1
    return out, line[at:]
def plain(text):
    return re.sub(r'\\\\(.)', lambda m: {'n': '\\n', 'r': '\\r'}.get(m[1], m[1]), text)
events = []
with open(sys.argv[1], newline='', encoding='utf-8') as file:
    for line in file.read().split('\\n')[:-1]:
        header, extension = parts(line)
        assert header[0] == 'CEF:0' and len(header) == 7, line
        keys = list(re.finditer(r'(?:^| )(\\w+)=', extension))
        ends = [key.start() for key in keys[1:]] + [len(extension)]
        events.append({'name': header[4], 'severity': header[6],
                       **{key[1]: plain(extension[key.end():end]) for key, end in zip(keys, ends)}})
print(json.dumps(events))
`;

describe('audit exports', () => {
  let gateway, folder, collector;
  const stops = [];
  const cli = async (...args) => {
    const { code, stderr } = await run(gateway.binary, [...args, '--url', gateway.at('/')]);
    assert.equal(code, 0, stderr);
  };
  const exported = async (format, ...more) => {
    const file = join(folder, `audit.${format}`);
    await cli('audit', 'export', '--format', format, '--personal', '--file', file, ...more);
    return file;
  };
  const python = async (script, file) => {
    const path = join(folder, 'read.py');
    await writeFile(path, script);
    const { code, stdout, stderr } = await run('python3', [path, file]);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metamcp-export-'));
    stops.push(() => rm(folder, { recursive: true }));
    collector = process.env.METAMCP_COLLECTOR
      ? await startCollector(process.env.METAMCP_COLLECTOR, folder)
      : await startSpanSink().then((sink) => Object.assign(sink, { http: sink.url }));
    stops.push(collector.stop);
    gateway = await startGateway({
      audit: { checkpointMs: 300 },
      mcpServers: { fix: { command: join(dirname(gatewayBinary()), 'metamcp-fixture-stdio') } },
    });
    stops.push(gateway.stop);
    await waitForTools(gateway.mcpUrl, ['fix__echo']);
    await modernRequest(gateway.mcpUrl, 'tools/call', { name: 'fix__echo', arguments: {} });
    for (const uri of TARGETS) await modernRequest(gateway.mcpUrl, 'resources/read', { uri });
    const at = gateway.at('/api/v1/audit/records?action=resources/read&pageSize=100');
    for (const end = Date.now() + 2 * WAIT_MS; ; await pause(50)) {
      const { records } = await (await fetch(at)).json();
      if (records?.length >= TARGETS.length) break;
      if (Date.now() > end) throw new Error(`${records?.length} of ${TARGETS.length} are recorded`);
    }
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
  });

  test('Python reads the CSV; nothing in it is a formula (P3-SOC-6)', async () => {
    const rows = await python(READ_CSV, await exported('csv'));
    const targets = rows.filter(({ action }) => action === 'resources/read').map(({ target }) => target);
    // What begins like a formula has an apostrophe before it; all else is as it was asked for.
    const shown = TARGETS.map((text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text));
    assert.deepEqual(targets.toSorted(), shown.toSorted());
    for (const row of rows) {
      assert.match(row.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
      for (const [name, cell] of Object.entries(row)) {
        assert.ok(cell !== null && !/^[=+@\t\r]/.test(cell), `${name}: ${cell}`);
        assert.ok(!/^-/.test(cell) || /^-\d+$/.test(cell), `${name}: ${cell}`);
      }
    }
    assert.deepEqual(rows.map(({ seq }) => Number(seq)), rows.map((_, i) => Number(rows[0].seq) + i));
  });

  test('CEF is read back as it was (P3-SOC-6)', async () => {
    const events = await python(READ_CEF, await exported('cef'));
    const targets = events.filter(({ name }) => name === 'resources/read').map(({ request }) => request);
    assert.deepEqual(targets.toSorted(), TARGETS.toSorted());
    assert.ok(events.every(({ rt, externalId, severity, outcome }) => rt && externalId && severity && outcome));
  });

  test('a collector takes OTLP, whole and in order (P3-SOC-6, P3-Log-1)', async () => {
    const text = await readFile(await exported('otlp'), 'utf8');
    const lines = text.split('\n').slice(0, -1);
    for (const body of lines) {
      const response = await fetch(`${collector.http}/v1/logs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      assert.equal(response.status, 200, await response.text());
    }
    await collector.records.until(() => collector.records.all.length >= lines.length, 'every record');
    const got = collector.records.all.filter(({ service }) => service === 'meta-mcp-audit');
    assert.equal(got.length, lines.length);
    const reads = got.filter(({ attributes }) => attributes['metamcp.audit.action'] === 'resources/read');
    assert.deepEqual(
      reads.map(({ attributes }) => attributes['metamcp.audit.target']).toSorted(), TARGETS.toSorted());
    const call = got.find(({ attributes }) => attributes['metamcp.audit.action'] === 'tools/call');
    const record = JSON.parse(call.event);
    assert.equal(record.seq, call.attributes['metamcp.audit.seq']);
    assert.match(call.attributes['metamcp.audit.hash'], /^[0-9a-f]{64}$/);
    assert.equal(call.timeUnixNano, `${record.timeUs}000`);
    assert.ok(got.some(({ attributes }) => attributes['event.name'] === 'audit.checkpoint'));
  });

  test('over REST in parts, and an unknown format is refused (M-FR-007.5)', async () => {
    const part = async (query) => {
      const response = await fetch(gateway.at(`/api/v1/audit/export?${query}`));
      return { status: response.status, ...(await response.json()) };
    };
    const first = await part('format=otlp&limit=2');
    assert.equal(first.status, 200);
    assert.equal(Number(first.nextSeq), 3);
    assert.ok(!first.lines.includes('metamcp.audit.name'), 'without --personal nobody is named');
    assert.equal((await part('format=xml')).status, 400);
  });
});
