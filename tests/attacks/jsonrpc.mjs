// JSON and JSON-RPC: what two parsers could see differently, what costs much, what names hide.
import { MODERN, assert, attack, modern, modernHeaders, refusedBy, send } from './lib.mjs';

const url = (world) => world.open.mcpUrl;
const META = `"_meta":{"io.modelcontextprotocol/protocolVersion":"${MODERN}","io.modelcontextprotocol/clientCapabilities":{}}`;
const echo = (text, more = '') =>
  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"target__echo","arguments":{"text":${text}},${META}}${more}}`;
const call = (world, body, name = 'target__echo') =>
  send(url(world), body, { headers: modernHeaders('tools/call', name) });

const unknown = (answer) => {
  assert.ok(answer.json?.error, answer.text.slice(0, 200));
  assert.ok([-32602, -32601, -32600].includes(answer.json.error.code), answer.text.slice(0, 200));
};

export default [
  attack('duplicate keys', 'two methods', '-32600, nothing runs', async (world) =>
    refusedBy(await call(world, echo('"x"', ',"method":"tools/list"')), -32600)),
  attack('duplicate keys', 'a second method written with an escape', '-32600', async (world) =>
    refusedBy(await call(world, echo('"x"', ',"\\u006dethod":"tools/list"')), -32600)),
  attack('duplicate keys', 'two tool names in params', '-32600', async (world) =>
    refusedBy(await call(world, echo('"x"').replace('"name":', '"name":"target__slow","name":')), -32600)),
  attack('duplicate keys', 'two protocol versions in _meta', '-32600', async (world) =>
    refusedBy(await call(world, echo('"x"').replace('"_meta":{',
      '"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-06-18",')), -32600)),
  attack('mismatch', 'headers that name another method or tool than the body', 'refused', async (world) => {
    const body = echo('"x"');
    const other = await send(url(world), body, { headers: modernHeaders('tools/list') });
    assert.equal(other.status, 400, other.text);
    const name = await send(url(world), body, { headers: modernHeaders('tools/call', 'target__slow') });
    assert.equal(name.status, 400, name.text);
  }),
  attack('parser', '100,000 nested arrays', 'refused, the gateway lives', async (world) => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    const answer = await call(world, echo(deep));
    assert.ok(answer.json?.error, answer.text.slice(0, 100));
  }),
  attack('parser', 'deep objects as ids, params and whole messages', 'refused', async (world) => {
    const deep = `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`;
    for (const body of [deep, `{"jsonrpc":"2.0","id":${deep},"method":"ping"}`,
      `{"jsonrpc":"2.0","id":1,"method":"ping","params":${deep}}`]) {
      assert.ok((await send(url(world), body)).status >= 400);
    }
  }),
  attack('parser', 'invalid UTF-8, overlong forms, lone surrogates', 'refused or passed as they are, valid JSON comes back',
    async (world) => {
      for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
        const [before, after] = echo('"@"').split('@');
        const answer = await call(world, Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]));
        assert.ok(answer.json?.error, answer.text.slice(0, 100));
      }
      const lone = await call(world, echo('"\\ud800"'));
      assert.ok(lone.json, lone.text.slice(0, 100));
    }),
  attack('parser', 'trailing garbage, two messages, comments, NaN, a byte order mark', '-32700 or -32600', async (world) => {
    for (const body of [`${echo('"x"')}x`, echo('"x"') + echo('"y"'), `/**/${echo('"x"')}`,
      echo('NaN'), echo('01'), echo("'x'"), `${echo('"x"').slice(0, -1)},}`, `\ufeff${echo('"x"')}`, '', ' ', 'null', '1', '"x"']) {
      const answer = await call(world, body);
      assert.ok(answer.status >= 400 || [-32700, -32600].includes(answer.json?.error?.code), body.slice(0, 40));
    }
  }),
  attack('ids', 'null, fractions, huge numbers, objects, 1 MB of text', 'an answer with that id, or refused', async (world) => {
    for (const id of ['null', '1.5', '1e400', '{}', '[]', 'true', '9223372036854775808', `"${'x'.repeat(1 << 20)}"`]) {
      const answer = await send(url(world), echo('"x"').replace('"id":1', `"id":${id}`), {
        headers: modernHeaders('tools/call', 'target__echo'),
      });
      assert.ok(answer.status < 500, `${id.slice(0, 30)}: ${answer.status}`);
      if (['null', '{}', '[]', 'true'].includes(id)) assert.ok(answer.json?.error, id);
    }
  }),
  attack('batches', '10,000 messages in one', 'refused', async (world) => {
    const ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
    const answer = await send(url(world), `[${Array(10_000).fill(ping).join(',')}]`);
    assert.ok(answer.status >= 400 || answer.json?.error, answer.text.slice(0, 100));
  }),
  attack('names', '__proto__, constructor and friends as tools', 'unknown tool, nothing breaks', async (world) => {
    for (const name of ['__proto__', 'constructor', 'toString', 'target____proto__x', 'hasOwnProperty']) {
      const answer = await modern(url(world), 'tools/call', { name, arguments: {} });
      unknown(answer);
    }
  }),
  attack('names', '__proto__ as an argument and in _meta', 'passed on as data', async (world) => {
    const answer = await call(world, echo('"kept","__proto__":{"polluted":true}'));
    assert.match(answer.text, /kept/);
    assert.equal({}.polluted, undefined);
  }),
  attack('names', 'letters that look alike, of no width, and other normal forms', 'unknown tool', async (world) => {
    for (const name of ['t\u0430rget__echo', 'target__echo\u200b', 'target__\u202eohce', 'TARGET__ECHO', 'target__echo\0',
      'target__e\u0301cho', ' target__echo', 'target__echo ']) {
      unknown(await modern(url(world), 'tools/call', { name, arguments: {} }));
    }
  }),
  attack('names', 'paths and wildcards as tools and resources', 'unknown', async (world) => {
    for (const name of ['../../etc/passwd', 'target__*', '%', "' OR 1=1 --", '{{7*7}}', '${jndi:ldap://x}']) {
      unknown(await modern(url(world), 'tools/call', { name, arguments: {} }));
    }
    for (const uri of ['file:///etc/passwd', 'http://169.254.169.254/', 'ui://../../x', '']) {
      const answer = await modern(url(world), 'resources/read', { uri });
      assert.ok(answer.json?.error, `${uri}: ${answer.text.slice(0, 100)}`);
      assert.doesNotMatch(answer.text, /root:/);
    }
  }),
  attack('names', 'methods of the inside, and of no revision', '-32601', async (world) => {
    for (const method of ['initialize/../tools/call', 'metamcp.gateway.v1.CallService/Call', 'rpc.discover', 'sampling/createMessage', 'tools/call\u0000']) {
      const answer = await send(url(world), JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: {} }));
      assert.ok(answer.status >= 400 || answer.json?.error, method);
    }
  }),
  attack('hostile servers', 'tools with empty, control, prototype and 5,000-character names', 'not listed, or harmless', async (world) => {
    const answer = await modern(url(world), 'tools/list');
    const names = answer.json.result.tools.map((tool) => tool.name);
    assert.ok(names.includes('target__echo'));
    assert.ok(names.every((name) => /^[\x21-\x7e]{1,256}$/.test(name)), JSON.stringify(names).slice(0, 300));
  }),
  attack('hostile servers', 'a schema that refers to the metadata address', 'nothing is fetched; the call is answered', async (world) => {
    const answer = await modern(url(world), 'tools/call', { name: 'target__schema', arguments: {} });
    assert.ok(answer.status < 500);
  }),
  attack('hostile servers', 'a pattern that takes exponential time', 'answered within a second', async (world) => {
    const began = Date.now();
    await modern(url(world), 'tools/call', { name: 'target__pattern', arguments: { text: `${'a'.repeat(60)}!` } });
    assert.ok(Date.now() - began < 1000, `${Date.now() - began} ms`);
  }),
  attack('hostile servers', 'control characters and fields in a result', 'escaped in JSON, no field', async (world) => {
    const answer = await modern(url(world), 'tools/call', { name: 'target__control', arguments: {} });
    assert.equal(answer.headers.get('injected'), null);
    assert.equal(answer.json.result.content[0].text.includes('\u001b[31m'), true);
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(answer.text.replace(/[\r\n]/g, ''), /[\u0000-\u001f]/);
  }),
  attack('hostile servers', 'a result of 4 MB where 1 MB is the limit', 'an error of that call alone', async (world) => {
    const answer = await modern(world.keyed.mcpUrl, 'tools/call', { name: 'target__huge', arguments: {} }, {
      headers: { authorization: `Bearer ${world.keys.admin}` },
    });
    assert.ok(answer.json?.error, answer.text.slice(0, 100));
  }),
  attack('hostile servers', 'the environment of the gateway', 'only what a server is given', async (world) => {
    const answer = await modern(url(world), 'tools/call', { name: 'target__environment', arguments: {} });
    assert.doesNotMatch(answer.text, /PLANTED_SECRET|planted-secret/);
    assert.match(answer.text, /PATH/);
  }),
];
