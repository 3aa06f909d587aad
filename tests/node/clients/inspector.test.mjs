// The Inspector's command line client, unmodified, through both fronts.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { NODE, packageFile } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { BACKS, MAIN_FRONTS, named, possible, startWorld } from '../lib/world.mjs';

const INSPECTOR = packageFile('@modelcontextprotocol/inspector', 'clients/launcher/build/index.js');

for (const back of BACKS) {
  describe(`Inspector, upstream over ${back.name} (${back.req})`, () => {
    let world;
    let home;
    before(async () => {
      home = await mkdtemp(join(tmpdir(), 'metamcp-inspector-'));
      world = await startWorld(back, 'legacy');
    });
    after(async () => {
      await world?.stop();
      await rm(home, { recursive: true, force: true });
    });

    const inspect = async (front, ...options) => {
      const endpoint = world.endpoints[front.name];
      const target = endpoint.url
        ? [endpoint.url, '--transport', 'http']
        : [endpoint.command, ...endpoint.args];
      // What follows `--` is the server's own command line; options of the Inspector come first.
      const args = endpoint.url
        ? [INSPECTOR, '--cli', ...target, ...options]
        : [INSPECTOR, '--cli', ...options, '--', ...target];
      const { code, stdout, stderr } = await run(NODE, args, {
        env: { HOME: home },
        cwd: home,
        timeoutMs: 60000,
      });
      assert.equal(code, 0, `${stdout}\n${stderr}`);
      return JSON.parse(stdout);
    };

    for (const front of MAIN_FRONTS.filter((each) => possible(each, back))) {
      test(`lists tools through ${front.name} (M-AC-5.1.2 ${front.req})`, async () => {
        const { tools } = await inspect(front, '--method', 'tools/list');
        assert.ok(tools.some((tool) => tool.name === named('test_structured_output')));
      });
      test(`calls a tool through ${front.name} (M-AC-5.1.2 ${front.req})`, async () => {
        const call = ['--method', 'tools/call', '--tool-name', named('test_structured_output')];
        const result = await inspect(front, ...call, '--tool-arg', 'a=20', 'b=22');
        assert.deepEqual(result.structuredContent, { sum: 42 });
      });
      test(`reads a resource through ${front.name} (M-FR-001.3 ${front.req})`, async () => {
        const { contents } = await inspect(
          front,
          '--method',
          'resources/read',
          '--uri',
          'test://static-text',
        );
        assert.match(contents[0].text, /static text resource/);
      });
    }
  });
}
