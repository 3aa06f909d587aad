// What we send to models, checked by the types of the vendors' own SDKs: each API is asked in turn, and
// the bodies are compiled as arguments of the SDKs' methods.
import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { join } from 'node:path';
import { NODE, NODE_TESTS } from '../lib/paths.mjs';
import { startModelServer } from '../lib/model_server.mjs';
import { run } from '../lib/process.mjs';
import { EVERYTHING, startGateway, waitForTools } from '../lib/servers.mjs';

const shape = process.env.METAMCP_SHAPE;
const TYPES = {
  responses: 'OpenAI.Responses.ResponseCreateParams',
  chat: 'OpenAI.Chat.Completions.ChatCompletionCreateParams',
  anthropic: 'Anthropic.Messages.MessageCreateParams',
};

test('requests to models have the types of the vendors’ SDKs (M-FR-005.1, P2-LLM-2)', {
  skip: shape === 'processes' && 'neither workflows nor the ai service run there',
}, async () => {
  // Every provider is busy, so that all are asked.
  const server = await startModelServer(() => ({ status: 503 }));
  const providers = {
    responses: { api: 'responses', url: server.url, model: 'm', key: 'k' },
    chat: { api: 'chat', url: server.url, model: 'm', key: 'k' },
    anthropic: { api: 'anthropic', url: server.base, model: 'm', key: 'k' },
  };
  const gateway = await startGateway({
    mcpServers: { everything: { command: NODE, args: [EVERYTHING, 'stdio'] } },
    ai: { providers },
  });
  const folder = await mkdtemp(join(NODE_TESTS, 'types-'));
  try {
    await waitForTools(gateway.mcpUrl, ['everything__get-sum']);
    const post = (path, body) =>
      fetch(`${gateway.adminUrl}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    await post('/suggestions', { task: 'add 1 and 2' });
    const image = { kind: 'image', mime: 'image/png', data: 'QUJD' };
    const sound = { kind: 'audio', mime: 'audio/wav', data: 'QUJD' };
    await post('/ai/fill', { prompt: 'what is it?', parts: [image] });
    await post('/ai/fill', { prompt: 'what is it?', parts: [sound] });
    assert.deepEqual(
      [...new Set(server.requests.map((request) => request.api))].sort(),
      Object.keys(TYPES).sort(),
    );
    const source = [
      "import type OpenAI from 'openai';",
      "import type Anthropic from '@anthropic-ai/sdk';",
      ...server.requests.map(
        ({ api, body }, i) => `export const body${i}: ${TYPES[api]} = ${JSON.stringify(body)};`,
      ),
    ].join('\n');
    await writeFile(join(folder, 'bodies.ts'), source);
    await symlink(join(NODE_TESTS, 'node_modules'), join(folder, 'node_modules'));
    const compiler = join(NODE_TESTS, 'node_modules/typescript/bin/tsc');
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext'];
    const { code, stdout } = await run(NODE, [compiler, ...options, '--target', 'es2022', 'bodies.ts'], {
      cwd: folder,
    });
    assert.equal(code, 0, stdout);
  } finally {
    await gateway.stop();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
