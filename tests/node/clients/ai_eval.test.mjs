// Suggestions without a model on our own corpus over real servers' catalogs: what is promised of them.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { join } from 'node:path';
import { NODE_TESTS, gatewayBinary } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';

const DATA = join(NODE_TESTS, '..', 'data', 'ai');

for (const [file, tasks] of [['tasks.json', 100], ['held-out.json', 40]]) {
  test(`${tasks} tasks of ${file} find their tools, and every plan is valid (M-FR-005.2)`, {
    skip: process.env.METAMCP_SHAPE && 'it starts no gateway',
    timeout: 240000,
  }, async () => {
    const corpus = JSON.parse(await readFile(join(DATA, file), 'utf8'));
    assert.equal((corpus.tasks ?? corpus).length, tasks);
    const { code, stdout, stderr } = await run(
      gatewayBinary(), ['ai', 'eval', DATA, '--tasks', file, '--output', 'json'], { timeoutMs: 240000 });
    assert.equal(code, 0, stderr);
    const score = JSON.parse(stdout);
    assert.equal(Number(score.tasks), tasks);
    assert.ok(score.recallAt10 >= 0.9, stdout);
    assert.equal(score.validPlans, 1, stdout);
  });
}
