// Programs in their sandboxes: what tries to get out does not, whether the gateway is root or not;
// the gateway and its other servers do not notice; the reference servers work in `default` and
// `strict`. A server without a sandbox shows that the attempts are real.
import assert from 'node:assert/strict';
import { chownSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE, ROOT, gatewayBinary } from '../lib/paths.mjs';
import { Child, run } from '../lib/process.mjs';
import {
  EVERYTHING, FILESYSTEM, MEMORY, modernRequest, startGateway, waitForTools,
} from '../lib/servers.mjs';

const ESCAPE = join(ROOT, 'tests/fixtures/escape_server.py');
const PYTHON = '/usr/bin/python3';
const MARKER = 'a-variable-of-the-gateway-only';
const NOBODY = 65534;
const PROCESSES = 200;
const bwrap = existsSync('/usr/bin/bwrap');
const skip = !existsSync(PYTHON) ? 'no python3' : !bwrap ? 'no bubblewrap' : false;

// What must succeed where nothing confines, as the same user: that the attempts are no fake.
const REAL = ['write outside', 'symlink out', 'loopback of the machine', '4 GiB'];
// Only root sees into a process that is not dumpable.
const REAL_AS_ROOT = ['see the gateway', 'environment of the parent', 'shadow'];
const NOT_AN_ESCAPE = ['proxy to the allowed place', 'plain request to the allowed place', 'daemon'];

const callTool = (gateway, name, args) =>
  modernRequest(gateway.mcpUrl, 'tools/call', { name, arguments: args });
const textOf = (message) => message.result?.content?.[0]?.text ?? JSON.stringify(message);

async function startWeb() {
  const server = createServer((_, response) => response.end('inside'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

// A gateway of another user: root starts it as nobody.
async function startAs(uid, config, directory) {
  const file = join(directory, 'config.json');
  const data = join(directory, 'data');
  mkdirSync(data, { mode: 0o700 });
  writeFileSync(file, JSON.stringify({ version: 1, ...config }));
  for (const path of [file, data]) chownSync(path, uid, uid);
  const binary = gatewayBinary();
  const child = new Child('setpriv', [
    `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', binary, 'serve', '--listen',
    '127.0.0.1:0', '--config', file, '--data-dir', data,
  ], { env: { MARKER, HOME: directory } });
  const mcpUrl = await child.line((line) => line.match(/^ready .*mcp=(\S+)/)?.[1]);
  const pid = await child.line((line) => line.match(/^ready .*pid=(\d+)/)?.[1]);
  return { mcpUrl, pid: Number(pid), child, stop: () => child.stop(15000) };
}

function suite(title, uid) {
  const reason = skip || (uid !== process.getuid() && process.getuid() !== 0 && 'only root can be others');
  describe(title, { skip: reason }, () => {
    const world = {};
    const escape = (sandbox) => ({ command: PYTHON, args: [ESCAPE], sandbox });

    before(async () => {
      world.directory = await mkdtemp(join(tmpdir(), 'metamcp-sandbox-'));
      world.web = await startWeb();
      world.elsewhere = await startWeb();
      const home = join(world.directory, 'home');
      world.outside = join(world.directory, 'outside');
      mkdirSync(join(home, '.ssh'), { recursive: true });
      mkdirSync(world.outside);
      writeFileSync(join(home, '.ssh/id_ed25519'), 'a key');
      writeFileSync(join(world.outside, 'file'), 'a file');
      for (const name of ['none', 'default', 'strict', 'listed']) {
        mkdirSync(join(world.directory, name));
      }
      const { code } = await run('chown', ['-R', `${uid}:${uid}`, world.directory]);
      assert.equal(code, 0);
      const profile = (name, more = {}) => ({
        profile: name, write: [join(world.directory, name === 'strict' && more.network ? 'listed' : name)],
        memoryBytes: 1 << 30, processes: PROCESSES, ...more,
      });
      const config = {
        mcpServers: {
          none: escape('none'), default: escape(profile('default')), strict: escape(profile('strict')),
          listed: escape(profile('strict', { network: [`127.0.0.1:${world.web.address().port}`] })),
          other: { command: NODE, args: [EVERYTHING, 'stdio'] },
        },
      };
      world.home = home;
      world.gateway = uid === process.getuid()
        ? await startGateway(config, { env: { MARKER } })
        : await startAs(uid, config, world.directory);
      await waitForTools(world.gateway.mcpUrl, [
        'none__attempt', 'default__attempt', 'strict__attempt', 'listed__attempt', 'other__echo',
      ]);
    });
    after(async () => {
      world.web?.close();
      world.elsewhere?.close();
      await world.gateway?.stop();
      await rm(world.directory, { recursive: true, force: true });
    });

    const options = (profile) => ({
      home: world.home, gateway: world.gateway.pid, marker: MARKER, processes: PROCESSES,
      writable: join(world.directory, profile), outside: join(world.outside, 'file'),
      outside_folder: world.outside, port: world.web.address().port, other: world.elsewhere.address().port,
    });
    async function attempt(profile, name) {
      const message = await callTool(world.gateway, `${profile}__attempt`, {
        name, options: options(profile),
      });
      const text = textOf(message);
      // A server that the attempt ended has not escaped.
      return text.startsWith('{"escaped"') ? JSON.parse(text) : { escaped: false, detail: text };
    }

    test('without a sandbox the attempts succeed', async () => {
      for (const name of uid === 0 ? [...REAL, ...REAL_AS_ROOT] : REAL) {
        const { escaped, detail } = await attempt('none', name);
        assert.ok(escaped, `${name}: ${detail}`);
      }
      await rm(join(world.outside, 'escaped'), { force: true });
    });

    for (const profile of ['default', 'strict', 'listed']) {
      test(`nothing gets out of ${profile} (NFR-004)`, async (t) => {
        const names = JSON.parse(textOf(await callTool(world.gateway, 'none__names', {})));
        for (const name of names.filter((one) => !NOT_AN_ESCAPE.includes(one))) {
          await t.test(name, async () => {
            const { escaped, detail } = await attempt(profile, name);
            assert.ok(!escaped, detail);
            assert.doesNotMatch(detail, /KeyError|NameError|TypeError/);
          });
        }
        const echo = await callTool(world.gateway, 'other__echo', { message: 'here' });
        assert.match(textOf(echo), /here/);
      });
    }

    test('the allow-list lets through what it names', async () => {
      for (const way of ['proxy to the allowed place', 'plain request to the allowed place']) {
        const { escaped, detail } = await attempt('listed', way);
        assert.ok(escaped, `${way}: ${detail}`);
        assert.equal((await attempt('strict', way)).escaped, false, way);
      }
    });

    test('a line of 1 GiB ends the server alone', async () => {
      const flood = await callTool(world.gateway, 'strict__flood', {});
      assert.doesNotMatch(textOf(flood), /flooded/);
      assert.match(textOf(await callTool(world.gateway, 'other__echo', { message: 'x' })), /x/);
      await waitForTools(world.gateway.mcpUrl, ['strict__ping']);
    });

    test('a daemon does not survive its server', async () => {
      const file = join(world.directory, 'default', 'heartbeat');
      const { detail } = await attempt('default', 'daemon');
      for (let i = 0; i < 100 && !existsSync(file); ++i) await sleep(50);
      assert.ok(existsSync(file), detail);
      await world.gateway.stop();
      await sleep(300);
      const last = readFileSync(file, 'utf8');
      await sleep(500);
      assert.equal(readFileSync(file, 'utf8'), last, 'it still writes');
      // No group of this gateway is left.
      for (const site of ['memory', 'pids']) {
        const folder = `/sys/fs/cgroup/${site}`;
        const left = existsSync(folder) ? readdirOf(folder, `meta-mcp-${world.gateway.pid}-`) : [];
        assert.deepEqual(left, []);
      }
    });
  });
}

const readdirOf = (folder, prefix) => readdirSync(folder).filter((name) => name.startsWith(prefix));

suite('as the same user', process.getuid());
suite('as nobody', NOBODY);

describe('reference servers', { skip }, () => {
  for (const profile of ['default', 'strict']) {
    test(`everything, filesystem and memory work in ${profile} (NFR-004)`, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'metamcp-sandbox-'));
      await writeFile(join(directory, 'hello.txt'), 'hello from a file\n');
      const gateway = await startGateway({
        sandbox: { profile },
        mcpServers: {
          everything: { command: NODE, args: [EVERYTHING, 'stdio'] },
          filesystem: { command: NODE, args: [FILESYSTEM, directory], sandbox: { write: [directory] } },
          memory: {
            command: NODE, args: [MEMORY], env: { MEMORY_FILE_PATH: join(directory, 'memory.jsonl') },
            sandbox: { write: [directory] },
          },
        },
      });
      try {
        await waitForTools(gateway.mcpUrl, [
          'everything__echo', 'filesystem__read_text_file', 'memory__create_entities',
        ]);
        const call = async (name, args) => textOf(await callTool(gateway, name, args));
        assert.match(await call('everything__echo', { message: 'there' }), /there/);
        const path = join(directory, 'hello.txt');
        assert.match(await call('filesystem__read_text_file', { path }), /hello from a file/);
        const made = join(directory, 'made.txt');
        await call('filesystem__write_file', { path: made, content: 'by the server' });
        assert.equal(readFileSync(made, 'utf8'), 'by the server');
        const entities = [{ name: 'Ada', entityType: 'person', observations: ['counts'] }];
        assert.match(await call('memory__create_entities', { entities }), /Ada/);
        assert.match(readFileSync(join(directory, 'memory.jsonl'), 'utf8'), /Ada/);
      } finally {
        await gateway.stop();
        await rm(directory, { recursive: true, force: true });
      }
    });
  }

  // Set up by scripts/setup --for check.
  const git = join(ROOT, '.cache/real/mcp-server-git/bin/mcp-server-git');
  const fetcher = join(ROOT, '.cache/real/mcp-server-fetch/bin/mcp-server-fetch');
  const missing = !existsSync(git) || !existsSync(fetcher);
  test('git and fetch, in trees of their own, work in default and strict (NFR-004)', {
    skip: missing && 'not set up here',
  }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'metamcp-sandbox-'));
    const repository = join(directory, 'repository');
    await run('git', ['init', '-q', repository]);
    await writeFile(join(repository, 'new.txt'), 'new\n');
    const web = await startWeb();
    const network = [`127.0.0.1:${web.address().port}`];
    const write = [repository];
    const gateway = await startGateway({
      mcpServers: {
        'git-default': { command: git, sandbox: { profile: 'default', write } },
        'git-strict': { command: git, sandbox: { profile: 'strict', write } },
        'fetch-default': { command: fetcher, args: ['--ignore-robots-txt', '--allow-private-ips'], sandbox: { profile: 'default', network } },
        'fetch-strict': { command: fetcher, args: ['--ignore-robots-txt', '--allow-private-ips'], sandbox: 'strict' },
      },
    });
    try {
      const servers = ['git-default', 'git-strict'];
      await waitForTools(gateway.mcpUrl, [
        ...servers.map((name) => `${name}__git_status`), 'fetch-default__fetch', 'fetch-strict__fetch',
      ], { timeoutMs: 60000 });
      const call = async (name, args) => textOf(await callTool(gateway, name, args));
      for (const name of servers) {
        assert.match(await call(`${name}__git_status`, { repo_path: repository }), /new\.txt/);
        await call(`${name}__git_add`, { repo_path: repository, files: ['new.txt'] });
      }
      const url = `http://127.0.0.1:${web.address().port}/`;
      // Without raw it would install a package by npm when it is first called.
      assert.match(await call('fetch-default__fetch', { url, raw: true }), /inside/);
      assert.doesNotMatch(await call('fetch-strict__fetch', { url, raw: true }), /inside/);
    } finally {
      web.close();
      await gateway.stop();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
