// Runs of workflows over REST in every shape that has a workflow service: tried out, explained, run
// again from a step, and repeated with another input.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../../conformance/lib/wait.mjs';
import { EVERYTHING, startGateway, waitForTools } from '../lib/servers.mjs';
import { NODE } from '../lib/paths.mjs';

const SOURCE = `
name: sums
steps:
  - { id: first, tool: everything.get-sum, arguments: { a: "\${input.a}", b: 1 } }
  - { id: skipped, tool: everything.echo, arguments: { message: never }, if: "\${false}" }
  - { id: last, tool: everything.echo, arguments: { message: "\${steps.first}" }, dependsOn: [first, skipped] }
output: { said: "\${steps.last}" }
`;
const skip = process.env.METAMCP_SHAPE === 'processes' && 'no workflow service in that shape';

let gateway;
before(async () => {
  if (skip) return;
  gateway = await startGateway({
    mcpServers: { everything: { command: NODE, args: [EVERYTHING] } },
  });
  await waitForTools(gateway.mcpUrl, ['everything__get-sum', 'everything__echo']);
});
after(() => gateway?.stop());

async function rest(method, path, body) {
  const response = await fetch(`${gateway.adminUrl}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  assert.equal(response.status, 200, `${method} ${path}: ${JSON.stringify(answer)}`);
  return answer;
}

async function ended(id) {
  let run;
  await eventually('the end of the run', async () => {
    ({ run } = await rest('GET', `/runs/${id}`));
    return ['completed', 'failed'].includes(run.state);
  }, 30000);
  return run;
}

const start = async (more) => (await rest('POST', '/workflows/sums/runs', more)).run.id;

test('a run is tried out, explained, run again and repeated (M-AC-5.4.1 M-AC-5.4.2 M-UJ-A3.u4)', { skip }, async () => {
  await rest('POST', '/workflows', { source: SOURCE });

  const tried = await ended(await start({ input: { a: 1 }, dryRun: 'nothing' }));
  assert.equal(tried.state, 'completed', JSON.stringify(tried.error));
  assert.equal(tried.dryRun, 'nothing');
  const planned = tried.steps.find((step) => step.name === 'first');
  assert.deepEqual(planned.arguments, { a: 1, b: 1 });
  assert.equal(planned.dryRun, 'simulated');

  const id = await start({ input: { a: 1 } });
  const run = await ended(id);
  assert.equal(run.state, 'completed', JSON.stringify(run.error));
  assert.match(JSON.stringify(run.output), /The sum of 1 and 1 is 2/);

  const { summary, steps } = await rest('GET', `/runs/${id}/explanation`);
  assert.match(summary, /sums .* is completed after \d+ ms; steps: 2 done, 1 skipped/);
  const told = Object.fromEntries(steps.map((step) => [step.name, step]));
  assert.match(told.skipped.why, /does not hold/);
  assert.deepEqual(told.last.uses, ['first']);

  await rest('POST', `/runs/${id}/retry`, { from: 'last' });
  const again = await ended(id);
  assert.equal(again.steps.filter((step) => step.name === 'last').length, 2);
  assert.equal(again.steps.filter((step) => step.name === 'first').length, 1);

  const { run: next } = await rest('POST', `/runs/${id}/rerun`, { input: { a: 40 } });
  const repeated = await ended(next.id);
  assert.equal(repeated.origin, id);
  assert.match(JSON.stringify(repeated.output), /40 and 1 is 41/);

  const { text } = await rest('GET', `/runs/${next.id}/result?format=markdown`);
  assert.match(text, /\| first \| everything\.get-sum \| done \|/);
  const figures = await rest('GET', '/workflows/sums/figures');
  assert.equal(Number(figures.runs), 2);
  assert.equal(figures.successRate, 1);
});
