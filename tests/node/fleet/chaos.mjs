// usage: chaos.mjs [SECONDS]   under scripts/with_postgres; scripts/chaos starts it.
// Three gateways, three connectors and two catalogs with mutual TLS under load, while one fault
// after the other hits them: kill -9, SIGSTOP, PostgreSQL, links. Every answer is checked. Exit 0
// only if nothing was wrong and every failed call is a fault's doing.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitForTools } from '../lib/servers.mjs';
import { gatewayBinary } from '../lib/paths.mjs';
import { http } from './client.mjs';
import { faults } from './faults.mjs';
import { Fleet } from './fleet.mjs';
import { Workers, count, echo, operator, progress, sessions } from './workers.mjs';

const RECOVERY_MS = 10000;
const QUIET_MS = 700;

const seconds = Number(process.argv[2] ?? process.env.CHAOS_SECONDS ?? 600);
const bin = dirname(gatewayBinary());
const say = (line) => process.stdout.write(`${line}\n`);

const ECHOES = ['e1', 'e2', 'e3', 'e4'];
const LEDGERS = ['l1', 'l2'];
const ASKING = 'ask';

function serversIn(directory) {
  const servers = {};
  const words = {};
  for (const name of ECHOES) {
    servers[name] = { command: join(bin, 'metamcp-fixture-echo'), args: ['--stdio', '--name', name] };
    words[name] = name;
  }
  for (const name of LEDGERS) {
    words[name] = join(directory, `ledger-${name}`);
    servers[name] = { command: join(bin, 'metamcp-fixture-ledger'), args: [words[name]] };
  }
  servers[ASKING] = { command: join(bin, 'metamcp-fixture-stdio'), args: [] };
  words[ASKING] = servers[ASKING].command;
  return { servers, words };
}

// Every key at most once, those that were answered exactly once.
function checkLedgers(workers, words, answered) {
  const seen = new Map();
  for (const name of LEDGERS) {
    for (const line of readFileSync(words[name], 'utf8').split('\n').filter(Boolean)) {
      seen.set(line, (seen.get(line) ?? 0) + 1);
    }
  }
  for (const [line, times] of seen) {
    if (times > 1) workers.defect('a side effect twice', { line, times });
  }
  for (const key of answered) {
    if (!seen.has(`add ${key}`)) workers.defect('an answer without its effect', { key });
  }
  return seen.size;
}

async function listObjects(gateway) {
  const names = new Set();
  for (let token = ''; ; ) {
    const query = `page_size=200${token ? `&page_token=${encodeURIComponent(token)}` : ''}`;
    const { body } = await http(`http://${gateway.http}/api/v1/virtual-servers?${query}`, { method: 'GET' });
    const page = JSON.parse(body);
    for (const one of page.virtual_servers ?? page.virtualServers) names.add(one.meta.name);
    token = page.next_page_token ?? page.nextPageToken;
    if (!token) return names;
  }
}

// What an operator was told is so, as soon as every catalog has read what the others wrote.
async function checkObjects(fleet, workers, known) {
  let wrong = [];
  for (const end = Date.now() + RECOVERY_MS; Date.now() < end; await sleep(500)) {
    wrong = [];
    for (const gateway of [...fleet.of('gateway'), ...fleet.of('gateway')]) {
      const names = await listObjects(gateway);
      wrong.push(...[...known].filter(([name, there]) => names.has(name) !== there));
    }
    if (wrong.length === 0) break;
  }
  for (const [name, there] of wrong) workers.defect('acknowledged state lost', { name, there });
  return known.size;
}

async function main() {
  const fleet = await Fleet.create({ links: true });
  const { servers, words } = serversIn(fleet.directory);
  await fleet.configure({ mcpServers: servers });
  const workers = new Workers(fleet);
  const answered = new Set();
  const known = new Map();
  const hits = [];
  try {
    await fleet.startAll();
    const tools = [
      ...ECHOES.map((name) => `${name}__echo`),
      ...LEDGERS.map((name) => `${name}__add`),
      `${ASKING}__elicit`,
    ];
    for (const gateway of fleet.of('gateway')) await waitForTools(gateway.url, tools);
    workers.spawn('echo', echo(ECHOES), 8);
    workers.spawn('progress', progress(ECHOES), 4);
    workers.spawn('count', count(LEDGERS, answered), 4);
    workers.spawn('session', sessions(ASKING), 3);
    workers.spawn('operator', operator(known), 1);
    const all = [...ECHOES, ...LEDGERS, ASKING];
    const good = async () => Promise.all(all.map((server) => workers.nextGood(server)));
    await good();
    const until = Date.now() + seconds * 1000;
    for (const hit of faults()) {
      if (Date.now() > until) break;
      const fault = await hit(fleet, words);
      const ended = Date.now();
      hits.push(fault);
      // From now on every server answers calls that begin after the fault.
      const late = sleep(RECOVERY_MS + 5000, 'late');
      const recovered = await Promise.race([good().then(() => Date.now() - ended), late]);
      fault.recovered = recovered;
      if (recovered === 'late' || recovered > RECOVERY_MS) {
        const silent = all.filter((server) => workers.firstGood.get(server)?.length > 0);
        workers.defect('recovery took too long', { fault: String(fault), recovered, silent });
      }
      say(`${((ended - fault.began) / 1000).toFixed(1).padStart(5)} s  ${fault}; all good after ${recovered} ms`);
      await sleep(QUIET_MS);
    }
    await workers.stop();
    const effects = checkLedgers(workers, words, answered);
    const objects = await checkObjects(fleet, workers, known);
    const unexcused = workers.failures.filter((failure) => !hits.some((fault) => fault.excuses(failure)));
    const total = Object.values(workers.done).reduce((sum, n) => sum + n, 0);
    for (const one of [...workers.wrong, ...unexcused].slice(0, 30)) {
      const before = hits.findLast((fault) => fault.began <= (one.started ?? one.at));
      const since = before ? `${((one.started ?? one.at) - before.began) / 1000} s after ${before}` : '';
      say(`wrong: ${JSON.stringify(one)} ${since}`);
    }
    say(
      `chaos: ${hits.length} faults, ${total} calls well, ${workers.failures.length} failed by a fault's doing, ` +
        `${unexcused.length} for no reason, ${workers.wrong.length} defects; ${effects} side effects, ` +
        `${objects} operator's changes; slowest recovery ${Math.max(...hits.map((fault) => fault.recovered))} ms`,
    );
    say(`  done: ${JSON.stringify(workers.done)}`);
    const reasons = {};
    for (const failure of workers.failures) {
      const fault = hits.find((each) => each.excuses(failure));
      const what = `${failure.worker}: ${failure.reason ?? failure.lost} by ${fault?.kind ?? 'nothing'}`;
      reasons[what] = (reasons[what] ?? 0) + 1;
    }
    for (const [what, times] of Object.entries(reasons)) say(`  failed: ${what}: ${times}`);
    return unexcused.length === 0 && workers.wrong.length === 0;
  } finally {
    await workers.stop();
    const keep = process.env.CHAOS_KEEP === '1';
    await fleet.stop({ keep });
    if (keep) say(`logs: ${fleet.directory}/log`);
  }
}

main().then(
  (good) => process.exit(good ? 0 : 1),
  (error) => {
    process.stderr.write(`chaos: ${error.stack}\n`);
    process.exit(1);
  },
);
