// What a collector receives of a tools/call, of a call that asks its client something, and of a
// reload: one tree each; and of the log. With METAMCP_COLLECTOR, a path of the OpenTelemetry collector, it stands
// between; otherwise OTLP in JSON goes straight to the test.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { startCollector, startSpanSink } from '../lib/collector.mjs';
import { gatewayBinary } from '../lib/paths.mjs';
import {
  fixtureStdio, modernRequest, startFixture, startGateway, waitForTools,
} from '../lib/servers.mjs';

const collector = process.env.METAMCP_COLLECTOR;
const separate = Boolean(process.env.METAMCP_SHAPE);
const stops = [];
let gateway;
let spans;
let records;
let fixture;

// Without OpenTelemetry's SDK a build exports nothing.
const able = existsSync(join(dirname(gatewayBinary()), 'meta-mcp-otlp.so'));

before(async () => {
  if (!able) return;
  let traces;
  if (collector) {
    const directory = await mkdtemp(join(tmpdir(), 'metamcp-collector-'));
    stops.push(() => rm(directory, { recursive: true }));
    const between = await startCollector(collector, directory);
    stops.push(between.stop);
    ({ spans, records } = between);
    traces = { endpoint: between.grpc, protocol: 'grpc' };
  } else {
    const sink = await startSpanSink();
    stops.push(sink.stop);
    ({ spans, records } = sink);
    traces = { endpoint: sink.url, protocol: 'json' };
  }
  fixture = await startFixture('--era', 'legacy');
  stops.push(fixture.stop);
  gateway = await startGateway({
    telemetry: { traces },
    mcpServers: {
      http: { type: 'http', url: fixture.url },
      stdio: fixtureStdio('--era', 'modern'),
      silent: {
        command: join(dirname(gatewayBinary()), 'metamcp-fixture-stdio'),
        toolTimeoutsMs: { silence: 100 },
      },
    },
  }, { env: { OTEL_LOGS_EXPORTER: 'otlp' } });
  stops.push(gateway.stop);
  await waitForTools(gateway.mcpUrl, [
    'http__test_simple_text', 'stdio__test_simple_text', 'silent__silence',
  ]);
});

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

const newContext = () => {
  const traceId = randomBytes(16).toString('hex');
  const spanId = randomBytes(8).toString('hex');
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-01` };
};
async function call(name, context, more = {}) {
  const { result, error } = await modernRequest(gateway.mcpUrl, 'tools/call', {
    name,
    arguments: {},
    _meta: { traceparent: context.traceparent },
    ...more,
  });
  if (error) throw new Error(error.message);
  return result;
}

function rootsOf(list) {
  const ids = new Set(list.map(({ spanId }) => spanId));
  return list.filter(({ parentSpanId }) => !ids.has(parentSpanId));
}

// Every span but the first hangs below another one of the trace.
function assertOneTree(list, parent) {
  const roots = rootsOf(list);
  assert.deepEqual(roots.map(({ parentSpanId }) => parentSpanId ?? ''), [parent]);
  return roots[0];
}

const RPC = 'metamcp.provider.v1.ProviderService/Call';
// Without what a connector answered that does not run the server: the gateway asks the one that does.
const served = (list) =>
  list.filter(({ attributes }) => attributes['error.type'] !== 'NOT_OWNER');
const named = (list, name) => list.filter((span) => span.name === name);
// The span of what was sent to the server.
const upstreamSpan = (list) =>
  list.find(({ kind, attributes }) =>
    [3, 'SPAN_KIND_CLIENT'].includes(kind) && attributes['mcp.method.name']);

describe('traces', { skip: !able && 'built without opentelemetry-cpp' }, () => {
  for (const back of ['http', 'stdio']) {
    test(`a call over ${back} is one tree from the client to the server (W-4.5.2, P3-Trc-1)`, async () => {
      const context = newContext();
      await call(`${back}__test_simple_text`, context);
      const list = await spans.until(
        context.traceId,
        // Each process sends its spans when it comes to it.
        (all) => named(all, `tools/call ${back}__test_simple_text`).length === 1 &&
          upstreamSpan(all) && rootsOf(all).length === 1 &&
          (!separate || named(served(all), RPC).length === 2),
        'the whole call',
      );
      const root = assertOneTree(list, context.spanId);
      assert.equal(root.name, `tools/call ${back}__test_simple_text`);
      assert.equal(root.attributes['gen_ai.tool.name'], `${back}__test_simple_text`);
      assert.equal(root.attributes['mcp.protocol.version'], '2026-07-28');
      const [route] = named(list, 'route');
      assert.equal(route.parentSpanId, root.spanId);
      assert.equal(route.attributes['metamcp.upstream'], back);
      const upstream = upstreamSpan(list);
      assert.equal(upstream.name, 'tools/call test_simple_text');
      assert.equal(upstream.attributes['metamcp.upstream'], back);
      if (separate) {
        assert.ok(new Set(list.map(({ service }) => service)).size > 1);
      } else {
        assert.equal(upstream.parentSpanId, route.spanId);
      }
      assert.ok(served(list).every(({ failed }) => !failed));
    });
  }

  test('what fails is marked, with the reason (P3-Trc-4)', async () => {
    const context = newContext();
    await assert.rejects(call('http__no_such_tool', context));
    const [span] = await spans.until(context.traceId, (all) => all.length > 0, 'the span');
    assert.ok(span.failed);
    assert.equal(span.attributes['error.type'], 'TOOL_NOT_FOUND');
  });

  test('a line of the log is a record with its trace (P3-Log-1, P1-Obs-1)', async () => {
    const [ready] = await records.until(({ event, attributes }) =>
      event === 'upstream.connected' && attributes.upstream === 'http', 'a line of the start');
    assert.equal(ready.attributes['event.name'], 'upstream.connected');
    assert.equal(ready.severityText, 'INFO');
    assert.ok(ready.resource['service.instance.id'] && ready.resource['service.version']);
    const context = newContext();
    await assert.rejects(call('silent__silence', context));
    const [failed] = await records.until(({ event, traceId }) =>
      event === 'call.failed' && traceId === context.traceId, 'the failed call');
    assert.equal(failed.attributes.reason, 'upstream_timeout');
    assert.equal(failed.severityText, 'WARN');
  });

  test('a call without a context begins a trace; a caller that records nothing is followed', async () => {
    const context = newContext();
    context.traceparent = context.traceparent.replace(/01$/, '00');
    await call('stdio__test_simple_text', context);
    const seen = newContext();
    await call('stdio__test_simple_text', seen);
    await spans.until(seen.traceId, (all) => all.length >= 3, 'the spans of the later call');
    assert.deepEqual(spans.of(context.traceId), []);
  });

  test('a retry of a parked call is linked to the call that was asked (W-4.5.2)', async () => {
    const first = newContext();
    const capabilities = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } };
    const args = { message: 'who are you?' };
    const _meta = (context) => ({ traceparent: context.traceparent, ...capabilities });
    const asked = await call('http__test_elicitation', first,
      { arguments: args, _meta: _meta(first) });
    assert.equal(asked.resultType, 'input_required');
    const answer = { action: 'accept', content: { username: 'u', email: 'e@example.com' } };
    const inputResponses =
      Object.fromEntries(Object.keys(asked.inputRequests).map((key) => [key, answer]));
    const second = newContext();
    const done = await call('http__test_elicitation', second, {
      arguments: args, _meta: _meta(second), requestState: asked.requestState, inputResponses,
    });
    assert.notEqual(done.resultType, 'input_required');
    const name = 'tools/call http__test_elicitation';
    const before = await spans.until(first.traceId, (all) => named(all, name).length, 'the call');
    const after = await spans.until(second.traceId, (all) => named(all, name).length, 'its retry');
    assertOneTree(before, first.spanId);
    assertOneTree(after, second.spanId);
    assert.equal(named(before, name)[0].attributes['metamcp.outcome'], 'input_required');
    const [link] = named(after, 'route')[0].links;
    assert.equal(link.traceId, first.traceId);
    assert.equal(link.spanId, named(before, 'route')[0].spanId);
  });

  test('a reload is one tree (W-4.5.2)', { skip: separate && 'the catalog reads the file' },
    async () => {
      const context = newContext();
      const response = await fetch(`${gateway.adminUrl}/config:reload`, {
        method: 'POST',
        headers: { traceparent: context.traceparent },
      });
      assert.equal(response.status, 200, await response.text());
      const list = await spans.until(
        context.traceId, (all) => named(all, 'POST /api/v1/config:reload').length, 'the reload');
      assertOneTree(list, context.spanId);
      const [reload] = named(list, 'config.reload');
      for (const name of ['config.load', 'catalog.apply_config']) {
        assert.equal(named(list, name)[0].parentSpanId, reload.spanId);
      }
    });
});
