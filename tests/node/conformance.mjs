#!/usr/bin/env node
// Runs the official conformance suite, server role, against the gateway in front of the fixture,
// or against the fixture alone.
//
//   node conformance.mjs [--runs S1,S2] [--direct] [--verbose]
//
// S1 legacy clients, legacy upstream; S2 modern clients, modern upstream; S3 and S4 cross the
// eras; S5 is S1 with the upstream on stdio, S5-sse and S5-ws with that upstream behind `translate`
// on HTTP+SSE and on WebSocket. Prints a table and `N passed, N failed` (checks);
// exit 0 only if nothing failed and no run came out below its baseline.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { NODE, NODE_TESTS, packageFile } from './lib/paths.mjs';
import { run } from './lib/process.mjs';
import { fixtureStdio, startFixture, startGateway, startTranslate, waitForTools } from './lib/servers.mjs';

const SUITE = packageFile('@modelcontextprotocol/conformance', 'dist/index.js');
const all = (version) => ['--suite', 'all', '--spec-version', version];
const required = (version) => ['--requirements', version];

// `passed` is what the fixture scores when the suite talks to it directly. The tasks extension is
// not scored and not offered, so its scenarios are left out of every count.
const LEGACY_LEGS = [
  { name: 'required 2025-11-25', args: required('2025-11-25'), passed: 84 },
  { name: 'all 2025-06-18', args: all('2025-06-18'), passed: 56 },
  { name: 'all 2025-03-26', args: all('2025-03-26'), passed: 3 },
];
// One check asks whether a server that ends a stream early can be polled for the rest. Upstreams
// that end no stream (modern ones, and those on stdio) give no cause to.
const LEGACY_LEGS_UNPOLLED = [{ ...LEGACY_LEGS[0], passed: 83 }, ...LEGACY_LEGS.slice(1)];
const MODERN_LEGS = [
  { name: 'all 2026-07-28', args: all('2026-07-28'), passed: 152 },
  { name: 'required 2026-07-28', args: required('2026-07-28'), passed: 152 },
];
const RUNS = {
  S1: { legs: LEGACY_LEGS, era: 'legacy' },
  S2: { legs: MODERN_LEGS, era: 'modern' },
  S3: { legs: LEGACY_LEGS_UNPOLLED.slice(0, 1), era: 'modern', fixtureEra: 'modern' },
  S4: { legs: MODERN_LEGS.slice(0, 1), era: 'legacy', expected: 'conformance/S4.expected.yaml' },
  S5: { legs: LEGACY_LEGS_UNPOLLED, era: 'legacy', stdio: true },
  'S5-sse': { legs: LEGACY_LEGS_UNPOLLED, era: 'legacy', stdio: true, behind: 'sse' },
  'S5-ws': { legs: LEGACY_LEGS_UNPOLLED, era: 'legacy', stdio: true, behind: 'ws' },
};
const UNSCORED = /^tasks-/;

// Reads the suite's summary: one line per scenario.
function parseSummary(output) {
  const scenarios = [];
  const line = /^[✓✗] (\S+): (\d+) passed, (\d+) failed(?:, (\d+) warnings)?/gmu;
  for (const [, name, passed, failed, warnings] of output.matchAll(line)) {
    if (UNSCORED.test(name)) continue;
    scenarios.push({
      name,
      passed: Number(passed),
      failed: Number(failed),
      warnings: Number(warnings ?? 0),
    });
  }
  const sum = (field) => scenarios.reduce((total, scenario) => total + scenario[field], 0);
  return { scenarios, passed: sum('passed'), failed: sum('failed'), warnings: sum('warnings') };
}

// What the suite says about failed checks, for the reader of a red run.
function complaints(output) {
  return output
    .split('\n')
    .filter((line) => /^\s+- |FAILURE|errorMessage/.test(line))
    .slice(0, 60)
    .map((line) => line.slice(0, 300));
}

async function runLeg(url, leg, expected, verbose) {
  const directory = await mkdtemp(join(tmpdir(), 'metamcp-conformance-'));
  try {
    const args = [SUITE, 'server', '--url', url, ...leg.args, '-o', directory];
    if (expected) args.push('--expected-failures', join(NODE_TESTS, expected));
    const { code, stdout, stderr } = await run(NODE, args, { timeoutMs: 600000, cwd: directory });
    const result = parseSummary(stdout);
    const unscoredOnly = code !== 0 && !expected && result.failed === 0;
    // With expected failures the suite itself judges; otherwise every counted check must pass.
    const bad = expected ? (code === 0 ? 0 : Math.max(1, result.failed)) : result.failed;
    const missing = expected ? 0 : Math.max(0, leg.passed - result.passed - bad);
    if (verbose || bad > 0 || missing > 0) {
      for (const scenario of result.scenarios.filter((each) => each.failed > 0)) {
        console.log(`  ${scenario.name}: ${scenario.failed} failed`);
      }
      console.log([...complaints(stdout), stderr.trim().slice(-2000)].join('\n'));
    }
    return {
      ...result,
      bad: bad + missing,
      missing,
      code: unscoredOnly ? `${code} (unscored)` : code,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

// Starts what a run needs and resolves with the URL to test.
async function target(definition, direct, stops) {
  if (direct) {
    const fixture = await startFixture('--era', definition.fixtureEra ?? 'both');
    stops.push(fixture.stop);
    return fixture.url;
  }
  let upstream;
  if (definition.behind) {
    const { command, args } = fixtureStdio('--era', definition.era);
    const program = [command, ...args].map((word) => `'${word}'`).join(' ');
    const carried = await startTranslate(['--stdio', program, `--expose-${definition.behind}`]);
    stops.push(carried.stop);
    upstream = { type: definition.behind, url: carried[definition.behind], era: definition.era };
  } else if (definition.stdio) {
    upstream = { ...fixtureStdio('--era', definition.era), era: definition.era };
  } else {
    const fixture = await startFixture('--era', definition.fixtureEra ?? 'both');
    stops.push(fixture.stop);
    upstream = { type: 'http', url: fixture.url, era: definition.era };
  }
  const gateway = await startGateway({
    mcpServers: { fixture: upstream },
    virtualServers: { plain: { servers: ['fixture'], prefix: 'none' } },
  });
  stops.push(gateway.stop);
  const url = gateway.virtualUrl('plain');
  await waitForTools(url, ['test_simple_text']);
  return url;
}

async function main() {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: 'S1,S2' },
      direct: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
    },
  });
  const names = values.runs.split(',');
  const unknown = names.filter((name) => !RUNS[name]);
  if (unknown.length > 0) throw new Error(`no such run: ${unknown}; known: ${Object.keys(RUNS)}`);
  let passed = 0;
  let failed = 0;
  const rows = [];
  for (const name of names) {
    const stops = [];
    try {
      const url = await target(RUNS[name], values.direct, stops);
      for (const leg of RUNS[name].legs) {
        const result = await runLeg(
          url,
          leg,
          values.direct ? undefined : RUNS[name].expected,
          values.verbose,
        );
        passed += result.passed;
        failed += result.bad;
        rows.push({
          run: name,
          set: leg.name,
          scenarios: result.scenarios.length,
          passed: result.passed,
          failed: result.failed,
          warnings: result.warnings,
          missing: result.missing,
          exit: result.code,
        });
      }
    } catch (error) {
      failed += 1;
      console.log(`${name}: ${error.message}`);
    } finally {
      for (const stop of stops.reverse()) await stop();
    }
  }
  console.table(rows);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

await main();
