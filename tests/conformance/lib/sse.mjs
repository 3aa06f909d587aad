// Server-sent events, both ends.

// Yields {event, data, id, retry, comment} of a byte stream, in order.
export async function* readEvents(stream) {
  const decoder = new TextDecoder();
  let buffer = '';
  let event = {};
  for await (const chunk of stream) {
    buffer += decoder.decode(chunk, { stream: true });
    const lines = buffer.split(/\r\n|\n|\r(?!$)/);
    buffer = lines.pop();
    for (const line of lines) {
      if (line === '') {
        if (Object.keys(event).length > 0) yield event;
        event = {};
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'data' && event.data !== undefined) event.data += `\n${value}`;
      else event[field] = value;
    }
  }
}

export class EventWriter {
  #res;
  #next = 0;

  // `ids` names the stream in the ids of its events; without it they have none.
  constructor(res, { ids, headers = {} } = {}) {
    this.#res = res;
    this.ids = ids;
    res.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      ...headers,
    });
    res.flushHeaders();
  }

  event(name, data) {
    if (this.#res.writableEnded || this.#res.destroyed) return false;
    const id = this.ids === undefined ? '' : `id: ${this.ids}_${(this.#next += 1)}\n`;
    this.#res.write(`${id}event: ${name}\ndata: ${data}\n\n`);
    return true;
  }

  message(message) {
    return this.event('message', JSON.stringify(message));
  }

  end() {
    this.#res.end();
  }
}
