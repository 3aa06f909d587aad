// What the scripted tools do. Each takes its call and arguments and resolves with a result.
import { has, isModern } from '../lib/revisions.mjs';
import { RpcError } from './call.mjs';
import { contentsOf } from './items.mjs';

const words = (text) => ({ content: [{ type: 'text', text }] });
const failed = (text) => ({ ...words(text), isError: true });

const form = (nonce) => ({
  type: 'object',
  properties: { answer: { type: 'string', title: `For ${nonce}` }, sure: { type: 'boolean' } },
  required: ['answer'],
});

// What forms can have since 2025-11-25: titled choices and defaults, which have a form in 2025-06-18
// too, and several choices at once, which have none.
export const CHOICES = {
  type: 'object',
  properties: {
    colour: {
      type: 'string',
      title: 'Colour',
      oneOf: [
        { const: 'r', title: 'Red' },
        { const: 'g', title: 'Green' },
      ],
      default: 'r',
    },
    name: { type: 'string', default: 'Ada' },
    sure: { type: 'boolean', default: true },
  },
};
export const SEVERAL = {
  type: 'object',
  properties: { colours: { type: 'array', items: { type: 'string', enum: ['r', 'g'] } } },
};

// The request of each kind of question, in the words of `revision`.
export function question(kind, nonce, revision) {
  const asked = { role: 'user', content: { type: 'text', text: nonce } };
  const url = `https://example.com/visit?nonce=${nonce}`;
  const legacyId = isModern(revision) ? {} : { elicitationId: `id-${nonce}` };
  const mode = has(revision, 'elicitationUrl') ? { mode: 'form' } : {};
  const weather = {
    name: 'weather',
    inputSchema: { type: 'object', properties: { place: { type: 'string' } } },
  };
  const params = {
    form: { ...mode, message: nonce, requestedSchema: form(nonce) },
    choices: { ...mode, message: nonce, requestedSchema: CHOICES },
    several: { ...mode, message: nonce, requestedSchema: SEVERAL },
    url: { mode: 'url', message: nonce, url, ...legacyId },
    sampling: { messages: [asked], maxTokens: 7 },
    sampling_tools: {
      messages: [asked],
      maxTokens: 7,
      tools: [weather],
      toolChoice: { mode: 'auto' },
    },
    roots: {},
  }[kind];
  const method = {
    form: 'elicitation/create',
    choices: 'elicitation/create',
    several: 'elicitation/create',
    url: 'elicitation/create',
    sampling: 'sampling/createMessage',
    sampling_tools: 'sampling/createMessage',
    roots: 'roots/list',
  }[kind];
  return { method, params };
}

const REQUIRED = {
  form: { elicitation: { form: {} } },
  url: { elicitation: { url: {} } },
  sampling: { sampling: {} },
  sampling_tools: { sampling: { tools: {} } },
  roots: { roots: {} },
};

// Asks for `kind`. A polite server looks at the client's capabilities first; a rude one does not.
async function asks(call, { kind, nonce, rude = false }) {
  if (!rude && !(call.can(kind) ?? call.can('form'))) {
    if (isModern(call.revision))
      throw new RpcError(-32021, `this needs ${kind}`, { requiredCapabilities: REQUIRED[kind] });
    return failed(`the client cannot do ${kind}`);
  }
  const { answer } = await call.ask({ answer: question(kind, nonce, call.revision) });
  call.server.answers.push({ nonce, kind, ...answer });
  if (answer.error) return failed(`refused: ${answer.error.code}`);
  return words(JSON.stringify({ nonce, answer: answer.result }));
}

function waits(call, { label }) {
  call.server.waiting.set(label, call);
  return new Promise((_, reject) => {
    call.signal.addEventListener('abort', () => {
      call.server.waiting.delete(label);
      call.server.cancelled.push(label);
      reject(new Error('cancelled'));
    });
  });
}

async function needsUrl(call, { nonce }) {
  if (call.server.visited.has(nonce)) return words(`visited ${nonce}`);
  const { params } = question('url', nonce, call.revision);
  throw new RpcError(-32042, 'Visit a URL first', { elicitations: [params] });
}

export async function callTool(call) {
  const { name, arguments: args = {} } = call.params;
  const { server, revision } = call;
  if (server.extra.has(name)) return words(`extra ${name}`);
  switch (name) {
    case 'echo':
      return words(JSON.stringify(args));
    case 'fails':
      return failed('this tool fails');
    case 'breaks':
      throw new RpcError(-32099, 'this tool breaks', { why: 'asked to' });
    case 'contents':
      return { content: contentsOf(server) };
    case 'counts':
      for (const done of [1, 2, 3]) call.progress(done, 3, `step ${done}`);
      return words(`counted ${args.label}`);
    case 'waits':
      return waits(call, args);
    case 'chats':
      for (const level of ['debug', 'info', 'error']) call.log(level, `${level} ${args.label}`);
      return words(`chatted ${args.label}`);
    case 'asks':
      return asks(call, args);
    case 'sum': {
      const sum = args.a + args.b;
      const structured = has(revision, 'structured') ? { structuredContent: { sum } } : {};
      return { ...words(JSON.stringify({ sum })), ...structured };
    }
    case 'numbers':
      return { ...words('[1,2,3]'), structuredContent: [1, 2, 3] };
    case 'needs_url':
      return needsUrl(call, args);
    case 'works':
      return call.server.tasks.start(call, args);
    default:
      throw new RpcError(-32602, `Unknown tool: ${name}`);
  }
}

