// What every scripted server offers, as far as its revision has it.
import { has, isModern } from '../lib/revisions.mjs';
import { RpcError } from './call.mjs';

const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPgPAAEDAQCBSjYRAAAAAElFTkSuQmCC';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=';
export const WORDS = ['amber', 'ambition', 'amble', 'blue'];

export const uriOf = (server, path) => `kit-${server.name}://${path}`;

const schema = (properties, required = []) => ({ type: 'object', properties, required });
const text = { type: 'string' };

// The definitions of tools, in the words of the server's revision.
export function toolsOf(server) {
  const { revision } = server;
  const tools = [
    {
      name: 'echo',
      description: 'Says what it was told',
      inputSchema: schema(
        {
          text: isModern(revision) ? { ...text, 'x-mcp-header': 'Said' } : text,
          nested: { $ref: '#/$defs/any' },
        },
        ['text'],
      ),
    },
    { name: 'fails', description: 'Ends with an error result', inputSchema: schema({}) },
    { name: 'breaks', description: 'Ends with a protocol error', inputSchema: schema({}) },
    { name: 'contents', description: 'Every kind of content', inputSchema: schema({}) },
    { name: 'counts', description: 'Reports progress', inputSchema: schema({ label: text }) },
    { name: 'waits', description: 'Waits to be cancelled', inputSchema: schema({ label: text }) },
    { name: 'chats', description: 'Logs', inputSchema: schema({ label: text }) },
    {
      name: 'asks',
      description: 'Asks its client something',
      inputSchema: schema({ kind: text, nonce: text, rude: { type: 'boolean' } }),
    },
    {
      name: 'sum',
      description: 'Adds two numbers',
      inputSchema: schema({ a: { type: 'number' }, b: { type: 'number' } }, ['a', 'b']),
    },
  ];
  tools[0].inputSchema.$defs = { any: {} };
  if (has(revision, 'annotations')) tools[0].annotations = { readOnlyHint: true };
  if (has(revision, 'titles')) tools[0].title = 'Echo';
  if (has(revision, 'icons')) tools[0].icons = [{ src: `data:image/png;base64,${PNG}` }];
  if (has(revision, 'structured'))
    tools.at(-1).outputSchema = schema({ sum: { type: 'number' } }, ['sum']);
  if (isModern(revision)) {
    tools.push({
      name: 'numbers',
      description: 'A list as structured output',
      inputSchema: schema({}),
      outputSchema: { type: 'array', items: { type: 'number' } },
    });
  }
  if (has(revision, 'elicitationUrl') && !isModern(revision)) {
    tools.push({
      name: 'needs_url',
      description: 'Refuses until a URL was visited',
      inputSchema: schema({ nonce: text })
    });
  }
  if (has(revision, 'tasks')) {
    const task = {
      name: 'works',
      description: 'Works in a task',
      inputSchema: schema({ label: text })
    };
    tools.push(isModern(revision) ? task : { ...task, execution: { taskSupport: 'required' } });
  }
  for (const name of server.extra)
    tools.push({ name, description: 'Came later', inputSchema: schema({}) });
  return tools;
}

export function contentsOf(server) {
  const { revision } = server;
  const uri = uriOf(server, 'text');
  const blocks = [
    { type: 'text', text: 'words' },
    { type: 'image', data: PNG, mimeType: 'image/png' },
    { type: 'resource', resource: { uri, mimeType: 'text/plain', text: 'embedded' } },
  ];
  if (has(revision, 'audio')) blocks.push({ type: 'audio', data: WAV, mimeType: 'audio/wav' });
  if (has(revision, 'resourceLink'))
    blocks.push({ type: 'resource_link', uri, name: 'text', mimeType: 'text/plain' });
  return blocks;
}

export function resourcesOf(server) {
  const plain = { mimeType: 'text/plain' };
  return [
    { uri: uriOf(server, 'text'), name: 'text', ...plain },
    { uri: uriOf(server, 'blob'), name: 'blob', mimeType: 'image/png' },
    { uri: uriOf(server, 'watched'), name: 'watched', ...plain },
  ];
}

export const templatesOf = (server) => [
  { uriTemplate: uriOf(server, 'item/{id}'), name: 'item', mimeType: 'application/json' },
];

export const promptsOf = () => [
  { name: 'greets', description: 'Greets', arguments: [{ name: 'who', required: true }] },
  { name: 'shows', description: 'Shows every kind of content' },
];

export function readResource(server, uri) {
  const path = uri.slice(uriOf(server, '').length);
  const item = /^item\/(\w+)$/.exec(path)?.[1];
  if (path === 'text') return [{ uri, mimeType: 'text/plain', text: `text of ${server.name}` }];
  if (path === 'blob') return [{ uri, mimeType: 'image/png', blob: PNG }];
  if (path === 'watched') return [{ uri, mimeType: 'text/plain', text: `v${server.version}` }];
  if (item && item !== 'missing')
    return [{ uri, mimeType: 'application/json', text: JSON.stringify({ id: item }) }];
  const code = isModern(server.revision) ? -32602 : -32002;
  throw new RpcError(code, 'Resource not found', { uri });
}

export function getPrompt(server, { name, arguments: args = {} }) {
  const say = (content) => ({ role: 'user', content });
  if (name === 'greets')
    return { description: 'Greets', messages: [say({ type: 'text', text: `Hello ${args.who}` })] };
  if (name !== 'shows') throw new RpcError(-32602, `no prompt ${name}`);
  // Prompts could not carry audio and links before the same revisions as tools.
  return { messages: contentsOf(server).map(say) };
}

export function complete({ ref, argument, context }) {
  const prompt = ref.type === 'ref/prompt' && ref.name === 'greets';
  const template = ref.type === 'ref/resource' && ref.uri.includes('{id}');
  if (!prompt && !template) throw new RpcError(-32602, 'nothing to complete');
  const values = WORDS.filter((word) => word.startsWith(argument.value));
  if (context?.arguments?.hint) values.push(`hint ${context.arguments.hint}`);
  return { completion: { values, total: values.length, hasMore: false } };
}
