#!/usr/bin/env node
// usage: node run.mjs [--gateway ADAPTER] [--table NAME]... [--only KEY=A,B]... [--json]
//                     [--write FILE | --check FILE]
// See README.md. Exit 0 only if cells ran and none is broken.
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadAdapter } from './lib/adapter.mjs';
import { runMatrix } from './matrix.mjs';
import { markdown, printTables } from './report.mjs';
import { PUBLISHED, TABLES } from './tables.mjs';

const { values } = parseArgs({
  options: {
    gateway: { type: 'string', default: 'meta_mcp' },
    table: { type: 'string', multiple: true },
    only: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
    write: { type: 'string' },
    check: { type: 'string' },
  },
});

// --only client=2025-11-25 --only feature=log,cancel ...: all given patterns must fit.
const wanted =
  values.only.map((each) => each.split('=', 2)).map(([key, list]) => [key, list.split(',')]);
const keep = (key, value) => wanted.every(([name, list]) => name !== key || list.includes(value));

const adapter = await loadAdapter(values.gateway);
// A gateway need not have every transport.
const fronts = ({ transport }) => adapter.fronts?.includes(transport) ?? true;
const backs = ({ transport }) => adapter.backs?.includes(transport) ?? true;
const tables = {};
for (const name of values.table ?? PUBLISHED) {
  const table = TABLES[name];
  if (!table) {
    process.stderr.write(`run: no table ${name}; there are ${Object.keys(TABLES).join(', ')}\n`);
    process.exit(2);
  }
  tables[name] = await runMatrix({
    adapter,
    clients: table.clients.filter(
      (each) => keep('client', each.revision) && keep('front', each.transport) && fronts(each)),
    servers: table.servers.filter(
      (each) => keep('server', each.revision) && keep('back', each.transport) && backs(each)),
    pairs: table.pairs,
    features: table.features.filter(({ id }) => keep('feature', id)),
  });
}

const all = Object.values(tables).flat();
const broken = all.filter(({ outcome }) => outcome === 'broken');
if (values.json) process.stdout.write(`${JSON.stringify(tables, null, 1)}\n`);
else printTables(tables, (text) => process.stdout.write(`${text}\n`));
if (values.write) writeFileSync(values.write, markdown(tables, adapter.name));
let stale = false;
if (values.check && readFileSync(values.check, 'utf8') !== markdown(tables, adapter.name)) {
  process.stderr.write(`${values.check} is not current: run with --write ${values.check}\n`);
  stale = true;
}
if (!values.json)
  process.stdout.write(`${all.length - broken.length} passed, ${broken.length} failed\n`);
process.exit(all.length > 0 && broken.length === 0 && !stale ? 0 : 1);
