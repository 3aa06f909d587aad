// What servers ask of clients in the middle of a call: elicitation, sampling, roots.
import assert from 'node:assert/strict';
import { has, isModern } from '../lib/revisions.mjs';
import { within } from '../lib/wait.mjs';
import { CHOICES, SEVERAL, question } from '../upstream/tools.mjs';
import { good } from './basics.mjs';

const SINCE = {
  form: 'elicitation',
  url: 'elicitationUrl',
  sampling: undefined,
  sampling_tools: 'samplingTools',
  roots: undefined,
};
const carries = (revision, kind) => SINCE[kind] === undefined || has(revision, SINCE[kind]);

// What clients of `revision` declare: all that it has.
export function clientCapabilities(revision) {
  const capabilities = { roots: isModern(revision) ? {} : { listChanged: true }, sampling: {} };
  if (has(revision, 'elicitation')) capabilities.elicitation = {};
  if (has(revision, 'elicitationUrl')) capabilities.elicitation = { form: {}, url: {} };
  if (has(revision, 'samplingTools')) capabilities.sampling = { tools: {} };
  return capabilities;
}

// A client refuses what its revision does not have, whoever lets it through.
export function refuses(revision, { method, params = {} }) {
  const kind = method.startsWith('sampling')
    ? params.tools
      ? 'sampling_tools'
      : 'sampling'
    : params.mode === 'url'
      ? 'url'
      : 'form';
  return method !== 'roots/list' && !carries(revision, kind);
}

const USE = { type: 'tool_use', id: 'use-1', name: 'weather', input: { place: 'here' } };

// Answers that show which question they answer.
export const HANDLERS = {
  'elicitation/create': (params) =>
    params.mode === 'url'
      ? { action: 'accept' }
      : { action: 'accept', content: { answer: `re ${params.message}`, sure: true } },
  'sampling/createMessage': ({ messages, tools }) => {
    const said = messages[0].content.text ?? messages[0].content[0]?.text;
    const base = { role: 'assistant', model: 'kit' };
    if (tools) return { ...base, stopReason: 'toolUse', content: [{ ...USE, input: { said } }] };
    return { ...base, stopReason: 'endTurn', content: { type: 'text', text: `re ${said}` } };
  },
  'roots/list': () => ({ roots: [{ uri: 'file:///kit/root', name: 'root' }] }),
};

const EXPECTED = {
  form: (nonce) => ({ action: 'accept', content: { answer: `re ${nonce}`, sure: true } }),
  url: () => ({ action: 'accept' }),
  sampling: (nonce) => ({
    role: 'assistant',
    model: 'kit',
    stopReason: 'endTurn',
    content: { type: 'text', text: `re ${nonce}` },
  }),
  sampling_tools: (nonce) => ({
    role: 'assistant',
    model: 'kit',
    stopReason: 'toolUse',
    content: [{ ...USE, input: { said: nonce } }],
  }),
  roots: () => ({ roots: [{ uri: 'file:///kit/root', name: 'root' }] }),
};

const isOf = (kind, nonce) => (each) =>
  each.method === question(kind, nonce, '2025-11-25').method &&
  (kind === 'roots' || JSON.stringify(each.params).includes(nonce));

// The question as the client saw it.
function checkAsked({ c }, kind, nonce, { params }) {
  if (kind === 'form') {
    assert.equal(params.message.endsWith(nonce), true, params.message);
    assert.deepEqual(Object.keys(params.requestedSchema.properties), ['answer', 'sure']);
    if (!has(c, 'elicitationUrl')) assert.equal(params.mode, undefined, 'mode');
  }
  if (kind === 'url') {
    assert.equal(params.url, `https://example.com/visit?nonce=${nonce}`);
    assert.equal(params.elicitationId !== undefined, !isModern(c), 'elicitationId');
  }
  if (kind.startsWith('sampling')) assert.equal(params.maxTokens, 7);
  if (kind === 'sampling_tools') assert.equal(params.tools[0].name, 'weather');
}

// An upstream asks although nobody declared it: the client must not see the question.
async function refused(cell, kind) {
  const { c, s, client, up } = cell;
  const asked = client.asked.length;
  const nonce = cell.nonce();
  const args = { kind, nonce, rude: true };
  const reply = await client.call('tools/call', { name: cell.tool('asks'), arguments: args });
  const { text } = reply.result?.content[0] ?? {};
  if (isModern(s)) {
    const cancelled = text?.includes('"action":"cancel"');
    assert.ok(reply.error || reply.result.isError || cancelled, `a result: ${text}`);
  } else {
    const answer =
      await up.answers.wait('an answer to the rude question', (each) => each.nonce === nonce);
    assert.ok(answer.error || answer.result.action === 'cancel', JSON.stringify(answer));
    // What the tool makes of it arrives.
    assert.ok(reply.error || text, JSON.stringify(reply.error));
  }
  if (!cell.direct) assert.deepEqual(client.asked.entries.slice(asked), [], 'the client was asked');
  const polite = { kind, nonce: cell.nonce() };
  const { result, error } =
    await client.call('tools/call', { name: cell.tool('asks'), arguments: polite });
  if (isModern(s) && isModern(c)) assert.equal(error?.code, -32021);
  else assert.ok(result?.isError || error, 'the refusal of a polite server');
  if (!isModern(c) && error) assert.ok(error.code > -32020 || error.code < -32022, `${error.code}`);
  return 'refused';
}

const asking = (kind) => async (cell) => {
  const { c, s, client, up } = cell;
  if (!carries(c, kind) || !carries(s, kind)) return refused(cell, kind);
  for (let round = 0; round < 2; round += 1) {
    const nonce = cell.nonce();
    const asked = client.asked.length;
    const reply =
      await client.call('tools/call', { name: cell.tool('asks'), arguments: { kind, nonce } });
    const text = good(reply).content[0].text;
    assert.ok(!reply.result.isError, text);
    const told = JSON.parse(text);
    assert.equal(told.nonce, nonce);
    assert.deepEqual(told.answer, EXPECTED[kind](nonce));
    checkAsked(cell, kind, nonce, await client.asked.wait('the question', isOf(kind, nonce), {
      from: asked
    }));
    assert.equal(client.asked.length, asked + 1, 'asked once');
    const { result } = await up.answers.wait('the answer', (each) => each.nonce === nonce);
    assert.deepEqual(result, EXPECTED[kind](nonce));
  }
  if (kind === 'form' && has(s, 'elicitationUrl')) await newerForms(cell);
  await declines(cell, kind);
  await leaves(cell, kind);
  return 'works';
};

// What forms have since 2025-11-25, for this client and for one of 2025-06-18.
async function newerForms(cell) {
  const { c, client, up } = cell;
  const own = client.handlers;
  const ask = async (kind, content) => {
    const nonce = cell.nonce();
    const asked = client.asked.length;
    client.handlers = { ...own, 'elicitation/create': () => ({ action: 'accept', content }) };
    try {
      const args = { kind, nonce };
      good(await client.call('tools/call', { name: cell.tool('asks'), arguments: args }));
    } finally {
      client.handlers = own;
    }
    const { result } = await up.answers.wait('the answer', (each) => each.nonce === nonce);
    const seen = client.asked.entries.slice(asked).map(({ params }) => params.requestedSchema);
    return { result, seen };
  };
  const reduced = {
    type: 'object',
    properties: {
      colour: { type: 'string', title: 'Colour', enum: ['r', 'g'], enumNames: ['Red', 'Green'] },
      name: { type: 'string' },
      sure: { type: 'boolean', default: true },
    },
  };
  const full = has(c, 'elicitationUrl');
  const chosen = { colour: 'g', name: 'Eve', sure: false };
  const choices = await ask('choices', chosen);
  assert.deepEqual(choices.seen, [full ? CHOICES : reduced], 'the form as the client saw it');
  assert.deepEqual(choices.result, { action: 'accept', content: chosen });
  const several = await ask('several', { colours: ['r', 'g'] });
  assert.deepEqual(several.seen, full ? [SEVERAL] : [], 'several choices at once');
  const answer = full ? { action: 'accept', content: { colours: ['r', 'g'] } } : { action: 'cancel' };
  assert.deepEqual(several.result, answer);
}

// The client says no: the upstream hears it, and nothing hangs.
async function declines(cell, kind) {
  const { client, up } = cell;
  const { method } = question(kind, '', cell.s);
  const own = client.handlers;
  const nonce = cell.nonce();
  const call = () =>
    client.call('tools/call', { name: cell.tool('asks'), arguments: { kind, nonce } });
  if (method === 'elicitation/create') {
    client.handlers = { ...own, [method]: () => ({ action: 'decline' }) };
    try {
      good(await call());
    } finally {
      client.handlers = own;
    }
    const { result } = await up.answers.wait('the refusal', (each) => each.nonce === nonce);
    assert.equal(result.action, 'decline');
    return;
  }
  // A modern client cannot refuse: it does not come back.
  if (client.modern) return;
  const rejected = Object.assign(new Error('the user said no'), { code: -1 });
  client.handlers = { ...own, [method]: () => Promise.reject(rejected) };
  try {
    const { result, error } = await call();
    assert.ok(error || result.isError, 'a refusal is no result');
  } finally {
    client.handlers = own;
  }
  if (isModern(cell.s)) return;
  const { error } = await up.answers.wait('the refusal', (each) => each.nonce === nonce);
  assert.equal(error?.code, -1, "the client's own error");
}

// A legacy client cancels the call instead of answering: a legacy server must not wait any longer.
async function leaves(cell, kind) {
  const { client, up } = cell;
  if (client.modern || isModern(cell.s)) return;
  const { method } = question(kind, '', cell.s);
  const own = client.handlers;
  const nonce = cell.nonce();
  let reached;
  const asked = new Promise((resolve) => {
    reached = resolve;
  });
  const never = () => {
    reached();
    return new Promise(() => {});
  };
  client.handlers = { ...own, [method]: never };
  try {
    const params = { name: cell.tool('asks'), arguments: { kind, nonce } };
    const call = client.begin('tools/call', params);
    await within(asked, 'the question');
    await call.cancel();
    const { error, result } =
      await up.answers.wait('the end of the question', (each) => each.nonce === nonce);
    assert.ok(error || result.action === 'cancel', JSON.stringify(result));
  } finally {
    client.handlers = own;
  }
}

// 2025-11-25 servers may refuse a call until a URL was visited (-32042).
async function urlRequired(cell) {
  const { c, client, up } = cell;
  const nonce = cell.nonce();
  const params = { name: cell.tool('needs_url'), arguments: { nonce } };
  if (isModern(c)) {
    const own = client.handlers;
    const visit = (asked) => {
      up.visited.add(nonce);
      return own['elicitation/create'](asked);
    };
    client.handlers = { ...own, 'elicitation/create': visit };
    try {
      const reply = await client.call('tools/call', params);
      assert.equal(good(reply).content[0].text, `visited ${nonce}`);
      assert.ok(reply.rounds >= 1, 'asked');
    } finally {
      client.handlers = own;
    }
    return;
  }
  const { error, result } = await client.request('tools/call', params);
  if (error) {
    assert.equal(error.code, -32042);
    assert.match(error.data.elicitations[0].url, new RegExp(nonce));
  } else assert.match(good({ result }).content[0].text, new RegExp(nonce));
}

async function url(cell) {
  const outcome = await asking('url')(cell);
  if (outcome === 'works' && cell.s === '2025-11-25') await urlRequired(cell);
  return outcome;
}

export const QUESTIONS = [
  { id: 'elicitation_form', title: 'elicitation, form', run: asking('form') },
  { id: 'elicitation_url', title: 'elicitation, URL', run: url },
  { id: 'sampling', run: asking('sampling') },
  { id: 'sampling_tools', title: 'sampling with tools', run: asking('sampling_tools') },
  { id: 'roots', run: asking('roots') },
];
