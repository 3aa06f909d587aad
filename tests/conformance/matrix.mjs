// Runs the cells of a table: every wanted client with every wanted upstream, feature by feature.
import { Client } from './client/client.mjs';
import { HANDLERS, clientCapabilities, refuses } from './features/questions.mjs';
import { eventually } from './lib/wait.mjs';
import { uriOf } from './upstream/items.mjs';
import { startUpstreams } from './upstream/host.mjs';

const CELL_MS = 30000;
const JOIN_MS = 30000;
let nonces = 0;
const nonce = () => `n${(nonces += 1)}`;

export const serverName = ({ revision, transport }) =>
  `s${revision.replaceAll('-', '')}${transport}`;

async function openClient(gateway, { revision, transport }, server) {
  const client = new Client({
    revision,
    transport,
    capabilities: clientCapabilities(revision),
    handlers: HANDLERS,
    refuses,
    endpoint: gateway.endpoint(transport, server),
  });
  await client.open();
  return client;
}

// An upstream may join after the gateway is ready, and its lists one after the other.
async function joined(gateway, client, up) {
  const all = async (method, key) => {
    const items = [];
    let cursor;
    do {
      const { result } = await client.request(method, cursor === undefined ? {} : { cursor });
      items.push(...(result?.[key] ?? []));
      cursor = result?.nextCursor;
    } while (cursor !== undefined);
    return items;
  };
  const uri = uriOf(up, 'item/{id}');
  const seen = async () => {
    const tools = await all('tools/list', 'tools');
    const prompts = await all('prompts/list', 'prompts');
    const templates = await all('resources/templates/list', 'resourceTemplates');
    return (
      tools.some(({ name }) => name === gateway.toolName(up.name, 'sum')) &&
      prompts.some(({ name }) => name === gateway.promptName(up.name, 'greets')) &&
      templates.some(({ uriTemplate }) => uriTemplate === uri)
    );
  };
  await eventually(`the items of ${up.name}`, seen, JOIN_MS);
}

const describe = (client, up, { id }) => ({
  client: client.revision,
  server: up.revision,
  clientTransport: client.transport,
  serverTransport: up.transport,
  feature: id,
});

async function runCell(cell, feature) {
  const { client, up } = cell;
  const problems = [client.problems.length, up.problems.length];
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('took too long')), CELL_MS);
  });
  const entry = describe(client, up, feature);
  try {
    entry.outcome = await Promise.race([feature.run(cell), late]);
    const wrong = [...client.problems.slice(problems[0]), ...up.problems.slice(problems[1])];
    if (wrong.length > 0) throw new Error(wrong.slice(0, 3).join('\n'));
  } catch (error) {
    entry.outcome = 'broken';
    entry.why = error.message || String(error);
    entry.at = error.stack?.split('\n').find((line) => /features\//.test(line))?.trim();
  } finally {
    clearTimeout(timer);
  }
  return entry;
}

// The cells of one upstream, one after the other: what it saw is then of the cell that runs.
async function runServer(gateway, up, clients, features, report) {
  for (const wanted of clients) {
    let client;
    try {
      client = await openClient(gateway, wanted, up.name);
      await joined(gateway, client, up);
    } catch (error) {
      const why = `cannot connect: ${error.message}`;
      for (const feature of features)
        report({ ...describe(wanted, up, feature), outcome: 'broken', unconnected: true, why });
      await client?.close().catch(() => {});
      continue;
    }
    const cell = {
      client,
      up,
      direct: gateway.direct,
      c: wanted.revision,
      s: up.revision,
      nonce,
      tool: (name) => gateway.toolName(up.name, name),
      prompt: (name) => gateway.promptName(up.name, name),
    };
    for (const feature of features) report(await runCell(cell, feature));
    await client.close();
  }
}

// Runs `features` for each of `clients` with each of `servers` ({revision, transport} both),
// through the gateway of `adapter`. Resolves with the cells.
export async function runMatrix(options) {
  const { adapter, clients, servers, features, pairs = () => true, onCell } = options;
  const upstreams =
    await startUpstreams(servers.map((each) => ({ name: serverName(each), ...each })));
  const cells = [];
  const report = (cell) => {
    cells.push(cell);
    onCell?.(cell);
  };
  let gateway;
  try {
    gateway = await adapter.start({ upstreams: upstreams.describe() });
    const same = (a, b) => a.revision === b.revision && a.transport === b.transport;
    const possible = (up) =>
      clients.filter((each) => pairs(each, up) && (!adapter.direct || same(each, up)));
    await Promise.all(
      [...upstreams.servers.values()].map(
        (up) => runServer(gateway, up, possible(up), features, report)),
    );
  } finally {
    await gateway?.stop();
    await upstreams.stop();
  }
  return cells;
}
