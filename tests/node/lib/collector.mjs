// What takes traces and logs by OTLP over HTTP in JSON and hands them out as trees and lists.
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from './process.mjs';
import { freeAddress } from './cluster.mjs';

const valueOf = ({ stringValue, intValue, doubleValue, boolValue }) =>
  stringValue ?? (intValue === undefined ? doubleValue ?? boolValue : Number(intValue));
const attributesOf = (list = []) =>
  Object.fromEntries(list.map(({ key, value }) => [key, valueOf(value)]));

// Collected spans, each {traceId, spanId, parentSpanId, name, kind, attributes, links, service,
// failed}.
export class Spans {
  all = [];

  take({ resourceSpans = [] }) {
    for (const { resource, scopeSpans = [] } of resourceSpans) {
      const { 'service.name': service } = attributesOf(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans = [] }) => spans)) {
        this.all.push({
          ...span,
          attributes: attributesOf(span.attributes),
          links: span.links ?? [],
          failed: [2, 'STATUS_CODE_ERROR'].includes(span.status?.code),
          resource: attributesOf(resource.attributes),
          service,
        });
      }
    }
  }

  of(traceId) {
    return this.all.filter((span) => span.traceId === traceId);
  }

  // Waits until `wanted` is true of the trace, that is of its spans.
  async until(traceId, wanted, what) {
    const end = Date.now() + 20000;
    while (!wanted(this.of(traceId))) {
      if (Date.now() > end) {
        throw new Error(`${what} did not come; there is ${JSON.stringify(this.of(traceId), null, 1)}`);
      }
      await sleep(50);
    }
    return this.of(traceId);
  }
}

// Collected log records, each {event, severityText, attributes, traceId, resource, service}.
export class Records {
  all = [];

  take({ resourceLogs = [] }) {
    for (const { resource, scopeLogs = [] } of resourceLogs) {
      const shared = attributesOf(resource.attributes);
      for (const record of scopeLogs.flatMap(({ logRecords = [] }) => logRecords)) {
        this.all.push({
          ...record,
          event: record.body?.stringValue,
          attributes: attributesOf(record.attributes),
          resource: shared,
          service: shared['service.name'],
        });
      }
    }
  }

  // Resolves with the records that fit, once there is one.
  async until(wanted, what) {
    for (const end = Date.now() + 20000; ; await sleep(50)) {
      const found = this.all.filter(wanted);
      if (found.length) return found;
      if (Date.now() > end) throw new Error(`${what} did not come`);
    }
  }
}

// A sink for OTLP/HTTP in JSON. `bodies` are all that came, as text. `answer`, where it is set,
// says what a request is answered with: a status, or nothing for no answer.
export async function startSpanSink() {
  const spans = new Spans();
  const records = new Records();
  const sink = { spans, records, bodies: [], answer: undefined };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const status = sink.answer ? sink.answer(request) : 200;
    if (status === undefined) return;
    if (status === 200) {
      const body = Buffer.concat(chunks).toString();
      sink.bodies.push(body);
      (request.url.endsWith('/logs') ? records : spans).take(JSON.parse(body));
    }
    response.writeHead(status, { 'Content-Type': 'application/json' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return Object.assign(sink, { url: `http://127.0.0.1:${server.address().port}`, stop });
}

// The OpenTelemetry collector `binary` (tests/telemetry/collector) in front of a sink.
export async function startCollector(binary, directory) {
  const sink = await startSpanSink();
  const grpc = await freeAddress();
  const http = await freeAddress();
  const file = `${directory}/collector.json`;
  await writeFile(file, JSON.stringify({
    receivers: { otlp: { protocols: { grpc: { endpoint: grpc }, http: { endpoint: http } } } },
    exporters: {
      otlphttp: {
        endpoint: sink.url,
        encoding: 'json',
        compression: 'none',
        sending_queue: { enabled: false },
      },
    },
    service: {
      telemetry: { metrics: { level: 'none' } },
      pipelines: {
        traces: { receivers: ['otlp'], exporters: ['otlphttp'] },
        logs: { receivers: ['otlp'], exporters: ['otlphttp'] },
      },
    },
  }));
  const child = new Child(binary, [file]);
  while (!child.stderr.includes('Everything is ready')) {
    if (child.ended) throw new Error(`${child.command} ended: ${child.stderr}`);
    await sleep(20);
  }
  const stop = async () => {
    await child.stop();
    sink.stop();
  };
  const { spans, records } = sink;
  return { spans, records, grpc: `http://${grpc}`, http: `http://${http}`, stop };
}
