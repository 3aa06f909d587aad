// The tools of the reference server that ask their client, used by unmodified clients of each SDK:
// above all a modern client, whose revision has no requests from servers, with this legacy server,
// which knows nothing else; over each transport.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { NODE } from '../lib/paths.mjs';
import { SDKS } from '../lib/sdk.mjs';
import { EVERYTHING, startEverythingHttp, startGateway, waitForTools } from '../lib/servers.mjs';
import { MAIN_FRONTS, direct } from '../lib/world.mjs';

const BACKS = ['stdio', 'sse', 'http'];
const textOf = (result) => result.content.map((block) => block.text ?? '').join('\n');
const stops = [];
let gateway;

before(async () => {
  if (direct) return;
  const sse = await startEverythingHttp('sse');
  stops.push(sse.stop);
  const http = await startEverythingHttp();
  stops.push(http.stop);
  gateway = await startGateway({
    mcpServers: {
      stdio: { command: NODE, args: [EVERYTHING, 'stdio'] },
      sse: { type: 'sse', url: sse.url },
      http: { type: 'http', url: http.url },
    },
  });
  stops.push(gateway.stop);
  await waitForTools(gateway.mcpUrl, BACKS.map((back) => `${back}__trigger-sampling-request`));
});

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

function endpoint(front) {
  if (front.name === '/mcp') return { url: gateway.mcpUrl };
  return { command: gateway.binary, args: ['stdio', '--url', gateway.mcpUrl] };
}

// What the form of the reference server asks for, as far as it insists.
function fill({ requestedSchema }) {
  const { properties, required = [] } = requestedSchema;
  const value = ({ type, enum: choices }) =>
    choices?.[0] ?? { string: 'my text', boolean: true, integer: 1, number: 1 }[type];
  return Object.fromEntries(required.map((name) => [name, value(properties[name])]));
}

async function using(sdk, front, handlers, act) {
  const session = await sdk.connect(endpoint(front), handlers);
  try {
    return await act((name, args = {}) => session.callTool({ name, arguments: args }));
  } finally {
    await session.close();
  }
}

function questions(sdk, front, back) {
  test(`${back}: sampling (P1-Proto-1)`, () => {
    const asked = [];
    const handler = ({ messages }) => {
      asked.push(messages[0].content.text);
      const content = { type: 'text', text: `echo of ${messages[0].content.text}` };
      return { role: 'assistant', content, model: 'test-model', stopReason: 'endTurn' };
    };
    return using(sdk, front, { 'sampling/createMessage' : handler }, async (call) => {
      const result =
        await call(`${back}__trigger-sampling-request`, { prompt: 'grüße', maxTokens: 9 });
      assert.match(textOf(result), /echo of .*grüße/);
      assert.equal(asked.length, 1);
    });
  });
  test(`${back}: elicitation, accepted and declined (P1-Proto-1)`, () => {
    let action = 'accept';
    const handler = (params) =>
      action === 'accept' ? { action, content: fill(params) } : { action };
    return using(sdk, front, { 'elicitation/create': handler }, async (call) => {
      const accepted = textOf(await call(`${back}__trigger-elicitation-request`));
      assert.match(accepted, /my text|provided/i);
      action = 'decline';
      assert.match(textOf(await call(`${back}__trigger-elicitation-request`)), /declined/i);
    });
  });
  test(`${back}: roots (P1-Proto-1)`, () => {
    const roots = [{ uri: 'file:///home/tester/project', name: 'project' }];
    return using(sdk, front, { 'roots/list' : () => ({ roots }) }, async (call) => {
      assert.match(
        textOf(await call(`${back}__get-roots-list`)), /file:\/\/\/home\/tester\/project/);
    });
  });
}

for (const sdk of SDKS) {
  for (const front of MAIN_FRONTS) {
    if (direct) continue;
    describe(`${sdk.name} through ${front.name} (${front.req})`, { timeout: 120000 }, () => {
      for (const back of BACKS) questions(sdk, front, back);
    });
  }
}
