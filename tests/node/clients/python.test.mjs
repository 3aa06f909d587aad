// The official Python client through the gateway. python/client_check.py does the work and prints
// one line per check; here each line becomes a test.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { NODE_TESTS, PYTHON } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { BACKS, ERAS, FRONTS, direct, possible, prefix, startWorld } from '../lib/world.mjs';

const SCRIPT = join(NODE_TESTS, 'python', 'client_check.py');
const CHECKS_MIN = 9;

async function checks(endpoint, mode) {
  const target = endpoint.url
    ? ['--url', endpoint.url]
    : endpoint.sse
      ? ['--sse', endpoint.sse]
      : ['--', endpoint.command, ...endpoint.args];
  const args = [SCRIPT, '--mode', mode, ...(prefix ? ['--prefix', prefix] : []), ...target];
  const { code, stdout, stderr } = await run(PYTHON, args, { timeoutMs: 240000 });
  assert.equal(code, 0, stderr);
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}

// The client finds out the era by itself, or is held to the legacy one, which needs the bridge.
const modes = (era, front) => {
  if (era === 'legacy') return ['legacy'];
  return direct || front.name !== '/mcp' ? ['auto'] : ['auto', 'legacy'];
};

describe('Python SDK', () => {
  test('is installed (scripts/setup puts it into .cache/venv)', () =>
    assert.ok(existsSync(PYTHON), PYTHON));
  for (const era of ERAS) {
    for (const back of BACKS) {
      test(`${era} upstream over ${back.name} (${back.req})`, { timeout: 600000 }, async (t) => {
        const world = await startWorld(back, era);
        try {
          // This SDK has no WebSocket.
          const fronts = FRONTS.filter((each) => possible(each, back) && each.name !== '/ws');
          for (const front of fronts) {
            for (const mode of modes(era, front)) {
              const lines = await checks(world.endpoints[front.name], mode);
              for (const { name, req, error } of lines) {
                await t.test(`${mode} ${front.name}: ${name} (${req} ${front.req})`, () => {
                  if (error) throw new Error(error.slice(-1500));
                });
              }
              assert.ok(lines.length >= CHECKS_MIN, `only ${lines.length} checks ran`);
            }
          }
        } finally {
          await world.stop();
        }
      });
    }
  }
});
