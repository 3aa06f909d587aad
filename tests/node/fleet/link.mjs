// A TCP proxy that can be slow, silent or cut.
import { connect, createServer } from 'node:net';

export class Link {
  #mode = 'pass';
  #delayMs = 0;
  #pairs = new Set();

  // `target`: "host:port".
  static async open(target) {
    const link = new Link();
    const [host, port] = target.split(':');
    link.server = createServer({ allowHalfOpen: true }, (near) => link.#accept(near, host, Number(port)));
    await new Promise((resolve, reject) => {
      link.server.once('error', reject);
      link.server.listen(0, '127.0.0.1', resolve);
    });
    link.address = `127.0.0.1:${link.server.address().port}`;
    return link;
  }

  // pass; slow (each piece comes delayMs later); silent (nothing comes, nothing breaks); cut
  // (everything that stands breaks, new connections break at once).
  set(mode, delayMs = 0) {
    this.#mode = mode;
    this.#delayMs = delayMs;
    if (mode === 'cut') this.reset();
    for (const pair of this.#pairs) pair.flow();
  }

  // Breaks what stands.
  reset() {
    for (const pair of this.#pairs) pair.destroy();
  }

  #accept(near, host, port) {
    if (this.#mode === 'cut') return near.resetAndDestroy();
    const far = connect({ host, port, allowHalfOpen: true });
    near.setNoDelay(true);
    far.setNoDelay(true);
    const pair = {
      flow: () => {
        for (const one of [near, far]) this.#mode === 'silent' ? one.pause() : one.resume();
      },
      destroy: () => {
        near.resetAndDestroy();
        far.resetAndDestroy();
      },
    };
    this.#pairs.add(pair);
    for (const [from, to] of [[near, far], [far, near]]) {
      // In order, also when the delay changes.
      const waiting = [];
      const pump = () => {
        while (waiting.length > 0 && waiting[0].due <= Date.now()) waiting.shift().act();
        if (waiting.length > 0) setTimeout(pump, waiting[0].due - Date.now());
      };
      const later = (act) => {
        waiting.push({ due: Date.now() + this.#delayMs, act });
        if (waiting.length === 1) pump();
      };
      from.on('data', (data) => {
        later(() => {
          if (!to.destroyed && !to.write(data)) {
            from.pause();
            to.once('drain', pair.flow);
          }
        });
      });
      from.on('end', () => later(() => to.end()));
      from.on('error', () => pair.destroy());
      from.on('close', () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
    }
    pair.flow();
  }

  async close() {
    this.reset();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
