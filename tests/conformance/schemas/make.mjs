// usage: node schemas/make.mjs DIRECTORY
// Writes <revision>.json from DIRECTORY/<revision>.schema.json, the schemas that the protocol's
// project publishes. Only facts are kept (names, types, what is required); its prose is left out.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { REVISIONS } from '../lib/revisions.mjs';

const PROSE = new Set(['description', 'title', 'default', 'examples', '$comment', 'format']);
const MAPS = new Set(['properties', 'definitions', '$defs']);

function facts(schema) {
  if (Array.isArray(schema)) return schema.map(facts);
  if (schema === null || typeof schema !== 'object') return schema;
  const kept = Object.entries(schema).filter(([key]) => !PROSE.has(key));
  return Object.fromEntries(
    kept.map(([key, value]) => [
      key,
      MAPS.has(key)
        ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name, facts(each)]))
        : facts(value),
    ]),
  );
}

const from = process.argv[2];
if (!from) {
  process.stderr.write('usage: node schemas/make.mjs DIRECTORY\n');
  process.exit(2);
}
const here = dirname(fileURLToPath(import.meta.url));
for (const revision of REVISIONS) {
  const schema = JSON.parse(readFileSync(join(from, `${revision}.schema.json`), 'utf8'));
  writeFileSync(join(here, `${revision}.json`), `${JSON.stringify(facts(schema))}\n`);
}
