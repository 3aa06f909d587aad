// Where things are, found from this file. METAMCP_BIN names the gateway under test; without it
// the newest of the two preset builds is taken.
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const NODE_TESTS = dirname(dirname(fileURLToPath(import.meta.url)));
export const ROOT = dirname(dirname(NODE_TESTS));
export const FIXTURE = join(NODE_TESTS, 'fixture', 'server.mjs');
export const LOOPBACK_PRELOAD = join(ROOT, 'samples', 'quickstart', 'loopback.cjs');
export const PYTHON =
  process.env.METAMCP_TEST_PYTHON ?? join(ROOT, '.cache', 'venv', 'bin', 'python');

// Node 22 is what the conformance suite and the Inspector need; setup puts one into .cache/node.
const localNode = join(
  ROOT,
  '.cache',
  'node',
  'node_modules',
  `node-linux-${process.arch}`,
  'bin',
  'node',
);
const ownMajor = Number(process.versions.node.split('.')[0]);
export const NODE = ownMajor < 22 && existsSync(localNode) ? localNode : process.execPath;

// The entry script of an installed package, so that tests start it without npx.
export function packageFile(name, file) {
  return join(NODE_TESTS, 'node_modules', ...name.split('/'), file);
}

export function gatewayBinary() {
  if (process.env.METAMCP_BIN) return process.env.METAMCP_BIN;
  const built = ['release', 'dev']
    .map((preset) => join(ROOT, 'build', preset, 'bin', 'meta-mcp'))
    .filter((path) => existsSync(path))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  return built[0];
}
