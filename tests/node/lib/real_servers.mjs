// The real servers of real_servers.mjs: how each is started, and one safe call with what must be
// in its answer. All start offline and without credentials.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NODE, NODE_TESTS, ROOT } from './paths.mjs';

const REAL = join(NODE_TESTS, 'real');
const npmFile = (name, file) => join(REAL, 'node_modules', ...name.split('/'), file);

function npm(name, { bin, args = [], env, cwd, call }) {
  const manifest = JSON.parse(readFileSync(npmFile(name, 'package.json'), 'utf8'));
  const file =
    bin ?? (typeof manifest.bin === 'string' ? manifest.bin : Object.values(manifest.bin)[0]);
  const upstream = { command: NODE, args: [npmFile(name, file), ...args], env, cwd };
  return { registry: 'npm', name, version: manifest.version, upstream, call };
}

const pinned = Object.fromEntries(
  readFileSync(join(REAL, 'python.txt'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[0].split('==')),
);

function pypi(name, { args = [], env, call }) {
  const upstream = { command: join(ROOT, '.cache', 'real', name, 'bin', name), args, env };
  return { registry: 'PyPI', name, version: pinned[name], upstream, call };
}

// A small repository, a database folder and a text for the servers to look at.
export function prepare(directory) {
  const repository = join(directory, 'repository');
  mkdirSync(repository, { recursive: true });
  const text = join(repository, 'hello.txt');
  writeFileSync(text, 'hello from a real server test\n');
  writeFileSync(
    join(repository, 'eslint.config.mjs'),
    'export default [{ rules: { "no-debugger": "error" } }];\n',
  );
  writeFileSync(join(repository, 'bad.js'), 'debugger;\n');
  const git = (...args) => execFileSync('git', ['-C', repository, ...args], { stdio: 'pipe' });
  git('init', '--quiet', '--initial-branch=main');
  git('add', 'hello.txt');
  git(
    '-c',
    'user.name=Tester',
    '-c',
    'user.email=tester@example.com',
    'commit',
    '--quiet',
    '-m',
    'first commit',
  );
  return { directory, repository, text };
}

const call = (tool, args, expect) => ({ tool, args, expect });

function npmServers({ directory, repository, text }) {
  const reference = '@modelcontextprotocol/server-';
  return [
    npm(`${reference}everything`, {
      args: ['stdio'],
      call: call('get-sum', { a: 40, b: 2 }, /42/),
    }),
    npm(`${reference}filesystem`, {
      args: [directory],
      call: call('read_text_file', { path: text }, /hello from/),
    }),
    npm(`${reference}memory`, {
      env: { MEMORY_FILE_PATH: join(directory, 'memory.jsonl') },
      call: call('read_graph', {}, /entities/),
    }),
    npm(`${reference}sequential-thinking`, {
      call: call(
        'sequentialthinking',
        { thought: 'one', nextThoughtNeeded: false, thoughtNumber: 1, totalThoughts: 1 },
        /thoughtNumber/,
      ),
    }),
    npm('@cyanheads/git-mcp-server', {
      env: {
        MCP_TRANSPORT_TYPE: 'stdio',
        MCP_LOG_LEVEL: 'error',
        LOGS_DIR: join(directory, 'logs'),
      },
      call: call('git_log', { path: repository, maxCount: 1 }, /first commit/),
    }),
    npm('@eslint/mcp', {
      cwd: repository,
      call: call('lint-files', { filePaths: [join(repository, 'bad.js')] }, /no-debugger/),
    }),
    npm('@bytebase/dbhub', {
      args: ['--transport', 'stdio', '--demo'],
      call: call('execute_sql', { sql: 'SELECT 6 * 7 AS answer' }, /42/),
    }),
    npm('repomix', {
      args: ['--mcp'],
      call: call('pack_codebase', { directory: repository }, /hello\.txt/),
    }),
    npm('mcp-server-commands', {
      call: call('run_command', { command: 'echo forty-two' }, /forty-two/),
    }),
    npm('mcp-hello-world', { call: call('add', { a: 40, b: 2 }, /42/) }),
    npm('mcp-shrimp-task-manager', {
      env: { DATA_DIR: join(directory, 'tasks'), TEMPLATES_USE: 'en', ENABLE_GUI: 'false' },
      call: call('list_tasks', { status: 'all' }, /task/i),
    }),
  ];
}

function pypiServers({ directory, repository, text }, pageUrl) {
  return [
    pypi('mcp-server-git', {
      args: ['--repository', repository],
      call: call('git_log', { repo_path: repository, max_count: 1 }, /first commit/),
    }),
    pypi('mcp-server-time', {
      args: ['--local-timezone', 'UTC'],
      call: call(
        'convert_time',
        { source_timezone: 'UTC', time: '12:00', target_timezone: 'Asia/Tokyo' },
        /21:00/,
      ),
    }),
    pypi('mcp-server-fetch', {
      args: ['--ignore-robots-txt', '--allow-private-ips'],
      call: call('fetch', { url: pageUrl }, /page for a real server/),
    }),
    pypi('mcp-server-sqlite', {
      args: ['--db-path', join(directory, 'data.db')],
      call: call('read_query', { query: 'SELECT 6 * 7 AS answer' }, /42/),
    }),
    pypi('mcp-server-calculator', { call: call('calculate', { expression: '6 * 7' }, /42/) }),
    pypi('mcp-text-editor', {
      call: call(
        'get_text_file_contents',
        { files: [{ file_path: text, ranges: [{ start: 1 }] }] },
        /hello from/,
      ),
    }),
    pypi('excel-mcp-server', {
      args: ['stdio'],
      call: call('create_workbook', { path: join(directory, 'book.xlsx') }, /book\.xlsx/),
    }),
    pypi('mcp-shell-server', {
      env: { ALLOW_COMMANDS: 'cat' },
      call: call('shell_execute', { command: ['cat', text], directory }, /hello from/),
    }),
    pypi('mcp-simple-timeserver', {
      call: call('get_current_time', { timezone: 'UTC' }, /\d\d:\d\d/),
    }),
  ];
}

export const realServers = (prepared, pageUrl) => [
  ...npmServers(prepared),
  ...pypiServers(prepared, pageUrl),
];
