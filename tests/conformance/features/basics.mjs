// Lists, calls, structured output, resources, templates, prompts and completion, with the
// downgrades of content that older clients need.
import assert from 'node:assert/strict';
import { has, isModern } from '../lib/revisions.mjs';
import { contentsOf, uriOf } from '../upstream/items.mjs';
import { NO_METHOD } from '../upstream/server.mjs';

const good = ({ result, error, lost }) => {
  assert.ok(result, `no result: ${JSON.stringify(error ?? lost)}`);
  return result;
};

// What only modern results have must not reach a legacy client, and the other way round.
function checkShape({ c }, result) {
  assert.equal(result.resultType, isModern(c) ? 'complete' : undefined, 'resultType');
  if (!isModern(c)) {
    assert.equal(result.ttlMs, undefined, 'ttlMs');
    assert.equal(result.cacheScope, undefined, 'cacheScope');
  }
}

export async function listAll(cell, method, key) {
  const items = [];
  let cursor;
  do {
    const result = good(await cell.client.request(method, cursor === undefined ? {} : { cursor }));
    checkShape(cell, result);
    items.push(...result[key]);
    cursor = result.nextCursor;
  } while (cursor !== undefined);
  return items;
}

async function list(cell) {
  const { c, s, up } = cell;
  const tools = await listAll(cell, 'tools/list', 'tools');
  const names = tools.map((tool) => tool.name);
  for (const name of ['echo', 'fails', 'asks', 'sum'])
    assert.ok(names.includes(cell.tool(name)), name);
  assert.equal(new Set(names).size, names.length, 'names are unique');
  const echo = tools.find((tool) => tool.name === cell.tool('echo'));
  assert.deepEqual(echo.inputSchema.required, ['text']);
  assert.deepEqual(echo.inputSchema.$defs, { any: {} }, 'schemas arrive as they were written');
  if (has(s, 'annotations') && has(c, 'annotations'))
    assert.deepEqual(echo.annotations, { readOnlyHint: true });
  if (has(s, 'titles') && has(c, 'titles')) assert.equal(echo.title, 'Echo');
  const sum = tools.find((tool) => tool.name === cell.tool('sum'));
  const structured = has(s, 'structured') && has(c, 'structured');
  assert.equal(sum.outputSchema !== undefined, structured, 'outputSchema');
  const resources = await listAll(cell, 'resources/list', 'resources');
  assert.ok(resources.some(({ uri }) => uri === uriOf(up, 'text')), 'resource');
  const templates = await listAll(cell, 'resources/templates/list', 'resourceTemplates');
  assert.ok(
    templates.some(({ uriTemplate }) => uriTemplate === uriOf(up, 'item/{id}')), 'template');
  const prompts = await listAll(cell, 'prompts/list', 'prompts');
  const greets = prompts.find(({ name }) => name === cell.prompt('greets'));
  assert.deepEqual(greets?.arguments, [{ name: 'who', required: true }]);
  const bad = await cell.client.request('tools/list', { cursor: 'not a cursor' });
  assert.equal(bad.error?.code, -32602, 'a bad cursor');
  return 'works';
}

// The blocks of `contents` as a client of revision `c` may see them.
function checkContents({ c, up }, blocks) {
  const sent = contentsOf(up);
  assert.equal(blocks.length, sent.length, 'blocks');
  sent.forEach((block, i) => {
    const got = blocks[i];
    if (block.type === 'audio' && !has(c, 'audio')) {
      if (got.type === 'resource') assert.equal(got.resource.blob, block.data);
      else assert.equal(got.type, 'text', 'audio for 2024-11-05');
    } else if (block.type === 'resource_link' && !has(c, 'resourceLink')) {
      if (got.type === 'resource') assert.equal(got.resource.uri, block.uri);
      else assert.ok(got.type === 'text' && got.text.includes(block.uri), JSON.stringify(got));
    } else assert.deepEqual(got, block);
  });
  const lost = sent.some(
    ({ type }) => (type === 'audio' && !has(c, 'audio')) ||
      (type === 'resource_link' && !has(c, 'resourceLink')),
  );
  return lost ? 'reduced' : 'works';
}

async function call(cell) {
  const text = `${cell.nonce()} ünï "quoted" \u2028 =?base64?`;
  const args = { text, nested: { list: [1, 2.5, null, true], deep: { er: '🜁' } } };
  const from = cell.up.received.length;
  const echoed = good(await cell.client.request(
    'tools/call', { name: cell.tool('echo'), arguments: args }, { said: text }));
  checkShape(cell, echoed);
  assert.deepEqual(JSON.parse(echoed.content[0].text), args);
  const { message } = await cell.up.received.wait(
    'the call arrives',
    (each) => each.message.params?.arguments?.text === text,
    { from },
  );
  assert.equal(message.params.name, 'echo');
  const failed = good(await cell.client.request('tools/call', { name: cell.tool('fails') }));
  assert.equal(failed.isError, true);
  const broken =
    await cell.client.request('tools/call', { name: cell.tool('breaks'), arguments: {} });
  assert.equal(broken.error?.code, -32099, 'an error of the tool');
  assert.deepEqual(broken.error.data, { why: 'asked to' });
  const unknown =
    await cell.client.request('tools/call', { name: cell.tool('nothing'), arguments: {} });
  assert.equal(unknown.error?.code, -32602, 'an unknown tool');
  const method = await cell.client.request(NO_METHOD, {});
  assert.equal(method.error?.code, -32601, 'an unknown method');
  if (isModern(cell.c) && cell.client.transport === 'http') assert.equal(method.status, 404);
  const mixed =
    good(await cell.client.request('tools/call', { name: cell.tool('contents'), arguments: {} }));
  return checkContents(cell, mixed.content);
}

async function structured(cell) {
  const { c, s } = cell;
  const params = { name: cell.tool('sum'), arguments: { a: 19, b: 23 } };
  const sum = good(await cell.client.request('tools/call', params));
  assert.deepEqual(JSON.parse(sum.content[0].text), { sum: 42 });
  if (!has(s, 'structured') || !has(c, 'structured')) {
    assert.equal(sum.structuredContent, undefined);
    return 'reduced';
  }
  assert.deepEqual(sum.structuredContent, { sum: 42 });
  if (!isModern(s)) return 'works';
  // Output that is no object, which only the newest revision has.
  const tools = await listAll(cell, 'tools/list', 'tools');
  const { outputSchema } = tools.find((tool) => tool.name === cell.tool('numbers'));
  const numbers =
    good(await cell.client.request('tools/call', { name: cell.tool('numbers'), arguments: {} }));
  if (isModern(c)) {
    assert.equal(outputSchema.type, 'array');
    assert.deepEqual(numbers.structuredContent, [1, 2, 3]);
    return 'works';
  }
  assert.equal(outputSchema.type, 'object');
  assert.equal(outputSchema.properties.result.type, 'array');
  assert.deepEqual(numbers.structuredContent, { result: [1, 2, 3] });
  return 'works';
}

async function resource(cell) {
  const { c, up } = cell;
  const read = async (path) => cell.client.request('resources/read', { uri: uriOf(up, path) });
  const text = good(await read('text'));
  checkShape(cell, text);
  const uri = uriOf(up, 'text');
  assert.deepEqual(text.contents, [{ uri, mimeType: 'text/plain', text: `text of ${up.name}` }]);
  assert.match(good(await read('blob')).contents[0].blob, /^iVBORw0KGgo/);
  for (const path of ['item/missing', 'nowhere']) {
    const { error } = await read(path);
    assert.equal(
      error?.code, isModern(c) ? -32602 : -32002, `reading ${path}: ${JSON.stringify(error)}`);
    assert.equal(error.data?.uri, uriOf(up, path), 'data.uri');
  }
  return 'works';
}

async function template(cell) {
  const uri = uriOf(cell.up, 'item/b7');
  const from = cell.up.received.length;
  const { contents } = good(await cell.client.request('resources/read', { uri }));
  assert.deepEqual(contents, [{ uri, mimeType: 'application/json', text: '{"id":"b7"}' }]);
  await cell.up.received.wait('the read', ({ message }) => message.params?.uri === uri, { from });
  return 'works';
}

async function prompt(cell) {
  const get = (name, args) => cell.client.request(
    'prompts/get', { name: cell.prompt(name), ...(args && { arguments: args }) });
  const greeting = good(await get('greets', { who: 'zwei ü' }));
  checkShape(cell, greeting);
  assert.deepEqual(
    greeting.messages, [{ role: 'user', content: { type: 'text', text: 'Hello zwei ü' } }]);
  const { error } = await get('nothing');
  assert.equal(error?.code, -32602, 'an unknown prompt');
  const { messages } = good(await get('shows'));
  return checkContents(cell, messages.map(({ content }) => content));
}

async function completion(cell) {
  const { c, s, up } = cell;
  const context = has(c, 'completionContext') ? { context: { arguments: { hint: 'h' } } } : {};
  const ref = { type: 'ref/prompt', name: cell.prompt('greets') };
  const argument = { name: 'who', value: 'amb' };
  const words = ['amber', 'ambition', 'amble'];
  const from = up.received.length;
  const done =
    good(await cell.client.request('completion/complete', { ref, argument, ...context }));
  checkShape(cell, done);
  const carried = has(c, 'completionContext') && has(s, 'completionContext');
  assert.deepEqual(done.completion.values.slice(0, 3), words);
  if (carried) assert.deepEqual(done.completion.values.slice(3), ['hint h']);
  const { message } =
    await up.received.wait('it', (each) => each.message.method === 'completion/complete', { from });
  assert.deepEqual(message.params.ref, { type: 'ref/prompt', name: 'greets' });
  const uri = { type: 'ref/resource', uri: uriOf(up, 'item/{id}') };
  const values = good(await cell.client.request(
    'completion/complete', { ref: uri, argument: { name: 'id', value: 'b' } }));
  assert.deepEqual(values.completion.values, ['blue']);
  return has(c, 'completionContext') && !carried ? 'reduced' : 'works';
}

export const BASICS = [
  { id: 'list', run: list },
  { id: 'call', run: call },
  { id: 'structured', title: 'structured output', run: structured },
  { id: 'resource', run: resource },
  { id: 'template', run: template },
  { id: 'prompt', run: prompt },
  { id: 'completion', run: completion },
];
export { good };
