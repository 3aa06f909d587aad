#!/usr/bin/env node
// Writes the tool lists of the real servers of lib/real_servers.mjs to tests/data/ai/catalogs, one
// file for each server, for `meta-mcp ai eval`. Servers are started over stdio, without the gateway.
//
//   node capture_catalogs.mjs [--only NAME]
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from './lib/paths.mjs';
import { prepare, realServers } from './lib/real_servers.mjs';
import { SDKS } from './lib/sdk.mjs';

const OUT = join(ROOT, 'tests/data/ai/catalogs');
const [sdk] = SDKS;

// Short names, as people give them.
const SLUGS = { '@eslint/mcp': 'eslint', '@cyanheads/git-mcp-server': 'gitplus', 'mcp-server-commands': 'commands' };
const slugOf = ({ name }) =>
  SLUGS[name] ??
  name
    .replace(/^@modelcontextprotocol\/server-|^@[^/]*\/|^mcp-server-|-mcp-server$|^mcp-/g, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-');

async function capture(server) {
  const session = await sdk.connect({
    ...server.upstream,
    stderr: 'ignore',
    env: { ...process.env, ...server.upstream.env },
  });
  try {
    const tools = [];
    let cursor;
    do {
      const answer = await session.client.listTools(cursor === undefined ? undefined : { cursor });
      tools.push(...answer.tools);
      cursor = answer.nextCursor;
    } while (cursor !== undefined);
    return tools;
  } finally {
    await session.close();
  }
}

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const directory = await mkdtemp(join(tmpdir(), 'metamcp-catalogs-'));
try {
  await mkdir(OUT, { recursive: true });
  let failed = 0;
  for (const server of realServers(prepare(directory), 'http://127.0.0.1:9/')) {
    if (values.only && server.name !== values.only) continue;
    const slug = slugOf(server);
    try {
      const tools = await capture(server);
      const { name, registry, version } = server;
      const text = JSON.stringify({ server: slug, package: name, registry, version, tools }, null, 1);
      // Folders of this run mean nothing to others.
      const clean = text.replaceAll(directory, '/srv/files').replaceAll(ROOT, '/opt/meta-mcp');
      await writeFile(join(OUT, `${slug}.json`), `${clean}\n`);
      console.log(`${slug}: ${tools.length} tools`);
    } catch (error) {
      failed += 1;
      console.error(`${slug}: ${error.message}`);
    }
  }
  process.exitCode = failed === 0 ? 0 : 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}
