// Checks messages against the schema of one revision. Every check returns what is wrong, as a list
// of texts; an empty list is a valid message.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isModern } from './revisions.mjs';

const HERE = join(dirname(fileURLToPath(import.meta.url)), '..', 'schemas');
const FINDINGS_MAX = 5;
// Methods of extensions, which the core schemas do not know.
const EXTENSION_METHODS = /^(tasks\/|notifications\/tasks)/;

const TYPES = {
  null: (value) => value === null,
  boolean: (value) => typeof value === 'boolean',
  integer: (value) => Number.isInteger(value),
  number: (value) => typeof value === 'number',
  string: (value) => typeof value === 'string',
  array: (value) => Array.isArray(value),
  object: (value) => value !== null && typeof value === 'object' && !Array.isArray(value),
};

class Schemas {
  #definitions;
  #requests = new Map();
  #notifications = new Map();

  constructor(revision) {
    this.revision = revision;
    const schema = JSON.parse(readFileSync(join(HERE, `${revision}.json`), 'utf8'));
    this.#definitions = schema.$defs ?? schema.definitions;
    for (const [name, definition] of Object.entries(this.#definitions)) {
      const method = definition.properties?.method?.const;
      if (method && name.endsWith('Request')) this.#requests.set(method, name);
      if (method && /[a-z]Notification$/.test(name) && name !== 'ClientNotification')
        this.#notifications.set(method, name);
    }
  }

  // Whether `method` may be sent by 'client' or 'server' as a request or notification.
  #allows(by, kind, method, name) {
    const union = this.#definitions[`${by === 'client' ? 'Client' : 'Server'}${kind}`];
    if (!union) return false;
    const members = union.anyOf?.map((each) => each.$ref.split('/').at(-1));
    return members ? members.includes(name) : union.properties?.method?.const === method;
  }

  #directed(by, kind, names, message) {
    const { method } = message;
    const name = names.get(method);
    if (!name && isModern(this.revision) && EXTENSION_METHODS.test(method)) return [];
    if (!name || !this.#allows(by, kind, method, name))
      return [`${method} is no ${kind.toLowerCase()} of a ${by} in ${this.revision}`];
    return this.#check(name, message);
  }

  request(by, message) {
    return this.#directed(by, 'Request', this.#requests, message);
  }

  notification(by, message) {
    return this.#directed(by, 'Notification', this.#notifications, message);
  }

  // A response to `method`.
  response(method, message) {
    if (message.error !== undefined) return this.#error(message);
    const request = this.#requests.get(method);
    const base = request?.replace(/Request$/, '');
    // A task in the place of a result belongs to an extension.
    if (!base || (isModern(this.revision) && message.result?.resultType === 'task')) return [];
    if (this.#definitions[`${base}ResultResponse`])
      return this.#check(`${base}ResultResponse`, message);
    const envelope = this.#definitions.JSONRPCResultResponse
      ? 'JSONRPCResultResponse'
      : 'JSONRPCResponse';
    const whole = this.#check(envelope, message);
    if (whole.length > 0) return whole;
    if (message.result?.task && this.#definitions.CreateTaskResult)
      return this.#check('CreateTaskResult', message.result);
    const result = this.#definitions[`${base}Result`] ? `${base}Result` : 'EmptyResult';
    return this.#check(result, message.result);
  }

  // What a client answers to one inputRequests entry: the bare result.
  result(method, value) {
    return this.#check(`${this.#requests.get(method).replace(/Request$/, '')}Result`, value);
  }

  #error(message) {
    const name = ['JSONRPCErrorResponse', 'JSONRPCError'].find((each) => this.#definitions[each]);
    return this.#check(name, message);
  }

  #check(name, value) {
    const findings = [];
    this.#walk({ $ref: `#/x/${name}` }, value, '', findings);
    return findings.slice(0, FINDINGS_MAX).map((each) => `${name}${each}`);
  }

  #walk(schema, value, path, findings) {
    if (findings.length >= FINDINGS_MAX) return;
    if (schema.$ref)
      this.#walk(this.#definitions[schema.$ref.split('/').at(-1)], value, path, findings);
    const say = (what) => findings.push(`${path || ' '}: ${what}`);
    if ('const' in schema && schema.const !== value) return say(`must be ${schema.const}`);
    if (schema.enum && !schema.enum.includes(value)) return say(`not one of ${schema.enum}`);
    if (schema.type) {
      const types = [schema.type].flat();
      if (!types.some((type) => TYPES[type](value)))
        return say(`must be ${types.join(' or ')}, is ${JSON.stringify(value)?.slice(0, 80)}`);
    }
    for (const each of schema.allOf ?? []) this.#walk(each, value, path, findings);
    if (schema.anyOf) this.#walkAny(schema.anyOf, value, path, findings);
    if (TYPES.object(value)) this.#walkObject(schema, value, path, findings);
    if (Array.isArray(value) && schema.items)
      value.forEach((each, i) => this.#walk(schema.items, each, `${path}[${i}]`, findings));
    if (Array.isArray(value) && value.length > (schema.maxItems ?? Infinity)) say('too many items');
    if (typeof value === 'number') {
      if (value < (schema.minimum ?? -Infinity)) say(`less than ${schema.minimum}`);
      if (value > (schema.maximum ?? Infinity)) say(`more than ${schema.maximum}`);
    }
  }

  // Reports the findings of the alternative that came closest.
  #walkAny(alternatives, value, path, findings) {
    let best;
    for (const each of alternatives) {
      const found = [];
      this.#walk(each, value, path, found);
      if (found.length === 0) return;
      if (!best || found.length < best.length) best = found;
    }
    findings.push(...best);
  }

  #walkObject(schema, value, path, findings) {
    for (const name of schema.required ?? []) {
      if (value[name] === undefined) findings.push(`${path}.${name}: missing`);
    }
    for (const [name, each] of Object.entries(value)) {
      const property = schema.properties?.[name];
      if (property) this.#walk(property, each, `${path}.${name}`, findings);
      else if (schema.additionalProperties === false) findings.push(`${path}.${name}: unknown`);
      else if (typeof schema.additionalProperties === 'object')
        this.#walk(schema.additionalProperties, each, `${path}.${name}`, findings);
    }
  }
}

const cache = new Map();
export function schemasOf(revision) {
  if (!cache.has(revision)) cache.set(revision, new Schemas(revision));
  return cache.get(revision);
}
