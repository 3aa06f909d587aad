// A local server that speaks OpenAI's Responses and Chat Completions and Anthropic's Messages, whole
// and as streams, and misbehaves as it is told. Shapes are those of the official SDK packages, whose
// clients read it in clients/models.test.mjs.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const readBody = async (request) => {
  let text = '';
  for await (const piece of request) text += piece;
  return { text, body: JSON.parse(text) };
};

const APIS = {
  '/v1/responses': {
    name: 'responses',
    whole: (text, { model, reason, refusal }) => ({
      id: 'resp_1',
      object: 'response',
      created_at: 1,
      model,
      status: reason ? 'incomplete' : 'completed',
      incomplete_details: reason ? { reason: 'max_output_tokens' } : null,
      error: null,
      output: [
        {
          id: 'msg_1',
          type: 'message',
          role: 'assistant',
          status: 'completed',
          content: [
            refusal
              ? { type: 'refusal', refusal }
              : { type: 'output_text', text, annotations: [], logprobs: [] },
          ],
        },
      ],
      usage: {
        input_tokens: 100,
        output_tokens: 20,
        total_tokens: 120,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens_details: { reasoning_tokens: 0 },
      },
    }),
    *stream(text, options) {
      const at = { item_id: 'msg_1', output_index: 0, content_index: 0 };
      let sequence_number = 0;
      const whole = this.whole(text, options);
      const event = (type, data) => [type, { type, sequence_number: sequence_number++, ...data }];
      yield event('response.created', { response: { ...whole, status: 'in_progress', output: [] } });
      for (const delta of options.refusal ? [] : pieces(text))
        yield event('response.output_text.delta', { ...at, delta, logprobs: [] });
      const last = options.reason ? 'response.incomplete' : 'response.completed';
      yield event(last, { response: whole });
    },
  },
  '/v1/chat/completions': {
    name: 'chat',
    whole: (text, { model, reason, refusal }) => ({
      id: 'chat_1',
      object: 'chat.completion',
      created: 1,
      model,
      choices: [
        {
          index: 0,
          finish_reason: reason ? 'length' : 'stop',
          logprobs: null,
          message: {
            role: 'assistant',
            content: refusal ? null : text,
            refusal: refusal ?? null,
          },
        },
      ],
      usage: { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 },
    }),
    *stream(text, { model, reason, refusal }) {
      const chunk = (choices, more = {}) => [
        undefined,
        { id: 'chat_1', object: 'chat.completion.chunk', created: 1, model, choices, ...more },
      ];
      const choice = (delta, finish_reason = null) => [{ index: 0, delta, finish_reason }];
      yield chunk(choice({ role: 'assistant', content: '' }));
      if (refusal) yield chunk(choice({ refusal }));
      else for (const content of pieces(text)) yield chunk(choice({ content }));
      yield chunk(choice({}, reason ? 'length' : 'stop'));
      const usage = { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 };
      yield chunk([], { usage });
      yield [undefined, '[DONE]'];
    },
  },
  '/v1/messages': {
    name: 'anthropic',
    whole: (text, { model, reason, refusal }) => ({
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model,
      content: refusal ? [] : [{ type: 'text', text, citations: null }],
      stop_reason: refusal ? 'refusal' : reason ? 'max_tokens' : 'end_turn',
      stop_sequence: null,
      usage: { input_tokens: 100, output_tokens: 20 },
    }),
    *stream(text, { model, reason, refusal }) {
      const event = (type, data) => [type, { type, ...data }];
      const message = { ...this.whole('', { model }), content: [], stop_reason: null };
      yield event('message_start', {
        message: { ...message, usage: { input_tokens: 100, output_tokens: 1 } },
      });
      const block = { type: 'text', text: '', citations: null };
      yield event('content_block_start', { index: 0, content_block: block });
      yield event('ping', {});
      for (const piece of refusal ? [] : pieces(text))
        yield event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: piece } });
      yield event('content_block_stop', { index: 0 });
      const stop_reason = refusal ? 'refusal' : reason ? 'max_tokens' : 'end_turn';
      yield event('message_delta', {
        delta: { stop_reason, stop_sequence: null },
        usage: { output_tokens: 20 },
      });
      yield event('message_stop', {});
    },
  },
};

function pieces(text) {
  const out = [];
  for (let i = 0; i < text.length; i += 17) out.push(text.slice(i, i + 17));
  return out;
}

const schemaOf = (body) =>
  body.text?.format?.name ?? body.response_format?.json_schema?.name ?? undefined;

// `answer(body, {api, schema, count})` returns a text, or {text, refusal, reason, status, headers,
// delayMs, pieceMs, hang, drop}; {raw} answers with these bytes, {events} streams these objects.
// `requests` keeps what was asked, `gone` counts clients that went away in the middle.
export async function startModelServer(answer) {
  const requests = [];
  let answering = answer;
  let gone = 0;
  const server = createServer(async (request, response) => {
    const api = APIS[request.url];
    if (request.method !== 'POST' || !api) {
      response.writeHead(404).end('{"error":{"message":"no such API"}}');
      return;
    }
    const { text: raw, body } = await readBody(request);
    requests.push({ api: api.name, body, raw, headers: request.headers });
    response.on('close', () => (gone += response.writableEnded ? 0 : 1));
    const said = answering(body, {
      api: api.name,
      schema: schemaOf(body),
      count: requests.length,
    });
    const reply = typeof said === 'string' ? { text: said } : said;
    if (reply.hang) return;
    await sleep(reply.delayMs ?? 0);
    if (reply.status) {
      response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
      response.end(reply.raw ?? JSON.stringify({ error: { type: 'error', message: 'as told' } }));
      return;
    }
    const options = { model: body.model, ...reply };
    if (!body.stream) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(reply.raw ?? JSON.stringify(api.whole(reply.text, options)));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let sent = 0;
    const events = reply.events?.map((data) => [undefined, data]);
    for (const [event, data] of events ?? api.stream(reply.text, options)) {
      if (response.destroyed) return;
      if (reply.drop && ++sent > 2) {
        response.destroy();
        return;
      }
      await sleep(reply.pieceMs ?? 0);
      const text = typeof data === 'string' ? data : JSON.stringify(data);
      response.write(`${event ? `event: ${event}\n` : ''}data: ${text}\n\n`);
    }
    response.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    base: `http://127.0.0.1:${server.address().port}`,
    requests,
    gone: () => gone,
    answer(next) {
      answering = next;
      requests.length = 0;
    },
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
