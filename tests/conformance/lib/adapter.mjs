// Finds an adapter by name or path (README.md, "Another gateway").
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ADAPTERS = join(dirname(fileURLToPath(import.meta.url)), '..', 'adapters');

export async function loadAdapter(name) {
  const path = /[/.]/.test(name) ? resolve(name) : join(ADAPTERS, `${name}.mjs`);
  return import(pathToFileURL(path).href);
}
