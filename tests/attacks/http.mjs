// HTTP itself: framing, sizes, time.
import { gzipSync } from 'node:zlib';
import { assert, attack, bearer, hostOf, listing, modern, post, raw, send, sleep, statuses } from './lib.mjs';

const url = (world) => world.open.mcpUrl;
const line = (world, rest) => `POST /mcp HTTP/1.1\r\nHost: ${hostOf(url(world))}\r\n${rest}`;
const smuggled = 'GET /api/v1/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';

// One answer that refuses, and the connection over: nothing behind it was read as a request.
async function refusedOnce(world, bytes, allowed = [400]) {
  const { text, closed } = await raw(url(world), bytes);
  assert.equal(statuses(text).length, 1, text.slice(0, 400));
  assert.ok(allowed.includes(statuses(text)[0]), text.slice(0, 60));
  assert.ok(closed, 'the connection stays open');
}

export default [
  attack('smuggling', 'Content-Length and Transfer-Encoding', '400, closed', (world) =>
    refusedOnce(world, line(world,
      `Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`))),
  attack('smuggling', 'two Content-Length that differ', '400, closed', (world) =>
    refusedOnce(world, line(world, `Content-Length: 0\r\nContent-Length: 44\r\n\r\n${smuggled}`))),
  attack('smuggling', 'a list of lengths, signs, spaces and hexadecimal in Content-Length', '400, closed',
    async (world) => {
      for (const value of ['0, 44', '+0', '-1', '0x2', '1e1', '99999999999999999999', ' ']) {
        await refusedOnce(world, line(world, `Content-Length: ${value}\r\n\r\n${smuggled}`), [400, 413]);
      }
    }),
  attack('smuggling', 'disguised Transfer-Encoding', 'refused, closed', async (world) => {
    for (const field of [
      'Transfer-Encoding: xchunked', 'Transfer-Encoding: chunked, identity', 'Transfer-Encoding : chunked',
      'Transfer-Encoding:\tchunked\x0b', 'Transfer-Encoding: identity, chunked, chunked',
    ]) {
      await refusedOnce(world, line(world, `${field}\r\n\r\n0\r\n\r\n${smuggled}`), [400, 501]);
    }
  }),
  attack('smuggling', 'chunk sizes with signs, overflow and garbage', '400, closed', async (world) => {
    for (const size of ['-1', '+5', '0x5', 'fffffffffffffffff', '5 5', 'g', '']) {
      await refusedOnce(world,
        line(world, `Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\nhello\r\n0\r\n\r\n${smuggled}`),
        [400, 413]);
    }
  }),
  attack('smuggling', 'a request hidden in a body of its announced length', 'the body is a body', async (world) => {
    const { text } = await raw(url(world), post(url(world), smuggled));
    assert.equal(statuses(text).length, 1);
    assert.doesNotMatch(text, /"version"/);
  }),
  attack('smuggling', 'bare line feeds', '400, closed', async (world) => {
    await refusedOnce(world, line(world, 'X: a\nContent-Length: 44\r\n\r\n'));
    await refusedOnce(world, line(world, 'X: a\r\nContent-Length: 0\n\n'));
  }),
  attack('smuggling', 'a length in a folded field', 'text of the field before it, not a length', async (world) => {
    const fields = 'X: a\r\n Content-Length: 44\r\nContent-Length: 0\r\n\r\n';
    const { text } = await raw(url(world), line(world, fields));
    assert.equal(statuses(text).length, 1, text);
    assert.ok(statuses(text)[0] >= 400);
  }),
  attack('smuggling', 'zero bytes and spaces in field names', '400, closed', async (world) => {
    for (const field of ['X\0: a', 'X : a', ': a', 'X: a\0b', 'X(: a']) {
      await refusedOnce(world, line(world, `${field}\r\nContent-Length: 0\r\n\r\n`));
    }
  }),
  attack('smuggling', 'a target that is another URL', '400, 403 or 404, nothing is fetched', async (world) => {
    for (const target of ['http://169.254.169.254/latest', 'https://evil.example/', '*', 'mcp', '//evil.example/mcp']) {
      const { text } = await raw(url(world), `GET ${target} HTTP/1.1\r\nHost: ${hostOf(url(world))}\r\n\r\n`);
      assert.ok([400, 403, 404].includes(statuses(text)[0]), `${target} ${text.slice(0, 60)}`);
    }
  }),
  attack('smuggling', 'CONNECT, TRACE and unknown methods', 'refused', async (world) => {
    for (const method of ['CONNECT', 'TRACE', 'PROPFIND', 'get']) {
      const { text } = await raw(url(world), `${method} /mcp HTTP/1.1\r\nHost: ${hostOf(url(world))}\r\n\r\n`);
      assert.ok([400, 404, 405, 501].includes(statuses(text)[0]), `${method} ${text.slice(0, 60)}`);
    }
  }),
  attack('smuggling', 'other protocols: TLS, HTTP/2, garbage', 'closed, the gateway lives', async (world) => {
    for (const bytes of [
      Buffer.from('160301020001000001fc0303', 'hex'), 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n', Buffer.alloc(100_000, 0xff),
    ]) {
      const { text } = await raw(url(world), bytes, { ms: 3000 });
      assert.ok(statuses(text).every((status) => status >= 400), text.slice(0, 60));
    }
  }),
  attack('exhaustion', 'fields of 1 MB, and 10,000 of them', '431', async (world) => {
    for (const fields of [`X: ${'a'.repeat(1 << 20)}\r\n`, 'X: a\r\n'.repeat(10_000)]) {
      const { text } = await raw(url(world), line(world, `${fields}\r\n`));
      assert.equal(statuses(text)[0], 431, text.slice(0, 60));
    }
  }),
  attack('exhaustion', 'a body over the limit, announced and in chunks', '413 before it is read', async (world) => {
    const announced = await raw(url(world), line(world,
      'Content-Type: application/json\r\nContent-Length: 999999999\r\n\r\n'));
    assert.equal(statuses(announced.text)[0], 413, announced.text.slice(0, 60));
    const chunk = `100000\r\n${'a'.repeat(1 << 20)}\r\n`;
    const { text } = await raw(url(world), [
      line(world, 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'),
      ...Array(20).fill(chunk),
    ], { ms: 5000 });
    assert.equal(statuses(text)[0], 413, text.slice(0, 60));
  }),
  attack('exhaustion', 'slowloris: a head of one byte every 100 ms, forty times', '408 or closed in time',
    async (world) => {
      const slow = Array.from({ length: 40 }, () => raw(world.keyed.mcpUrl, [...'GET /mcp HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaa'],
        { ms: 8000, pause: 100 }));
      const answers = await Promise.all(slow);
      assert.ok(answers.every(({ closed }) => closed), 'some stay open');
    }),
  attack('exhaustion', 'slow bodies: half a body, then silence', 'closed in time, others are served', async (world) => {
    const started = Date.now();
    const half = raw(world.keyed.mcpUrl, post(world.keyed.mcpUrl, `${listing.slice(0, 20)}`,
      `Authorization: ${bearer('viewer').authorization}\r\nContent-Length: 5000\r\n`, { length: false }), { ms: 75_000 });
    const answer = await modern(world.keyed.mcpUrl, 'tools/list', {}, { headers: bearer('viewer') });
    assert.equal(answer.status, 200);
    const { closed } = await half;
    assert.ok(closed, `open after ${Date.now() - started} ms`);
  }),
  attack('exhaustion', '500 idle connections', 'others are served', async (world) => {
    const idle = Array.from({ length: 500 }, () => raw(url(world), '', { ms: 1500 }));
    await sleep(300);
    const began = Date.now();
    assert.equal((await modern(url(world), 'tools/list')).status, 200);
    assert.ok(Date.now() - began < 1000);
    await Promise.all(idle);
  }),
  attack('exhaustion', 'a body of zeros in gzip (100 MB in 100 KB)', '415: not unpacked', async (world) => {
    const bomb = gzipSync(Buffer.alloc(100 << 20));
    const answer = await send(url(world), bomb, { headers: { 'content-encoding': 'gzip' } });
    assert.ok([400, 415].includes(answer.status), String(answer.status));
  }),
  attack('exhaustion', '1,000 requests in one piece on one connection', 'answered in order, or closed', async (world) => {
    const one = `GET /health HTTP/1.1\r\nHost: ${hostOf(url(world))}\r\n\r\n`;
    const { text } = await raw(url(world), one.repeat(1000), { ms: 5000 });
    assert.ok(statuses(text).every((status) => status === 200));
    assert.ok(statuses(text).length <= 1000);
  }),
  attack('header injection', 'line breaks in a tool\'s name, id and arguments', 'no field of the answer', async (world) => {
    const evil = 'a\r\nSet-Cookie: stolen=1\r\n\r\n';
    const answer = await modern(url(world), 'tools/call', { name: evil, arguments: { text: evil } }, { id: evil });
    assert.equal(answer.headers.get('set-cookie'), null);
    const path = await raw(url(world),
      `GET /servers/x%0d%0aSet-Cookie:%20a=1/mcp HTTP/1.1\r\nHost: ${hostOf(url(world))}\r\nConnection: close\r\n\r\n`);
    assert.doesNotMatch(path.text.split('\r\n\r\n')[0], /set-cookie/i);
  }),
  attack('header injection', 'a trace context with line breaks and 100 KB of baggage', 'ignored', async (world) => {
    const { text } = await raw(url(world), post(url(world), listing,
      `traceparent: 00-zz\x01-1-01\r\ntracestate: ${'a=b,'.repeat(2000)}\r\n`));
    assert.ok([200, 400].includes(statuses(text)[0]), text.slice(0, 60));
  }),
];
