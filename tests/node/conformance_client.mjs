#!/usr/bin/env node
// Runs the official conformance suite, client role, against the gateway: the suite plays the
// server (and the authorization server), conformance/drive.mjs the client behind the gateway.
//
//   node conformance_client.mjs [--versions 2025-11-25,2026-07-28] [--scenario NAME] [--verbose]
//
// Prints a table and `N passed, N failed` (checks); exit 0 only if nothing failed and every scored
// scenario passed.
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { NODE, NODE_TESTS, packageFile } from './lib/paths.mjs';
import { run } from './lib/process.mjs';

const SUITE = packageFile('@modelcontextprotocol/conformance', 'dist/index.js');
const DRIVER = join(NODE_TESTS, 'conformance', 'drive.mjs');
const AT_ONCE = 4;

// Not scored by the suite, but ours: what the revision requires is `scored`.
const EXTENSIONS = [
  'auth/client-credentials-jwt',
  'auth/client-credentials-basic',
  'auth/enterprise-managed-authorization',
];
const BACKCOMPAT = [
  'auth/2025-03-26-oauth-metadata-backcompat',
  'auth/2025-03-26-oauth-endpoint-fallback',
];
const SETS = {
  '2025-11-25': { scored: 18, more: [...EXTENSIONS, 'json-schema-2020-12-preservation'] },
  '2026-07-28': { scored: 32, more: [...EXTENSIONS, 'json-schema-2020-12-preservation'] },
  '2025-03-26': { scored: 0, more: BACKCOMPAT },
};

async function required(version) {
  if (SETS[version].scored === 0) return [];
  const { stdout } = await run(NODE, [SUITE, 'list', '--requirements', version]);
  const [, list] = stdout.split('Client scenarios');
  return [...list.split('never scored')[0].matchAll(/^ {2}- (\S+)$/gm)].map(([, name]) => name);
}

async function files(directory, name) {
  const found = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.name === name) found.push(join(entry.parentPath, entry.name));
  }
  return found;
}

async function runScenario(version, scenario, verbose) {
  const directory = await mkdtemp(join(tmpdir(), 'metamcp-client-conformance-'));
  try {
    const args = [SUITE, 'client', '--command', `${NODE} ${DRIVER}`, '--scenario', scenario];
    if (EXTENSIONS.includes(scenario)) args.push('--force');
    args.push('--spec-version', version, '--timeout', '60000', '-o', directory);
    const { stdout, stderr } = await run(NODE, args, { timeoutMs: 120000, cwd: directory });
    const [file] = await files(directory, 'checks.json');
    const checks = file ? JSON.parse(await readFile(file, 'utf8')) : [];
    const count = (status) => checks.filter((check) => check.status === status).length;
    const result = {
      scenario,
      passed: count('SUCCESS'),
      failed: count('FAILURE'),
      warnings: count('WARNING'),
    };
    // A scenario in which nothing was checked proves nothing.
    if (result.passed === 0) result.failed += 1;
    if (verbose || result.failed > 0) {
      const bad = checks.filter(({ status }) => ['FAILURE', 'WARNING'].includes(status));
      console.log(`--- ${version} ${scenario}`);
      for (const check of bad) {
        const { status, id, errorMessage, details } = check;
        console.log(status, id, errorMessage, JSON.stringify(details)?.slice(0, 600));
      }
      for (const each of ['stderr.txt', 'stdout.txt']) {
        for (const path of await files(directory, each)) {
          console.log((await readFile(path, 'utf8')).slice(-6000));
        }
      }
      if (checks.length === 0) console.log(stdout.slice(-3000), stderr.slice(-3000));
    }
    return result;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function pool(jobs, size) {
  const results = [];
  let next = 0;
  const work = async () => {
    while (next < jobs.length) {
      const index = next++;
      results[index] = await jobs[index]();
    }
  };
  await Promise.all(Array.from({ length: size }, work));
  return results;
}

async function main() {
  const { values } = parseArgs({
    options: {
      versions: { type: 'string', default: Object.keys(SETS).join(',') },
      scenario: { type: 'string' },
      verbose: { type: 'boolean', default: false },
    },
  });
  let passed = 0;
  let failed = 0;
  const rows = [];
  for (const version of values.versions.split(',')) {
    if (!SETS[version]) throw new Error(`no set for ${version}; known: ${Object.keys(SETS)}`);
    const scored = await required(version);
    const wanted = (name) => !values.scenario || name.startsWith(values.scenario);
    const names = [...scored, ...SETS[version].more].filter(wanted);
    const results = await pool(
      names.map((name) => () => runScenario(version, name, values.verbose)),
      AT_ONCE,
    );
    const good = results.filter((result) => result.failed === 0 && result.warnings === 0);
    const goodScored = good.filter(({ scenario }) => scored.includes(scenario)).length;
    const sum = (field) => results.reduce((total, result) => total + result[field], 0);
    const missing = values.scenario ? 0 : SETS[version].scored - scored.length;
    passed += sum('passed');
    failed += sum('failed') + Math.max(0, missing);
    rows.push({
      version,
      scored: `${goodScored} of ${scored.length}`,
      more: `${good.length - goodScored} of ${names.filter((name) => !scored.includes(name)).length}`,
      passed: sum('passed'),
      failed: sum('failed'),
      warnings: sum('warnings'),
      bad: results
        .filter((result) => result.failed + result.warnings > 0)
        .map(({ scenario }) => scenario)
        .join(' '),
    });
  }
  for (const { version, bad } of rows) if (bad) console.log(`${version}: ${bad}`);
  console.table(rows.map(({ bad, ...row }) => row));
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

await main();
