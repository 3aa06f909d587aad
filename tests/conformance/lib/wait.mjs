// Waiting for what can be seen, never for a time.
export const WAIT_MS = 10000;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Resolves or rejects as `promise` does, but rejects when it has done neither in time.
export async function within(promise, what, ms = WAIT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Resolves with the first truthy value of check(), asked again and again.
export async function eventually(what, check, ms = WAIT_MS) {
  for (const end = Date.now() + ms; ; await pause(5)) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
  }
}

// A list that grows, in which one can wait for an entry.
export class Log {
  entries = [];
  #waiting = new Set();

  push(entry) {
    this.entries.push(entry);
    for (const check of [...this.#waiting]) check(entry);
  }

  get length() {
    return this.entries.length;
  }

  // Resolves with the first entry at or after index `from` that `accept` takes.
  async wait(what, accept, { from = 0, ms = WAIT_MS } = {}) {
    const found = this.entries.slice(from).find(accept);
    if (found !== undefined) return found;
    let check;
    const arrival = new Promise((resolve) => {
      check = (entry) => accept(entry) && resolve(entry);
      this.#waiting.add(check);
    });
    try {
      return await within(arrival, what, ms);
    } finally {
      this.#waiting.delete(check);
    }
  }
}
