// The tables for people: on the terminal, and as the page docs/compatibility.md.
import { FEATURES } from './features/index.mjs';
import { REVISIONS } from './lib/revisions.mjs';

export const TRANSPORT_NAMES = {
  http: 'Streamable HTTP',
  sse: 'HTTP+SSE',
  stdio: 'stdio',
  ws: 'WebSocket',
};
const WORDS = { works: 'works', reduced: 'reduced', refused: 'refused', broken: '**broken**' };

const titleOf = (id) => FEATURES.find((feature) => feature.id === id).title;
const row = (cells) => `| ${cells.join(' | ')} |`;
const rule = (count) => `|${'---|'.repeat(count)}`;
const unique = (values) => [...new Set(values)];

function counts(cells) {
  const by = {};
  for (const { outcome } of cells) by[outcome] = (by[outcome] ?? 0) + 1;
  return Object.keys(WORDS)
    .filter((outcome) => by[outcome])
    .map((outcome) => `${by[outcome]} ${outcome}`)
    .join(', ');
}

export function printTables(tables, print) {
  for (const [name, cells] of Object.entries(tables)) {
    print(`${name}: ${counts(cells)}`);
    const broken = cells.filter(({ outcome }) => outcome === 'broken');
    const endsOf = ({ client, clientTransport, server, serverTransport }) =>
      `client ${client} ${clientTransport}, server ${server} ${serverTransport}`;
    // A pair that does not come together is one fault, whatever was to be tried with it.
    const apart = broken.filter(({ unconnected }) => unconnected);
    for (const ends of unique(apart.map(endsOf))) {
      const own = apart.filter((cell) => endsOf(cell) === ends);
      print(`  broken: all ${own.length} features: ${ends}`);
      print(`    ${own[0].why}`);
    }
    for (const cell of broken.filter(({ unconnected }) => !unconnected)) {
      print(`  broken: ${cell.feature}: ${endsOf(cell)}`);
      print(`    ${cell.why.replaceAll('\n', '\n    ')}`);
      if (cell.at) print(`    ${cell.at}`);
    }
  }
}

// Per client revision: features down, server revisions across.
function revisionsPart(cells) {
  const parts = REVISIONS.map((client) => {
    const own = cells.filter((cell) => cell.client === client);
    const servers = REVISIONS.filter((server) => own.some((cell) => cell.server === server));
    const features = FEATURES.filter(({ id }) => own.some((cell) => cell.feature === id));
    const lines = features.map(({ id, title }) => {
      const found = (server) =>
        own.find((cell) => cell.server === server && cell.feature === id)?.outcome;
      return row([title, ...servers.map((server) => WORDS[found(server)] ?? '')]);
    });
    return own.length === 0
      ? ''
      : [
          `### Clients of ${client}`,
          '',
          row(['', ...servers.map((server) => `server ${server}`)]),
          rule(servers.length + 1),
          ...lines,
          '',
        ].join('\n');
  });
  return [
    '## Every revision with every revision',
    '',
    `Over Streamable HTTP: ${counts(cells)}.`,
    '',
    ...parts
  ];
}

// Clients down, servers across; a cell says how many features work and which do not.
function transportsPart(cells) {
  const end = (transport, revision) => `${TRANSPORT_NAMES[transport]}, ${revision}`;
  const client = (cell) => end(cell.clientTransport, cell.client);
  const server = (cell) => end(cell.serverTransport, cell.server);
  const order = Object.keys(TRANSPORT_NAMES)
                  .flatMap((transport) => REVISIONS.map((revision) => end(transport, revision)));
  const sorted = (values) => order.filter((each) => values.includes(each));
  const clients = sorted(unique(cells.map(client)));
  const servers = sorted(unique(cells.map(server)));
  const tell = (each, other) => {
    const own = cells.filter((cell) => client(cell) === each && server(cell) === other);
    const broken = own.filter(({ outcome }) => outcome === 'broken');
    if (broken.length === 0) return `${own.length} of ${own.length}`;
    return `**broken: ${broken.map(({ feature }) => titleOf(feature)).join(', ')}**`;
  };
  const features = FEATURES.filter(({ id }) => cells.some((cell) => cell.feature === id));
  return [
    '## Every transport with every transport',
    '',
    'Clients down, servers across: how many features are as they must be. They are',
    `${features.map(({ title }) => title).join(', ')}.`,
    '',
    `${counts(cells)}.`,
    '',
    row(['client', ...servers]),
    rule(servers.length + 1),
    ...clients.map((each) => row([each, ...servers.map((other) => tell(each, other))])),
    '',
  ];
}

export function markdown(tables, gateway) {
  const parts = [
    '# Compatibility',
    '',
    '<!-- Generated: node tests/conformance/run.mjs --write docs/compatibility.md -->',
    '',
    `What clients of each MCP revision get from servers of each revision through ${gateway}, by`,
    'the tests in [tests/conformance](../tests/conformance/README.md), which anyone can point at any',
    'gateway. Each cell checks what the client received and what the server received, and every',
    "message of both against that revision's schema.",
    '',
    '- **works**: as if both were of one revision.',
    '- **reduced**: works with what the older of the two has: a resource link is a text,',
    '  structured output is its text, progress has no message, a task is its plain result.',
    '- **refused**: one of the two revisions has no form for it. A server that looks first is told',
    '  that the client cannot; one that asks all the same is refused; the client is never asked and',
    '  gets the answer of the tool, or an error that its revision knows.',
    '- **broken**: anything else.',
    '',
  ];
  if (tables.revisions) parts.push(...revisionsPart(tables.revisions));
  if (tables.transports) parts.push(...transportsPart(tables.transports));
  return `${parts.join('\n').replace(/\n{3,}/g, '\n\n').trimEnd()}\n`;
}
