// Calls at a fixed rate, each to the next gateway that says it is ready, as a balancer with health
// checks would send them. Every answer is checked.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connections, failureOf, http, rpc, textOf } from './client.mjs';

const LOOK_MS = 50;
const TICK_MS = 5;
const FAILURES_KEPT = 50;

export class Steady {
  sent = 0;
  good = 0;
  failed = 0;
  failures = [];
  latencies = [];
  #ready = [];
  #next = 0;
  #over = false;
  #running = new Set();
  #connections = new Connections();

  // `slow`: the share of calls that take 0.2 to 2 s.
  constructor(fleet, { rate, servers, slow = 0.02, key }) {
    Object.assign(this, { fleet, rate, servers, slow, key });
  }

  async start() {
    this.#loops = this.fleet.of('gateway').map((gateway) => this.#look(gateway));
    while (this.#ready.length === 0) await sleep(LOOK_MS);
    this.#loops.push(this.#send());
  }
  #loops = [];

  // Asks one gateway whether it is ready.
  async #look(gateway) {
    while (!this.#over) {
      const { status } = await http(`http://${gateway.http}/ready`, { method: 'GET' });
      const known = this.#ready.includes(gateway);
      if (status === 200 && !known) this.#ready = [...this.#ready, gateway];
      if (status !== 200 && known) {
        this.#ready = this.#ready.filter((each) => each !== gateway);
        this.#connections.forget(gateway.url);
      }
      await sleep(LOOK_MS);
    }
  }

  async #send() {
    const began = performance.now();
    while (!this.#over) {
      const due = ((performance.now() - began) / 1000) * this.rate;
      while (this.sent < due) {
        this.sent += 1;
        const call = this.#call(this.sent).finally(() => this.#running.delete(call));
        this.#running.add(call);
      }
      await sleep(TICK_MS);
    }
  }

  async #call(number) {
    const gateway = this.#ready[this.#next++ % Math.max(1, this.#ready.length)];
    const server = this.servers[number % this.servers.length];
    const slow = Math.random() < this.slow;
    const text = randomUUID();
    const began = performance.now();
    const params = {
      name: `${server}__${slow ? 'slow' : 'echo'}`,
      arguments: { text, ...(slow ? { ms: Math.floor(200 + Math.random() * 1800) } : {}) },
    };
    const outcome = gateway
      ? await rpc(gateway.url, 'tools/call', params, {
          agent: this.#connections.to(gateway.url),
          key: this.key,
        })
      : { lost: 'no gateway is ready', sent: false };
    let problem = failureOf(outcome);
    if (!problem && textOf(outcome) !== text) problem = { wrong: textOf(outcome) };
    if (!problem) {
      this.good += 1;
      if (!slow) this.latencies.push(performance.now() - began);
      return;
    }
    this.failed += 1;
    if (this.failures.length < FAILURES_KEPT) {
      const at = new Date().toISOString().slice(11, 23);
      this.failures.push({ at, ms: Math.round(performance.now() - began), gateway: gateway?.name, server, ...problem });
    }
  }

  // Resolves when the last call has its answer.
  async stop() {
    this.#over = true;
    await Promise.all(this.#loops);
    await Promise.all(this.#running);
    this.#connections.close();
  }

  percentile(share) {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  }
}
