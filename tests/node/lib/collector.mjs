// What takes traces by OTLP over HTTP in JSON and hands them out as trees.
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

// A sink for OTLP/HTTP in JSON.
export async function startSpanSink() {
  const spans = new Spans();
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    spans.take(JSON.parse(Buffer.concat(chunks).toString()));
    response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { spans, url: `http://127.0.0.1:${server.address().port}`, stop };
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
      pipelines: { traces: { receivers: ['otlp'], exporters: ['otlphttp'] } },
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
  return { spans: sink.spans, grpc: `http://${grpc}`, http: `http://${http}`, stop };
}
