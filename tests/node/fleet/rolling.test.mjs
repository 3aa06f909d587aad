// Restart and upgrade of a whole cluster without a failed call. Under scripts/with_postgres;
// scripts/rolling does it at full rate.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rolling } from './rolling.mjs';

test('every process is restarted, upgraded across a step of the database, and taken back (P3-Ops-8)', async () => {
  const lines = await rolling({ rate: 60 });
  assert.deepEqual(lines.map(({ part }) => part), ['restart', 'upgrade', 'back']);
  assert.deepEqual(lines.map(({ steps }) => steps), [1, 2, 2]);
  for (const { part, calls, failed, failures } of lines) {
    assert.ok(calls > 500, `${part}: ${calls} calls`);
    assert.equal(failed, 0, `${part}: ${JSON.stringify(failures, null, 1)}`);
  }
});
