// Numbers that a seed repeats (xorshift32).
export class Random {
  #state;

  constructor(seed) {
    this.#state = (seed * 2654435761) >>> 0 || 1;
  }

  next() {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  below(limit) {
    return this.next() % limit;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  fork() {
    return new Random(this.next());
  }
}
