// OpenAI's Chat Completions for clients of the gateway, read by the official SDK: what goes through is
// not changed, whoever may not use a model does not, and failures have the shape of that API.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { startModelServer } from '../lib/model_server.mjs';
import { run } from '../lib/process.mjs';
import { fixtureStdio, startGateway, waitForTools } from '../lib/servers.mjs';

const shape = process.env.METAMCP_SHAPE;
const secretOf = (name) => `key-of-${name}-0123456789`;
const USER = { role: 'user', content: 'hi' };
const RULES = [
  'deny no-big-ones if kind = model and item ~ big* and subject = dev because "They cost too much."',
  'deny nothing-for-bob if kind = model and subject = bob',
  'consent asks if kind = model and item = asked',
];

describe('the chat API', { skip: shape === 'processes' && 'the ai service does not run there' }, () => {
  let first;
  let second;
  let gateway;
  const client = (who = 'dev', more = {}) =>
    new OpenAI({ apiKey: secretOf(who), baseURL: gateway.at('/v1'), maxRetries: 0, ...more });
  const ask = (body = {}, who = 'dev') =>
    client(who).chat.completions.create({ model: 'auto', messages: [USER], ...body });
  const refused = (promise) => promise.then(() => assert.fail('no error'), (error) => error);
  const rest = async (path, who = 'root') =>
    (await fetch(gateway.at(`/api/v1/${path}`), {
      headers: { authorization: `Bearer ${secretOf(who)}` },
    })).json();

  before(async () => {
    first = await startModelServer(() => 'hello');
    second = await startModelServer(() => 'hello');
    const provider = (server, model) => ({ api: 'chat', url: server.url, model, key: `key-of-${model}` });
    gateway = await startGateway({
      auth: {
        keys: ['dev', 'bob', 'root', 'few', 'aud'].map((name) => ({
          name, key: secretOf(name), roles: [{ root: 'admin', aud: 'auditor' }[name] ?? 'developer'],
        })),
      },
      policy: { rules: RULES },
      limits: { rules: [{ name: 'models', scope: 'tool', match: 'model.*', per: 'principal', concurrency: 6 }] },
      mcpServers: { fixture: fixtureStdio() },
      ai: {
        chatApi: true,
        order: ['one', 'two', 'huge', 'asks', 'claude'],
        perPrincipal: { requestsPerMinute: 120 },
        breaker: { failures: 3, openMs: 300 },
        providers: {
          one: { ...provider(first, 'small-1'), inputCents: 100, outputCents: 500 },
          two: provider(second, 'small-2'),
          huge: provider(second, 'big-1'),
          asks: provider(second, 'asked'),
          claude: { api: 'anthropic', url: second.base, model: 'claude', key: 'k' },
        },
      },
    });
    await waitForTools(gateway.mcpUrl, ['fixture__test_simple_text'],
      { headers: { authorization: `Bearer ${secretOf('dev')}` } });
  });
  after(async () => {
    await gateway?.stop();
    await first?.stop();
    await second?.stop();
  });
  beforeEach(async () => {
    first?.answer(() => 'hello');
    second?.answer(() => 'hello');
    // Breakers of the test before close.
    for (const { untilMs } of (await rest('ai/providers')).providers)
      if (Number(untilMs ?? 0) > 0) await sleep(Number(untilMs) + 20);
  });

  test('models are those that one may use', async () => {
    const names = [];
    for await (const model of client().models.list()) names.push(model.id);
    assert.deepEqual(names, ['small-1', 'small-2', 'auto']);
    assert.equal((await client().models.retrieve('small-2')).owned_by, 'two');
    assert.equal((await refused(client().models.retrieve('big-1'))).status, 404);
    const theirs = [];
    for await (const model of client('bob').models.list()) theirs.push(model.id);
    assert.deepEqual(theirs, []);
    const all = [];
    for await (const model of client('root').models.list()) all.push(model.id);
    assert.ok(all.includes('big-1'));
  });

  test('a request goes through as it is, but for the model and the key', async () => {
    const body = {
      model: 'auto',
      temperature: 0.25,
      messages: [{
        role: 'user',
        content: [
          { type: 'text', text: 'ä \u2028 <b>' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,QUJD' } },
          { type: 'input_audio', input_audio: { data: 'QUJD', format: 'wav' } },
        ],
      }],
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
    };
    const answer = await client().chat.completions.create(body);
    assert.equal(answer.choices[0].message.content, 'hello');
    assert.deepEqual(answer.usage, { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 });
    const [{ raw, headers }] = first.requests;
    assert.equal(raw, JSON.stringify(body).replace('"auto"', '"small-1"'));
    assert.equal(headers.authorization, 'Bearer key-of-small-1');
    assert.doesNotMatch(JSON.stringify(headers), /key-of-dev/);
  });

  test('tool calls come back as the provider wrote them', async () => {
    const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a": 1.0}' } };
    const whole = {
      id: 'x', object: 'chat.completion', created: 1, model: 'small-1', strange: [1.50],
      choices: [{ index: 0, finish_reason: 'tool_calls', message: { role: 'assistant', content: null, tool_calls: [call] } }],
    };
    const raw = JSON.stringify(whole).replace('[1.5]', '[1.50]');
    first.answer(() => ({ raw }));
    const response = await fetch(gateway.at('/v1/chat/completions'), {
      method: 'POST',
      headers: { authorization: `Bearer ${secretOf('dev')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'small-1', messages: [USER] }),
    });
    assert.equal(await response.text(), raw);
    const answer = await ask();
    assert.deepEqual(answer.choices[0].message.tool_calls, [call]);
  });

  test('a stream comes as it is made, with its usage where it was asked for', async () => {
    first.answer(() => ({ text: 'x'.repeat(60), pieceMs: 60 }));
    const began = Date.now();
    let firstAt;
    let text = '';
    let usages = 0;
    for await (const chunk of await ask({ stream: true })) {
      firstAt ??= Date.now() - began;
      text += chunk.choices[0]?.delta?.content ?? '';
      usages += chunk.usage ? 1 : 0;
    }
    assert.equal(text, 'x'.repeat(60));
    assert.equal(usages, 0);
    assert.ok(firstAt < Date.now() - began - 150, `first after ${firstAt} ms of ${Date.now() - began}`);
    let usage;
    for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } }))
      usage = chunk.usage ?? usage;
    assert.equal(usage.prompt_tokens, 100);
    for (const { body } of first.requests) assert.equal(body.stream_options.include_usage, true);
  });

  test('tool calls in a stream', async () => {
    const piece = (delta, finish_reason = null) =>
      ({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason }] });
    first.answer(() => ({
      events: [
        piece({ role: 'assistant', tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '' } }] }),
        piece({ tool_calls: [{ index: 0, function: { arguments: '{"a":' } }] }),
        piece({ tool_calls: [{ index: 0, function: { arguments: '1}' } }] }),
        piece({}, 'tool_calls'),
        '[DONE]',
      ],
    }));
    const stream = client().chat.completions.stream({ model: 'auto', messages: [USER] });
    const answer = await stream.finalChatCompletion();
    assert.equal(answer.choices[0].message.tool_calls[0].function.arguments, '{"a":1}');
  });

  for (const [name, how] of Object.entries({
    'a rate limit': { status: 429, headers: { 'retry-after': '1' } },
    'a failure': { status: 503 },
    'our own key refused': { status: 401 },
  })) {
    test(`${name}: the next one answers`, async () => {
      first.answer(() => how);
      const answer = await ask();
      assert.equal(answer.model, 'small-2');
      assert.equal(second.requests.length, 1);
    });
  }

  test('a named model is asked alone, and says why it cannot', async () => {
    first.answer(() => ({ status: 429, headers: { 'retry-after': '1' } }));
    const slow = await refused(ask({ model: 'small-1' }));
    assert.equal(slow.status, 429);
    assert.equal(slow.type, 'rate_limit_error');
    assert.equal(second.requests.length, 0);
    first.answer(() => ({ status: 500 }));
    await sleep(1200);
    const failed = await refused(ask({ model: 'small-1' }));
    assert.equal(failed.status, 502);
    assert.equal(failed.type, 'server_error');
    assert.doesNotMatch(failed.message, /key-of/);
  });

  test('what the client did wrong is told in the provider’s words', async () => {
    const raw = JSON.stringify({ error: { message: 'too hot', type: 'invalid_request_error', param: 'temperature', code: null } });
    first.answer(() => ({ status: 400, raw }));
    const error = await refused(ask({ temperature: 9 }));
    assert.equal(error.status, 400);
    assert.equal(error.param, 'temperature');
    assert.equal(second.requests.length, 0);
  });

  test('a stream that breaks off ends with an error', async () => {
    first.answer(() => ({ text: 'y'.repeat(100), drop: true }));
    let text = '';
    const error = await refused((async () => {
      for await (const chunk of await ask({ stream: true })) text += chunk.choices[0]?.delta?.content ?? '';
    })());
    assert.match(error.message, /ended before|failed|small|one/);
    assert.equal(second.requests.length, 0, 'what was begun is not begun anew');
  });

  test('whoever goes away lets the provider stop', async () => {
    first.answer(() => ({ text: 'z'.repeat(17 * 100), pieceMs: 50 }));
    const gone = first.gone();
    const stream = await ask({ stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) break;
    stream.controller.abort();
    for (let i = 0; i < 60 && first.gone() === gone; ++i) await sleep(50);
    assert.equal(first.gone(), gone + 1);
  });

  test('a rule denies a model to somebody', async () => {
    const denied = await refused(ask({ model: 'big-1' }));
    assert.equal(denied.status, 403);
    assert.equal(denied.type, 'permission_error');
    assert.match(denied.message, /no-big-ones.*cost too much/s);
    assert.equal((await ask({ model: 'big-1' }, 'root')).model, 'big-1');
    assert.equal((await refused(ask({}, 'bob'))).status, 403);
    assert.match((await refused(ask({ model: 'asked' }))).message, /asks a person/);
    for (const { body } of second.requests) assert.notEqual(body.model, 'asked');
  });

  test('errors have the shape of the API', async () => {
    assert.equal((await refused(ask({}, 'nobody'))).status, 401);
    const unknown = await refused(ask({ model: 'gpt-none' }));
    assert.equal(unknown.status, 404);
    assert.equal(unknown.code, 'model_not_found');
    assert.equal((await refused(ask({ model: 'claude' }))).status, 404);
    assert.equal((await refused(ask({}, 'aud'))).status, 403);
    const post = (body, method = 'POST') =>
      fetch(gateway.at('/v1/chat/completions'), {
        method,
        headers: { authorization: `Bearer ${secretOf('dev')}`, 'content-type': 'application/json' },
        body,
      });
    for (const body of ['', '[]', '{"model":"auto"}', '{"model":1,"messages":[]}',
      '{"model":"auto","model":"big-1","messages":[]}', `{"model":"auto","messages":${'['.repeat(5000)}`]) {
      const response = await post(body);
      assert.equal(response.status, 400, body.slice(0, 60));
      assert.equal((await response.json()).error.type, 'invalid_request_error');
    }
    assert.equal((await post(undefined, 'GET')).status, 405);
    assert.equal(first.requests.length + second.requests.length, 0);
  });

  test('a switch of providers under load loses nothing', async () => {
    let asked = 0;
    // It fails from the eleventh request on.
    first.answer(() => (++asked > 10 ? { status: 503 } : { text: 'hello', delayMs: 20 }));
    second.answer(() => ({ text: 'hello', delayMs: 20 }));
    let done = 0;
    const work = async () => {
      while (done < 40) {
        ++done;
        assert.equal((await ask()).choices[0].message.content, 'hello');
      }
    };
    await Promise.all([work(), work(), work(), work()]);
    assert.ok(second.requests.length >= 25);
  });

  test('it is limited, counted and recorded', { timeout: 60000 }, async () => {
    first.answer(() => ({ text: 'hello', delayMs: 500 }));
    second.answer(() => ({ text: 'hello', delayMs: 500 }));
    if (shape !== 'cluster') {
      const all = await Promise.allSettled(Array.from({ length: 9 }, () => ask({}, 'few')));
      const over = all.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
      assert.ok(over.length >= 3, `${over.length} refused`);
      for (const error of over) assert.equal(error.status, 429);
    }
    const { usage } = await rest('ai/usage');
    const row = usage.find((each) => each.provider === 'one' && each.subject === 'dev');
    assert.ok(Number(row.requests) > 0 && Number(row.outputTokens) > 0 && Number(row.costMicros) > 0);
    let records = [];
    for (let i = 0; i < 100 && records.length === 0; ++i) {
      const found = await run(gateway.binary, ['audit', 'query', '--action', 'models/chat', '--subject', 'dev',
        '--output', 'json', '--url', gateway.at('/'), '--token', secretOf('aud')]);
      records = found.stdout.split('\n').join('').match(/models\/chat/g) ?? [];
      await sleep(100);
    }
    assert.ok(records.length > 0);
  });
});

test('it is off unless it is set', { skip: shape === 'processes' }, async () => {
  const gateway = await startGateway({ mcpServers: { fixture: fixtureStdio() } });
  try {
    const response = await fetch(gateway.at('/v1/models'));
    assert.equal(response.status, 404);
    assert.match((await response.json()).error.message, /ai\.chatApi/);
  } finally {
    await gateway.stop();
  }
});
